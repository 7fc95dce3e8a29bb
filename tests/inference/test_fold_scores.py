"""Scores from block sums against scipy on the samples themselves."""

import numpy as np
import pytest
from scipy import stats

from pipeline.inference.scores.bootstrap import draw_counts, generator
from pipeline.inference.scores.fold_scores import block_sums, fold_scores


def fisher_mean(rs, ns):
    return np.tanh(np.average(np.arctanh(rs), weights=np.array(ns) - 3))


def test_matches_scipy_within_folds_averaged_by_fisher_z(make_scores):
    rng = np.random.default_rng(0)
    lengths = [60, 40, 25]  # unequal folds: weights n − 3
    fold = np.repeat([0, 1, 2], lengths)
    block = np.arange(125) // 5
    y = rng.standard_normal((125, 2)) + 100  # a large mean must not cost precision
    p = 0.5 * y[:, None] + rng.standard_normal((125, 3, 2)) + 7 * fold[:, None, None]
    scores = fold_scores(block_sums(make_scores(p, y, fold, block)))
    for layer in range(3):
        for target in range(2):
            rs = [stats.pearsonr(p[fold == k, layer, target], y[fold == k, target])[0] for k in range(3)]
            assert scores.score[0, layer, target] == pytest.approx(fisher_mean(rs, lengths), abs=1e-9)
            assert scores.choice[0, 1, layer, target] == pytest.approx(
                fisher_mean([rs[0], rs[2]], [lengths[0], lengths[2]]), abs=1e-9
            )


def r2(y, p, mean):
    return 1 - np.sum((y - p) ** 2) / np.sum((y - mean) ** 2)


def test_r2_is_that_of_scikit_learn_within_folds_and_draws_keep_the_folds_mean(make_scores):
    """Offsets and gains count, means over folds are weighted as those of r, and constant predictions are no better."""
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(7)
    lengths = [60, 40, 25]
    fold, block = np.repeat([0, 1, 2], lengths), np.arange(125) // 5
    y = rng.standard_normal((125, 1)) + 100
    p = 100.3 + 0.4 * (y[:, None] - 100) + 0.3 * rng.standard_normal((125, 2, 1))
    p[:, 1] = 99.9
    sums = block_sums(make_scores(p, y, fold, block))
    scores = fold_scores(sums)
    for layer in range(2):
        held = [r2_score(y[fold == k, 0], p[fold == k, layer, 0]) for k in range(3)]
        np.testing.assert_allclose(scores.held_r2[0, :, layer, 0], held, atol=1e-9)
        assert scores.r2[0, layer, 0] == pytest.approx(np.average(held, weights=np.array(lengths) - 3), abs=1e-9)
    assert scores.r2[0, 0, 0] > 0.3 > 0 > scores.r2[0, 1, 0]
    counts = draw_counts(25, 5, generator(0, "unit"))
    drawn = fold_scores(sums, counts).held_r2
    for draw in range(5):
        rows = np.concatenate([np.flatnonzero(block == b) for b in range(12) for _ in range(int(counts[draw, b]))])
        of_fold = y[fold == 0, 0].mean()
        assert drawn[draw, 0, 0, 0] == pytest.approx(r2(y[rows, 0], p[rows, 0, 0], of_fold), abs=1e-5)


def test_is_not_pooled_over_folds(make_scores, make_blocks):
    """Offsets between folds that would give a pooled r near 1 leave the fold-mean near 0."""
    fold, block = make_blocks()
    rng = np.random.default_rng(1)
    y = rng.standard_normal((fold.size, 1)) + 10 * fold[:, None]
    p = rng.standard_normal((fold.size, 1, 1)) + 10 * fold[:, None, None]
    pooled = stats.pearsonr(p[:, 0, 0], y[:, 0])[0]
    assert pooled > 0.95
    assert abs(fold_scores(block_sums(make_scores(p, y, fold, block))).score[0, 0, 0]) < 0.15


def test_draws_equal_written_out_resamples(make_scores, make_blocks):
    fold, block = make_blocks(n_folds=3, blocks_per_fold=4, samples_per_block=7)
    rng = np.random.default_rng(2)
    y = rng.standard_normal((fold.size, 1))
    p = 0.4 * y[:, None] + rng.standard_normal((fold.size, 2, 1))
    counts = draw_counts(12, 20, generator(0, "unit"))
    counts[0, :4] = 0  # a fold that loses all its blocks drops out
    scores = fold_scores(block_sums(make_scores(p, y, fold, block)), counts)
    for draw in range(20):
        rows = np.concatenate([np.flatnonzero(block == b) for b in range(12) for _ in range(int(counts[draw, b]))])
        kept = [k for k in range(3) if (fold[rows] == k).any()]
        parts = [rows[fold[rows] == k] for k in kept]
        rs = [stats.pearsonr(p[part, 1, 0], y[part, 0])[0] for part in parts]
        assert scores.score[draw, 1, 0] == pytest.approx(fisher_mean(rs, [part.size for part in parts]), abs=2e-5)


def test_tiny_predictions_keep_their_correlation(make_scores, make_blocks):
    """A heavy penalty shrinks predictions to a millionth around the training mean."""
    fold, block = make_blocks()
    rng = np.random.default_rng(3)
    y = rng.standard_normal((fold.size, 1))
    p = y[:, None] + rng.standard_normal((fold.size, 1, 1))
    tiny = 0.05 + 0.01 * fold[:, None, None] + 1e-6 * p
    counts = draw_counts(30, 50, generator(0, "unit"))
    expected = fold_scores(block_sums(make_scores(p, y, fold, block)), counts).score
    assert np.allclose(fold_scores(block_sums(make_scores(tiny, y, fold, block)), counts).score, expected, atol=1e-3)


def test_what_does_not_vary(make_scores, make_blocks):
    fold, block = make_blocks(n_folds=4)
    rng = np.random.default_rng(4)
    y = rng.standard_normal((fold.size, 2))
    p = y[:, None] + 0.1 * rng.standard_normal((fold.size, 2, 2))
    p[fold == 0, 1] = 0.3  # a prediction that does not vary in a fold scores 0 there
    y[fold == 1, 0] = 2.0  # responses that do not vary drop the fold
    scores = fold_scores(block_sums(make_scores(p, y, fold, block)))
    z = scores.held_z[0]
    assert scores.weight[0, :, 0].tolist() == [117, 0, 117, 117]
    assert z[0, 1, 1] == 0 and scores.held_r2[0, 0, 1, 1] <= 0
    assert np.isfinite(scores.r2).all()
    assert scores.score[0, 1, 1] == pytest.approx(np.tanh(z[:, 1, 1].mean()))
    assert scores.score[0, 0, 0] == pytest.approx(np.tanh(z[[0, 2, 3], 0, 0].mean()))


def test_fold_of_three_items_drops(make_scores):
    fold = np.array([0] * 10 + [1] * 3)
    rng = np.random.default_rng(5)
    y = rng.standard_normal((13, 1))
    p = rng.standard_normal((13, 1, 1))
    scores = fold_scores(block_sums(make_scores(p, y, fold, np.arange(13), ci_unit="item")))
    assert scores.weight[0, :, 0].tolist() == [7, 0]
    assert scores.score[0, 0, 0] == pytest.approx(stats.pearsonr(p[:10, 0, 0], y[:10, 0])[0])


def test_within_category_removes_category_means_per_fold(make_scores):
    rng = np.random.default_rng(6)
    fold = np.arange(60) % 3
    category = np.array(["voice", "music", "water"])[rng.integers(0, 3, 60)]
    category[0] = "alone"
    offset = np.select([category == "voice", category == "music"], [5.0, -5.0], 0.0)
    y = offset[:, None] + rng.standard_normal((60, 1))
    p = offset[:, None, None] + rng.standard_normal((60, 1, 1))
    dataset = make_scores(p, y, fold, np.arange(60), categories=category, ci_unit="item")
    rs, weights = [], []
    for k in range(3):
        parts = [np.flatnonzero((fold == k) & (category == c)) for c in np.unique(category)]
        parts = [part for part in parts if part.size > 1]
        a = np.concatenate([p[part, 0, 0] - p[part, 0, 0].mean() for part in parts])
        b = np.concatenate([y[part, 0] - y[part, 0].mean() for part in parts])
        rs.append(stats.pearsonr(a, b)[0])
        weights.append(a.size - len(parts) - 2)
    expected = np.tanh(np.average(np.arctanh(rs), weights=weights))
    explained = fold_scores(block_sums(dataset, within_category=True)).held_r2[0, 2, 0, 0]
    assert explained == pytest.approx(1 - ((b - a) @ (b - a)) / (b @ b), abs=1e-9)  # of the last fold
    within = fold_scores(block_sums(dataset, within_category=True)).score[0, 0, 0]
    assert within == pytest.approx(expected, abs=1e-9)
    assert fold_scores(block_sums(dataset)).score[0, 0, 0] > 0.8 > abs(within) + 0.3
