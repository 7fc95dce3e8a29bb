"""What can go wrong with one address, as the rest of fetch tells it apart."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.errors import FetchError


class Unavailable(FetchError):
    """This address does not give the file; another address of the same file may.

    Parameters
    ----------
    reasons : one half sentence per address that was tried; the message itself if there was but one
    status : what the server answered; None if it did not
    code : the word for it that the Hugging Face hub adds, e.g. ``GatedRepo``
    """

    def __init__(self, message: str, reasons: Sequence[str] = (), *, status: int | None = None, code: str = "") -> None:
        super().__init__(message)
        self.reasons = tuple(reasons) or (message,)
        self.status = status
        self.code = code


class WrongContents(FetchError):
    """Bytes arrived that are not the file that was asked for."""


class Stopped(FetchError):
    """Another file of the batch failed, so this one was left where it was."""


class OtherVersion(Exception):
    """The answer does not go on where the bytes that are there end; half a sentence. Start from the first byte."""


class Transient(Exception):
    """Worth another attempt.

    Parameters
    ----------
    reason : half a sentence, e.g. ``no byte for 30 s``
    wait_s : how long the server asked to be left alone, in s
    unreachable : no connection came about at all; more attempts rarely help
    status : what the server answered; None if it did not
    """

    def __init__(
        self, reason: str, wait_s: float = 0.0, unreachable: bool = False, *, status: int | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        self.unreachable = unreachable
        self.status = status
