"""Cleaning of BOLD responses, once per run: slow drift and confounds out, z-scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch

if TYPE_CHECKING:
    import numpy as np

COLUMNS_AT_ONCE = 1024
"""In double precision: many more would not stay in the processor's cache, nor all vertices in memory."""


def clean_responses(
    values: np.ndarray,
    *,
    sample_interval_s: float,
    high_pass_s: float,
    confounds: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Regress slow cosines and confounds out of each column together, then z-score it.

    Together, so that the drift of the confounds does not come back in (Lindquist et al. 2019, Human Brain Mapping
    40:2358).

    Parameters
    ----------
    values : array of shape (n_samples, n_columns), one run, any unit
    sample_interval_s : in s
    high_pass_s : cut-off period, in s; 0 for none
    confounds : array of shape (n_samples, n_confounds), e.g. six motion parameters
    out : float32 array of the values' shape that takes the result; it may be ``values`` itself

    Returns
    -------
    array of shape (n_samples, n_columns), float32, mean 0 and SD 1
        Columns without variance, before or after cleaning, are exactly zero.

    Raises
    ------
    SampleMismatch
        Confounds and responses differ in length, or regressors leave nothing.
    """
    import numpy as np

    from pipeline.stimuli.temporal_filter import cosine_basis

    n_samples, n_columns = values.shape
    nuisance = (
        [cosine_basis(n_samples, sample_interval_s, high_pass_s)] if high_pass_s > 0 else [np.ones((n_samples, 1))]
    )
    if confounds is not None:
        if confounds.shape[0] != n_samples:
            raise SampleMismatch(f"confounds have {confounds.shape[0]} samples and responses {n_samples}")
        centred = confounds - confounds.mean(axis=0)
        spread = centred.std(axis=0)
        nuisance.append(centred[:, spread > 0] / spread[spread > 0])
    basis = np.linalg.qr(np.hstack(nuisance))[0]
    if basis.shape[1] >= n_samples:
        raise SampleMismatch(
            f"{n_samples} samples are no more than the {basis.shape[1]} regressors of drift and confounds; "
            "take fewer confounds or a longer high-pass period"
        )
    cleaned = np.empty((n_samples, n_columns), np.float32) if out is None else out
    for first in range(0, n_columns, COLUMNS_AT_ONCE):
        columns = slice(first, first + COLUMNS_AT_ONCE)
        cleaned[:, columns] = _clean_columns(np.asarray(values[:, columns], np.float64), basis)
    return cleaned


def _clean_columns(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    import numpy as np

    cleaned = values - basis @ (basis.T @ values)
    spread = cleaned.std(axis=0)
    # What rounding leaves of a constant column is no signal.
    varies = spread > 1e-6 * np.abs(values).max(axis=0)
    return np.asarray(cleaned * np.divide(1.0, spread, out=np.zeros_like(spread), where=varies), np.float32)
