"""Features and responses as they are read: by slices of columns, from memory or from files, and checked."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from pipeline.core.errors import SampleMismatch
from pipeline.encoding.arithmetic.correlation import extremes, hardly_differ


class Columns(Protocol):
    """Anything that is read by slices of columns: a NumPy array, a memory-mapped or an HDF5 one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: tuple[slice, slice]) -> Any: ...


def missing_bins(features: Columns) -> np.ndarray:
    """Bins without features, ``(n_bins,)`` bool: those that are NaN in the first features that are anything else."""
    n_bins, n_features = features.shape
    for start in range(0, n_features, 64):
        absent = np.isnan(np.asarray(features[:, start : start + 64]))
        known = ~absent.all(axis=0)
        if known.any():
            return np.asarray(absent[:, known].all(axis=1))
    return np.zeros(n_bins, bool)


def read_features(features: Columns, where: slice, missing: np.ndarray) -> np.ndarray:
    """Some features, ``(n_bins, n_columns)`` float64; zero in bins without, and where a feature is nowhere known.

    Raises
    ------
    SampleMismatch
        A feature is infinite, or missing where others are not; the message names feature and bin.
    """
    block = np.asarray(features[:, where])
    odd = ~np.isfinite(block)
    if not odd.any():
        return block.astype(np.float64)
    odd[missing] = False
    odd &= ~np.isnan(block).all(axis=0)  # a feature that is nowhere known is constant
    for bin_number, column in np.argwhere(odd)[:1]:
        raise SampleMismatch(
            f"feature {where.start + column} is {block[bin_number, column]} in bin {bin_number}, where other features "
            "are known; features must be finite, or NaN in all features of a bin"
        )
    return np.where(np.isnan(block), 0.0, block.astype(np.float64))


def constant_targets(responses: np.ndarray, first: int) -> np.ndarray:
    """Which targets of ``(n_samples, n_targets)`` do not vary beyond rounding, ``(n_targets,)`` bool.

    Raises
    ------
    SampleMismatch
        Responses are not finite; the message names the first such target, counted from ``first``.
    """
    low, high = extremes(responses)
    odd = np.flatnonzero(~np.isfinite(low + high))  # NaN and infinities go through both
    if odd.size:
        raise SampleMismatch(f"responses of target {first + odd[0]} ({odd.size} of {low.size}) are not finite")
    return hardly_differ(low, high)
