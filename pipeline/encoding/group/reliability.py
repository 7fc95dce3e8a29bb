"""Reliability of the scored responses and the ceiling that follows from it.

Reliability is the share of the variance of the scored responses that a perfect model could predict;
Pearson r cannot exceed its square root, the ceiling.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline.encoding.arithmetic.correlation import correlate, is_constant
from pipeline.encoding.arithmetic.scratch import Scratch, target_batches

MEAN_SUBJECT = "mean"
MAX_HALVES = 50
MEMORY_BUDGET_MB = 256.0
ARRAYS_AT_ONCE = 4  # of (repeat, sample, target) float64, while a batch of targets is worked on
SERIES_AT_ONCE = 6  # of (sample, target) float64, while columns are z-scored and summed

Filter = Callable[[np.ndarray], np.ndarray]
"""Takes and gives ``(n_repeats, n_samples, n_targets)``, each target by itself, so that batches of them can follow."""


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Per target, shape (n_targets,).

    Parameters
    ----------
    reliability : 0 where the estimate is negative, NaN where there is none
    ceiling : its square root; NaN where reliability is 0 or not known
    kind : ``split_half_spearman_brown``, ``intersubject_single``, ``intersubject_mean`` or ``none``
    """

    reliability: np.ndarray
    ceiling: np.ndarray
    kind: np.ndarray


def z_score_runs(responses: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Z-score the columns of ``(n_samples, n_targets)`` within each run; runs without variance become zero.

    NaN samples are left out of means and stay NaN.
    """
    scored = np.asarray(responses, np.float64).copy()
    for run in dict.fromkeys(runs.tolist()):
        here = runs == run
        part = scored[here]
        present = np.isfinite(part)
        n = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, part, 0.0).sum(axis=0) / n
        centred = part - mean
        sd = np.sqrt(np.where(present, centred**2, 0.0).sum(axis=0) / n)
        varies = sd > 1e-6 * np.abs(mean)
        scored[here] = centred * np.divide(1.0, sd, out=np.zeros_like(sd), where=varies)
    return scored


def spearman_brown(r: np.ndarray, factor: np.ndarray | float) -> np.ndarray:
    """Reliability of an average over ``factor`` times as many measurements as gave ``r``; 0 for negative r."""
    r = np.maximum(r, 0.0)
    return np.asarray(factor * r / (1 + (factor - 1) * r))


def split_half(
    responses: np.ndarray,
    runs: np.ndarray,
    *,
    seed: int,
    filtered: Filter | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
) -> np.ndarray:
    """Reliability of the mean over repeats.

    The repeats of each sample are dealt into two equal random halves (an odd one is left out); the halves' means
    are z-scored within runs and correlated over samples; r, averaged over up to 50 random halvings, is stepped up
    to the full number of repeats by Spearman–Brown.

    Parameters
    ----------
    responses : array of shape (n_repeats, n_samples, n_targets); missing repeats are NaN
    runs : array of shape (n_samples,)
    seed : of the halves
    filtered : applied to the responses first
    memory_budget_mb : no array that grows with the number of targets exceeds it while it is worked on

    Returns
    -------
    array of shape (n_targets,)
        NaN where no more than two samples have two repeats.

    References
    ----------
    Spearman 1910 and Brown 1910, British Journal of Psychology 3:271 and 3:296.
    """
    generator = np.random.default_rng(seed)
    n_repeats = responses.shape[0]
    orders = [generator.permutation(n_repeats) for _ in range(1 if n_repeats == 2 else MAX_HALVES)]
    reliability = np.empty(responses.shape[2])
    for batch, part in _batches(responses, filtered, memory_budget_mb):
        reliability[batch] = _split_half(part, runs, orders)
    return reliability


def _split_half(responses: np.ndarray, runs: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
    """`split_half` of a batch of targets; ``orders`` are those in which the repeats are dealt."""
    present = np.isfinite(responses)
    if (present == present[:, :, :1]).all():
        present = present[:, :, :1]  # the repeats of all targets are dealt alike
    count = present.sum(axis=0)
    usable = count >= 2
    total_r = np.zeros(responses.shape[2])
    for order in orders:
        rank = np.cumsum(present[order], axis=0, dtype=np.int16) - 1
        dealt = present[order] & (rank < count - count % 2)
        halves = []
        for parity in (0, 1):
            half = dealt & (rank % 2 == parity)
            some = half.any(axis=(1, 2))
            total = np.where(half[some], responses[order[some]], 0.0).sum(axis=0, dtype=np.float64)
            halves.append(np.where(usable, total / np.maximum(half.sum(axis=0), 1), np.nan))
        first, second = (np.where(usable, z_score_runs(half, runs), 0.0) for half in halves)
        total_r += correlate(first, second)
    n_usable = usable.sum(axis=0)
    factor = np.where(usable, count / np.maximum(count // 2, 1), 0.0).sum(axis=0) / np.maximum(n_usable, 1)
    return np.where(n_usable > 2, spearman_brown(total_r / len(orders), factor), np.nan)


def _batches(
    responses: np.ndarray, filtered: Filter | None, memory_budget_mb: float
) -> Iterator[tuple[slice, np.ndarray]]:
    """Batches of targets and their responses, filtered."""
    n_repeats, n_samples, n_targets = responses.shape
    at_once = (ARRAYS_AT_ONCE * n_repeats + SERIES_AT_ONCE) * n_samples
    for batch in target_batches(n_targets, at_once, memory_budget_mb):
        part = responses[:, :, batch]
        yield batch, part if filtered is None else filtered(part)


def mean_pairwise_r(series: np.ndarray, chosen: np.ndarray, runs: np.ndarray, memory_budget_mb: float) -> float:
    """Mean correlation of all pairs of the chosen columns of ``(n_samples, n_targets)``, z-scored within runs.

    Of n standardised columns, the products of all pairs add up to the squared length of their sum, less the n
    columns' own: no matrix of correlations is needed. None of the columns may be constant.
    """
    total = np.zeros(series.shape[0])
    for batch in target_batches(chosen.size, SERIES_AT_ONCE * series.shape[0], memory_budget_mb):
        scored = z_score_runs(series[:, chosen[batch]], runs)
        centred = scored - scored.mean(axis=0)
        length = np.sqrt(np.einsum("ts,ts->s", centred, centred))
        total += centred @ (1 / length)
    return float((total @ total - chosen.size) / (chosen.size * (chosen.size - 1)))


def estimate_reliability(
    responses: np.ndarray,
    runs: np.ndarray,
    *,
    subjects: np.ndarray,
    units: Sequence[tuple[str, ...]] | None,
    seed: int,
    members: np.ndarray | None = None,
    filtered: Filter | None = None,
    scratch: Scratch | None = None,
) -> Reliability:
    """Reliability and ceiling of each target's mean over repeats.

    Targets with repeats take their split-half reliability. Others, if the same unit was recorded in several
    subjects, take the mean pairwise correlation r̄ over subjects: r̄ for one of them, S r̄ / (1 + (S−1) r̄) for the
    mean of S (subject ``mean``). Subjects whose responses are constant do not count.

    Parameters
    ----------
    responses : array of shape (n_repeats, n_samples, n_targets); missing repeats are NaN
    runs : array of shape (n_samples,)
    subjects : array of shape (n_targets,), str
    units : what each target is called in every subject (voxel, region); None if targets cannot be matched
    seed : of the random halves
    members : array of shape (n_targets,), which targets were recorded together; the repeats of each member are dealt by
        themselves, so that stacking members changes nothing. None: all together
    filtered : applied to the responses first
    scratch : makes what outlives a batch of targets; None: in memory, however large

    References
    ----------
    Nili et al. 2014, PLoS Computational Biology 10:e1003553; Spearman–Brown as in `split_half`.
    """
    scratch = scratch or Scratch()
    memory_budget_mb = scratch.batch_mb(MEMORY_BUDGET_MB)
    n_targets = responses.shape[2]
    reliability = np.full(n_targets, np.nan)
    kind = np.full(n_targets, "none", dtype=object)
    for stretch in _stretches(members, n_targets):
        part = responses[: _n_repeats(responses[:, :, stretch], memory_budget_mb), :, stretch]
        if part.shape[0] > 1:
            reliability[stretch] = split_half(
                part, runs, seed=seed, filtered=filtered, memory_budget_mb=memory_budget_mb
            )
    kind[np.isfinite(reliability)] = "split_half_spearman_brown"
    mean = scratch.array(responses.shape[1:], np.float64)
    constant = np.empty(n_targets, bool)
    for batch, part in _means(responses, filtered, memory_budget_mb):
        mean[:, batch] = part
        constant[batch] = is_constant(part)
    averaged, unknown = subjects == MEAN_SUBJECT, kind == "none"
    for targets in _by_unit(units or ()):
        recorded = targets[~averaged[targets] & ~constant[targets]]
        own = targets[unknown[targets]]
        if recorded.size < 2 or not own.size:
            continue
        r = mean_pairwise_r(mean, recorded, runs, memory_budget_mb)
        reliability[own] = spearman_brown(np.array(r), np.where(averaged[own], recorded.size, 1))
        kind[own] = np.where(averaged[own], "intersubject_mean", "intersubject_single")
    reliability[constant & (kind != "none")] = 0.0
    ceiling = np.where(reliability > 0, np.sqrt(np.maximum(reliability, 0.0)), np.nan)
    return Reliability(reliability, ceiling, kind)


def _by_unit(units: Sequence[tuple[str, ...]]) -> Iterator[np.ndarray]:
    """The targets of each unit, ascending."""
    numbers: dict[tuple[str, ...], int] = {}
    unit_of = np.array([numbers.setdefault(unit, len(numbers)) for unit in units], dtype=np.intp)
    order = np.argsort(unit_of, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(unit_of[order])) + 1) if order.size else ()


def match_units(
    subjects: np.ndarray, regions: np.ndarray, compartments: np.ndarray, unit: np.ndarray | None
) -> list[tuple[str, ...]] | None:
    """What each target is called in every subject: its ``unit``, else its region (and compartment) if that is unique.

    Returns
    -------
    list of tuples, one per target; None where a subject has several targets of one name, which cannot be matched
    """
    parts = (regions, compartments) if unit is None else (unit,)
    names = [tuple(str(part) for part in name) for name in zip(*parts, strict=True)]
    keys = list(zip(subjects.tolist(), names, strict=True))
    return names if len(set(keys)) == len(keys) else None


def scored_responses(
    responses: np.ndarray,
    runs: np.ndarray,
    *,
    z_scored: bool,
    filtered: Filter | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """What is predicted and scored: the mean over repeats, z-scored within runs unless it already was.

    ``filtered`` is applied to each repeat first. The result, ``(n_samples, n_targets)``, is written into ``out``, and
    into a new float64 array without it.
    """
    scored = np.empty(responses.shape[1:]) if out is None else out
    for batch, mean in _means(responses, filtered, memory_budget_mb):
        scored[:, batch] = mean if z_scored else z_score_runs(mean, runs)
    return scored


def _means(
    responses: np.ndarray, filtered: Filter | None, memory_budget_mb: float
) -> Iterator[tuple[slice, np.ndarray]]:
    """Batches of targets and their mean over the repeats present, float64; each sample has at least one."""
    for batch, part in _batches(responses, filtered, memory_budget_mb):
        present = np.isfinite(part)
        total = np.where(present, part, 0.0).sum(axis=0, dtype=np.float64)
        yield batch, total / np.maximum(present.sum(axis=0), 1)


def _stretches(members: np.ndarray | None, n_targets: int) -> list[slice]:
    """Neighbouring targets of one member."""
    bounds = [] if members is None else (np.flatnonzero(members[1:] != members[:-1]) + 1).tolist()
    return [slice(start, stop) for start, stop in zip([0, *bounds], [*bounds, n_targets], strict=True)]


def _n_repeats(responses: np.ndarray, memory_budget_mb: float) -> int:
    """Repeats up to the last that holds anything; a member with fewer than others is filled up with NaN."""

    def holds(repeat: np.ndarray) -> bool:
        batches = target_batches(repeat.shape[1], repeat.shape[0], memory_budget_mb)
        return any(np.isfinite(repeat[:, batch]).any() for batch in batches)

    return next((n for n in range(len(responses), 0, -1) if holds(responses[n - 1])), 0)
