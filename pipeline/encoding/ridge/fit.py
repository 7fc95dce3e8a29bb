"""Nested ridge regression: one penalty per target, chosen in inner folds, predictions of held-out rows.

Two solvers give the same answers: `pipeline.encoding.ridge.batched`, which shares everything that does not depend on
the responses among any number of targets, and `pipeline.encoding.ridge.plain`, for fits so small that importing torch
would take longer than they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.core.torch_device import choose_device
from pipeline.encoding.arithmetic.columns import Columns
from pipeline.encoding.arithmetic.compute import Precision
from pipeline.encoding.design import Design
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.options import Criterion
from pipeline.encoding.ridge.cost import RidgeProblem
from pipeline.encoding.splits import Fold


def fit_ridge(
    features: Columns,
    responses: Columns,
    grid: Sequence[float] | np.ndarray,
    design: Design,
    *,
    choose_by: Criterion = "r2",
    scale: bool = True,
    penalty_unit: Literal["mean_eigenvalue", "absolute"] = "mean_eigenvalue",
    precision: Precision = "float32",
    tolerance: float = 1e-4,
    device: str = "cpu",
    memory_budget_mb: float = 1024,
    predictions: np.ndarray | None = None,
    after_fold: Callable[[], object] | None = None,
) -> LayerFit:
    """Fit ridge regressions with one penalty per target, chosen on held-out blocks.

    Features are centred and scaled, responses centred, with the training rows of the fold at hand only: in an
    inner fold, those of the inner fold. Each target takes the penalty with the smallest mean squared error,
    averaged over inner folds as himalaya and scikit-learn do, or with the highest Pearson r, averaged over inner folds
    by Fisher z; equal r (a single feature: r does not depend on the penalty) are decided by the squared error. What is
    equal still is decided for the larger penalty.

    Parameters
    ----------
    features : (n_bins, n_features), read by slices of columns, each once for as many folds as the budget holds Gram
        matrices of. Undelayed. NaN in all features marks a bin without: it takes the mean over the training rows
    responses : (n_samples, n_targets), read by slices of columns; z-scored per run, finite
    grid : (n_penalties,) penalties, ascending; a single one is not searched for
    design : folds, delays, runs, rows and filter
    choose_by : what the penalty is chosen by: ``r2`` (squared error) or ``r``
    scale : scale each feature to variance 1 over the training rows, averaged over its delays; False: centre only
    penalty_unit : penalties are relative to the mean eigenvalue of the (n_train, n_train) Gram matrix, so that one grid
        suits layers of any width; or absolute
    precision : of predictions, and of products over many targets; Gram matrices and decompositions are float64 always
    tolerance : share of a prediction's length by which the search may be wrong for white responses; inner scores
        err by less than that, and predictions at the penalty chosen are exact. 0: nothing
    device : ``cpu``, ``cuda`` or ``auto``; agree to rounding
    memory_budget_mb : of all that grows with samples, features or targets, but features, responses and predictions
        as they are handed over
    predictions : (n_samples, n_targets) float, filled where a fold holds samples out; None makes one. Nothing but
        ``predictions[rows, targets] = values`` is asked of it, and it is never read
    after_fold : called after each outer fold, for progress bars

    Returns
    -------
    LayerFit

    Raises
    ------
    SampleMismatch
        Sample counts differ, or features or responses are not finite; the message names counts or place.
    BadConfiguration
        Several penalties and no inner folds, a fold with fewer than two training rows, or no such device.

    References
    ----------
    Dupré la Tour et al. 2022, NeuroImage 264:119728 (himalaya).
    """
    splits = design.splits
    n_samples, n_targets = responses.shape
    grid = np.asarray(grid, np.float64)
    _check(design.rows.size, n_samples, grid, splits)
    if predictions is None:
        predictions = np.empty((n_samples, n_targets), precision)
        predictions[_never_held_out(splits, n_samples)] = np.nan
    fit = LayerFit(
        predictions=predictions,
        penalty=np.full((len(splits), n_targets), grid[-1]),
        penalty_edge=np.zeros((len(splits), n_targets), np.int8),
        inner_score=np.zeros((len(splits), n_targets)),
        score=np.zeros((len(splits), n_targets)),
        constant=np.zeros(n_targets, bool),
    )
    absolute = penalty_unit == "absolute"
    problem = RidgeProblem(features, responses, grid, design, scale, absolute, choose_by)
    tell = after_fold or (lambda: None)
    if problem.is_small:
        from pipeline.encoding.ridge.plain import fit_plain

        if device not in ("cpu", "auto"):
            choose_device(device)  # one that is not there is refused whatever the size
        fit_plain(problem, fit, after_fold=tell)
    else:
        from pipeline.encoding.ridge.batched import fit_batched

        fit_batched(
            problem,
            fit,
            precision=precision,
            tolerance=tolerance,
            device=device,
            memory_budget_mb=memory_budget_mb,
            after_fold=tell,
        )
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
