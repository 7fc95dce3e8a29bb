"""Running and pupil as nuisance regressors: taken out of single trials, and the share of variance that is theirs.

Their coefficients come from trial-to-trial deviations: what a response and a regressor do in one repeat of a stimulus
beyond their means over its repeats. Such deviations hold nothing of the mean response that encoding models are scored
on. But coefficients have an error, and the error times the mean behaviour stays in the mean response. Training and test
rows that share coefficients share that error, and where behaviour follows the stimulus, the test rows' part of it can
be predicted from the training rows'. So each outer fold's rows are cleaned with coefficients of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.errors import BadConfiguration
from pipeline.encoding.arithmetic.scratch import target_batches
from pipeline.stimuli.temporal_filter import cosine_high_pass

if TYPE_CHECKING:
    import xarray as xr

    from pipeline.encoding.group.matched_cells import Member, RunRows

VARIABLES = {"running_speed": "running_speed_cm_s", "pupil_area": "pupil_area"}
"""Regressor → variable of the recording."""
ALL = "all"
ARRAYS_AT_ONCE = 5  # of (repeat, sample, target) float64, while a batch is worked on


@dataclasses.dataclass(frozen=True)
class Nuisance:
    """What the animals of a group did during its responses.

    Parameters
    ----------
    names : of the regressors
    regressors : of each member (n_regressors, n_repeats, n_samples) float64, z-scored within runs, NaN where not
        measured; all members have the repeats of the group
    member : (n_targets,) int, whose regressors a target takes
    """

    names: tuple[str, ...]
    regressors: list[np.ndarray]
    member: np.ndarray

    @property
    def share_names(self) -> tuple[str, ...]:
        """What `nuisance_shares` gives shares of: all regressors jointly, then each."""
        return (ALL, *self.names)


def read_nuisance(members: Sequence[Member], recordings: Mapping[Path, xr.Dataset], names: Sequence[str]) -> Nuisance:
    """Regressors of all members, z-scored over the repeats and samples of each run.

    Where the responses were high-pass filtered, the regressors are as well. Missing repeats and values are NaN.

    Raises
    ------
    BadConfiguration
        A recording does not carry a regressor, or a member has no repeats; the message names the file.
    """
    n_repeats = max(run.n_repeats for member in members for run in member.runs)
    regressors = [_behaviour_of(member, recordings, names, n_repeats) for member in members]
    member_of = np.repeat(np.arange(len(members)), [member.n_targets for member in members])
    return Nuisance(tuple(names), regressors, member_of)


def take_out(
    responses: np.ndarray, nuisance: Nuisance, stretches: np.ndarray, *, memory_budget_mb: float = 256
) -> np.ndarray:
    """Clean responses in place: y − β·n, where n is the regressor as deviation from its run's mean.

    β is the ordinary least-squares fit, over all repeats and samples of a stretch, of y's deviations from its mean over
    repeats on those of n. A regressor that does not vary from repeat to repeat within a stretch, or was not measured
    there, has β = 0 in it. Samples where one of the others was not measured are left out of the fit, and nothing of
    that one is taken out of them.

    Parameters
    ----------
    responses : array of shape (n_repeats, n_samples, n_targets), changed; missing repeats are NaN
    stretches : array of shape (n_samples,), int; samples of one stretch share their β
    memory_budget_mb : no array that grows with the number of targets exceeds it while it is worked on

    Returns
    -------
    array of shape (n_stretches, n_regressors, n_targets)
        β of each stretch, in ascending order of their numbers: change of the response per SD of the regressor.
    """
    numbers = np.unique(stretches)
    slopes = np.zeros((numbers.size, len(nuisance.names), responses.shape[2]))
    for own, number in zip(slopes, numbers, strict=True):
        rows = np.flatnonzero(stretches == number)
        for batch in _batches(responses, nuisance, rows, memory_budget_mb):
            measured = responses[:, rows[:, None], batch.targets].astype(np.float64)
            products = _products(measured, batch)
            own[np.ix_(batch.kept, batch.targets)] = _least_squares(*(part.sum(axis=0) for part in products))
            regressors = nuisance.regressors[batch.number][:, :, rows]
            known = np.where(np.isfinite(regressors), regressors, 0.0)
            responses[:, rows[:, None], batch.targets] = measured - np.tensordot(known, own[:, batch.targets], (0, 0))
    return slopes


def nuisance_shares(
    responses: np.ndarray,
    nuisance: Nuisance,
    runs: np.ndarray,
    splits: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    memory_budget_mb: float = 256,
) -> np.ndarray:
    """Share of single-trial variance that regressors explain beyond everything that repeats with the stimulus.

    Coefficients are fitted to the deviations of the training samples and evaluated on those of the test samples:
    (Σ d² − Σ (d − β·n)²) / Σ (y − run mean)², sums over the test samples of all splits. Each regressor's share is its
    unique one: the joint fit's minus that of the fit without it.

    Parameters
    ----------
    responses : array of shape (n_repeats, n_samples, n_targets), as measured
    runs : array of shape (n_samples,)
    splits : (training rows, test rows), numbers of samples

    Returns
    -------
    array of shape (1 + n_regressors, n_targets), rows as in `Nuisance.share_names`
        Not bounded by 0: a regressor that explains nothing is slightly negative. NaN for regressors that were dropped
        and for responses that do not vary.
    """
    shares = np.full((1 + len(nuisance.names), responses.shape[2]), np.nan)
    for batch in _batches(responses, nuisance, np.arange(runs.size), memory_budget_mb):
        if batch.kept.size == 0:
            continue
        measured = responses[:, :, batch.targets].astype(np.float64)
        zz, zy = _products(measured, batch)
        folds = [(zz[train].sum(0), zy[train].sum(0), zz[test].sum(0), zy[test].sum(0)) for train, test in splits]
        squared = _about_run_mean(measured, batch.used, runs)
        total = sum(squared[test].sum(axis=0) for _, test in splits)
        everything = np.arange(batch.kept.size)
        joint = _explained(folds, everything)
        unique = [joint - _explained(folds, everything[everything != left_out]) for left_out in everything]
        rows = [0, *(1 + batch.kept)]
        size = np.where(batch.used[:, :, None], measured**2, 0.0).sum(axis=(0, 1))
        varies = total > 1e-12 * size
        shares[np.ix_(rows, batch.targets)] = np.divide(
            [joint, *unique], total, out=np.full((len(rows), batch.targets.size), np.nan), where=varies
        )
    return shares


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Targets of one member that have the same repeats in the chosen samples.

    Parameters
    ----------
    targets : (n_targets,) their numbers
    number : of the member
    kept : (n_kept,) numbers of the regressors that are not dropped
    used : (n_repeats, n_samples) bool, where the responses and all regressors that the member has were measured
    deviations : (n_kept, n_repeats, n_samples) of the regressors from their means over repeats, 0 where not used
    """

    targets: np.ndarray
    number: int
    kept: np.ndarray
    used: np.ndarray
    deviations: np.ndarray


def _batches(responses: np.ndarray, nuisance: Nuisance, rows: np.ndarray, memory_budget_mb: float) -> Iterator[_Batch]:
    n_repeats, n_targets = len(responses), responses.shape[2]
    for part in target_batches(n_targets, ARRAYS_AT_ONCE * n_repeats * rows.size, memory_budget_mb):
        present = np.isfinite(responses[:, rows, part])
        packed = np.packbits(present.reshape(n_repeats * rows.size, -1), axis=0).T
        alike: dict[tuple[int, bytes], list[int]] = {}
        for index, bits in enumerate(packed):
            alike.setdefault((int(nuisance.member[part.start + index]), bits.tobytes()), []).append(index)
        for (number, _), found in alike.items():
            regressors = nuisance.regressors[number][:, :, rows]
            yield _batch(part.start + np.array(found), number, regressors, present[:, :, found[0]])


def _batch(targets: np.ndarray, number: int, regressors: np.ndarray, present: np.ndarray) -> _Batch:
    kept = np.flatnonzero(np.isfinite(regressors).any(axis=(1, 2)))
    used = present & np.isfinite(regressors[kept]).all(axis=0)
    deviations = _deviations(regressors[kept], used)
    varies = (deviations**2).sum(axis=(1, 2)) > 1e-12 * used.sum()
    return _Batch(targets, number, kept[varies], used, deviations[varies])


def _deviations(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """From the mean over the repeats used, axis −2: ``(…, n_repeats, n_samples)``; 0 where not used."""
    mean = np.where(used, values, 0.0).sum(axis=-2, keepdims=True) / np.maximum(used.sum(axis=0), 1)
    return np.where(used, values - mean, 0.0)


def _products(measured: np.ndarray, batch: _Batch) -> tuple[np.ndarray, np.ndarray]:
    """Of deviations, summed over the repeats of each sample: n·n ``(n_samples, n_kept, n_kept)`` and n·y
    ``(n_samples, n_kept, n_targets)``."""
    # the regressors' deviations sum to zero over repeats, so the responses need not be centred
    present = np.where(batch.used[:, :, None], measured, 0.0)
    by_sample = batch.deviations.transpose(2, 0, 1)
    return by_sample @ by_sample.transpose(0, 2, 1), by_sample @ present.transpose(1, 0, 2)


def _least_squares(zz: np.ndarray, zy: np.ndarray) -> np.ndarray:
    """Coefficients ``(n_regressors, n_targets)``; of regressors that are the same, the shortest."""
    return np.asarray(np.linalg.pinv(zz, rcond=1e-9, hermitian=True) @ zy)


def _explained(
    folds: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], chosen: np.ndarray
) -> np.ndarray:
    """Σ d² − Σ (d − β·n)² over the test samples of all folds, with β from their training samples."""
    explained = np.zeros(folds[0][1].shape[1])
    for train_zz, train_zy, test_zz, test_zy in folds:
        slopes = _least_squares(train_zz[np.ix_(chosen, chosen)], train_zy[chosen])
        explained += (slopes * (2 * test_zy[chosen] - test_zz[np.ix_(chosen, chosen)] @ slopes)).sum(axis=0)
    return explained


def _about_run_mean(measured: np.ndarray, used: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Squared distance from the run's mean, summed over the repeats of each sample: ``(n_samples, n_targets)``."""
    squared = np.zeros(measured.shape[1:])
    for run in dict.fromkeys(runs.tolist()):
        here = runs == run
        present = used[:, here, None]
        part = np.where(present, measured[:, here], 0.0)
        mean = part.sum(axis=(0, 1)) / max(int(present.sum()), 1)
        squared[here] = np.where(present, (part - mean) ** 2, 0.0).sum(axis=0)
    return squared


def _behaviour_of(
    member: Member, recordings: Mapping[Path, xr.Dataset], names: Sequence[str], n_repeats: int
) -> np.ndarray:
    """A member's regressors, ``(n_names, n_repeats, n_samples)``."""
    own = max(run.n_repeats for run in member.runs)
    if own < 2:
        raise BadConfiguration(
            f"nuisance {list(names)} needs deviations between repeats, but {member.runs[0].path} has {own} of "
            "them; leave nuisance out"
        )
    parts = []
    for run in member.runs:
        part = np.full((len(names), n_repeats, run.samples.n), np.nan)
        for number, name in enumerate(names):
            part[number, : run.n_repeats] = _z_score(_measured(run, recordings[run.path], name))
        parts.append(part)
    return np.concatenate(parts, axis=2)


def _measured(run: RunRows, recording: xr.Dataset, name: str) -> np.ndarray:
    """One regressor during one run, in the repeats that have responses: ``(n_repeats, n_samples)``."""
    variable = VARIABLES[name]
    if variable not in recording.variables:
        raise BadConfiguration(
            f"{run.path} has no '{variable}', which nuisance '{name}' needs; leave it out of nuisance"
        )
    values = recording[variable].values[: run.n_repeats, run.rows].astype(np.float64)
    period_s = float(recording.attrs["high_pass_s"])
    missing = ~np.isfinite(values)
    if period_s > 0 and not missing.all():
        filled = np.where(missing, values[~missing].mean(), values)
        values = cosine_high_pass(filled.T, run.samples.interval_s, period_s).T
    return np.where(missing, np.nan, values)


def _z_score(values: np.ndarray) -> np.ndarray:
    """Over all that was measured; zero where it does not vary."""
    measured = values[np.isfinite(values)]
    if measured.size == 0:
        return values
    mean, sd = measured.mean(), measured.std()
    return np.asarray((values - mean) / (sd if sd > 1e-9 * abs(mean) else np.inf))
