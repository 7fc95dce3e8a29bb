"""How fast this machine does what a fit is made of, measured in about two seconds."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.encoding.arithmetic.compute import product
from pipeline.encoding.ridge.cost import EIGH_FLOPS, Rates

if TYPE_CHECKING:
    import torch

SHARE_S = 0.4
"""For each of the five rates."""
PRODUCT_SIZE = 1024
MOST_EIGH = 768
"""Largest decomposition tried: one of 1024 rows takes half a second on a slow processor."""
N_BYTES = 1 << 26
"""Copied, and read."""


def measure_rates(device: torch.device, *, eigh_size: int, file: Path | None = None) -> Rates:
    """Time products, decompositions, passes over memory, and reading.

    Parameters
    ----------
    device : where fits are computed; threads are those that numerical libraries use anyway
    eigh_size : rows of the decompositions to come: small ones reach a fraction of the speed of large ones
    file : to read; None writes one to the temporary folder first

    Returns
    -------
    Rates
        ``memory`` is, on a GPU, what crosses from the computer's memory to its own.
    """
    import torch

    square = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, dtype=torch.float64, device=device)
    single = square.float()
    n_rows = min(max(eigh_size, 32), MOST_EIGH)
    gram = square[:n_rows] @ square[:n_rows].T
    source, target = torch.ones(N_BYTES // 4), torch.ones(N_BYTES // 4, device=device)

    def seconds(operation: Callable[[], object]) -> float:
        """Of one call; the first, which may set up threads, is not counted."""
        taken: list[float] = []
        while len(taken) < 2 or sum(taken) < SHARE_S:
            began = time.perf_counter()
            operation()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken[1:])

    return Rates(
        float32_product=2.0 * PRODUCT_SIZE**3 / seconds(lambda: product(single, single)),
        float64_product=2.0 * PRODUCT_SIZE**3 / seconds(lambda: square @ square),
        float64_eigh=EIGH_FLOPS * n_rows**3 / seconds(lambda: torch.linalg.eigh(gram)),
        memory=N_BYTES / seconds(lambda: target.copy_(source)),
        disk=_reading_rate(file),
    )


def _reading_rate(file: Path | None) -> float:
    """Bytes/s of one pass over the beginning of a file, from the disk where the system lets us ask for that."""
    if file is not None:
        return _read(file)
    with tempfile.NamedTemporaryFile() as written:
        written.write(bytes(N_BYTES))
        written.flush()
        os.fsync(written.fileno())
        return _read(Path(written.name))


def _read(file: Path) -> float:
    done, began = 0, time.perf_counter()
    with file.open("rb", buffering=0) as stream:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while done < N_BYTES and time.perf_counter() - began < SHARE_S:
            block = stream.read(1 << 20)
            if not block:
                break
            done += len(block)
    return max(done, 1) / max(time.perf_counter() - began, 1e-9)
