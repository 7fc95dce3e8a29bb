"""Columns: which do not vary, centred and scaled with training rows, their Pearson correlation and Fisher's z."""

from __future__ import annotations

import numpy as np

MAX_R = 1 - 1e-7  # keeps Fisher z finite
CONSTANT = 1e-6
"""What varies less than this, relative to its size, does not vary beyond rounding."""
TIE = 1e-9
"""Mean inner r this close are equal, and inner squared errors that differ by this share: what rounding leaves."""


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


def standardise(
    train: np.ndarray,
    test: np.ndarray,
    *,
    scale: bool = True,
    n_delays: int = 1,
    size: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale features with training rows only.

    Parameters
    ----------
    train, test : arrays of shape (n_train, n_columns) and (n_test, n_columns); NaN marks missing rows
    scale : to variance 1; False: centre only
    n_delays : the columns are this many delays of the same features, delay by delay, which share one scale: that of
        their variance averaged over delays
    size : (n_features,), beside which a feature has to vary; None: its largest mean at any delay

    Returns
    -------
    the same shapes, float64
        Missing rows and features that do not vary over the training rows are zero.
    """
    train = np.array(train, np.float64)
    present = ~np.isnan(train)
    n_present = present.sum(axis=0)
    mean = np.where(present, train, 0.0).sum(axis=0) / np.maximum(n_present, 1)
    train = np.where(present, train - mean, 0.0)
    test = np.asarray(test, np.float64) - mean
    test[np.isnan(test)] = 0.0
    if not scale:
        return train, test
    variance = np.einsum("if,if->f", train, train) / np.maximum(n_present, 1)
    used = (n_present > 0).reshape(n_delays, -1).sum(axis=0)
    sd = np.sqrt(variance.reshape(n_delays, -1).sum(axis=0) / np.maximum(used, 1))
    size = np.abs(mean).reshape(n_delays, -1).max(axis=0) if size is None else size
    factor = np.tile(np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > CONSTANT * size), n_delays)
    return train * factor, test * factor
