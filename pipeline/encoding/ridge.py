"""Nested ridge regression: one penalty per target, chosen in inner folds, predictions of held-out rows.

Plain and exact: one eigendecomposition per set of training rows, in the smaller of the two Gram
matrices, serves all penalties and all targets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline.encoding.align import delayed_design, high_pass_within
from pipeline.encoding.splits import Fold
from pipeline.errors import SampleMismatch

MAX_R = 1 - 1e-7  # keeps Fisher z finite
TIE = 1e-9  # inner scores this close (Fisher z) are equal


@dataclasses.dataclass(frozen=True)
class HighPass:
    """A high-pass filter within stretches of samples.

    Parameters
    ----------
    stretches : array of shape (n_samples,), the stretch of each sample: what one outer fold holds out of one run
    sample_interval_s, period_s : in s
    """

    stretches: np.ndarray
    sample_interval_s: float
    period_s: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Columns ``(n_samples, n_columns)`` without what is slower than the period."""
        return high_pass_within(values, self.stretches, self.sample_interval_s, self.period_s)


@dataclasses.dataclass(frozen=True)
class RidgeFit:
    """What `fit_ridge` leaves.

    Parameters
    ----------
    predictions : (n_samples, n_targets) float64; of the fold that held the sample out, NaN where none did
    penalty : (n_folds, n_targets), relative to the mean eigenvalue of the training Gram matrix
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


@dataclasses.dataclass(frozen=True)
class _Decomposition:
    """Training rows diagonalised: predictions at penalty a are ``evaluate @ ((project @ y) / (eigenvalues + a))``."""

    eigenvalues: np.ndarray  # (rank,)
    project: np.ndarray  # (rank, n_train)
    evaluate: np.ndarray  # (n_test, rank)
    mean_eigenvalue: float  # of the (n_train, n_train) Gram matrix


def fit_ridge(
    features: np.ndarray,
    responses: np.ndarray,
    penalties: Sequence[float] | np.ndarray,
    *,
    splits: Sequence[Fold],
    delays: Sequence[int] = (0,),
    runs: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    high_pass: HighPass | None = None,
    memory_budget_mb: float = 1024,
    after_fold: Callable[[], object] | None = None,
) -> RidgeFit:
    """Fit ridge regressions with one penalty per target, chosen on held-out blocks.

    Features are centred and scaled, responses centred, with the training rows of the fold at hand only: in an
    inner fold, those of the inner fold. Each target takes the penalty with the highest Pearson r, averaged
    over inner folds by Fisher z. Equal r (a single feature: r does not depend on the penalty) are decided by
    the inner squared error, then for the larger penalty.

    Parameters
    ----------
    features : array of shape (n_bins, n_features)
        Undelayed. NaN marks bins without features: they take the mean over the training rows.
    responses : array of shape (n_samples, n_targets), z-scored per run, finite
    penalties : array of shape (n_penalties,), ascending, relative to the mean eigenvalue of the
        (n_train, n_train) Gram matrix, so that one grid suits layers of any width
    splits : outer folds with inner folds; row numbers count samples
    delays : delays of the response behind the features, in bins
    runs : array of shape (n_bins,), label of each bin's run (None: one run); delays do not cross runs
    rows : array of shape (n_samples,), the bin of each sample (None: all bins in order)
    high_pass : the filter that the responses went through, applied to the delayed features as well
    memory_budget_mb : no array that grows with the number of targets exceeds it while it is worked on
    after_fold : called after each outer fold, for progress bars

    Returns
    -------
    RidgeFit

    Raises
    ------
    SampleMismatch
        Sample counts differ; the message names both.

    References
    ----------
    Dupré la Tour et al. 2022, NeuroImage 264:119728.
    """
    runs = np.zeros(features.shape[0], int) if runs is None else runs
    rows = np.arange(features.shape[0]) if rows is None else rows
    if rows.size != responses.shape[0]:
        raise SampleMismatch(f"features have {rows.size} samples and responses {responses.shape[0]}")
    design = delayed_design(features, delays, runs, rows)
    if high_pass is not None:
        design = high_pass.apply(design)
    grid = np.asarray(penalties, np.float64)
    n_samples, n_targets = responses.shape
    constant = is_constant(responses)
    fit = RidgeFit(
        predictions=np.full((n_samples, n_targets), np.nan),
        penalty=np.full((len(splits), n_targets), grid[-1]),
        penalty_edge=np.zeros((len(splits), n_targets), np.int8),
        inner_score=np.zeros((len(splits), n_targets)),
        score=np.zeros((len(splits), n_targets)),
        constant=constant,
    )
    for number, fold in enumerate(splits):
        inner = [(part, _decompose(design[part.train], design[part.test])) for part in fold.inner]
        outer = _decompose(design[fold.train], design[fold.test])
        for batch in target_batches(n_targets, n_samples, memory_budget_mb):
            chosen, inner_r = _choose_penalty(inner, responses[:, batch], grid)
            predicted = _predict(outer, fold, responses[:, batch], grid[chosen])
            fit.predictions[fold.test, batch] = predicted
            fit.penalty[number, batch] = grid[chosen]
            edge = np.where(chosen == 0, -1, np.where(chosen == grid.size - 1, 1, 0))
            fit.penalty_edge[number, batch] = np.where(constant[batch], 0, edge)
            fit.inner_score[number, batch] = inner_r
            fit.score[number, batch] = correlate(predicted, responses[fold.test, batch])
        if after_fold is not None:
            after_fold()
    return fit


def is_constant(responses: np.ndarray) -> np.ndarray:
    """Which columns of ``(n_samples, n_targets)`` do not vary beyond rounding: bool of shape (n_targets,)."""
    spread = np.ptp(responses, axis=0)
    return np.asarray(spread <= 1e-6 * np.abs(responses).max(axis=0))


def correlate(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson r of each column, over axis 0; 0 where a column does not vary.

    Parameters
    ----------
    predicted, measured : arrays of shape (n_samples, n_targets)

    Returns
    -------
    array of shape (n_targets,), float64
    """
    r = np.einsum("it,it->t", _unit(predicted), _unit(measured))
    return np.asarray(np.clip(r, -1.0, 1.0))


def _unit(values: np.ndarray) -> np.ndarray:
    """Columns centred and of length 1; those that do not vary beyond rounding become exactly zero."""
    values = np.asarray(values, np.float64)
    centred = values - values.mean(axis=0)
    length = np.sqrt(np.einsum("it,it->t", centred, centred))
    varies = length > 1e-12 * np.abs(values).max(axis=0)
    return np.asarray(centred * np.divide(1.0, length, out=np.zeros_like(length), where=varies))


def fisher_z(r: np.ndarray) -> np.ndarray:
    """Fisher's z of Pearson r, finite for r = ±1."""
    return np.asarray(np.arctanh(np.clip(r, -MAX_R, MAX_R)))


def standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale features with training rows only.

    Parameters
    ----------
    train, test : arrays of shape (n_train, n_features) and (n_test, n_features); NaN marks missing rows

    Returns
    -------
    the same shapes, float64
        Missing rows and features that do not vary over the training rows are zero.
    """
    train = np.array(train, np.float64)
    test = np.array(test, np.float64)
    missing = np.isnan(train)
    n_present = np.maximum(train.shape[0] - missing.sum(axis=0), 1)
    train[missing] = 0.0
    mean = train.sum(axis=0) / n_present
    train -= mean
    train[missing] = 0.0
    sd = np.sqrt(np.einsum("if,if->f", train, train) / n_present)
    varies = sd > 1e-6 * np.abs(mean)
    scale = np.divide(1.0, sd, out=np.zeros_like(sd), where=varies)
    train *= scale
    test = (test - mean) * scale
    test[np.isnan(test)] = 0.0
    return train, test


def _decompose(train: np.ndarray, test: np.ndarray) -> _Decomposition:
    """Diagonalise the smaller Gram matrix of the training rows, in float64."""
    x, x_test = standardise(train, test)
    n_train, n_features = x.shape
    dual = n_train <= n_features
    gram = x @ x.T if dual else x.T @ x
    values, vectors = np.linalg.eigh(gram)
    # Rounding leaves the null space with eigenvalues around 1e-16 of the largest, some of them negative.
    kept = values > 1e-12 * max(float(values[-1]), 0.0)
    values, vectors = values[kept], vectors[:, kept]
    project = vectors.T if dual else vectors.T @ x.T
    evaluate = x_test @ (x.T @ vectors) if dual else x_test @ vectors
    return _Decomposition(values, project, evaluate, float(np.trace(gram)) / n_train)


def target_batches(n_targets: int, n_samples: int, memory_budget_mb: float) -> Iterator[slice]:
    """Slices of the targets, so that a float64 array of all their samples stays within the budget."""
    size = max(1, int(memory_budget_mb * 2**20 / (8 * n_samples)))
    for start in range(0, n_targets, size):
        yield slice(start, start + size)


def _centre(responses: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training responses minus their mean, and the mean; exactly zero where they do not vary."""
    y = responses[train].astype(np.float64)
    mean = y.mean(axis=0)
    y -= mean
    y[:, is_constant(responses[train])] = 0.0
    return y, mean


def _predict(parts: _Decomposition, fold: Fold, responses: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Predictions of the test rows, (n_test, n_targets), with one penalty per target."""
    y, mean = _centre(responses, fold.train)
    ridge = penalty * parts.mean_eigenvalue
    weights = (parts.project @ y) / (parts.eigenvalues[:, None] + ridge[None, :])
    return np.asarray(mean + parts.evaluate @ weights)


def _choose_penalty(
    inner: Sequence[tuple[Fold, _Decomposition]], responses: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Index of the best penalty of each target and its inner r."""
    z = np.zeros((grid.size, responses.shape[1]))
    squared_error = np.zeros_like(z)
    for fold, parts in inner:
        y, mean = _centre(responses, fold.train)
        projected = parts.project @ y
        measured = responses[fold.test].astype(np.float64) - mean
        direction = _unit(measured)
        for index, penalty in enumerate(grid):
            ridge = penalty * parts.mean_eigenvalue
            predicted = parts.evaluate @ (projected / (parts.eigenvalues + ridge)[:, None])
            z[index] += fisher_z(np.einsum("it,it->t", _unit(predicted), direction))
            squared_error[index] += np.sum((measured - predicted) ** 2, axis=0)
    z /= len(inner)
    tied = z >= z.max(axis=0) - TIE
    error = np.where(tied, squared_error, np.inf)
    best = error <= error.min(axis=0)
    chosen = grid.size - 1 - np.argmax(best[::-1], axis=0)
    return chosen, np.tanh(np.take_along_axis(z, chosen[None, :], axis=0)[0])
