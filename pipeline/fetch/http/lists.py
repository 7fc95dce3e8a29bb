"""Asking public servers for lists, patiently, and in words when they do not answer.

Every question is put again after errors that may pass, a silent server is given up, and what is no answer (error
pages, truncated JSON, refusals) is said in half a sentence. An http mirror is asked before the public address.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import requests

from pipeline.core.errors import FetchError
from pipeline.fetch.http.answers import BadAnswer, content_length
from pipeline.fetch.http.sessions import AnonymousSession, RefusedAnswer, ask_text
from pipeline.fetch.http.settings import PASSING_STATUS, Patience

TRIES = 4
BACK_OFF_S = 1.0
SILENCE_S = 60.0
"""Longest wait for the next byte of an answer."""
CONNECTIONS = 4
GONE_STATUS = frozenset({404, 410})
"""Answers to HEAD that say that a file is not there; other refusals leave its size open."""

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
    question : called with a base address; what requests and json raise in it counts as no answer
    bases : addresses in the order in which they are asked

    Raises
    ------
    NoAnswer
        No server answered; each address and its reason.
    """
    reasons = []
    for base in bases:
        try:
            return _patiently(functools.partial(question, base))
        except NoAnswer as error:
            reasons.append(f"{base}: {error}")
    raise NoAnswer("; ".join(reasons), passing=False)


def _patiently(question: Callable[[], Answer]) -> Answer:
    """The answer to a question that is put again while what went wrong may pass."""
    patience = Patience(total=TRIES - 1, backoff_factor=BACK_OFF_S)
    while True:
        try:
            with _readable():
                return question()
        except NoAnswer as error:
            left = patience.after(error) if error.passing else None
            if left is None:
                raise
            patience = left
            time.sleep(patience.pause_s())


def json_at(url: str, most_bytes: int | None = None) -> Any:
    """The JSON at an address, asked within `ask`.

    Parameters
    ----------
    most_bytes : what the text may have, as `sessions.ask_text` has it

    Raises
    ------
    NoAnswer
        Another status than 200.
    """
    answer = ask_text("GET", url, silence_s=SILENCE_S, most_bytes=most_bytes)
    if answer.status != 200:
        raise NoAnswer(f"it answers {answer.status} {answer.reason}", passing=answer.status in PASSING_STATUS)
    return answer.json()


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turn what requests, json and readers of rows raise over a bad answer into `NoAnswer`."""
    try:
        yield
    except RefusedAnswer as error:
        raise NoAnswer(str(error), passing=False) from error
    except (TimeoutError, requests.exceptions.Timeout) as error:
        raise NoAnswer(f"it was silent for {SILENCE_S:g} s", passing=True) from error
    except requests.exceptions.ChunkedEncodingError as error:
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
    except ConnectionError as error:
        raise NoAnswer(f"the connection broke off ({error or type(error).__name__})", passing=True) from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise _unexpected(error) from error


def _unexpected(error: Exception) -> NoAnswer:
    """What is raised over rows without what is needed of them."""
    return NoAnswer(f"its rows are not as expected ({type(error).__name__}: {error})", passing=False)


def _innermost(error: BaseException) -> str:
    return str(error).rpartition(": ")[2].strip("'\")( ")[:120] or type(error).__name__


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
    try:
        return ask(_announced, addresses_of(url, mirror))
    except NoAnswer as error:
        raise FetchError(
            f"{error}; give a mirror that has it (--config mirror=http://HOST), or leave it out of the study"
        ) from error


def _announced(address: str) -> int | None:
    """What a server says that a file has, in bytes; None if it does not say. Asked within `ask`.

    Raises
    ------
    NoAnswer
        It does not have the file.
    """
    with AnonymousSession() as session:
        response = session.head(address, allow_redirects=True, timeout=SILENCE_S)
    status = response.status_code
    if status in GONE_STATUS or status in PASSING_STATUS:
        raise NoAnswer(f"it answers {status} {response.reason}", passing=status in PASSING_STATUS)
    if not response.ok or "Content-Encoding" in response.headers:
        return None
    try:
        # some servers answer HEAD with a length of 0
        return content_length(response.headers) or None
    except BadAnswer:
        return None
