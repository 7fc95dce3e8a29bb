"""Standard errors of shares that are counted over data sets whose parts share their noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def binomial_se(share: float, of: int) -> float:
    """Of a share of so many; of 0 and 1 as if one were otherwise."""
    return float(np.sqrt(max(share * (1 - share), 1 / of) / of)) if of else float("nan")


def clustered_se(hit: NDArray[Any], share: float) -> float:
    """Binomial at a share, times the root of how much more whole data sets scatter than independent parts would.

    That factor is the variance between data sets over the binomial one, both at the share that was counted: an error
    that is taken from the scatter alone is largest where a share is furthest from its promise. Never below 1.

    Parameters
    ----------
    hit : (data set, …), 1 or 0; NaN does not count
    share : at which the error is wanted

    References
    ----------
    Kish 1965, Survey Sampling (design effect of clusters).
    """
    by_set = hit.reshape(hit.shape[0], -1)
    known = np.isfinite(by_set)
    n = known.sum(axis=1)
    n, hits = n[n > 0], np.where(known, by_set, 0.0).sum(axis=1)[n > 0]
    of = int(n.sum())
    if not of:
        return float("nan")
    counted = hits.sum() / of
    factor, binomial = 1.0, counted * (1 - counted) / of
    if n.size > 1 and binomial > 0:
        between = n.size / (n.size - 1) * ((hits - counted * n) ** 2).sum() / of**2
        factor = max(1.0, between / binomial)
    return binomial_se(share, of) * float(np.sqrt(factor))
