"""How well one animal's similarity matrix could be matched: what animals agree on, or else what its repeats agree on.

Two animals' matrices of one region differ by the cells that happened to be recorded and by noise. If the mean
agreement of two is r̄, a matrix without either would agree with one animal's to √r̄ on average: that is the ceiling, an
estimate and not a bound. A split of one animal's repeats leaves out that its cells are a sample, and gives too high a
ceiling for what animals share. It is used only where a region was recorded in one animal, under a name of its own, and
says nothing of other animals.

Errors are those of other items or stretches of time for these animals: a jackknife leaves out parts of the items, with
all pairs that hold one of them. Two animals are enough for that. What other animals would change is not in it.

References
----------
Greiner 1909, Zeitschrift für Mathematik und Physik 57:121–158 (r = sin(πτ/2));
Nili et al. 2014, PLoS Computational Biology 10:e1003553 (agreement with the other subjects' mean);
Spearman 1910 and Brown 1910, British Journal of Psychology 3:271 and 3:296.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.comparison.kendall import MOST_ENTRIES, dense_ranks, kendall_tau
from pipeline.comparison.measures import MEASURES
from pipeline.comparison.similarity import agreement_of, compare
from pipeline.encoding.group.jackknife import MOST_PARTS, jackknife
from pipeline.encoding.group.reliability import spearman_brown

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "across_animals"
REPEATS_KIND = "split_half_repeats"
NO_KIND = "none"
N_HALVINGS = 20  # of the repeats: their spread is small beside what another recording would change
N_LEFT_OUT = 4  # of these halvings, each without every part of the items: rather more error than that of all of them


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """Per target, one animal's region each: (target,).

    Parameters
    ----------
    reliability : mean agreement of two animals, as a correlation, or of an animal alone that over its repeats; may be
        negative, NaN for an animal alone without repeats
    ceiling : of one animal's matrix, in the unit of the comparison; NaN where reliability is not positive or not known
    kind : ``across_animals``, ``split_half_repeats`` or ``none``
    leave_one_out : agreement of each animal's matrix with the mean of the others', NaN for an animal alone
    deviation : (part, target) of the reliability, see `pipeline.encoding.group.jackknife.Jackknifed`
    """

    reliability: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    kind: NDArray[np.object_]
    leave_one_out: NDArray[np.float64]
    deviation: NDArray[np.float64]


def parts_of_entries(stretch: NDArray[np.intp], *, in_time: bool) -> NDArray[np.intp]:
    """Which part of the items or blocks each belongs to: up to 20, of neighbouring stretches in time, else in turn.

    Parameters
    ----------
    stretch : (entry,) numbers from 0; entries of one stretch stay together
    """
    n = int(stretch.max()) + 1
    n_parts = min(MOST_PARTS, n)
    return np.asarray(stretch * n_parts // n if in_time else stretch % n_parts)


def pairs_without(parts: NDArray[np.intp]) -> NDArray[np.bool_]:
    """The pairs of an upper triangle without any entry of each part: (part, pair)."""
    rows, columns = np.triu_indices(parts.size, 1)
    number = np.unique(parts)[:, None]
    return np.asarray((parts[rows] != number) & (parts[columns] != number))


def pairwise_agreement(pairs: NDArray[np.float64], comparison: str) -> NDArray[np.float64]:
    """How alike every two matrices are: (target, pair) → (target, target), 1 on the diagonal, 0 for a constant one.

    Parameters
    ----------
    pairs : all pairs of some items or blocks
    """
    if not MEASURES[comparison].kendall:
        table = agreement_of(pairs, comparison)
    elif pairs.shape[1] <= MOST_ENTRIES:
        ranks = dense_ranks(pairs)
        table = kendall_tau(ranks, ranks, np.ones(pairs.shape[1]))
    else:
        table = np.eye(pairs.shape[0])
        for i, j in zip(*np.triu_indices(pairs.shape[0], 1), strict=True):
            table[i, j] = table[j, i] = compare(pairs[i], pairs[j], comparison)
    np.fill_diagonal(table, 1.0)
    return np.asarray(table)


def ceilings_across_animals(
    pairs: NDArray[np.float64],
    agreement: NDArray[np.float64],
    subjects: NDArray[np.str_],
    regions: NDArray[np.str_],
    parts: NDArray[np.intp],
    comparison: str,
) -> Ceilings:
    """Reliability and ceiling of every animal's matrix of each region, all animals of a region alike.

    Parameters
    ----------
    pairs : (target, pair), upper triangles as they are compared with a network's
    agreement : (target, target), from `pairwise_agreement`
    subjects, regions : (target,); a subject has one target in a region
    parts : (entry,) of the matrices, from `parts_of_entries`
    """
    n = pairs.shape[0]
    reliability, ceiling, alone = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    kind = np.full(n, NO_KIND, dtype=object)
    kept = pairs_without(parts)
    deviation = np.full((kept.shape[0], n), np.nan)
    for region in dict.fromkeys(regions.tolist()):
        members = np.flatnonzero(regions == region)
        if np.unique(subjects[members]).size < 2:
            continue
        r = _mean_agreement(agreement[np.ix_(members, members)], comparison)
        without = [_mean_agreement(pairwise_agreement(pairs[members][:, k], comparison), comparison) for k in kept]
        reliability[members], kind[members] = r, KIND
        deviation[:, members] = jackknife(np.array([r]), np.array(without)[:, None]).deviation
        ceiling[members] = from_correlation(np.sqrt(r), comparison) if r > 0 else np.nan
        for member in members:
            others = pairs[members[members != member]].mean(axis=0)
            alone[member] = compare(pairs[member], others, comparison)
    return Ceilings(reliability, ceiling, kind, alone, deviation)


def _mean_agreement(table: NDArray[np.float64], comparison: str) -> float:
    """Of all pairs of animals, as a correlation."""
    return as_correlation(float(table[np.triu_indices(table.shape[0], 1)].mean()), comparison)


def or_over_repeats(
    ceilings: Ceilings, repeat_reliability: NDArray[np.float64], deviation: NDArray[np.float64], comparison: str
) -> Ceilings:
    """The ceilings, with that over its own repeats for each animal that is alone in its region and has repeats.

    Parameters
    ----------
    repeat_reliability, deviation : (target,) and (part, target), from `reliability_over_repeats`
    """
    alone = (ceilings.kind == NO_KIND) & np.isfinite(repeat_reliability)
    reliability = np.where(alone, repeat_reliability, ceilings.reliability)
    ceiling = ceilings.ceiling.copy()
    for target in np.flatnonzero(alone & (repeat_reliability > 0)):
        ceiling[target] = from_correlation(float(np.sqrt(repeat_reliability[target])), comparison)
    kind = np.where(alone, REPEATS_KIND, ceilings.kind)
    deviation = np.where(alone, deviation, ceilings.deviation)
    return dataclasses.replace(ceilings, reliability=reliability, ceiling=ceiling, kind=kind, deviation=deviation)


def above_chance(ceilings: Ceilings, comparison: str) -> Ceilings:
    """The ceilings, none of a measure that is not 0 by chance: animals that share nothing agree well by it."""
    if MEASURES[comparison].zero_is_chance:
        return ceilings
    n = ceilings.reliability.size
    unknown, no_kind = np.full(n, np.nan), np.full(n, NO_KIND, dtype=object)
    deviation = np.full(ceilings.deviation.shape, np.nan)
    return Ceilings(unknown, unknown, no_kind, ceilings.leave_one_out, deviation)


def reliability_over_repeats(
    responses: NDArray[np.floating],
    pairs_of: Callable[[NDArray[np.float64]], NDArray[np.float64] | None],
    parts: NDArray[np.intp],
    comparison: str,
    *,
    seed: int,
) -> tuple[float, NDArray[np.float64]]:
    """Reliability of one animal's matrix, were the same cells shown the same once more: as a correlation.

    The repeats of each sample are dealt into two equal random halves (an odd one is left out), each half's matrix is
    built, and the agreement of the two, averaged over 20 random halvings, is stepped up to all repeats by
    Spearman–Brown. A sample of which a cell has a single repeat is left out.

    Spearman–Brown takes the noise of a matrix to fall as 1/n with the number of repeats. Products of two noisy
    responses fall faster, so where cells are noisy this is too low (simulated: .52 for .59, .36 for .46, .94 for .95).
    Noise that outlasts a block makes neighbours alike in both halves, whatever was shown: noise alone with an
    autocorrelation of a few blocks has a reliability of .8. What exceeds `elapsed-time` is not that.

    Parameters
    ----------
    responses : (repeat, sample, cell) of one animal's region, NaN where a repeat is missing
    pairs_of : mean responses (sample, cell), NaN rows for samples left out → upper triangle (pair,); None if an entry
        has no sample left
    parts : (entry,) of the matrix, from `parts_of_entries`
    seed : of the halves

    Returns
    -------
    the reliability, which may be negative, and its deviations (part,); NaN without two repeats of every entry
    """
    kept = pairs_without(parts)
    unknown = float("nan"), np.full(kept.shape[0], np.nan)
    present = np.isfinite(responses)
    if (present == present[:, :, :1]).all():
        present = present[:, :, :1]  # all cells' repeats are dealt alike
    count = present.sum(axis=0)
    usable = (count >= 2).all(axis=1)
    if not usable.any():
        return unknown
    values = np.where(present, responses, 0.0).astype(np.float64)
    generator = np.random.default_rng(seed)
    agreement: list[float] = []
    without: list[list[float]] = []
    for _ in range(1 if responses.shape[0] == 2 else N_HALVINGS):
        halves = _halves(present, count, generator.permutation(responses.shape[0]))
        pairs = [pairs_of(np.where(usable[:, None], _mean(values, half), np.nan)) for half in halves]
        if pairs[0] is None or pairs[1] is None:
            return unknown
        agreement.append(compare(pairs[0], pairs[1], comparison))
        if len(without) < N_LEFT_OUT:
            without.append([compare(pairs[0][k], pairs[1][k], comparison) for k in kept])
    factor = float((count[usable] / (count[usable] // 2)).mean())
    means = [np.mean(agreement), *np.mean(without, axis=0)]
    stepped = spearman_brown(np.array([as_correlation(float(mean), comparison) for mean in means]), factor)
    return float(stepped[0]), jackknife(stepped[:1], stepped[1:, None]).deviation[:, 0]


def _halves(
    present: NDArray[np.bool_], count: NDArray[np.intp], order: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which repeats are in the one half and in the other, dealt in turn in the order given: (repeat, sample, cell)."""
    rank = np.empty(present.shape, dtype=np.intp)
    rank[order] = np.cumsum(present[order], axis=0) - 1
    dealt = present & (rank < count - count % 2)
    return dealt & (rank % 2 == 0), dealt & (rank % 2 == 1)


def _mean(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the repeats chosen: (sample, cell); 0 where there is none."""
    return np.asarray(np.einsum("rsc,rsc->sc", chosen / np.maximum(chosen.sum(axis=0), 1), values))


def as_correlation(value: float, comparison: str) -> float:
    """Kendall's τ as the correlation that it stands for (Greiner); others are correlations or cosines themselves."""
    return float(np.sin(np.pi * value / 2)) if MEASURES[comparison].kendall else value


def from_correlation(r: float, comparison: str) -> float:
    """The inverse of `as_correlation`."""
    return float(2 / np.pi * np.arcsin(r)) if MEASURES[comparison].kendall else float(r)
