"""Bootstrap over items of similarity matrices against written-out resamples."""

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison.measures import MEASURES
from pipeline.comparison.similarity import item_similarity
from pipeline.inference.scores import pair_scores as module
from pipeline.inference.scores.bootstrap import draw_counts, generator, interval
from pipeline.inference.scores.pair_scores import (
    PairVectors,
    agreement,
    first_half,
    pair_scores,
    scores_in_orders,
    weighted_midranks,
)


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
        got = agreement(PairVectors.of(models), PairVectors.of(targets), counts, np.arange(15), comparison)
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
    scores = pair_scores(models, targets, np.ones((1, 15)), np.arange(15), "spearman", 3, np.random.default_rng(7))
    assert scores.held_z.shape == (1, 6, 4, 2)
    assert np.allclose(np.tanh(scores.held_z[0, 0]), scores.choice[0, 1])
    assert np.allclose(np.tanh(scores.held_z[0, 1]), scores.choice[0, 0])
    half = np.isin(np.arange(15), np.random.default_rng(7).permutation(15)[:7]).astype(float)
    assert np.allclose(scores.choice[0, 0], agreement(models, targets, half, np.arange(15), "spearman"))


def test_constant_similarities_score_zero():
    rng = np.random.default_rng(3)
    constant = np.ones((1, 15, 15))
    got = agreement(PairVectors.of(constant), PairVectors.of(matrices(rng, 1)), np.ones(15), np.arange(15), "spearman")
    assert got.tolist() == [[0.0]]


def test_interval_over_items_covers_zero_for_unrelated_matrices():
    rng = np.random.default_rng(4)
    covered = []
    features = rng.standard_normal((80, 30, 6))  # structured matrices: items, not pairs, are independent
    for a, b in zip(features[::2], features[1::2], strict=True):
        models, targets = PairVectors.of(np.corrcoef(a)[None]), PairVectors.of(np.corrcoef(b)[None])
        scores = pair_scores(
            models, targets, draw_counts(30, 200, generator(0, "unit")), np.arange(30), "spearman", 0, rng
        )
        point = agreement(models, targets, np.ones(30), np.arange(30), "spearman")[0, 0]
        low, high = interval(point, scores.score[:, 0, 0], 0.95, 30)
        covered.append(low <= 0 <= high)
    assert np.mean(covered) >= 0.85


def written_out_stretches(first, second, drawn, stretch):
    """All pairs of items in a resample of stretches, but those of two copies of one stretch."""
    copies = [(copy, item) for copy, one in enumerate(drawn) for item in np.flatnonzero(stretch == one)]
    pairs = [
        (i, j)
        for a, (copy, i) in enumerate(copies)
        for other, j in copies[a + 1 :]
        if copy == other or stretch[i] != stretch[j]
    ]
    rows, columns = np.array(pairs).T
    return first[rows, columns], second[rows, columns]


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "pearson"])
def test_draws_of_stretches_drop_pairs_of_two_copies(comparison):
    rng = np.random.default_rng(5)
    models, targets = matrices(rng, 2), matrices(rng, 2, levels=2)
    stretch = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4])
    function = {"spearman": stats.spearmanr, "kendall": stats.kendalltau, "pearson": stats.pearsonr}[comparison]
    for counts in draw_counts(5, 5, rng):
        got = agreement(PairVectors.of(models), PairVectors.of(targets), counts, stretch, comparison)
        drawn = np.repeat(np.arange(5), counts.astype(int))
        for i in range(2):
            for j in range(2):
                expected = function(*written_out_stretches(models[i], targets[j], drawn, stretch)).statistic
                assert got[i, j] == pytest.approx(expected, abs=1e-9)


def test_halves_are_made_of_whole_stretches():
    rng = np.random.default_rng(6)
    models, targets = PairVectors.of(matrices(rng, 2)), PairVectors.of(matrices(rng, 2))
    stretch = np.arange(15) // 3
    scores = pair_scores(models, targets, np.ones((1, 5)), stretch, "spearman", 1, np.random.default_rng(7))
    half = np.isin(np.arange(5), np.random.default_rng(7).permutation(5)[:2]).astype(float)
    for direction, drawn in enumerate((half, 1 - half)):
        expected = agreement(models, targets, drawn, stretch, "spearman")
        assert np.allclose(scores.choice[0, direction], expected)


def test_kendall_of_large_matrices_is_the_same(monkeypatch):
    rng = np.random.default_rng(7)
    models, targets = PairVectors.of(matrices(rng, 2)), PairVectors.of(matrices(rng, 2, levels=2))
    counts = draw_counts(15, 1, rng)[0]
    fast = agreement(models, targets, counts, np.arange(15), "kendall")
    monkeypatch.setattr(module, "MOST_ENTRIES", 1)
    assert np.allclose(agreement(models, targets, counts, np.arange(15), "kendall"), fast, atol=1e-12)


def autoregressive(rng, n, n_columns, step=0.85):
    values = rng.standard_normal((n, n_columns))
    for row in range(1, n):
        values[row] = step * values[row - 1] + np.sqrt(1 - step**2) * values[row]
    return values


def slow_matrices(rng):
    """A network's and a region's matrix of 60 blocks that follow one another slowly, sharing a part."""
    features = autoregressive(rng, 60, 20)
    cells = features @ rng.standard_normal((20, 40)) / np.sqrt(20) + autoregressive(rng, 60, 40)
    return PairVectors.of(item_similarity(features)[None]), PairVectors.of(item_similarity(cells)[None])


def test_intervals_over_stretches_are_wider_and_cover_where_blocks_do_not():
    rng = np.random.default_rng(8)
    every, stretch = np.ones(60), np.arange(60) // 6
    truth = np.mean([agreement(*slow_matrices(rng), every, np.arange(60), "spearman") for _ in range(200)])
    covered, width, bias = ({"block": [], "stretch": []} for _ in range(3))
    for _ in range(60):
        models, targets = slow_matrices(rng)
        point = agreement(models, targets, every, np.arange(60), "spearman")[0, 0]
        for name, unit in (("block", np.arange(60)), ("stretch", stretch)):
            n = int(unit.max()) + 1
            scores = pair_scores(models, targets, draw_counts(n, 150, rng), unit, "spearman", 0, rng)
            low, high = interval(point, scores.score[:, 0, 0], 0.95, n)
            covered[name].append(low <= truth <= high)
            width[name].append(high - low)
            bias[name].append(scores.score.mean() - point)
    assert np.mean(width["stretch"]) > 1.5 * np.mean(width["block"])
    assert np.mean(covered["stretch"]) >= 0.9 > np.mean(covered["block"]) + 0.05
    assert abs(np.mean(bias["stretch"])) < 0.02  # copies of a stretch would lift it by .05


@pytest.mark.parametrize("comparison", MEASURES)
@pytest.mark.parametrize("levels", [None, 2])  # similarities that tie have midranks
def test_other_orders_are_scored_as_reordered_matrices_are(comparison, levels):
    rng = np.random.default_rng(9)
    models, measured = matrices(rng, 3), matrices(rng, 2, levels=levels)
    stretch, once = np.repeat(np.arange(5), 3), np.ones((1, 5), np.float32)
    orders = np.stack([rng.permutation(15) for _ in range(4)])
    halves = np.random.default_rng(7)
    halvings = np.stack([first_half(once[0], halves)[stretch] for _ in range(3)])
    got = scores_in_orders(PairVectors.of(models), PairVectors.of(measured), orders, halvings, comparison)
    for number, order in enumerate(orders):
        reordered = PairVectors.of(measured[:, order][:, :, order])
        expected = pair_scores(
            PairVectors.of(models), reordered, once, stretch, comparison, 3, np.random.default_rng(7)
        )
        for name in ("score", "choice", "held_z", "weight"):
            assert np.allclose(getattr(got, name)[number], getattr(expected, name)[0], atol=1e-6), name
