"""How a fit is computed: device, memory, the folder of what memory does not hold, and who is told how far it is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

MEMORY_BUDGET_MB = 2048.0


class FoldProgress(Protocol):
    """Is told how far the fits of a group are; given from outside, so that what it shows is in no key."""

    def at(self, name: str) -> None:
        """The next folds are of this layer."""

    def advance(self) -> None:
        """A fold is done."""


class _Untold:
    def at(self, name: str) -> None: ...

    def advance(self) -> None: ...


def tell_nobody(n_layers: int, n_folds: int) -> contextlib.AbstractContextManager[FoldProgress]:
    """No progress is shown."""
    return contextlib.nullcontext(_Untold())


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a fit is computed; changes no result, so never part of a key.

    Parameters
    ----------
    device : ``cpu``, ``cuda`` or ``auto``
    memory_budget_mb : in MiB, of all that grows with samples, features or targets; pages mapped from files do not
        count, as the system takes them back when it needs the memory
    folder : where scratch files go, made if it is missing; None: the system's temporary folder
    progress : called with the numbers of layers and of folds before the first fit; what it gives is told of each fold
    """

    device: str = "cpu"
    memory_budget_mb: float = MEMORY_BUDGET_MB
    folder: Path | None = None
    progress: Callable[[int, int], contextlib.AbstractContextManager[FoldProgress]] = tell_nobody
