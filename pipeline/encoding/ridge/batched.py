"""Ridge for many targets: all that does not depend on them once, then targets in batches, on the CPU or a GPU.

Gram matrices come from one reading of the features (`pipeline.encoding.ridge.gram`) and are diagonalised in float64
(`pipeline.encoding.ridge.decomposition`); operators lead from training responses to predictions
(`pipeline.encoding.ridge.penalty_search`). Memory does not grow with the number of targets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from pipeline.encoding.arithmetic.columns import Columns, constant_targets, missing_bins
from pipeline.encoding.arithmetic.compute import Arithmetic, Precision, arithmetic
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.options import Criterion
from pipeline.encoding.ridge.cost import FoldShape, RidgeProblem, cheaper_form
from pipeline.encoding.ridge.decomposition import Form, Part, PrimalFold, dual_part
from pipeline.encoding.ridge.gram import GramQueue, delayed_features, grams_at_once
from pipeline.encoding.ridge.penalty_search import PenaltySearch, Refit, choose_penalty
from pipeline.encoding.ridge.sample_rows import SampleRows
from pipeline.encoding.ridge.target_batch import DualInputs, PrimalInputs, TargetBatch
from pipeline.encoding.splits import Fold

STEEP = 1e7
"""Largest eigenvalue over smallest penalty beyond which float32 products of features and responses lose too much."""


def fit_batched(
    problem: RidgeProblem,
    fit: LayerFit,
    *,
    precision: Precision,
    tolerance: float,
    device: str,
    memory_budget_mb: float,
    after_fold: Callable[[], object],
) -> None:
    """Fill ``fit``; parameters as of `pipeline.encoding.ridge.fit.fit_ridge`."""
    on = arithmetic(device, precision)
    features, responses, grid = problem.features, problem.responses, problem.grid
    missing = missing_bins(features)
    samples = SampleRows(problem.design, missing, on)
    engine = _Engine(
        features, samples, missing, grid, problem.scale, problem.absolute, problem.choose_by, tolerance, on
    )
    n_samples, n_targets = responses.shape
    for number, fold in enumerate(engine.folds(problem.design.splits, n_targets, memory_budget_mb)):
        size = fold.batch_size(n_samples, grid.size, memory_budget_mb)
        for start in range(0, n_targets, size):
            _fit_batch(fit, number, fold, grid, responses, slice(start, min(start + size, n_targets)))
        after_fold()


def _fit_batch(fit: LayerFit, number: int, fold: _FoldFit, grid: np.ndarray, responses: Columns, where: slice) -> None:
    """Fit a batch of targets in one outer fold, and note what it gave."""
    measured = np.asarray(responses[:, where])
    if number == 0:
        fit.constant[where] = constant_targets(measured, where.start)
    predicted, score, chosen, inner_r = fold.fit(measured, fit.constant[where])
    fit.predictions[fold.test, where] = predicted
    fit.note_penalties(number, where, grid, chosen, shrinks=fold.refit.shrinks)
    fit.inner_score[number, where] = inner_r
    fit.score[number, where] = score


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
    choose_by: Criterion
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
            chosen, inner_r = choose_penalty(z / len(self.searches), error, self.choose_by)
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
    choose_by: Criterion
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
        at_once = grams_at_once([self.samples.n_bins], memory_budget_mb)
        grams = GramQueue(self.features, self.samples, self.missing, trains, at_once, scale=self.scale, on=self.on)
        by_delay = delayed_features(self.features, self.samples, self.missing, self.on) if "primal" in forms else None
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

    def _dual(self, fold: Fold, grams: GramQueue) -> _FoldFit:
        parts = []
        for part in (*fold.inner, fold):
            train, test = self.on.rows(part.train), self.on.rows(part.test)
            parts.append(dual_part(self.samples.gram(grams.take(), train), train, test))
        return self._assemble(fold, parts, DualInputs(parts[:-1], self.on), grams.n_bytes, self.on)

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
        return _FoldFit(fold.test, slim, inputs, searches, refit, waiting_bytes, self.choose_by, on)
