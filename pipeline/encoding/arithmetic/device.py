"""Where the products of an encoding fit are computed, and in which precision."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from pipeline.core.torch_device import choose_device

if TYPE_CHECKING:
    import numpy as np
    import torch

Precision = Literal["float32", "float64"]


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
