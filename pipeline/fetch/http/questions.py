"""One question for a file, and in words why it has no answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests import Response

from pipeline.fetch.failures import Transient, Unavailable
from pipeline.fetch.http.answers import s3_reason
from pipeline.fetch.http.sessions import RefusedAnswer
from pipeline.fetch.http.settings import PASSING_STATUS, FetchSettings

READ_BYTES = 1 << 18


def open_address(session: requests.Session, url: str, headers: dict[str, str], settings: FetchSettings) -> Response:
    """Ask for an address; the body is not read yet.

    Raises
    ------
    Unavailable, Transient
        No answer; asking again may help.
    """
    timeouts = (settings.connect_timeout_s, settings.stall_timeout_s)
    host = urlsplit(url).netloc
    try:
        return session.get(url, headers=headers, stream=True, timeout=timeouts)
    except RefusedAnswer as error:
        raise Unavailable(f"{url}: {error}") from error
    except requests.exceptions.SSLError as error:
        raise Unavailable(f"{url}: the certificate of {host} is not trusted ({_reason(error)})") from error
    except (requests.exceptions.ConnectTimeout, requests.exceptions.ConnectionError) as error:
        if "RemoteDisconnected" in repr(error) or "Connection reset" in repr(error):
            raise Transient(f"{host} closed the connection") from error
        raise Transient(f"{host} cannot be reached ({_reason(error)})", unreachable=True) from error
    except requests.exceptions.Timeout as error:
        raise Transient(f"no answer for {settings.stall_timeout_s:g} s") from error
    except requests.exceptions.RequestException as error:
        raise Unavailable(f"{url}: {_reason(error)}") from error


def check_status(response: Response, url: str) -> None:
    """Refuse all answers but 200 and 206.

    Raises
    ------
    Unavailable, Transient
        With the server's own word for it.
    """
    status = response.status_code
    if status in PASSING_STATUS:
        asked = response.headers.get("Retry-After", "")
        wait_s = float(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else 0.0
        raise Transient(f"the server answers {status} {response.reason}", wait_s, status=status)
    if status not in (200, 206):
        raise Unavailable(
            f"{url}: the server answers {status} {response.reason}{_refusal(response)}",
            status=status,
            code=response.headers.get("X-Error-Code", ""),
        )


def read_on(response: Response) -> bytes:
    """The next bytes of a body as sent, never unpacked; empty at the end."""
    read: Callable[..., bytes] = response.raw.read1
    return read(READ_BYTES, decode_content=False)


def _refusal(response: Response) -> str:
    """What S3 adds to a refusal, in brackets; empty for other servers."""
    kind = response.headers.get("Content-Type", "")
    if "xml" not in kind or "html" in kind:
        return ""
    try:
        return s3_reason(read_on(response))
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError):
        return ""


def _reason(error: Exception) -> str:
    """The innermost cause in words: requests and urllib3 nest three exceptions around it."""
    text = str(error)
    if "NameResolutionError" in text or "getaddrinfo" in text:
        return "its name is not known"
    cause = re.search(r"\[Errno -?\d+\] ([^'\")]+)", text)
    if cause:
        return cause[1].strip().lower()
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "it does not answer"
    return text.rpartition(": ")[2].strip("'\")( ")[:120] or type(error).__name__
