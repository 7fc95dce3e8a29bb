"""The one way to the network: sessions without anybody's credentials, and answers of a limited size.

Proxies and certificates come from the environment (``HTTP(S)_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``); passwords
in ``~/.netrc`` are never looked at.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import ReadTimeoutError

from pipeline.core.errors import FetchError, LayermapError
from pipeline.fetch.http.addresses import redirected
from pipeline.formats.documents import parse_json

USER_AGENT = "layermap (fetch; python-requests)"
MOST_REDIRECTS = 10
MOST_TEXT_BYTES = 64_000_000
"""A list of files or a page of rows; the longest that public servers give have some 10 MB."""
LONGEST_TEXT_S = 900.0
READ_BYTES = 1 << 16


class RefusedAnswer(requests.exceptions.RequestException):
    """An answer that is not followed or not read to its end; the message is half a sentence."""


class AnonymousSession(requests.Session):
    """A session that logs in nowhere and follows redirects by the rules of `addresses.redirected`."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # none is kept, so none is sent
        self.headers["User-Agent"] = USER_AGENT
        # a packed transfer would make sizes and byte ranges those of the packed bytes
        self.headers["Accept-Encoding"] = "identity"

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """As `requests.Session.request`, with all but method and address named.

        Raises
        ------
        RefusedAnswer
            The answer leads somewhere where nobody follows, or in circles.
        """
        follow = options.pop("allow_redirects", True)
        address = url
        for _ in range(MOST_REDIRECTS + 1):
            response = super().request(
                method,
                address,
                allow_redirects=False,
                proxies=get_environ_proxies(address),
                verify=os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True,
                **options,
            )
            target = self.get_redirect_target(response) if follow else None
            if target is None:
                return response
            response.close()
            try:
                address = redirected(address, target)
            except FetchError as error:
                raise RefusedAnswer(str(error)) from error
            if response.status_code in (301, 302, 303) and method not in ("GET", "HEAD"):
                method = "GET"
                options = {name: value for name, value in options.items() if name not in ("data", "json", "files")}
        raise RefusedAnswer(f"it redirects more than {MOST_REDIRECTS} times")


@dataclass(frozen=True)
class TextAnswer:
    """What a server says to a question: status, its reason in words, kind of text, and the text."""

    status: int
    reason: str
    content_type: str
    text: bytes

    def json(self) -> Any:
        """The text as JSON.

        Raises
        ------
        ValueError, RefusedAnswer
            It is none; it has a key twice, NaN, text that cannot be encoded, or is too deep.
        """
        try:
            return parse_json(self.text, "its JSON", "", max_bytes=len(self.text))
        except LayermapError as error:
            if isinstance(error.__cause__, json.JSONDecodeError):
                raise error.__cause__ from None
            raise RefusedAnswer(str(error)) from error


def ask_text(
    method: str,
    url: str,
    *,
    silence_s: float,
    most_bytes: int | None = None,
    longest_s: float = LONGEST_TEXT_S,
    **options: Any,
) -> TextAnswer:
    """Ask for a text that fits into memory.

    Parameters
    ----------
    silence_s : longest wait for the next byte, in s
    most_bytes, longest_s : what the text may have (by default ``MOST_TEXT_BYTES``) and how long it may take
    options : of `requests.Session.request`, e.g. ``json``

    Raises
    ------
    RefusedAnswer
        Longer, or slower, or a redirect that nobody follows.
    requests.exceptions.RequestException
        No answer.
    """
    began = time.monotonic()
    most_bytes = MOST_TEXT_BYTES if most_bytes is None else most_bytes
    pieces, n_bytes = [], 0
    with AnonymousSession() as session, session.request(method, url, timeout=silence_s, stream=True, **options) as got:
        try:
            for piece in got.iter_content(READ_BYTES):
                pieces.append(piece)
                n_bytes += len(piece)
                if n_bytes > most_bytes:
                    raise RefusedAnswer(f"its answer has more than {most_bytes} bytes")
                if time.monotonic() - began > longest_s:
                    raise RefusedAnswer(f"its answer took more than {longest_s:g} s")
        except requests.exceptions.ConnectionError as error:
            if any(isinstance(cause, ReadTimeoutError) for cause in error.args):
                raise requests.exceptions.ReadTimeout(str(error)) from error
            raise
        kind = got.headers.get("Content-Type", "")
        return TextAnswer(got.status_code, got.reason or "", kind, b"".join(pieces))
