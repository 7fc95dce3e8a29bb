"""Reliability of the scored responses and the ceiling that follows from it.

Reliability is the share of the variance of the scored responses that a perfect model could predict. Such a model's
Pearson r is its square root on average: the ceiling. Both are estimates, not bounds, so a score may exceed them.

Nothing is clipped: of noise, half of the estimates are negative, and a mean over targets without these would be
positive. Split halves stepped up are biased by about −2 / (number of independent samples), which is taken off (see
`stepped_up`). Errors are a jackknife's over parts of the samples (`pipeline.encoding.group.jackknife`).

References
----------
Schoppe et al. 2016, Frontiers in Computational Neuroscience 10:10 (small and negative estimates, signal power);
Hsu, Borst & Theunissen 2004, Network 15:91–109 (ceilings of noisy responses).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline.encoding.arithmetic.correlation import correlate, is_constant
from pipeline.encoding.arithmetic.scratch import Scratch, target_batches
from pipeline.encoding.group.jackknife import Jackknifed, jackknife

MEAN_SUBJECT = "mean"
MAX_HALVES = 50
LOWEST_R = -0.95
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
    reliability : may be negative; 0 for constant responses, NaN where there is none
    ceiling : its square root; NaN where reliability is not positive or not known
    kind : ``split_half_spearman_brown``, ``intersubject_single``, ``intersubject_mean`` or ``none``
    deviation : (n_parts, n_targets), see `Jackknifed`; 0 for constant responses
    signal_power : of single repeats, see `signal_power`; NaN without repeats
    """

    reliability: np.ndarray
    ceiling: np.ndarray
    kind: np.ndarray
    deviation: np.ndarray
    signal_power: np.ndarray


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
    """Reliability of an average over ``factor`` times as many measurements as gave ``r``, which may be negative.

    Of measurements that oppose each other almost wholly it is minus infinity; r counts as −.95 at the lowest.
    """
    r = np.maximum(r, LOWEST_R)
    return np.asarray(factor * r / (1 + (factor - 1) * r))


def stepped_up(r: np.ndarray, without_r: np.ndarray, factor: np.ndarray | float) -> Jackknifed:
    """Spearman–Brown of a correlation, less the bias that its curvature makes of the correlation's error.

    Stepped-up noise is negative on average, by 2/n of n independent samples and two repeats. Half the second derivative
    times the variance of r takes that off: its jackknife variance, at most that of as many independent samples as there
    are parts. Where a part holds most of a sparse cell's events, a jackknife's own correction went beyond 1.

    Parameters
    ----------
    r : (n_targets,)
    without_r : (n_parts, n_targets), without each part; fewer than two leave bias and error as they are
    factor : as of `spearman_brown`
    """
    jackknifed = jackknife(spearman_brown(r, factor), spearman_brown(without_r, factor))
    n = without_r.shape[0]
    if n < 2:
        return jackknifed
    variance = np.minimum((n - 1) * np.var(without_r, axis=0), (1 - np.asarray(r) ** 2) ** 2 / n)
    bent = factor * (np.asarray(factor) - 1) / (1 + (np.asarray(factor) - 1) * np.maximum(r, 0.0)) ** 3
    return Jackknifed(jackknifed.estimate + np.where(np.isfinite(variance), bent * variance, 0.0), jackknifed.deviation)


def split_half(
    responses: np.ndarray,
    runs: np.ndarray,
    parts: np.ndarray,
    *,
    seed: int,
    filtered: Filter | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
) -> Jackknifed:
    """Reliability of the mean over repeats.

    The repeats of each sample are dealt into two equal random halves (an odd one is left out); the halves' means
    are z-scored within runs and correlated over samples; r, averaged over up to 50 random halvings, is stepped up
    to the full number of repeats by Spearman–Brown.

    Parameters
    ----------
    responses : array of shape (n_repeats, n_samples, n_targets); missing repeats are NaN
    runs : array of shape (n_samples,)
    parts : array of shape (n_samples,), numbers from 0: what the jackknife leaves out together
    seed : of the halves
    filtered : applied to the responses first
    memory_budget_mb : no array that grows with the number of targets exceeds it while it is worked on

    Returns
    -------
    estimates of shape (n_targets,)
        NaN where no more than two samples have two repeats.

    References
    ----------
    Spearman 1910 and Brown 1910, British Journal of Psychology 3:271 and 3:296.
    """
    generator = np.random.default_rng(seed)
    n_repeats, _, n_targets = responses.shape
    orders = [generator.permutation(n_repeats) for _ in range(1 if n_repeats == 2 else MAX_HALVES)]
    members = _members(parts)
    estimate, deviation = np.empty(n_targets), np.empty((len(members), n_targets))
    for batch, part in _batches(responses, filtered, memory_budget_mb):
        found = _split_half(part, runs, members, orders)
        estimate[batch], deviation[:, batch] = found.estimate, found.deviation
    return Jackknifed(estimate, deviation)


def _members(parts: np.ndarray) -> np.ndarray:
    """1 where a sample is in a part: (part, sample) float64."""
    return np.asarray(np.unique(parts)[:, None] == parts, np.float64)


def _split_half(
    responses: np.ndarray, runs: np.ndarray, members: np.ndarray, orders: Sequence[np.ndarray]
) -> Jackknifed:
    """`split_half` of a batch of targets; ``orders`` are those in which the repeats are dealt."""
    present = np.isfinite(responses)
    if (present == present[:, :, :1]).all():
        present = present[:, :, :1]  # the repeats of all targets are dealt alike
    count = present.sum(axis=0)
    usable = count >= 2
    total_r, without_r = np.zeros(responses.shape[2]), np.zeros((members.shape[0], responses.shape[2]))
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
        without_r += _correlate_without(first, second, members)
    n_usable = usable.sum(axis=0)
    factor = np.where(usable, count / np.maximum(count // 2, 1), 0.0).sum(axis=0) / np.maximum(n_usable, 1)
    known = n_usable > 2
    halves_r, halves_without = (np.where(known, r / len(orders), np.nan) for r in (total_r, without_r))
    return stepped_up(halves_r, halves_without, factor)


def _correlate_without(first: np.ndarray, second: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Correlations of z-scored columns with each part left out, (part, target); 0 where nothing that varies is left.

    The means and SDs of the whole stay: what they change is of second order, and equal in both columns.
    """
    both, *own = (members @ product for product in (first * second, first**2, second**2))
    left = [one.sum(axis=0) - one for one in own]
    power = left[0] * left[1]
    varies = (left[0] > 1e-12 * own[0].sum(axis=0)) & (left[1] > 1e-12 * own[1].sum(axis=0))
    r = (both.sum(axis=0) - both) / np.sqrt(np.where(varies, power, 1.0))
    return np.where(varies, r, 0.0)


def signal_power(
    responses: np.ndarray,
    runs: np.ndarray,
    *,
    filtered: Filter | None = None,
    memory_budget_mb: float = MEMORY_BUDGET_MB,
) -> np.ndarray:
    """Share of the variance of single repeats within runs that repeats: signal power / total power, unbiased parts.

    Parameters
    ----------
    responses, runs, filtered, memory_budget_mb : as of `split_half`

    Returns
    -------
    array of shape (n_targets,)
        May be negative; NaN where no more than two samples have two repeats, or nothing varies.

    References
    ----------
    Sahani & Linden 2003, Advances in Neural Information Processing Systems 15:125–132;
    Schoppe et al. 2016, Frontiers in Computational Neuroscience 10:10.
    """
    share = np.empty(responses.shape[2])
    for batch, part in _batches(responses, filtered, memory_budget_mb):
        share[batch] = _signal_power(part, runs)
    return share


def _signal_power(responses: np.ndarray, runs: np.ndarray) -> np.ndarray:
    present = np.isfinite(responses)
    values = np.where(present, responses, 0.0).astype(np.float64)
    n_means = 0
    within_repeats, within_samples = 0, 0
    for run in dict.fromkeys(runs.tolist()):
        here = runs == run
        own, there = values[:, here], present[:, here]
        n = there.sum(axis=1, keepdims=True)
        own = np.where(there, own - own.sum(axis=1, keepdims=True) / np.maximum(n, 1), 0.0)
        count = there.sum(axis=0)
        mean = own.sum(axis=0) / np.maximum(count, 1)
        within_repeats = within_repeats + (own**2).sum(axis=(0, 1))
        within_samples = within_samples + (np.where(there, own - mean, 0.0) ** 2).sum(axis=(0, 1))
        n_means = n_means + (n[:, 0] > 0).sum(axis=0)
    count = present.sum(axis=0)
    n_runs = np.unique(runs).size
    spare = np.maximum(count - 1, 0).sum(axis=0) - (n_means - n_runs)  # as of rows and columns taken off a table
    total = within_repeats / np.maximum(count.sum(axis=0) - n_means, 1)
    noise = within_samples / np.maximum(spare, 1)
    known = ((count >= 2).sum(axis=0) > 2) & (spare > 0) & (total > 0)
    return np.where(known, 1 - noise / np.where(known, total, 1.0), np.nan)


def _batches(
    responses: np.ndarray, filtered: Filter | None, memory_budget_mb: float
) -> Iterator[tuple[slice, np.ndarray]]:
    """Batches of targets and their responses, filtered."""
    n_repeats, n_samples, n_targets = responses.shape
    at_once = (ARRAYS_AT_ONCE * n_repeats + SERIES_AT_ONCE) * n_samples
    for batch in target_batches(n_targets, at_once, memory_budget_mb):
        part = responses[:, :, batch]
        yield batch, part if filtered is None else filtered(part)


def mean_pairwise_r(
    series: np.ndarray, chosen: np.ndarray, runs: np.ndarray, members: np.ndarray, memory_budget_mb: float
) -> tuple[float, np.ndarray]:
    """Mean correlation of all pairs of the chosen columns of ``(n_samples, n_targets)``, z-scored within runs.

    Of n standardised columns, the products of all pairs add up to the squared length of their sum, less the n
    columns' own: no matrix of correlations is needed. None of the columns may be constant.

    Parameters
    ----------
    members : (part, sample), 1 where a sample is in a part

    Returns
    -------
    r of all samples, and (part,) without each part (means and SDs of the whole stay)
    """
    total, totals = np.zeros(series.shape[0]), np.zeros((series.shape[0], members.shape[0]))
    for batch in target_batches(chosen.size, SERIES_AT_ONCE * series.shape[0], memory_budget_mb):
        scored = z_score_runs(series[:, chosen[batch]], runs)
        centred = scored - scored.mean(axis=0)
        power = np.einsum("ts,ts->s", centred, centred)
        total += centred @ (1 / np.sqrt(power))
        left = power - members @ centred**2
        varies = left > 1e-12 * power
        totals += centred @ np.where(varies, 1 / np.sqrt(np.where(varies, left, 1.0)), 0.0).T
    sums = np.append(total @ total, np.einsum("tg,tg,gt->g", totals, totals, 1 - members))
    r = (sums - chosen.size) / (chosen.size * (chosen.size - 1))
    return float(r[0]), r[1:]


def estimate_reliability(
    responses: np.ndarray,
    runs: np.ndarray,
    parts: np.ndarray,
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
    parts : array of shape (n_samples,), what the jackknife leaves out together, see `parts_of`
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
    inside = _members(parts)
    reliability, power = np.full(n_targets, np.nan), np.full(n_targets, np.nan)
    deviation = np.full((inside.shape[0], n_targets), np.nan)
    kind = np.full(n_targets, "none", dtype=object)
    for stretch in _stretches(members, n_targets):
        part = responses[: _n_repeats(responses[:, :, stretch], memory_budget_mb), :, stretch]
        if part.shape[0] > 1:
            found = split_half(part, runs, parts, seed=seed, filtered=filtered, memory_budget_mb=memory_budget_mb)
            reliability[stretch], deviation[:, stretch] = found.estimate, found.deviation
            power[stretch] = signal_power(part, runs, filtered=filtered, memory_budget_mb=memory_budget_mb)
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
        r, without_r = mean_pairwise_r(mean, recorded, runs, inside, memory_budget_mb)
        factor = np.where(averaged[own], recorded.size, 1)
        stepped = stepped_up(np.full(factor.shape, r), np.repeat(without_r[:, None], factor.size, axis=1), factor)
        reliability[own], deviation[:, own] = stepped.estimate, stepped.deviation
        kind[own] = np.where(averaged[own], "intersubject_mean", "intersubject_single")
    nothing = constant & (kind != "none")
    reliability[nothing], deviation[:, nothing] = 0.0, 0.0
    ceiling = np.where(reliability > 0, np.sqrt(np.maximum(reliability, 0.0)), np.nan)
    return Reliability(reliability, ceiling, kind, deviation, power)


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
