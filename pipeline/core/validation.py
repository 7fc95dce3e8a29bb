"""What pydantic says of a file of the user's, as one line."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.core.errors import BadConfiguration

MAX_PROBLEMS = 3
"""How many problems of a file one line tells; the others are counted."""
_TELLING = {"extra_forbidden": 0, "missing": 2}


def one_line(error: ValidationError, source: str) -> BadConfiguration:
    """A pydantic error as one line: file, key, value, what was expected.

    What is there and wrong comes before what is missing: a key that lacks is often one that was misspelt.
    """
    problems = sorted(error.errors(include_url=False), key=lambda one: _TELLING.get(one["type"], 1))
    told = list(dict.fromkeys(_problem(one) for one in problems))
    more = len(told) - MAX_PROBLEMS
    return BadConfiguration(f"{source}: {'; '.join(told[:MAX_PROBLEMS])}{f' (and {more} more)' if more > 0 else ''}")


def _problem(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"unknown key '{where}'; remove it or correct its spelling"
    if error["type"] == "missing":
        return f"key '{where}' is missing; add it"
    value = error.get("input")
    shown = f" (got {value!r:.60})" if not isinstance(value, dict | list) else ""
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{shown}"
