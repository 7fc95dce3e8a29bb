"""What scores are where nothing predicts: the same fits to responses in other orders, and the p that they give.

Every order repeats all that was chosen with the responses: penalties, the nested layer, the mean over folds. Orders are
the same for all layers, regions, subjects and models that share their samples, so the largest of many scores can be
compared with the largest of as many in each order.

A place is tested on the means of its leaves. A leaf is what one subject has in one region and compartment; scores of
its targets are averaged by Fisher z within each fold. The data as they are go through the same sums.

References
----------
Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39 (p of permutations is never 0);
Westfall & Young 1993, Resampling-Based Multiple Testing (largest statistic, studentised);
Nichols & Holmes 2002, Hum Brain Mapp 15:1–25.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.scores.fold_scores import FoldScores

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class NullScores:
    """Scores of one model's leaves, of the data as they are and of other orders of the responses.

    Parameters
    ----------
    leaf_of : (target,) number of each target's leaf; −1 for a target that is in none (constant responses)
    observed : (1, …, leaf), of the data as they are
    orders : chunks of (order, …, leaf), once per iteration
    n_orders : how many there are in all
    """

    leaf_of: NDArray[np.intp]
    observed: FoldScores
    orders: Iterable[FoldScores]
    n_orders: int


def p_value(observed: NDArray[Any], null: NDArray[Any]) -> NDArray[np.float64]:
    """One-sided p of each statistic: (1 + orders that reach it) / (1 + orders); NaN where it is undefined.

    Parameters
    ----------
    observed : (…)
    null : (order, …)
    """
    defined = np.isfinite(observed) & np.isfinite(null).any(axis=0)
    reached = (np.where(np.isfinite(null), null, -np.inf) >= observed - 1e-12).sum(axis=0)
    return np.where(defined, (1 + reached) / (1 + null.shape[0]), np.nan)


def p_of_largest(observed: NDArray[Any], null: NDArray[Any]) -> NDArray[np.float64]:
    """p of each statistic against the largest of its family in each order, each less its mean and over its SD.

    Parameters
    ----------
    observed : (statistic,), a family
    null : (order, statistic)
    """
    both = np.concatenate([observed[None], null])
    varies = np.isfinite(both).sum(axis=0) > 1
    both = np.where(varies, both, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = (both - np.nanmean(both, axis=0)) / np.nanstd(both, axis=0)
    standard = np.where(np.isfinite(standard), standard, -np.inf)
    largest = standard[1:].max(axis=1, initial=-np.inf)
    found = (1 + (largest[:, None] >= standard[0] - 1e-12).sum(axis=0)) / (1 + null.shape[0])
    return np.where(varies & np.isfinite(observed), found, np.nan)
