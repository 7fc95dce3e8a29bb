"""One address into one ``.part`` file: ranges, retries, stalls, and answers that are not the file."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests import Response

from pipeline.artifacts.catalogue import RawFile
from pipeline.fetch.annex import is_pointer, pointer_refused
from pipeline.fetch.connections import Connections
from pipeline.fetch.digests import is_html, is_pinned, may_be_html
from pipeline.fetch.failures import Transient, Unavailable
from pipeline.fetch.part_file import PartFile
from pipeline.fetch.progress import Progress
from pipeline.fetch.s3_answers import md5_in_etag, s3_reason
from pipeline.fetch.settings import FetchSettings

READ_BYTES = 1 << 18
RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
# a server may ask for more patience than anybody has
LONGEST_WAIT_S = 300.0


class HttpTransfer:
    """Bring ``part`` to the full length that the server has, over as many attempts as it takes.

    Parameters
    ----------
    url : address of the file, public or within an http mirror
    expected : size and digests, as far as known
    """

    def __init__(
        self,
        url: str,
        part: PartFile,
        expected: RawFile,
        *,
        settings: FetchSettings,
        connections: Connections,
        progress: Progress,
    ) -> None:
        self.url = url
        self.part = part
        self.expected = expected
        self.settings = settings
        self.connections = connections
        self.progress = progress
        self._counted = 0
        self._announced: int | None = expected.bytes

    def run(self) -> None:
        """Transfer the file; the bytes are not checked against digests here.

        Raises
        ------
        Unavailable
            The server refuses, answers with something else, or gave no new byte in ``retries + 1`` attempts.
        OSError
            The bytes could not be written.
        """
        failures, furthest = 0, self.part.size()
        if furthest and furthest == self.expected.bytes and is_pinned(self.expected):
            return self._count_to(furthest)  # killed between the last byte and the rename; the digest decides
        while True:
            try:
                with self.connections.to(self.url) as session:
                    self._attempt(session)
                return
            except Unavailable:
                self._count_to(0)
                raise
            except Transient as error:
                reached = self.part.size()
                if reached > furthest:
                    failures, furthest = 0, reached
                failures += 1
                # a name that does not resolve will hardly do so a minute later
                if failures > (min(1, self.settings.retries) if error.unreachable else self.settings.retries):
                    tries = "attempt" if failures == 1 else "attempts"
                    self._count_to(0)
                    raise Unavailable(
                        f"{self.url}: {error.reason} ({failures} {tries})", status=error.status
                    ) from error
                pause_s = min(self.settings.back_off_s * 2 ** (failures - 1), self.settings.back_off_limit_s)
                pause_s = max(pause_s * random.uniform(0.5, 1.5), min(error.wait_s, LONGEST_WAIT_S))
                self.connections.pause(pause_s)

    def _attempt(self, session: requests.Session) -> None:
        headers = self._range_headers()
        with self._open(session, headers) as response:
            if response.status_code == 416:
                return self._range_refused(response)
            self._check_status(response)
            if response.status_code == 206 and "Range" in headers:
                offset, total = self._where(response)
                self._check_length(total)
                stream, first = self.part.resume(), b""
            else:
                offset, total = 0, _length(response)
                first = self._read(response)
                self._check_kind(response, first, total)
                self._check_length(total)
                stream = self.part.start(
                    self.url, _validator(response), md5_in_etag(self.expected.url, response.headers)
                )
            self._count_to(offset)
            with stream:
                self._copy(response, stream, first)
        if total is not None and self.part.size() != total:
            raise Transient(f"the connection ended after {self.part.size()} of {total} bytes")

    def _range_headers(self) -> dict[str, str]:
        size = self.part.size()
        if self.expected.bytes is not None and size > self.expected.bytes:
            self.part.discard()
            return {}
        validator = self.part.validator(self.url)
        if size == 0 or (validator is None and not is_pinned(self.expected)):
            return {}
        headers = {"Range": f"bytes={size}-"}
        if validator is not None:
            headers["If-Range"] = validator
        return headers

    def _open(self, session: requests.Session, headers: dict[str, str]) -> Response:
        timeouts = (self.settings.connect_timeout_s, self.settings.stall_timeout_s)
        host = urlsplit(self.url).netloc
        try:
            return session.get(self.url, headers=headers, stream=True, timeout=timeouts)
        except requests.exceptions.SSLError as error:
            raise Unavailable(f"{self.url}: the certificate of {host} is not trusted ({_reason(error)})") from error
        except (requests.exceptions.ConnectTimeout, requests.exceptions.ConnectionError) as error:
            if "RemoteDisconnected" in repr(error) or "Connection reset" in repr(error):
                raise Transient(f"{host} closed the connection") from error
            raise Transient(f"{host} cannot be reached ({_reason(error)})", unreachable=True) from error
        except requests.exceptions.Timeout as error:
            raise Transient(f"no answer for {self.settings.stall_timeout_s:g} s") from error
        except requests.exceptions.RequestException as error:
            raise Unavailable(f"{self.url}: {_reason(error)}") from error

    def _check_status(self, response: Response) -> None:
        status = response.status_code
        if status in RETRY_STATUS:
            asked = response.headers.get("Retry-After", "")
            wait_s = float(asked) if asked.isdigit() else 0.0
            raise Transient(f"the server answers {status} {response.reason}", wait_s, status=status)
        if status not in (200, 206):
            raise Unavailable(
                f"{self.url}: the server answers {status} {response.reason}{self._refusal(response)}",
                status=status,
                code=response.headers.get("X-Error-Code", ""),
            )

    def _refusal(self, response: Response) -> str:
        """What S3 adds to a refusal, in brackets; empty for other servers."""
        kind = response.headers.get("Content-Type", "")
        return s3_reason(self._read(response)) if "xml" in kind and "html" not in kind else ""

    def _range_refused(self, response: Response) -> None:
        """416: either everything is there already, or what is there is no part of this file."""
        total = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
        size = self.part.size()
        if total is not None and int(total[1]) == size and self.expected.bytes in (None, size):
            return self._count_to(size)
        self.part.discard()
        self._count_to(0)
        raise Transient("the server refuses to go on where the last attempt ended")

    def _where(self, response: Response) -> tuple[int, int | None]:
        """Offset and total bytes of a partial answer."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
        size = self.part.size()
        if found is None or int(found[1]) != size:
            self.part.discard()
            self._count_to(0)
            raise Transient(f"the server did not go on at byte {size}")
        return size, None if found[3] == "*" else int(found[3])

    def _check_kind(self, response: Response, first: bytes, total: int | None) -> None:
        if is_pointer(first, total):
            raise Unavailable(pointer_refused(self.url, self.expected.path))
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if may_be_html(self.expected.path):
            return
        if kind in ("text/html", "application/xhtml+xml") or is_html(first):
            passing = re.search(rb"<title>\s*(50[0234]\b[^<]{0,40})", first)
            if passing is not None:
                said = passing[1].decode("ascii", "replace").strip()
                raise Transient(f"the server answers with an HTML page that says '{said}'")
            raise Unavailable(
                f"{self.url} answers with an HTML page, not {self.expected.path} (an error or log-in page)"
            )

    def _check_length(self, total: int | None) -> None:
        if total is None:
            return
        if self.expected.bytes is not None and total != self.expected.bytes:
            self.part.discard()
            raise Unavailable(f"{self.url} has {total} bytes where {self.expected.bytes} were expected")
        if self._announced is None:
            self._announced = total
            self.progress.expect(total)

    def _copy(self, response: Response, stream: BinaryIO, first: bytes) -> None:
        chunk = first or self._read(response)
        limit = self.expected.bytes
        while chunk:
            if limit is not None and self._counted + len(chunk) > limit:
                self.part.discard()
                raise Unavailable(f"{self.url} sends more than the {limit} bytes expected")
            stream.write(chunk)
            self._count_to(self._counted + len(chunk))
            self.connections.check()
            chunk = self._read(response)

    def _read(self, response: Response) -> bytes:
        """The next bytes as sent, never unpacked; empty at the end."""
        read: Callable[..., bytes] = response.raw.read1
        try:
            return read(READ_BYTES, decode_content=False)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
            raise Transient(f"no byte for {self.settings.stall_timeout_s:g} s") from error
        except (urllib3.exceptions.HTTPError, ConnectionError) as error:
            of = f" of {self._announced}" if self._announced is not None else ""
            raise Transient(f"the connection broke off after {self._counted}{of} bytes") from error

    def _count_to(self, n_bytes: int) -> None:
        self.progress.advance(n_bytes - self._counted)
        self._counted = n_bytes


def _length(response: Response) -> int | None:
    """Content-Length in bytes; None for chunked answers."""
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _validator(response: Response) -> str | None:
    """What If-Range accepts: a strong ETag, else the date of the last change."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


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
