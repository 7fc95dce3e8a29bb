"""Arrays of a fit that are held in memory while they are small, and in nameless files where they are large.

Both kinds are plain NumPy arrays, so the code that works on them batch by batch does not know which it has. Files have
no name and go with the array, or with the process, however that ends.
"""

from __future__ import annotations

import dataclasses
import math
import mmap
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.storage.reserved_file import reserve
from pipeline.artifacts.storage.store import explain_os_error
from pipeline.core.errors import LayermapError
from pipeline.encoding.arithmetic.compute import Compute

SHARE_IN_MEMORY = 0.5
"""Of the budget, for arrays that outlive a batch; the rest is for batches."""


def target_batches(n_targets: int, n_samples: int, memory_budget_mb: float) -> Iterator[slice]:
    """Slices of the targets, so that a float64 array of all their samples stays within the budget."""
    size = max(1, int(memory_budget_mb * 2**20 / (8 * n_samples)))
    for start in range(0, n_targets, size):
        yield slice(start, min(start + size, n_targets))


class Scratch:
    """Makes the arrays of one fit.

    Parameters
    ----------
    compute : the budget, and the folder of files; None keeps every array in memory
    """

    def __init__(self, compute: Compute | None = None) -> None:
        self.compute = compute or Compute(memory_budget_mb=math.inf)
        self._in_memory = 0

    @property
    def left(self) -> Compute:
        """The same with what the arrays in memory leave of the budget."""
        left_mb = self.compute.memory_budget_mb - self._in_memory / 2**20
        return dataclasses.replace(self.compute, memory_budget_mb=left_mb)

    def batch_mb(self, at_most: float) -> float:
        """Budget for work on batches, in MiB: no more than makes it faster, nor than half of what is left.

        The other half is for names of targets, and for freed memory that the allocator keeps.
        """
        return min(at_most, self.left.memory_budget_mb / 2)

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array of zeros, in memory if that stays within its share of the budget.

        Raises
        ------
        LayermapError
            The disk is full, or the folder may not be written; the message names the folder.
        """
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        if self._in_memory + n_bytes <= SHARE_IN_MEMORY * self.compute.memory_budget_mb * 2**20:
            array = np.zeros(shape, dtype)
            self._in_memory += n_bytes
            weakref.finalize(array, self._give_back, n_bytes)
            return array
        return np.frombuffer(_map_new_file(self.compute.folder, n_bytes), dtype).reshape(shape)

    def _give_back(self, n_bytes: int) -> None:
        self._in_memory -= n_bytes


def _map_new_file(folder: Path | None, n_bytes: int) -> mmap.mmap:
    """A nameless file of zeros, mapped; it is gone once the mapping is."""
    place = Path(tempfile.gettempdir()) if folder is None else folder
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            # taken now: where the disk fills up behind a mapping, the process is killed
            reserve(file.fileno(), n_bytes)
            return mmap.mmap(file.fileno(), n_bytes)
    except OSError as error:
        explained = explain_os_error(error, f"{n_bytes / 1e9:.3g} GB of scratch files in {place}")
        if explained is None:
            raise
        raise LayermapError(f"{explained}, or raise --memory-budget-mb") from error
