"""High-pass filter by discrete cosines, as SPM and nilearn apply it.

The one place for it: prepare filters responses, encode filters (delayed) features, and both must be the
same linear operator for a regression between them to stay valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.errors import BadConfiguration

if TYPE_CHECKING:
    import numpy as np


def cosine_basis(n_samples: int, sample_interval_s: float, period_s: float) -> np.ndarray:
    """Orthonormal cosines slower than a period, the constant first.

    Parameters
    ----------
    n_samples : length of the run
    sample_interval_s : in s
    period_s : cut-off; cosines of this period and longer are in the basis

    Returns
    -------
    array of shape (n_samples, floor(2 · n_samples · sample_interval_s / period_s) + 1), float64

    Raises
    ------
    BadConfiguration
        The period is not longer than two samples: nothing would be left.

    References
    ----------
    Friston et al. 1994, Human Brain Mapping 2:189; `nilearn.glm.first_level.design_matrix.create_cosine_drift`.
    """
    import numpy as np

    if period_s <= 2 * sample_interval_s:
        raise BadConfiguration(
            f"a high-pass period of {period_s:g} s leaves nothing of samples {sample_interval_s:g} s apart; "
            f"give one above {2 * sample_interval_s:g} s, or 0 for none"
        )
    # The tolerance keeps e.g. 2·360·2/128 from losing or gaining a cosine to rounding.
    order = min(n_samples - 1, int(np.floor(2 * n_samples * sample_interval_s / period_s + 1e-9)))
    phase = np.pi * (np.arange(n_samples) + 0.5) / n_samples
    basis = np.cos(np.outer(phase, np.arange(order + 1)))
    scale = np.full(order + 1, np.sqrt(2.0 / n_samples))
    scale[0] = np.sqrt(1.0 / n_samples)
    return np.asarray(basis * scale)


def cosine_high_pass(values: np.ndarray, sample_interval_s: float, period_s: float) -> np.ndarray:
    """Regress slow cosines, the mean included, out of the columns of one run.

    Parameters
    ----------
    values : array of shape (n_samples, n_columns), evenly sampled, finite
    sample_interval_s : in s
    period_s : cut-off period, in s

    Returns
    -------
    array of shape (n_samples, n_columns), float64
        Columns of which less than a millionth (in amplitude) is faster than the cut-off are exactly zero.
    """
    import numpy as np

    values = np.asarray(values, np.float64)
    basis = cosine_basis(values.shape[0], sample_interval_s, period_s)
    filtered: np.ndarray = values - basis @ (basis.T @ values)
    # What float32 rounding leaves of a constant or slow column would be blown up by later scaling.
    empty = np.sum(filtered**2, axis=0) <= 1e-12 * np.sum(values**2, axis=0)
    filtered[:, empty] = 0.0
    return filtered
