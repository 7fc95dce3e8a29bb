"""How well one animal's similarity matrix could be matched: what animals agree on.

Two animals' matrices of one region differ by the cells that happened to be recorded and by noise. If the mean
agreement of two is r̄, a matrix without either would agree with one animal's to √r̄: that is the ceiling. A split of
one animal's repeats would leave out that its cells are a sample, and give too high a ceiling.

References
----------
Greiner 1909, Zeitschrift für Mathematik und Physik 57:121–158 (r = sin(πτ/2));
Nili et al. 2014, PLoS Computational Biology 10:e1003553 (agreement with the other subjects' mean).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from pipeline.comparison.kendall import MOST_ENTRIES, dense_ranks, kendall_tau
from pipeline.comparison.similarity import compare

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "across_animals"


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """Per target, one animal's region each: (target,).

    Parameters
    ----------
    reliability : mean agreement of two animals, as a correlation; 0 if it is negative, NaN for an animal alone
    ceiling : of one animal's matrix, in the unit of the comparison; NaN where the reliability is 0 or not known
    kind : ``across_animals`` or ``none``
    leave_one_out : agreement of each animal's matrix with the mean of the others', NaN for an animal alone
    """

    reliability: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    kind: NDArray[np.object_]
    leave_one_out: NDArray[np.float64]


def pairwise_agreement(pairs: NDArray[np.float64], comparison: str) -> NDArray[np.float64]:
    """How alike every two matrices are: (target, pair) → (target, target), 1 on the diagonal, 0 for a constant one."""
    from scipy import stats

    if comparison == "kendall" and pairs.shape[1] <= MOST_ENTRIES:
        ranks = dense_ranks(pairs)
        table = kendall_tau(ranks, ranks, np.ones(pairs.shape[1]))
    elif comparison == "kendall":
        table = np.eye(pairs.shape[0])
        for i, j in zip(*np.triu_indices(pairs.shape[0], 1), strict=True):
            table[i, j] = table[j, i] = compare(pairs[i], pairs[j], comparison)
    else:
        values = stats.rankdata(pairs, axis=1) if comparison == "spearman" else pairs
        centred = values - values.mean(axis=1, keepdims=True)
        norm = np.sqrt((centred**2).sum(axis=1))
        centred = centred * (np.ptp(pairs, axis=1) > 0)[:, None] / np.where(norm > 0, norm, 1.0)[:, None]
        table = np.clip(centred @ centred.T, -1.0, 1.0)
    np.fill_diagonal(table, 1.0)
    return np.asarray(table)


def ceilings_across_animals(
    pairs: NDArray[np.float64],
    agreement: NDArray[np.float64],
    subjects: NDArray[np.str_],
    regions: NDArray[np.str_],
    comparison: str,
) -> Ceilings:
    """Reliability and ceiling of every animal's matrix of each region, all animals of a region alike.

    Parameters
    ----------
    pairs : (target, pair), upper triangles as they are compared with a network's
    agreement : (target, target), from `pairwise_agreement`
    subjects, regions : (target,); a subject has one target in a region
    """
    n = pairs.shape[0]
    reliability, ceiling, alone = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    kind = np.full(n, "none", dtype=object)
    for region in dict.fromkeys(regions.tolist()):
        members = np.flatnonzero(regions == region)
        if np.unique(subjects[members]).size < 2:
            continue
        within = agreement[np.ix_(members, members)]
        r = max(0.0, as_correlation(float(within[np.triu_indices(members.size, 1)].mean()), comparison))
        reliability[members], kind[members] = r, KIND
        ceiling[members] = from_correlation(np.sqrt(r), comparison) if r > 0 else np.nan
        for member in members:
            others = pairs[members[members != member]].mean(axis=0)
            alone[member] = compare(pairs[member], others, comparison)
    return Ceilings(reliability, ceiling, kind, alone)


def as_correlation(value: float, comparison: str) -> float:
    """Kendall's τ as the correlation that it stands for (Greiner); others are correlations."""
    return float(np.sin(np.pi * value / 2)) if comparison == "kendall" else value


def from_correlation(r: float, comparison: str) -> float:
    """The inverse of `as_correlation`."""
    return float(2 / np.pi * np.arcsin(r)) if comparison == "kendall" else float(r)
