"""Pearson correlation of columns, Fisher's z, and which columns do not vary."""

from __future__ import annotations

import numpy as np

MAX_R = 1 - 1e-7  # keeps Fisher z finite
CONSTANT = 1e-6
"""What varies less than this, relative to its size, does not vary beyond rounding."""
TIE = 1e-9
"""Mean inner r this close are equal: what rounding leaves of equal ones."""


def is_constant(responses: np.ndarray) -> np.ndarray:
    """Which columns of ``(n_samples, n_targets)`` do not vary beyond rounding: bool of shape (n_targets,)."""
    return hardly_differ(*extremes(responses))


def extremes(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each column, float64; NaN where a column holds any."""
    return responses.min(axis=0).astype(np.float64), responses.max(axis=0).astype(np.float64)


def hardly_differ(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether smallest and largest value are the same to rounding."""
    return np.asarray(high - low <= CONSTANT * np.maximum(np.abs(low), np.abs(high)))


def correlate(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson r of each column, over axis 0; 0 where a column does not vary.

    Parameters
    ----------
    predicted, measured : arrays of shape (n_samples, n_targets)

    Returns
    -------
    array of shape (n_targets,), float64
    """
    r = np.einsum("it,it->t", unit(predicted), unit(measured))
    return np.asarray(np.clip(r, -1.0, 1.0))


def unit(values: np.ndarray) -> np.ndarray:
    """Columns centred and of length 1; those that do not vary beyond rounding become exactly zero."""
    rounding = max(1e-12, 4 * float(np.finfo(values.dtype).eps)) if values.dtype.kind == "f" else 1e-12
    values = np.asarray(values, np.float64)
    centred = values - values.mean(axis=0)
    length = np.sqrt(np.einsum("it,it->t", centred, centred))
    varies = length > rounding * np.sqrt(len(values)) * np.abs(values).max(axis=0)
    return np.asarray(centred * np.divide(1.0, length, out=np.zeros_like(length), where=varies))


def fisher_z(r: np.ndarray) -> np.ndarray:
    """Fisher's z of Pearson r, finite for r = ±1."""
    return np.asarray(np.arctanh(np.clip(r, -MAX_R, MAX_R)))
