"""Explicit features centred and scaled with training rows, for mappings that take them as they are."""

from __future__ import annotations

import numpy as np


def standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale features with training rows only.

    Parameters
    ----------
    train, test : arrays of shape (n_train, n_features) and (n_test, n_features); NaN marks missing rows

    Returns
    -------
    the same shapes, float64
        Missing rows and features that do not vary over the training rows are zero.
    """
    train = np.array(train, np.float64)
    test = np.array(test, np.float64)
    missing = np.isnan(train)
    n_present = np.maximum(train.shape[0] - missing.sum(axis=0), 1)
    train[missing] = 0.0
    mean = train.sum(axis=0) / n_present
    train -= mean
    train[missing] = 0.0
    sd = np.sqrt(np.einsum("if,if->f", train, train) / n_present)
    varies = sd > 1e-6 * np.abs(mean)
    scale = np.divide(1.0, sd, out=np.zeros_like(sd), where=varies)
    train *= scale
    test = (test - mean) * scale
    test[np.isnan(test)] = 0.0
    return train, test
