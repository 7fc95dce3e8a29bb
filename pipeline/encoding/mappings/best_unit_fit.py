"""One-to-one mapping: each target is predicted by the one unit that follows it best in the training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from pipeline.encoding.arithmetic.columns import Columns, missing_bins
from pipeline.encoding.arithmetic.compute import Arithmetic, Compute, arithmetic
from pipeline.encoding.arithmetic.correlation import CONSTANT, correlate, fisher_z
from pipeline.encoding.design import Design
from pipeline.encoding.layer_fit import LayerFit, fit_without_penalty
from pipeline.encoding.ridge.gram import feature_blocks
from pipeline.encoding.ridge.sample_rows import SampleRows
from pipeline.encoding.splits import Fold

MOST_TARGETS = 1024
BLOCK_MB = 16.0
"""Of one block of features at one delay, and of its correlations with a batch of targets."""


def fit_best_unit(
    features: Columns,
    responses: np.ndarray,
    design: Design,
    *,
    compute: Compute,
    predictions: np.ndarray,
    after_fold: Callable[[], object],
) -> LayerFit:
    """Predict each target by one unit, with a slope and an intercept by least squares.

    The unit is the feature at one delay with the highest Pearson r with the target over the training rows of the fold
    at hand, in an inner fold over those of the inner fold. r keeps its sign: a unit that runs against a target does not
    follow it, and where none rises with it, the one that runs least against it is taken. Units that do not vary over
    the training rows are left out.

    Parameters
    ----------
    features : (n_bins, n_features), undelayed; NaN in all features marks a bin without, which takes the mean over the
        training rows. Read by blocks of columns, twice per batch of targets and outer fold
    responses : (n_samples, n_targets), read by slices of columns
    design : folds, delays, runs, rows and filter
    compute : device and memory budget
    predictions : (n_samples, n_targets), filled where a fold holds samples out
    after_fold : called after each outer fold

    Returns
    -------
    LayerFit without penalties
    """
    on = arithmetic(compute.device, "float64")
    missing = missing_bins(features)
    samples = SampleRows(design, missing, on)
    fit = fit_without_penalty(responses, design.splits, predictions)
    for number, fold in enumerate(design.splits):
        parts = [_Rows(one, on) for one in (*fold.inner, fold)]
        size = _targets_at_once(len(parts), responses, compute.memory_budget_mb)
        for start in range(0, responses.shape[1], size):
            batch = slice(start, min(start + size, responses.shape[1]))
            measured = np.asarray(responses[:, batch])
            targets = [_Targets(on.exact(measured), part) for part in parts]
            _choose(_columns(features, samples, missing, size, on), samples, parts, targets)
            _predict(_columns(features, samples, missing, size, on), samples, parts, targets)
            scores = [
                correlate(own.predicted.cpu().numpy(), measured[part.fold.test])
                for part, own in zip(parts, targets, strict=True)
            ]
            fit.predictions[fold.test, batch] = targets[-1].predicted.cpu().numpy()
            fit.score[number, batch] = scores[-1]
            if fold.inner:
                fit.inner_score[number, batch] = np.tanh(np.mean([fisher_z(r) for r in scores[:-1]], axis=0))
        after_fold()
    return fit


def _targets_at_once(n_parts: int, responses: np.ndarray, memory_budget_mb: float) -> int:
    n_samples, n_targets = responses.shape
    per_target = 8 * n_samples * (n_parts + 3)
    return int(min(n_targets, MOST_TARGETS, max(1, memory_budget_mb * 2**20 / 4 // per_target)))


class _Rows:
    """The rows of an inner or outer fold, on the device."""

    def __init__(self, fold: Fold, on: Arithmetic) -> None:
        self.fold, self.train, self.test = fold, on.rows(fold.train), on.rows(fold.test)


class _Targets:
    """A batch of targets in one inner or outer fold: training responses of length 1, and the best unit so far.

    Parameters
    ----------
    responses : (n_samples, n_targets) float64
    """

    def __init__(self, responses: torch.Tensor, rows: _Rows) -> None:
        own = responses[rows.train]
        self.mean = own.mean(0)
        self.centred = own - self.mean
        self.length = self.centred.norm(dim=0)
        constant = own.amax(0) - own.amin(0) <= CONSTANT * own.abs().amax(0)
        self.centred[:, constant] = 0.0
        self.r = torch.full_like(self.mean, -torch.inf)
        self.delay = torch.full(self.mean.shape, -1, dtype=torch.int64, device=own.device)
        """−1 where no unit varies."""
        self.feature = torch.zeros_like(self.delay)
        self.predicted = self.mean.repeat(len(rows.test), 1)


def _columns(
    features: Columns, samples: SampleRows, missing: np.ndarray, n_targets: int, on: Arithmetic
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """(delay's number, first feature, delayed features ``(n_samples, n_features of the block)``), all of them."""
    width = max(1, int(BLOCK_MB * 2**20 / (8 * max(samples.n_samples, n_targets))))
    first = 0
    for block in feature_blocks(features, missing, on):
        for part in block.split(width, dim=1):
            for delay in range(samples.n_delays):
                yield delay, first, samples.columns(part, delay)
            first += part.shape[1]


def _centred(values: torch.Tensor, present: torch.Tensor, train: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns less their mean over the training rows, zero where they are absent; and whether they vary there."""
    here = present[train]
    mean = values[train][here].mean(0) if bool(here.any()) else torch.zeros_like(values[0])
    centred = values - mean
    centred[~present] = 0.0
    sd = centred[train].square().mean(0).sqrt()
    return centred, sd > CONSTANT * values.abs().amax(0)


def _present(samples: SampleRows, delay: int) -> torch.Tensor:
    """Samples with features at a delay; where there is a filter, each has some."""
    present = samples.present[delay]
    return torch.ones_like(present) if samples.filtered else present


def _choose(
    columns: Iterator[tuple[int, int, torch.Tensor]],
    samples: SampleRows,
    parts: Sequence[_Rows],
    targets: Sequence[_Targets],
) -> None:
    """Go through all units, and note the best of each target in each part."""
    for delay, first, values in columns:
        present = _present(samples, delay)
        for rows, own in zip(parts, targets, strict=True):
            centred, varies = _centred(values, present, rows.train)
            train = centred[rows.train]
            r = (train.T @ own.centred) / torch.outer(train.norm(dim=0).clamp_min(1e-300), own.length.clamp_min(1e-300))
            r[~varies] = -torch.inf
            highest, unit = r.max(0)
            better = highest > own.r
            own.r = torch.where(better, highest, own.r)
            own.delay = torch.where(better, delay, own.delay)
            own.feature = torch.where(better, first + unit, own.feature)


def _predict(
    columns: Iterator[tuple[int, int, torch.Tensor]],
    samples: SampleRows,
    parts: Sequence[_Rows],
    targets: Sequence[_Targets],
) -> None:
    """Go through all units again, and predict the targets of each."""
    for delay, first, values in columns:
        present = _present(samples, delay)
        for rows, own in zip(parts, targets, strict=True):
            inside = (own.feature >= first) & (own.feature < first + values.shape[1])
            here = torch.nonzero((own.delay == delay) & inside)[:, 0]
            if not len(here):
                continue
            centred, _ = _centred(values[:, own.feature[here] - first], present, rows.train)
            train = centred[rows.train]
            slope = (train * own.centred[:, here]).sum(0) / train.square().sum(0)
            own.predicted[:, here] += centred[rows.test] * slope
