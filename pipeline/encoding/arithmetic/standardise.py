"""Explicit features centred and scaled with training rows, for what takes them as they are."""

from __future__ import annotations

import numpy as np

from pipeline.encoding.arithmetic.correlation import CONSTANT


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
