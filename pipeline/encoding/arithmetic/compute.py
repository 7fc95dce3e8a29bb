"""How a fit is computed: device, precision, memory, the folder of scratch files, and who is told how far it is."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.core.torch_device import choose_device

if TYPE_CHECKING:
    import numpy as np
    import torch

Precision = Literal["float32", "float64"]
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


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """Device and precision of the products over targets; Gram matrices and their decompositions are float64."""

    device: torch.device
    dtype: torch.dtype

    @property
    def batch_limit(self) -> int:
        """Targets beyond which larger batches gain nothing."""
        return 4096 if self.device.type == "cpu" else 16384

    def exact(self, values: np.ndarray) -> torch.Tensor:
        """Values as float64 on the device."""
        import torch

        return torch.as_tensor(values, device=self.device).to(torch.float64)

    def rows(self, numbers: np.ndarray) -> torch.Tensor:
        """Row numbers as an index on the device."""
        import torch

        return torch.as_tensor(numbers, dtype=torch.int64, device=self.device)


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Matrix product; on the CPU by NumPy, whose BLAS is up to 1.4 times as fast for long and narrow operands."""
    import torch

    if left.device.type != "cpu":
        return left @ right
    return torch.from_numpy(left.numpy() @ right.numpy())


def arithmetic(device: str, precision: Precision) -> Arithmetic:
    """Products of a precision on a device; see `pipeline.core.torch_device.choose_device`."""
    import torch

    return Arithmetic(choose_device(device), torch.float64 if precision == "float64" else torch.float32)
