"""Encoding scores of simulated responses, through real ridge fits: each target is a data set of its own."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from pipeline.encoding.design import Design
from pipeline.encoding.options import Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold, Samples, make_splits
from pipeline.inference.scores.bootstrap import draw_counts, generator
from pipeline.inference.scores.fold_scores import FoldScores, block_sums, fold_scores
from tests.inference.conftest import block_dataset

N_FOLDS = 5
PENALTIES = np.geomspace(1e-2, 1e4, 9)


def items(n: int) -> tuple[list[Fold], np.ndarray]:
    """Folds of items, and the block of each: itself."""
    labels = np.array([f"i{one:03d}" for one in range(n)])
    samples = Samples("item", np.full(n, "run"), labels, item=labels)
    return make_splits(Splits(kind="random_items", n_folds=N_FOLDS, n_inner_folds=3), samples, seed=0), np.arange(n)


def time(n: int, samples_per_block: int) -> tuple[list[Fold], np.ndarray]:
    """Folds of contiguous samples, one a second, and the block of each."""
    labels = np.full(n, "run")
    samples = Samples("time", labels, labels, interval_s=1.0, time_s=np.arange(1.0, n + 1))
    folds = make_splits(Splits(n_folds=N_FOLDS, n_inner_folds=3, gap_s=4), samples, seed=0)
    return folds, np.arange(n) // samples_per_block


def coloured(rng: np.random.Generator, shape: tuple[int, int], ar: float) -> np.ndarray:
    """Gaussian noise of unit variance, autoregressive along the first axis."""
    white = rng.standard_normal((shape[0] + 50, shape[1]))
    return np.asarray(lfilter([np.sqrt(1 - ar**2)], [1.0, -ar], white, axis=0)[50:])


def scores_of(
    layers: list[np.ndarray], responses: np.ndarray, folds: list[Fold], block: np.ndarray, n_draws: int = 300
) -> tuple[FoldScores, FoldScores, int]:
    """Scores of the data and of draws over their blocks, (draw, layer, target), and how many blocks there are."""
    design = Design.of_bins(len(responses), folds)
    predicted = np.stack(
        [fit_ridge(one.astype(np.float32), responses, PENALTIES, design).predictions for one in layers], axis=1
    )
    fold = np.empty(len(responses), int)
    for number, one in enumerate(folds):
        fold[one.test] = number
    sums = block_sums(block_dataset(predicted.astype(np.float64), responses, fold, block))
    counts = draw_counts(sums.n_blocks, n_draws, generator(0, "unit"))
    return fold_scores(sums), fold_scores(sums.as_floats(counts.dtype), counts), sums.n_blocks
