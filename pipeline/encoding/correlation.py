"""Pearson correlation of columns, Fisher's z, and which columns do not vary."""

from __future__ import annotations

import numpy as np

MAX_R = 1 - 1e-7  # keeps Fisher z finite
TIE = 1e-9
"""Mean inner r this close are equal: what rounding leaves of equal ones."""


def is_constant(responses: np.ndarray) -> np.ndarray:
    """Which columns of ``(n_samples, n_targets)`` do not vary beyond rounding: bool of shape (n_targets,)."""
    spread = np.ptp(responses, axis=0)
    return np.asarray(spread <= 1e-6 * np.abs(responses).max(axis=0))


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
