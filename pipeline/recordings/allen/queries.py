"""Asking the Allen Institute's data warehouse (RMA) through allensdk, patiently and in one line when it fails.

allensdk asks without retries, waits for ever, and passes on whatever comes back; `lists.ask` mends that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.core.errors import FetchError
from pipeline.fetch.http import lists
from pipeline.fetch.http.lists import NoAnswer, addresses_of

API_URL = "https://api.brain-map.org"
_NUMBERS = ("id", "experiment_container_id")

Answer = TypeVar("Answer")


def server_addresses(mirror: str | None) -> list[str]:
    """Bases of queries and of download links, in the order in which they are asked.

    Parameters
    ----------
    mirror : http(s) prefix before HOST/PATH of public addresses
    """
    return addresses_of(API_URL, mirror)


def ask(what: str, question: Callable[[str], Answer], mirror: str | None) -> Answer:
    """Put a question to the servers in turn.

    Parameters
    ----------
    what : what is asked for, for the message, e.g. ``experiment containers``
    question : called with the base address; asks through allensdk

    Raises
    ------
    FetchError
        No server answered; one line with each address and its reason.
    """
    try:
        return lists.ask(question, server_addresses(mirror))
    except NoAnswer as error:
        raise FetchError(
            f"the Allen Institute's server gave no list of {what} ({error}); connect to it, or give an http "
            "mirror that answers its queries with --config mirror=http://HOST"
        ) from error


def rows_of(answer: object, *columns: str) -> list[dict[str, object]]:
    """An answer's rows, checked.

    Raises
    ------
    NoAnswer
        It is no list of rows with these columns (a refused query, for example, has a sentence in their place), or an
        id is no number.
    """
    if not isinstance(answer, list):
        raise NoAnswer(f"it refuses the query: {str(answer)[:120]}", passing=False)
    for row in answer:
        missing = [name for name in columns if not isinstance(row, dict) or name not in row]
        if missing:
            raise NoAnswer(f"a row of its answer lacks '{missing[0]}'", passing=False)
        for name in set(columns).intersection(_NUMBERS):
            if type(row[name]) is not int:
                raise NoAnswer(f"a row of its answer has {name} {row[name]!a}, which is no number", passing=False)
    return answer


def address_of(link: str) -> str:
    """The public address behind a download link, which stays on the Institute's host whatever the server says.

    Raises
    ------
    FetchError
        The link is none of the server's own.
    """
    if not link.startswith("/") or not link.isascii() or not link.isprintable() or " " in link:
        raise FetchError(
            f"the Allen Institute's server gave the download link {link!a}, which is no path on {API_URL}; take "
            "another mirror, or leave the experiment out (leave_out)"
        )
    return API_URL + link
