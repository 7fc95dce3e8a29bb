"""Asking public servers for lists, patiently, and in words when they do not answer.

Every question is put again after errors that may pass, a silent server is given up, and what is no answer (error
pages, truncated JSON, refusals) is said in half a sentence. An http mirror is asked before the public address.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.documents import parse_json
from pipeline.errors import FetchError
from pipeline.limits import JSON_BYTES, size_in_words

TRIES = 4
BACK_OFF_S = 1.0
SILENCE_S = 60.0
"""Longest wait for the next byte of an answer."""
CONNECTIONS = 4
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
GONE_STATUS = frozenset({404, 410})
"""Answers to HEAD that say that a file is not there; other refusals leave its size open."""

if TYPE_CHECKING:
    import requests

Answer = TypeVar("Answer")


class NoAnswer(Exception):
    """What came back is no answer to the question.

    Parameters
    ----------
    reason : half a sentence
    passing : whether asking again may help
    """

    def __init__(self, reason: str, *, passing: bool) -> None:
        super().__init__(reason)
        self.passing = passing


def addresses_of(public: str, mirror: str | None) -> list[str]:
    """A public address and, before it, what stands for it in a mirror.

    Parameters
    ----------
    mirror : http(s) prefix before HOST/PATH of public addresses
    """
    return [*([f"{mirror}/{public.partition('://')[2]}"] if mirror else []), public]


def ask(question: Callable[[str], Answer], bases: Sequence[str]) -> Answer:
    """Put a question to servers in turn.

    Parameters
    ----------
    question : called with a base address; what requests, urllib and json raise in it counts as no answer
    bases : addresses in the order in which they are asked

    Raises
    ------
    NoAnswer
        No server answered; each address and its reason.
    """
    reasons = []
    for base in bases:
        for attempt in range(TRIES):
            try:
                with _readable(), _patience():
                    return question(base)
            except NoAnswer as error:
                if not error.passing or attempt == TRIES - 1:
                    reasons.append(f"{base}: {error}")
                    break
                time.sleep(BACK_OFF_S * 2**attempt)
    raise NoAnswer("; ".join(reasons), passing=False)


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """allensdk opens addresses without a time-out of its own; the default of new sockets then holds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turn what urllib, requests, json and readers of rows raise over a bad answer into `NoAnswer`."""
    import requests

    try:
        yield
    except urllib.error.HTTPError as error:
        raise NoAnswer(f"it answers {error.code} {error.reason}", passing=error.code in PASSING_STATUS) from error
    except urllib.error.URLError as error:
        silent = isinstance(error.reason, TimeoutError)
        raise NoAnswer(f"it cannot be reached ({error.reason})", passing=silent) from error
    except (TimeoutError, requests.exceptions.Timeout) as error:
        raise NoAnswer(f"it was silent for {SILENCE_S:g} s", passing=True) from error
    except (http.client.IncompleteRead, requests.exceptions.ChunkedEncodingError) as error:
        raise NoAnswer("its answer broke off", passing=True) from error
    except requests.exceptions.ConnectionError as error:
        reset = "reset" in str(error) or "RemoteDisconnected" in str(error)
        raise NoAnswer(f"it cannot be reached ({_innermost(error)})", passing=reset) from error
    except ValueError as error:
        text = getattr(error, "doc", None)  # json, simplejson and requests have a class each for what is no JSON
        if text is None:
            raise _unexpected(error) from error
        page = text.lstrip()[:15].lower().startswith(("<!doctype", "<html"))
        what = "it answers with an HTML page, not JSON" if page else "its JSON is cut short"
        raise NoAnswer(what, passing=True) from error
    except (ConnectionError, http.client.HTTPException) as error:
        raise NoAnswer(f"the connection broke off ({error or type(error).__name__})", passing=True) from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise _unexpected(error) from error


def _unexpected(error: Exception) -> NoAnswer:
    """What is raised over rows without what is needed of them."""
    return NoAnswer(f"its rows are not as expected ({type(error).__name__}: {error})", passing=False)


def _innermost(error: BaseException) -> str:
    return str(error).rpartition(": ")[2].strip("'\")( ")[:120] or type(error).__name__


def json_answer(response: requests.Response) -> Any:
    """What a server answered, which was asked with ``stream=True``: no more of it is taken than a list may have.

    Raises
    ------
    NoAnswer
        It is too long or no JSON; `ask` says so of JSON that is cut short.
    """
    text = bytearray()
    for piece in response.iter_content(1 << 20):
        text += piece
        if len(text) > JSON_BYTES:
            raise NoAnswer(f"its answer has more than {size_in_words(JSON_BYTES)}", passing=False)
    try:
        return parse_json(bytes(text), "its answer", error=_NoJson)
    except _NoJson as error:
        if isinstance(error.__cause__, json.JSONDecodeError):
            raise error.__cause__ from None
        raise NoAnswer(str(error), passing=False) from error


class _NoJson(FetchError):
    """An answer that is no JSON."""


def sizes_of(urls: Sequence[str], mirror: str | None) -> dict[str, int | None]:
    """Bytes of each file, as the servers announce them; None where they do not.

    Parameters
    ----------
    urls : public addresses

    Raises
    ------
    FetchError
        A server says that a file is not there.
    """
    distinct = list(dict.fromkeys(urls))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return dict(zip(distinct, pool.map(lambda url: _size_of(url, mirror), distinct), strict=True))


def _size_of(url: str, mirror: str | None) -> int | None:
    reasons = []
    for address in addresses_of(url, mirror):
        try:
            return _announced(address)
        except NoAnswer as error:
            reasons.append(f"{address}: {error}")
    raise FetchError(
        f"{'; '.join(reasons)}; give a mirror that has it (--config mirror=http://HOST), or leave it out of the study"
    )


def _announced(address: str) -> int | None:
    """What a server says that a file has, in bytes; None if it does not say.

    Raises
    ------
    NoAnswer
        It does not have the file, or does not answer.
    """
    import requests

    for attempt in range(TRIES):
        try:
            with _readable():
                response = requests.head(
                    address, allow_redirects=True, timeout=SILENCE_S, headers={"Accept-Encoding": "identity"}
                )
                status = response.status_code
                if status in GONE_STATUS or status in PASSING_STATUS:
                    raise NoAnswer(f"it answers {status} {response.reason}", passing=status in PASSING_STATUS)
                length = response.headers.get("Content-Length", "") if response.ok else ""
                # some servers answer HEAD with a length of 0
                return int(length) if length.isdigit() and int(length) else None
        except NoAnswer as error:
            if not error.passing or attempt == TRIES - 1:
                raise
            time.sleep(BACK_OFF_S * 2**attempt)
    return None
