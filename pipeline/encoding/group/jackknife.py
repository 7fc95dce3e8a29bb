"""Errors of reliabilities: a jackknife over parts of the samples.

A part is a stretch of held-out blocks of time, or every twentieth item or so, and all targets are left without it at
once: a region's error then holds the noise that its targets share.

References
----------
Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 10–11 (jackknife);
Künsch 1989, Annals of Statistics 17:1217–1241 (its blocks of time).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.encoding.splits import Fold

MOST_PARTS = 20  # more would hardly narrow an interval (t of 19 degrees of freedom), and blocks of time stay long


@dataclasses.dataclass(frozen=True)
class Jackknifed:
    """Estimates of some targets and their errors.

    Parameters
    ----------
    estimate : (n_targets,)
    deviation : (n_parts, n_targets); the squares of a weighted mean over targets, summed over parts, are the variance
        of that mean of the estimates. NaN where a part left out leaves nothing
    """

    estimate: np.ndarray
    deviation: np.ndarray


def jackknife(whole: np.ndarray, without: np.ndarray) -> Jackknifed:
    """Estimates and their errors, from those made without each part in turn.

    Parameters
    ----------
    whole : (n_targets,) estimates from everything
    without : (n_parts, n_targets); fewer than two parts leave the errors unknown
    """
    n = without.shape[0]
    if n < 2:
        return Jackknifed(whole, np.full(without.shape, np.nan))
    return Jackknifed(whole, np.sqrt((n - 1) / n) * (without - without.mean(axis=0)))


def reliability_interval(
    reliability: float, se: float, degrees_of_freedom: int, confidence: float
) -> tuple[float, float]:
    """Two-sided interval of a reliability, symmetric in the logarithm of what is not reliable: log(1 − reliability).

    So it ends below 1, and is the longer below the estimate, as ratios of variances are spread.

    Parameters
    ----------
    se : standard error, on the scale of the reliability
    degrees_of_freedom : of the error: parts − 1; none gives (NaN, NaN)
    """
    from scipy.stats import t

    if degrees_of_freedom < 1 or not np.isfinite(reliability + se):
        return float("nan"), float("nan")
    half, rest = float(t.ppf((1 + confidence) / 2, degrees_of_freedom)) * se, 1 - reliability
    if half == 0 or rest <= 0:
        return reliability - half, reliability + half
    wider = float(np.exp(min(half / rest, 50.0)))
    return 1 - rest * wider, 1 - rest / wider


def parts_of(folds: Sequence[Fold], n_samples: int, sample_kind: str) -> np.ndarray:
    """Which part of the samples each belongs to, (n_samples,): up to 20 of as many held-out blocks or items each.

    Parts of time are neighbouring blocks. Items are dealt in turn, as their order may be that of categories.
    """
    block = np.full(n_samples, -1)
    for fold in folds:
        block[fold.test] = fold.block
    first = np.unique(block, return_index=True)[1]
    rank = np.empty(first.size, int)
    rank[np.argsort(first, kind="stable")] = np.arange(first.size)
    n_parts = min(MOST_PARTS, first.size)
    part = rank * n_parts // first.size if sample_kind == "time" else rank % n_parts
    return np.asarray(part[np.unique(block, return_inverse=True)[1]])
