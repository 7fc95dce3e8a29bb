"""Ridge for few samples and targets, in plain NumPy and double precision: every penalty is tried as it is written.

The delayed features lie side by side, and each set of training rows is diagonalised in the smaller of its Gram
matrices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.encoding.arithmetic.columns import constant_targets, missing_bins, read_features
from pipeline.encoding.arithmetic.correlation import TIE, correlate, fisher_z, is_constant, standardise, unit
from pipeline.encoding.arithmetic.scratch import target_batches
from pipeline.encoding.layer_fit import LayerFit, shrinks_something
from pipeline.encoding.options import Criterion
from pipeline.encoding.ridge.cost import RidgeProblem
from pipeline.encoding.splits import Fold

BATCH_MB = 64.0
ROUNDING = 1e-12
"""Predictions that vary less than this beside their mean do not vary, as in `unit`."""


def fit_plain(problem: RidgeProblem, fit: LayerFit, *, after_fold: Callable[[], object]) -> None:
    """Fill ``fit``; see `pipeline.encoding.ridge.fit.fit_ridge`."""
    delayed = _Delayed(problem)
    n_samples, n_targets = problem.responses.shape
    batches = list(target_batches(n_targets, n_samples, BATCH_MB))
    for batch in batches:
        fit.constant[batch] = constant_targets(np.asarray(problem.responses[:, batch]), batch.start)
    grid = problem.grid
    for number, fold in enumerate(problem.design.splits):
        inner = [(part, delayed.part(part)) for part in fold.inner]
        outer = delayed.part(fold)
        for batch in batches:
            responses = np.asarray(problem.responses[:, batch], np.float64)
            chosen, inner_r = _choose_penalty(inner, responses, grid, problem.choose_by)
            predicted = outer.predict(*_centred(responses, fold), grid[chosen])
            fit.predictions[fold.test, batch] = predicted
            fit.note_penalties(number, batch, grid, chosen, shrinks=outer.shrinks(grid[0]))
            fit.inner_score[number, batch] = inner_r
            fit.score[number, batch] = correlate(predicted, responses[fold.test])
        after_fold()


@dataclasses.dataclass(frozen=True)
class _Part:
    """Training rows diagonalised; a penalty is in units of ``unit``."""

    eigenvalues: np.ndarray  # (rank,)
    project: np.ndarray  # (rank, n_train)
    evaluate: np.ndarray  # (n_test, rank)
    unit: float

    def shrinks(self, penalty: float) -> bool:
        """Whether a penalty changes predictions."""
        return self.eigenvalues.size == 0 or shrinks_something(penalty * self.unit, float(self.eigenvalues.min()))

    def predict(self, responses: np.ndarray, mean: np.ndarray, penalties: np.ndarray) -> np.ndarray:
        """Predictions of the test rows, one penalty per target, from centred training responses and their mean."""
        shrunk = (self.project @ responses) / (self.eigenvalues[:, None] + penalties * self.unit)
        return np.asarray(mean + self.evaluate @ shrunk)


class _Delayed:
    """Delayed and filtered features side by side, NaN where there are none."""

    def __init__(self, problem: RidgeProblem) -> None:
        self._problem = problem
        missing = missing_bins(problem.features)
        features = read_features(problem.features, slice(0, problem.features.shape[1]), missing)
        # a filter takes the mean out, so there a feature has to vary beside its root mean square
        self._size = None if problem.design.high_pass is None else np.sqrt((features**2).mean(axis=0))
        features[missing] = np.nan
        self._values = problem.design.delayed(features)

    def part(self, fold: Fold) -> _Part:
        """Diagonalise a part in the smaller of its two Gram matrices."""
        x, x_test = standardise(
            self._values[fold.train],
            self._values[fold.test],
            scale=self._problem.scale,
            n_delays=len(self._problem.design.delays),
            size=self._size,
        )
        n_train, n_columns = x.shape
        dual = n_train <= n_columns
        gram = x @ x.T if dual else x.T @ x
        values, vectors = np.linalg.eigh(gram)
        # rounding leaves what is zero at around 1e-16 of the largest, some of it negative
        kept = values > len(gram) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
        values, vectors = values[kept], vectors[:, kept]
        project = vectors.T if dual else vectors.T @ x.T
        evaluate = x_test @ (x.T @ vectors) if dual else x_test @ vectors
        return _Part(values, project, evaluate, 1.0 if self._problem.absolute else float(np.trace(gram)) / n_train)


class _Search:
    """Scores of predictions of a part's test rows, in as few rows as hold them.

    Predictions of more rows than there are features, or training rows, lie in a space of fewer dimensions. There they
    are correlated and subtracted; what of the responses lies outside it is in every error alike.

    Parameters
    ----------
    measured : (n_test, n_targets), less the mean of the training rows
    """

    def __init__(self, part: _Part, measured: np.ndarray) -> None:
        self._n = len(measured)
        self._mean_row = part.evaluate.mean(axis=0)
        self._rows = part.evaluate - self._mean_row
        self._mean = measured.mean(axis=0)
        direction = unit(measured)
        self._measured = measured - self._mean
        self._outside: np.ndarray | float = 0.0
        if self._n > self._rows.shape[1]:
            basis, self._rows = np.linalg.qr(self._rows)
            inside = basis.T @ self._measured
            self._outside = ((self._measured - basis @ inside) ** 2).sum(axis=0)
            self._measured, direction = inside, basis.T @ direction
        self._direction = direction

    def score(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pearson r and mean squared error of each target, from (rank, n_targets)."""
        predicted, mean = self._rows @ weights, self._mean_row @ weights
        length = np.sqrt(np.einsum("it,it->t", predicted, predicted))
        varies = length > ROUNDING * np.sqrt(self._n) * np.abs(mean)
        along = np.einsum("it,it->t", predicted, self._direction)
        r = np.divide(along, length, out=np.zeros_like(length), where=varies)
        missed = self._measured - predicted
        squares = np.einsum("it,it->t", missed, missed) + self._outside
        return np.clip(r, -1.0, 1.0), squares / self._n + (self._mean - mean) ** 2


def _centred(responses: np.ndarray, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Training responses less their mean, exactly zero where they do not vary; and the mean."""
    train = responses[fold.train]
    mean = train.mean(axis=0)
    return np.where(is_constant(train), 0.0, train - mean), mean


def _choose_penalty(
    inner: Sequence[tuple[Fold, _Part]], responses: np.ndarray, grid: np.ndarray, choose_by: Criterion
) -> tuple[np.ndarray, np.ndarray]:
    """Number of each target's best penalty, and its inner r.

    The best has the smallest error (by r: of those with the highest r), then is the largest.
    """
    z, error = (np.zeros((grid.size, responses.shape[1])) for _ in range(2))
    for fold, part in inner:
        centred, mean = _centred(responses, fold)
        projected = part.project @ centred
        search = _Search(part, responses[fold.test] - mean)
        for number, penalty in enumerate(grid):
            r, squares = search.score(projected / (part.eigenvalues[:, None] + penalty * part.unit))
            z[number] += fisher_z(r)
            error[number] += squares
    r = np.tanh(z / max(1, len(inner)))
    if choose_by == "r":
        error = np.where(r >= r.max(axis=0) - TIE, error, np.inf)
    chosen = grid.size - 1 - np.argmax((error <= (1 + TIE) * error.min(axis=0))[::-1], axis=0)
    return chosen, np.take_along_axis(r, chosen[None, :], axis=0)[0]
