"""Nested ridge regression: one penalty per target, chosen in inner folds, predictions of held-out rows.

Whatever does not depend on the responses is computed once for all targets: Gram matrices from one reading of the
features (`pipeline.encoding.gram`), their decomposition in float64 (`pipeline.encoding.decomposition`), and operators
from training responses to predictions (`pipeline.encoding.penalty_search`). Targets follow in batches, so memory does
not grow with their number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch

from pipeline.encoding.cost import FoldShape, cheaper_form
from pipeline.encoding.decomposition import Form, Part, PrimalFold, dual_part
from pipeline.encoding.device import Arithmetic, Precision, arithmetic
from pipeline.encoding.gram import Columns, feature_blocks, missing_bins, undelayed_grams
from pipeline.encoding.penalty_search import PenaltySearch, Refit, choose_penalty
from pipeline.encoding.sample_rows import HighPass, SampleRows
from pipeline.encoding.splits import Fold
from pipeline.encoding.target_batch import DualInputs, PrimalInputs, TargetBatch
from pipeline.errors import BadConfiguration, SampleMismatch

GRAM_SHARE = 0.4
"""Of the memory budget, for Gram matrices that wait for their decomposition."""
STEEP = 1e7
"""Largest eigenvalue over smallest penalty beyond which float32 products of features and responses lose too much."""


@dataclasses.dataclass(frozen=True)
class RidgeFit:
    """What `fit_ridge` leaves.

    Parameters
    ----------
    predictions : (n_samples, n_targets); of the fold that held the sample out, NaN where none did
    penalty : (n_folds, n_targets), in the unit of the grid
    penalty_edge : (n_folds, n_targets) int8; −1/+1 where the penalty is the smallest/largest of the grid;
        0 for constant targets, which choose nothing
    inner_score : (n_folds, n_targets), Pearson r of the chosen penalty, Fisher-averaged over inner folds
    score : (n_folds, n_targets), Pearson r in each outer fold
    constant : (n_targets,) bool; the responses do not vary: score 0
    """

    predictions: np.ndarray
    penalty: np.ndarray
    penalty_edge: np.ndarray
    inner_score: np.ndarray
    score: np.ndarray
    constant: np.ndarray


def fit_ridge(
    features: Columns,
    responses: Columns,
    penalties: Sequence[float] | np.ndarray,
    *,
    splits: Sequence[Fold],
    delays: Sequence[int] = (0,),
    runs: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    high_pass: HighPass | None = None,
    scale: bool = True,
    penalty_unit: Literal["mean_eigenvalue", "absolute"] = "mean_eigenvalue",
    precision: Precision = "float32",
    tolerance: float = 1e-4,
    device: str = "cpu",
    memory_budget_mb: float = 1024,
    predictions: np.ndarray | None = None,
    after_fold: Callable[[], object] | None = None,
) -> RidgeFit:
    """Fit ridge regressions with one penalty per target, chosen on held-out blocks.

    Features are centred and scaled, responses centred, with the training rows of the fold at hand only: in an
    inner fold, those of the inner fold. Each target takes the penalty with the highest Pearson r, averaged
    over inner folds by Fisher z. Equal r (a single feature: r does not depend on the penalty) are decided by
    the inner squared error, then for the larger penalty.

    Parameters
    ----------
    features : (n_bins, n_features), read by slices of columns, each once for as many folds as the budget holds Gram
        matrices of. Undelayed. NaN in all features marks a bin without: it takes the mean over the training rows
    responses : (n_samples, n_targets), read by slices of columns; z-scored per run, finite
    penalties : array of shape (n_penalties,), ascending; a single one is not searched for
    splits : outer folds with inner folds; row numbers count samples
    delays : delays of the response behind the features, in bins
    runs : array of shape (n_bins,), label of each bin's run (None: one run); delays do not cross runs
    rows : array of shape (n_samples,), the bin of each sample (None: all bins in order)
    high_pass : the filter that the responses went through, applied to the delayed features as well
    scale : scale each feature to variance 1 over the training rows, averaged over its delays; False: centre only
    penalty_unit : penalties are relative to the mean eigenvalue of the (n_train, n_train) Gram matrix, so that one grid
        suits layers of any width; or absolute
    precision : of products over targets; Gram matrices and decompositions are float64 always
    tolerance : share of a prediction's length by which the search may be wrong for white responses; inner scores
        err by less than that, and predictions at the penalty chosen are exact. 0: nothing
    device : ``cpu``, ``cuda`` or ``auto``; agree to rounding
    memory_budget_mb : of all that grows with samples, features or targets, but features, responses and predictions
        as they are handed over
    predictions : (n_samples, n_targets) float, filled where a fold holds samples out; None makes one
    after_fold : called after each outer fold, for progress bars

    Returns
    -------
    RidgeFit

    Raises
    ------
    SampleMismatch
        Sample counts differ, or features or responses are not finite; the message names counts or place.
    BadConfiguration
        Several penalties and no inner folds, a fold with fewer than two training rows, or no such device.

    References
    ----------
    Dupré la Tour et al. 2022, NeuroImage 264:119728.
    """
    n_bins = features.shape[0]
    runs = np.zeros(n_bins, int) if runs is None else runs
    rows = np.arange(n_bins) if rows is None else rows
    n_samples, n_targets = responses.shape
    grid = np.asarray(penalties, np.float64)
    _check(rows.size, n_samples, grid, splits)
    on = arithmetic(device, precision)
    missing = missing_bins(features)
    samples = SampleRows(delays, runs, rows, missing, high_pass, on)
    engine = _Engine(features, samples, missing, grid, scale, penalty_unit == "absolute", tolerance, on)
    if predictions is None:
        predictions = np.empty((n_samples, n_targets), precision)
        predictions[_never_held_out(splits, n_samples)] = np.nan
    fit = RidgeFit(
        predictions=predictions,
        penalty=np.full((len(splits), n_targets), grid[-1]),
        penalty_edge=np.zeros((len(splits), n_targets), np.int8),
        inner_score=np.zeros((len(splits), n_targets)),
        score=np.zeros((len(splits), n_targets)),
        constant=np.zeros(n_targets, bool),
    )
    for number, fold in enumerate(engine.folds(splits, n_targets, memory_budget_mb)):
        size = fold.batch_size(n_samples, grid.size, memory_budget_mb)
        for start in range(0, n_targets, size):
            _fit_batch(fit, number, fold, grid, responses, slice(start, min(start + size, n_targets)))
        if after_fold is not None:
            after_fold()
    return fit


def _never_held_out(splits: Sequence[Fold], n_samples: int) -> np.ndarray:
    held_out = np.zeros(n_samples, bool)
    for fold in splits:
        held_out[fold.test] = True
    return np.flatnonzero(~held_out)


def _check(n_rows: int, n_samples: int, grid: np.ndarray, splits: Sequence[Fold]) -> None:
    if n_rows != n_samples:
        raise SampleMismatch(f"features have {n_rows} samples and responses {n_samples}")
    if (
        grid.ndim != 1
        or not grid.size
        or not (np.isfinite(grid).all() and (grid > 0).all() and (np.diff(grid) > 0).all())
    ):
        raise BadConfiguration(f"penalties {grid.tolist()} must be positive, finite and ascending")
    for number, fold in enumerate(splits):
        if grid.size > 1 and not fold.inner:
            raise BadConfiguration(f"fold {number} has no inner folds to choose among {grid.size} penalties in")
        for part in (fold, *fold.inner):
            if part.train.size < 2 or not part.test.size:
                raise BadConfiguration(
                    f"fold {number} has a part with {part.train.size} training and {part.test.size} test rows, at "
                    "least 2 and 1 are needed; take fewer folds or a shorter gap"
                )


def _fit_batch(fit: RidgeFit, number: int, fold: _FoldFit, grid: np.ndarray, responses: Columns, where: slice) -> None:
    """Fit a batch of targets in one outer fold, and note what it gave."""
    measured = np.asarray(responses[:, where])
    if number == 0:
        fit.constant[where] = _constant(measured, where.start)
    constant = fit.constant[where]
    predicted, score, chosen, inner_r = fold.fit(measured, constant)
    fit.predictions[fold.test, where] = predicted
    fit.penalty[number, where] = np.where(constant, grid[-1], grid[chosen])
    edge = np.where(chosen == 0, -1, np.where(chosen == grid.size - 1, 1, 0)) if grid.size > 1 else 0
    fit.penalty_edge[number, where] = np.where(constant, 0, edge)
    fit.inner_score[number, where] = inner_r
    fit.score[number, where] = score


def _constant(responses: np.ndarray, first: int) -> np.ndarray:
    """Which targets do not vary beyond rounding; see `pipeline.encoding.correlation.is_constant`."""
    values = torch.as_tensor(responses)
    low, high = values.amin(0).double().numpy(), values.amax(0).double().numpy()
    odd = np.flatnonzero(~np.isfinite(low + high))  # NaN and infinities go through both
    if odd.size:
        raise SampleMismatch(f"responses of target {first + odd[0]} ({odd.size} of {low.size}) are not finite")
    return np.asarray(high - low <= 1e-6 * np.maximum(np.abs(low), np.abs(high)))


@dataclasses.dataclass(frozen=True)
class _FoldFit:
    """One outer fold, ready for targets.

    Parameters
    ----------
    test : array of the held-out samples' numbers
    parts : inner ones, then the outer
    waiting_bytes : of Gram matrices that wait for later folds
    """

    test: np.ndarray
    parts: list[Part]
    inputs: DualInputs | PrimalInputs
    searches: list[PenaltySearch]
    refit: Refit
    waiting_bytes: int
    on: Arithmetic

    def fit(self, responses: np.ndarray, constant: np.ndarray) -> tuple[np.ndarray, ...]:
        """Predictions ``(n_test, n_targets)``, their r, number of the chosen penalty, and its mean r in inner folds."""
        batch = TargetBatch(responses, constant, self.parts, self.on)
        chosen = torch.zeros(responses.shape[1], dtype=torch.int64, device=self.on.device)
        inner_r = torch.zeros(responses.shape[1], dtype=torch.float64, device=self.on.device)
        z: torch.Tensor | None = None
        error: torch.Tensor | None = None
        for number, (inputs, measured) in enumerate(self.inputs.of(batch, self.parts)):
            if measured is not None:
                own_z, own_error = self.searches[number].score(inputs, measured)
                z = own_z if z is None or error is None else z + own_z
                error = own_error if error is None else error + own_error
        if z is not None and error is not None:
            chosen, inner_r = choose_penalty(z / len(self.searches), error)
        predicted = self.refit.predict(inputs, chosen)
        predicted[:, ~batch.trained(len(self.searches))] = 0.0
        score = batch.score(predicted)
        predicted += batch.mean
        return tuple(found.cpu().numpy() for found in (predicted, score, chosen, inner_r))

    def batch_size(self, n_samples: int, n_penalties: int, memory_budget_mb: float) -> int:
        """Targets that fit the budget beside what all of them share."""
        n_inputs = max(len(part.basis) for part in self.parts)
        widest = max((search.bytes_per_target(n_penalties) for search in self.searches), default=0)
        # responses as read, centred and squared; a part's inputs and test rows
        values = 3 * n_samples + 2 * n_inputs + 2 * max(len(part.test) for part in self.parts)
        if isinstance(self.inputs, PrimalInputs):
            values += len(self.parts) * n_inputs
        per_target = widest + values * self.on.dtype.itemsize + 8 * n_samples
        shared = self.waiting_bytes + self.inputs.n_bytes + self.refit.n_bytes(n_penalties)
        shared += sum(search.operator.nbytes for search in self.searches)
        left = memory_budget_mb * 2**20 - shared
        return int(min(max(1, left // per_target), self.on.batch_limit))


@dataclasses.dataclass(frozen=True)
class _Engine:
    """Everything but the targets."""

    features: Columns
    samples: SampleRows
    missing: np.ndarray
    grid: np.ndarray
    scale: bool
    absolute: bool
    tolerance: float
    on: Arithmetic

    def folds(self, splits: Sequence[Fold], n_targets: int, memory_budget_mb: float) -> Iterator[_FoldFit]:
        """Each outer fold in turn."""
        forms = [self._form(fold, n_targets) for fold in splits]
        trains = [
            part.train
            for fold, form in zip(splits, forms, strict=True)
            for part in (*fold.inner, fold)
            if form == "dual"
        ]
        grams = _Grams(self, trains, memory_budget_mb)
        by_delay = self._by_delay() if "primal" in forms else None
        for fold, form in zip(splits, forms, strict=True):
            if form == "primal" and by_delay is not None:
                yield self._primal(fold, *by_delay)
            else:
                yield self._dual(fold, grams)

    def _form(self, fold: Fold, n_targets: int) -> Form:
        """Primal where that is cheaper and inner folds divide the outer training rows, as `PrimalInputs` needs."""
        tested = [part.test for part in fold.inner]
        used = np.concatenate([part.train for part in fold.inner] + tested + [fold.train[:0]])
        together = np.concatenate([*tested, fold.train[:0]])
        if not np.isin(used, fold.train).all() or np.unique(together).size != together.size:
            return "dual"
        shapes = [FoldShape(part.train.size, part.test.size) for part in (*fold.inner, fold)]
        return cheaper_form(shapes, self.features.shape[1], self.samples.n_delays, n_targets)

    def _penalties(self, part: Part) -> torch.Tensor:
        grid = self.on.exact(self.grid)
        return grid if self.absolute else grid * part.mean_eigenvalue

    def _dual(self, fold: Fold, grams: _Grams) -> _FoldFit:
        parts = []
        for part in (*fold.inner, fold):
            train, test = self.on.rows(part.train), self.on.rows(part.test)
            parts.append(dual_part(self.samples.gram(grams.take(), train), train, test))
        return self._assemble(fold, parts, DualInputs(parts[:-1], self.on), grams.n_bytes, self.on)

    def _by_delay(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Delayed features (n_delays, n_samples, n_features), and undelayed ones: fewer than there are samples."""
        undelayed = torch.cat(list(feature_blocks(self.features, self.missing, self.on)), dim=1)
        return torch.stack([self.samples.columns(undelayed, d) for d in range(self.samples.n_delays)]), undelayed

    def _primal(self, fold: Fold, by_delay: torch.Tensor, undelayed: torch.Tensor) -> _FoldFit:
        primal = PrimalFold(by_delay, self.samples, undelayed, fold, self.scale, self.on)
        parts = [primal.part(part, self.on) for part in (*fold.inner, fold)]
        steep = any(
            len(part.eigenvalues) and float(part.eigenvalues[-1]) > STEEP * float(self._penalties(part)[0])
            for part in parts
        )
        on = dataclasses.replace(self.on, dtype=torch.float64) if steep or primal.uneven else self.on
        return self._assemble(fold, parts, PrimalInputs(primal, parts, on), by_delay.nbytes, on)

    def _assemble(
        self, fold: Fold, parts: list[Part], inputs: DualInputs | PrimalInputs, waiting_bytes: int, on: Arithmetic
    ) -> _FoldFit:
        searches = [
            PenaltySearch(part, rows, self._penalties(part), self.tolerance, on.dtype)
            for part, rows in zip(parts[:-1], inputs.rows, strict=True)
        ]
        refit = Refit(parts[-1], self._penalties(parts[-1]), on.dtype)
        slim = [*(part.without_directions() for part in parts[:-1]), parts[-1]]
        return _FoldFit(fold.test, slim, inputs, searches, refit, waiting_bytes, on)


class _Grams:
    """Gram matrices of undelayed features, in order; as many at a time as the budget allows."""

    def __init__(self, engine: _Engine, trains: Sequence[np.ndarray], memory_budget_mb: float) -> None:
        self._engine = engine
        self._trains = list(trains)
        self._each = 8 * engine.samples.n_bins**2
        self._at_once = max(1, int(GRAM_SHARE * memory_budget_mb * 2**20 / self._each)) if engine.scale else len(trains)
        self._ready: list[torch.Tensor] = []

    @property
    def n_bytes(self) -> int:
        """Of matrices that wait."""
        return self._each * len({id(gram) for gram in self._ready})

    def take(self) -> torch.Tensor:
        """The next matrix; features are read when none waits."""
        if not self._ready:
            engine = self._engine
            trains, self._trains = self._trains[: self._at_once], self._trains[self._at_once :]
            on_device = [engine.on.rows(train) for train in trains]
            self._ready = undelayed_grams(
                engine.features, engine.samples, engine.missing, on_device, scale=engine.scale, on=engine.on
            )
        return self._ready.pop(0)
