"""Bootstrap over items of similarity matrices against written-out resamples."""

import numpy as np
import pytest
from scipy import stats

from pipeline.inference.bootstrap import draw_counts, generator, interval
from pipeline.inference.pair_scores import PairVectors, agreement, pair_scores, weighted_midranks


def matrices(rng, n, n_items=15, levels=None):
    values = rng.standard_normal((n, n_items, n_items))
    values = (values + values.transpose(0, 2, 1)) / 2
    return np.round(values * levels) / levels if levels else values


def written_out(first, second, drawn):
    """All pairs of positions in the resample whose items differ."""
    a, b = np.triu_indices(drawn.size, 1)
    a, b = drawn[a], drawn[b]
    kept = a != b
    return first[a[kept], b[kept]], second[a[kept], b[kept]]


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "pearson"])
def test_draws_drop_pairs_of_the_same_item(comparison):
    rng = np.random.default_rng(0)
    models, targets = matrices(rng, 2), matrices(rng, 3, levels=2)  # the targets have many ties
    models += targets[:2]
    function = {"spearman": stats.spearmanr, "kendall": stats.kendalltau, "pearson": stats.pearsonr}[comparison]
    for counts in draw_counts(15, 5, rng):
        got = agreement(PairVectors.of(models), PairVectors.of(targets), counts, comparison)
        drawn = np.repeat(np.arange(15), counts.astype(int))
        for i in range(2):
            for j in range(3):
                expected = function(*written_out(models[i], targets[j], drawn)).statistic
                assert got[i, j] == pytest.approx(expected, abs=1e-9)


def test_midranks_match_scipy():
    rng = np.random.default_rng(1)
    values, weight = rng.integers(0, 5, 30), rng.integers(1, 4, 30)
    ranks = weighted_midranks(np.unique(values, return_inverse=True)[1][None], weight.astype(float))[0]
    expected = stats.rankdata(np.repeat(values, weight))[np.cumsum(weight) - 1]
    assert np.allclose(ranks, expected)


def test_halves_are_disjoint_and_cross_over():
    rng = np.random.default_rng(2)
    models, targets = PairVectors.of(matrices(rng, 4)), PairVectors.of(matrices(rng, 2))
    scores = pair_scores(models, targets, np.ones((1, 15)), "spearman", 3, np.random.default_rng(7))
    assert scores.held_z.shape == (1, 6, 4, 2)
    assert np.allclose(np.tanh(scores.held_z[0, 0]), scores.choice[0, 1])
    assert np.allclose(np.tanh(scores.held_z[0, 1]), scores.choice[0, 0])
    half = np.isin(np.arange(15), np.random.default_rng(7).permutation(15)[:7]).astype(float)
    assert np.allclose(scores.choice[0, 0], agreement(models, targets, half, "spearman"))


def test_constant_similarities_score_zero():
    rng = np.random.default_rng(3)
    constant = np.ones((1, 15, 15))
    got = agreement(PairVectors.of(constant), PairVectors.of(matrices(rng, 1)), np.ones(15), "spearman")
    assert got.tolist() == [[0.0]]


def test_interval_over_items_covers_zero_for_unrelated_matrices():
    rng = np.random.default_rng(4)
    covered = []
    features = rng.standard_normal((80, 30, 6))  # structured matrices: items, not pairs, are independent
    for a, b in zip(features[::2], features[1::2], strict=True):
        models, targets = PairVectors.of(np.corrcoef(a)[None]), PairVectors.of(np.corrcoef(b)[None])
        scores = pair_scores(models, targets, draw_counts(30, 200, generator(0, "unit")), "spearman", 0, rng)
        low, high = interval(scores.score[:, 0, 0], 0.95, 30)
        covered.append(low <= 0 <= high)
    assert np.mean(covered) >= 0.85
