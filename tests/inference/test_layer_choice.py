"""Nested choice of the layer, the set of best layers and the depth index."""

import numpy as np
import pytest

from pipeline.inference.layer_choice import best_layer_set, by_depth, choose_layers, distinguishable, most_frequent
from pipeline.inference.profile import depth_index, estimate, is_flat, mean_over_targets
from pipeline.inference.scores.bootstrap import (
    Sampled,
    draw_counts,
    expanded_confidence,
    generator,
    interval,
    widening_of,
)
from pipeline.inference.scores.fold_scores import average_folds, block_sums, fold_scores


def profile_of(dataset, counts=None):
    n_targets = dataset.sizes["target"]
    scores = fold_scores(block_sums(dataset), counts)
    return estimate(scores, np.arange(n_targets), np.ones((1, n_targets)), dataset["relative_depth"].values)


def test_nested_choice_by_hand():
    z = np.arctanh(np.array([[0.5, 0.4], [0.1, 0.6], [0.2, 0.3]]))[None, :, :, None]  # 3 folds × 2 layers
    scores = average_folds(z, np.ones((1, 3, 1)))
    profile = estimate(scores, np.array([0]), np.ones((1, 1)), np.array([0.0, 1.0]))
    # other folds of 0: layer 1; of 1: (.5, .2) against (.4, .3) by z: .357 against .351 → layer 0; of 2: layer 1
    assert profile.choices.tolist() == [[1, 0, 1]]
    assert profile.nested[0] == pytest.approx(np.tanh(np.arctanh([0.4, 0.1, 0.3]).mean()))
    assert profile.best[0] == 1


def test_constant_choice_gives_that_layers_score(make_planted, make_blocks):
    strengths = np.array([[0.1, 0.1], [0.2, 0.1], [0.8, 0.7]])
    profile = profile_of(make_planted(np.random.default_rng(0), strengths, make_blocks()))
    assert profile.choices.tolist() == [[2] * 5]
    assert profile.nested[0] == pytest.approx(profile.score[0, 2], abs=1e-12)


def test_ties_go_to_the_shallower_layer():
    order = by_depth(np.array([1.0, 0.0, 0.5]))
    layer, defined = choose_layers(np.array([[[0.3, 0.3, 0.2], [np.nan] * 3]]), order)
    assert layer[0, 0] == 1 and defined.tolist() == [[True, False]]
    assert most_frequent(np.array([[0, 2, 0, 2]]), np.ones((1, 4), bool), order).tolist() == [2]


def test_nested_score_is_unbiased_on_noise_and_the_maximum_is_not(make_planted, make_blocks):
    rng = np.random.default_rng(1)
    n_regions = 150
    dataset = make_planted(rng, np.zeros((12, n_regions)), make_blocks(samples_per_block=10))
    scores = fold_scores(block_sums(dataset))
    profiles = [
        estimate(scores, np.array([region]), np.ones((1, 1)), dataset["relative_depth"].values)
        for region in range(n_regions)
    ]
    nested = np.array([profile.nested[0] for profile in profiles])
    highest = np.array([profile.score[0].max() for profile in profiles])
    assert abs(nested.mean()) < 2 * nested.std(ddof=1) / np.sqrt(n_regions)
    assert highest.mean() > 10 * highest.std(ddof=1) / np.sqrt(n_regions)


@pytest.mark.parametrize("n_folds", [3, 6])
def test_interval_covers_zero_on_noise(make_planted, make_blocks, n_folds):
    """Expanded intervals cover as often as they say, with 18 blocks and with 36; plain percentiles fell short (.92)."""
    rng = np.random.default_rng(2)
    n_regions = 400
    dataset = make_planted(rng, np.zeros((1, n_regions)), make_blocks(n_folds=n_folds))
    n_blocks = dataset.sizes["block"]
    draws = fold_scores(block_sums(dataset), draw_counts(n_blocks, 1000, generator(0, "unit"))).score[:, 0]
    low, high = interval(fold_scores(block_sums(dataset)).score[0, 0], draws, 0.95, n_blocks)
    coverage = ((low <= 0) & (high >= 0)).mean()
    standard_error = np.sqrt(0.95 * 0.05 / n_regions)
    assert 0.95 - 3 * standard_error <= coverage <= 0.995


def flat(point, draws):
    nested, spread = (
        Sampled(getattr(point, name)[0], getattr(draws, name), "block", 30, widening_of(5))
        for name in ("nested", "spread")
    )
    return is_flat(nested, spread, 0.95)


def test_sharp_profile_gives_the_planted_depth(make_planted, make_blocks):
    rng = np.random.default_rng(3)
    counts = draw_counts(30, 200, generator(0, "unit"))
    for planted in (0, 4, 8):
        strengths = np.zeros((9, 6))
        strengths[planted] = 0.9
        dataset = make_planted(rng, strengths, make_blocks(samples_per_block=100))
        point, draws = profile_of(dataset), profile_of(dataset, counts)
        assert point.depth[0] == pytest.approx(planted / 8, abs=0.1)
        assert point.best[0] == planted
        assert not flat(point, draws)


def test_flat_profiles_have_no_depth(make_planted, make_blocks):
    rng = np.random.default_rng(4)
    counts = draw_counts(30, 200, generator(0, "unit"))
    found = []
    for strength in (0.0, 0.5):  # nothing predicted; every layer predicts equally well
        for _ in range(10):
            dataset = make_planted(rng, np.full((9, 1), strength), make_blocks())
            found.append(flat(profile_of(dataset), profile_of(dataset, counts)))
    assert np.mean(found) >= 0.85


def test_depth_index_by_hand():
    depth = depth_index(np.array([[0.1, 0.3, 0.5], [0.2, 0.2, 0.2]]), np.array([0.0, 0.5, 1.0]))
    assert depth[0] == pytest.approx((0.2 * 0.5 + 0.4 * 1.0) / 0.6)
    assert np.isnan(depth[1])


def test_best_layer_set_uses_paired_differences():
    rng = np.random.default_rng(5)
    shared = rng.normal(0, 0.2, 500)  # errors common to the layers cancel in the pair
    draws = shared[:, None] + np.array([0.5, 0.48, 0.3]) + rng.normal(0, 0.01, (500, 3))
    members = best_layer_set(Sampled(np.array([0.5, 0.48, 0.3]), draws, "block", 30, widening_of(5)), 0, 0.95)
    assert members.tolist() == [True, True, False]
    assert distinguishable(members, np.array([0.0, 0.2, 1.0]))
    assert not distinguishable(np.array([True, False, True]), np.array([0.0, 0.2, 1.0]))


def test_mean_over_targets_leaves_undefined_ones_out():
    values = np.array([[[1.0, np.nan, 3.0]]])
    assert mean_over_targets(values, np.array([[1.0, 1.0, 3.0]]))[0, 0] == pytest.approx(2.5)
    assert np.isnan(mean_over_targets(values, np.array([[0.0, 1.0, 0.0]]))[0, 0])


def test_expanded_confidence():
    """Hesterberg 2015, section 3.3: t quantiles and √(n/(n − 1))."""
    assert expanded_confidence(0.95, 15) == pytest.approx(1 - 2 * 0.0132, abs=5e-4)
    assert expanded_confidence(0.95, 100_000) == pytest.approx(0.95, abs=1e-4)
    assert expanded_confidence(0.95, 1) == 1.0
