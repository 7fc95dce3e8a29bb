"""How a fit is computed: device, memory, and the folder of what memory does not hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

MEMORY_BUDGET_MB = 2048.0


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a fit is computed; changes no result, so never part of a key.

    Parameters
    ----------
    device : ``cpu``, ``cuda`` or ``auto``
    memory_budget_mb : in MiB, of all that grows with samples, features or targets; pages mapped from files do not
        count, as the system takes them back when it needs the memory
    what : shown in front of the progress; empty for the model's name
    folder : where scratch files go, made if it is missing; None: the system's temporary folder
    """

    device: str = "cpu"
    memory_budget_mb: float = MEMORY_BUDGET_MB
    folder: Path | None = None
    what: str = ""
