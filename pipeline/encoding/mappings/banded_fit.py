"""Banded ridge regression: several feature spaces fitted jointly, each weighted for itself, target by target.

A weighting γ of the spaces (on the simplex) stands for a ridge penalty of each: with kernels K_s scaled to a mean
eigenvalue of 1 on the training rows, Σ γ_s K_s at penalty α is ridge with penalty α/γ_s on space s. Weighting and
penalty are chosen per target in inner folds, by squared error or by Pearson r.

Explained variance can only be divided where the penalty is right for squared error: r does not know how large a
prediction is, so a penalty that is chosen by it may scale predictions down or up until their R² says nothing. (Alice's
mean listener, LATL, SmolLM2 and word rate: r = .62 and R² = .10 where r chose, r = .60 and R² = .35 by squared error.)

References
----------
Nunez-Elizalde, Huth & Gallant 2019, NeuroImage 197:482–492 (banded ridge);
Dupré la Tour et al. 2022, NeuroImage 264:119728 (random search over weightings, product measure).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from pipeline.core.errors import SampleMismatch
from pipeline.encoding.arithmetic.columns import Columns, constant_targets, missing_bins
from pipeline.encoding.arithmetic.compute import Arithmetic, Precision, arithmetic
from pipeline.encoding.arithmetic.correlation import correlate
from pipeline.encoding.group.feature_space import FeatureSpace
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.options import Criterion
from pipeline.encoding.ridge.decomposition import Part, dual_part
from pipeline.encoding.ridge.gram import GramQueue, grams_at_once
from pipeline.encoding.ridge.penalty_search import PenaltySearch, choose_penalty
from pipeline.encoding.ridge.sample_rows import SampleRows
from pipeline.encoding.ridge.target_batch import DualInputs, TargetBatch
from pipeline.encoding.splits import Fold

SCORES_SHARE = 0.2
"""Of the memory budget, for inner scores of all weightings and penalties."""
CONCENTRATIONS = (0.1, 1.0)  # of the Dirichlet distribution: sparse weightings, and any


Collect = Callable[[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray], object]
"""Given the number of the fold, numbers of targets, each space's part of their predictions, these, and responses."""


@dataclasses.dataclass(frozen=True)
class BandedFit(LayerFit):
    """What `fit_banded` leaves; ``predictions`` and ``penalty`` are of the joint fit.

    Parameters
    ----------
    weight : (n_folds, n_spaces, n_targets) chosen weight of each space; sums to 1 over spaces
    """

    weight: np.ndarray


def weightings(n_spaces: int, n: int, *, largest_ratio: float, seed: int) -> np.ndarray:
    """Candidate weights of the spaces: ``(n_candidates, n_spaces)``, rows on the simplex.

    One space has weight 1. Two have each alone and log-spaced ratios. More have all equal, each alone, and draws from
    Dirichlet distributions, sparse and uniform in turn, as himalaya's random search has them.

    Parameters
    ----------
    n : how many; never fewer than the spaces plus one
    largest_ratio : of the weights of two spaces
    """
    if n_spaces == 1:
        return np.ones((1, 1))
    alone = np.eye(n_spaces)
    if n_spaces == 2:
        ratio = np.geomspace(1 / largest_ratio, largest_ratio, max(1, n - 2)) if n > 3 else np.ones(1)
        return np.concatenate([alone, np.stack([ratio, np.ones_like(ratio)], axis=1) / (1 + ratio)[:, None]])
    generator = np.random.default_rng(seed)
    n_drawn = max(0, n - n_spaces - 1)
    drawn = [generator.dirichlet([CONCENTRATIONS[one % 2]] * n_spaces) for one in range(n_drawn)]
    return np.concatenate([np.full((1, n_spaces), 1 / n_spaces), alone, np.reshape(drawn, (n_drawn, n_spaces))])


def fit_banded(
    spaces: Sequence[FeatureSpace],
    responses: Columns,
    grid: Sequence[float] | np.ndarray,
    candidates: np.ndarray,
    *,
    splits: Sequence[Fold],
    high_pass: HighPass | None = None,
    choose_by: Criterion = "r2",
    precision: Precision = "float32",
    tolerance: float = 1e-4,
    device: str = "cpu",
    memory_budget_mb: float = 1024,
    predictions: np.ndarray | None = None,
    collect: Collect | None = None,
    after_fold: Callable[[], object] | None = None,
) -> BandedFit:
    """Fit several feature spaces jointly, with one weighting and one penalty per target, chosen on held-out blocks.

    Each target takes the weighting and penalty with the smallest mean squared error, averaged over inner folds, or with
    the highest Pearson r, averaged over inner folds by Fisher z; equal r are decided by the squared error. What is
    equal still is decided for the larger penalty, then for the earlier weighting.

    Parameters
    ----------
    spaces : on the same samples
    responses : (n_samples, n_targets), read by slices of columns; z-scored per run, finite
    grid : (n_penalties,) penalties, ascending, relative to the mean eigenvalue of the joint training Gram matrix
    candidates : (n_candidates, n_spaces) weightings, see `weightings`
    choose_by : ``r2`` (squared error) or ``r``
    splits, high_pass : as of `pipeline.encoding.design.Design`, the same for all spaces
    precision, tolerance, device, memory_budget_mb, predictions, after_fold : as of
        `pipeline.encoding.ridge.fit.fit_ridge`
    collect : given the held-out predictions (n_test, n_batch) of each fold and batch of targets, the part of each
        space in them (n_spaces, n_test, n_batch), and the held-out responses: a prediction is the mean of the training
        responses and all parts

    Returns
    -------
    BandedFit

    Raises
    ------
    SampleMismatch
        Sample counts differ, or features or responses are not finite; the message names counts or place.
    """
    n_samples, n_targets = responses.shape
    for space in spaces:
        if space.rows.size != n_samples:
            raise SampleMismatch(f"features have {space.rows.size} samples and responses {n_samples}")
    on = arithmetic(device, precision)
    grid = np.asarray(grid, np.float64)
    shape = (len(splits), n_targets)
    fit = BandedFit(
        predictions=np.full((n_samples, n_targets), np.nan, precision) if predictions is None else predictions,
        penalty=np.full(shape, grid[-1]),
        penalty_edge=np.zeros(shape, np.int8),
        inner_score=np.zeros(shape),
        score=np.zeros(shape),
        constant=np.zeros(n_targets, bool),
        weight=np.zeros((len(splits), len(spaces), n_targets)),
    )
    chunk = max(1, int(SCORES_SHARE * memory_budget_mb * 2**20 / (16 * candidates.shape[0] * grid.size)))
    chunks = [slice(start, min(start + chunk, n_targets)) for start in range(0, n_targets, chunk)]
    trains = [part.train for fold in splits for _ in chunks for part in (*fold.inner, fold)]
    kernels = _Kernels(spaces, splits, high_pass, trains, memory_budget_mb, on)
    joint = _JointFit(fit, responses, grid, candidates, choose_by, tolerance, on, collect)
    for number, fold in enumerate(splits):
        for targets in chunks:
            joint.fit_fold(number, fold, kernels, targets)
        if after_fold is not None:
            after_fold()
    return fit


class _Kernels:
    """Kernels of all spaces for one set of training rows after another, as many at a time as the budget allows."""

    def __init__(
        self,
        spaces: Sequence[FeatureSpace],
        splits: Sequence[Fold],
        high_pass: HighPass | None,
        trains: Sequence[np.ndarray],
        memory_budget_mb: float,
        on: Arithmetic,
    ) -> None:
        self._waiting = [on.rows(train) for train in trains]
        missing = [missing_bins(space.features) for space in spaces]
        self._samples = [
            SampleRows(space.design(splits, high_pass), absent, on)
            for space, absent in zip(spaces, missing, strict=True)
        ]
        at_once = grams_at_once([samples.n_bins for samples in self._samples], memory_budget_mb)
        self._grams = [
            GramQueue(space.features, samples, absent, trains, at_once, scale=True, on=on)
            for space, samples, absent in zip(spaces, self._samples, missing, strict=True)
        ]

    def take(self) -> torch.Tensor:
        """``(n_spaces, n_samples, n_samples)`` float64 for the next training rows, of mean eigenvalue 1 on them.

        Centred with the training rows, as `pipeline.encoding.ridge.decomposition.dual_part` would.
        """
        train = self._waiting.pop(0)
        kernels = [samples.gram(grams.take(), train) for samples, grams in zip(self._samples, self._grams, strict=True)]
        return torch.stack([_centred(kernel, train) for kernel in kernels])


def _centred(kernel: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    """A kernel centred with its training rows and scaled to a mean eigenvalue of 1 there; 0 if nothing varies."""
    mean = kernel[train].mean(0)
    kernel = kernel - mean - mean[:, None] + mean[train].mean()
    mean_eigenvalue = float(kernel.diagonal()[train].mean())
    return kernel / mean_eigenvalue if mean_eigenvalue > 0 else torch.zeros_like(kernel)


@dataclasses.dataclass(frozen=True)
class _JointFit:
    """Everything that folds share; fills ``fit``."""

    fit: BandedFit
    responses: Columns
    grid: np.ndarray
    candidates: np.ndarray
    choose_by: Criterion
    tolerance: float
    on: Arithmetic
    collect: Collect | None

    def fit_fold(self, number: int, fold: Fold, kernels: _Kernels, targets: slice) -> None:
        """Fit some targets in one outer fold; takes the kernels of its inner folds, then its own."""
        for batch in self._batches(targets):
            self.fit.constant[batch] = constant_targets(self._read(batch), batch.start)
        candidate, penalty = self._choose(number, fold, kernels, targets)
        self.fit.weight[number][:, targets] = self.candidates[candidate].T
        self.fit.note_penalties(number, targets, self.grid, penalty)
        self._refit(number, fold, kernels.take(), targets, candidate, penalty)

    def _read(self, batch: slice) -> np.ndarray:
        return np.asarray(self.responses[:, batch])

    def _batches(self, targets: slice) -> Iterator[slice]:
        for start in range(targets.start, targets.stop, self.on.batch_limit):
            yield slice(start, min(start + self.on.batch_limit, targets.stop))

    def _choose(self, number: int, fold: Fold, kernels: _Kernels, targets: slice) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the best weighting and penalty of each target."""
        shape = (targets.stop - targets.start, self.grid.size, len(self.candidates))
        z, error = (torch.zeros(shape, dtype=torch.float64, device=self.on.device) for _ in range(2))
        outer = _rows_only(fold, self.on)
        for part in fold.inner:
            kernel, rows = kernels.take(), _rows_only(part, self.on)
            for place, weights in enumerate(self._weights()):
                self._score(_joint_part(kernel, weights, rows), outer, targets, place, z, error)
        z /= max(1, len(fold.inner))
        chosen, inner_r = choose_penalty(z.flatten(1), error.flatten(1), self.choose_by)
        self.fit.inner_score[number, targets] = inner_r.cpu().numpy()
        number_of = chosen.cpu().numpy()
        return len(self.candidates) - 1 - number_of % len(self.candidates), number_of // len(self.candidates)

    def _weights(self) -> Iterator[torch.Tensor]:
        """Weightings, the last first: of equal ones, `choose_penalty` takes the last that it sees."""
        return iter(self.on.exact(self.candidates[::-1].copy()))

    def _score(self, part: Part, outer: Part, targets: slice, place: int, z: torch.Tensor, error: torch.Tensor) -> None:
        """Add one inner fold's scores of one weighting at every penalty."""
        inputs_of = DualInputs([part], self.on)
        penalties = self.on.exact(self.grid) * part.mean_eigenvalue
        search = PenaltySearch(part, inputs_of.rows[0], penalties, self.tolerance, self.on.dtype)
        for batch in self._batches(targets):
            values = TargetBatch(self._read(batch), self.fit.constant[batch], [part, outer], self.on)
            inputs, measured = next(iter(inputs_of.of(values, [part])))
            if measured is None:
                continue
            own_z, own_error = search.score(inputs, measured)
            here = slice(batch.start - targets.start, batch.stop - targets.start)
            z[here, :, place] += own_z
            error[here, :, place] += own_error

    def _refit(
        self,
        number: int,
        fold: Fold,
        kernel: torch.Tensor,
        targets: slice,
        candidate: np.ndarray,
        penalty: np.ndarray,
    ) -> None:
        """Predictions of the outer fold at each target's own weighting and penalty, without approximation."""
        rows = _rows_only(fold, self.on)
        across = kernel[:, rows.test][:, :, rows.train]
        for one in np.unique(candidate).tolist():
            weights = self.on.exact(self.candidates[one])
            part = _joint_part(kernel, weights, rows)
            evaluate = (weights[:, None, None] * (across @ part.basis)).to(self.on.dtype)
            basis = part.basis.T.to(self.on.dtype)
            own = targets.start + np.flatnonzero(candidate == one)
            for batch in self._batches(targets):
                here = own[(own >= batch.start) & (own < batch.stop)]
                if here.size:
                    chosen = self.on.exact(self.grid[penalty[here - targets.start]]) * part.mean_eigenvalue
                    self._predict(number, fold, rows, batch, here, (part.eigenvalues, basis, evaluate, chosen))

    def _predict(
        self,
        number: int,
        fold: Fold,
        rows: Part,
        batch: slice,
        targets: np.ndarray,
        operators: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    ) -> None:
        """Fill in predictions and scores of some targets of a batch."""
        eigenvalues, basis, evaluate, penalty = operators
        measured = self._read(batch)[:, targets - batch.start]
        values = TargetBatch(measured, self.fit.constant[targets], [rows], self.on)
        shrunk = (basis @ values.values[rows.train]) / (eigenvalues[:, None] + penalty).to(self.on.dtype)
        parts = evaluate @ shrunk
        parts[:, :, ~values.trained(0)] = 0.0
        predicted = (parts.sum(0) + values.mean).cpu().numpy()
        self.fit.predictions[np.ix_(fold.test, targets)] = predicted
        self.fit.score[number, targets] = correlate(predicted, measured[fold.test])
        if self.collect is not None:
            self.collect(number, targets, parts.cpu().numpy(), predicted, measured[fold.test])


def _rows_only(fold: Fold, on: Arithmetic) -> Part:
    """A part with its rows and nothing decomposed."""
    none = torch.zeros(0, dtype=torch.float64, device=on.device)
    return Part(on.rows(fold.train), on.rows(fold.test), none, none[:, None], none[:, None], 0.0, none)


def _joint_part(kernel: torch.Tensor, weights: torch.Tensor, rows: Part) -> Part:
    """The weighted sum of kernels, diagonalised over the training rows."""
    used = weights.nonzero()[:, 0]
    return dual_part(torch.tensordot(weights[used], kernel[used], dims=1), rows.train, rows.test)
