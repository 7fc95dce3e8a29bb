"""The errors a user can cause: one line each, naming the file, the value and the remedy."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class LayermapError(Exception):
    """Something the user can mend. ``str(error)`` is one line that is shown without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__("".join(_shown(character) for character in " ".join(message.split())))


def _shown(character: str) -> str:
    """A character as it can be printed and logged: what controls a terminal, or is no UTF-8, is spelt out."""
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).splitlines()[0] if str(error) else "no message"


@contextlib.contextmanager
def in_one_line(what_failed: str) -> Iterator[None]:
    """Code of the user's own: whatever it raises, the user has to mend.

    Parameters
    ----------
    what_failed : begins the message, such as ``network net.py:build failed``

    Raises
    ------
    LayermapError
        With the kind of the error and its first line; its own pass as they are.
    """
    try:
        yield
    except LayermapError:
        raise
    except (Exception, SystemExit) as error:
        raise LayermapError(f"{what_failed} ({type(error).__name__}: {first_line(error)})") from error


class UnknownName(LayermapError):
    """A study, model, layer, dataset, metric or stage that does not exist."""

    def __init__(self, what: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        known = sorted(known)
        closest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"closest: '{closest[0]}'" if closest else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"unknown {what} '{name}' ({hint}){'; ' + remedy if remedy else ''}")


class BadConfiguration(LayermapError):
    """A study file or ``--config`` value that does not validate."""


class UnsafeName(LayermapError):
    """A name or path from a server, a folder or a table that must not become a file's name or an argument."""


class BrokenArtifact(LayermapError):
    """An artifact that is missing, truncated, of another schema or not what it claims to be."""


class SampleMismatch(LayermapError):
    """Sample counts that must agree differ."""


class FetchError(LayermapError):
    """A file that could not be had from mirror or network, or is not the file that was asked for."""


class AlreadyRunning(LayermapError):
    """Another run is writing the same output."""
