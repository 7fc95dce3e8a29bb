"""What animals agree on, against simulations in which the matrix behind them is known."""

import numpy as np
import pytest

from pipeline.comparison.ceilings import (
    as_correlation,
    ceilings_across_animals,
    or_over_repeats,
    pairwise_agreement,
    parts_of_entries,
    reliability_over_repeats,
)
from pipeline.comparison.similarity import compare, item_similarity, upper_triangle
from pipeline.encoding.group.jackknife import reliability_interval

pytestmark = pytest.mark.slow

COMPARISONS = ["pearson", "spearman", "kendall"]
OF_CHANCE_ZERO = [*COMPARISONS, "whitened_pearson", "debiased_cka"]


def animals(rng, n, features, signal=0.4, n_cells=25):
    """Upper triangles of n animals' matrices: cells are random projections of the features, with noise."""
    found = []
    for _ in range(n):
        cells = features @ rng.standard_normal((features.shape[1], n_cells)) / np.sqrt(features.shape[1])
        cells = np.sqrt(signal) * cells + np.sqrt(1 - signal) * rng.standard_normal(cells.shape)
        found.append(upper_triangle(item_similarity((cells - cells.mean(axis=0)) / cells.std(axis=0))))
    return np.array(found)


def parts_of(pairs):
    """Each of the items behind the pairs is a part, or one of 20."""
    n_items = int(np.sqrt(2 * pairs.shape[-1])) + 1
    return parts_of_entries(np.arange(n_items), in_time=False)


def lower(reliability, deviation):
    """Of its 95 % interval."""
    return reliability_interval(reliability, np.sqrt((deviation**2).sum()), deviation.size - 1, 0.95)[0]


def ceilings_of(pairs, comparison, regions=None):
    names = np.array([f"m{i}" for i in range(len(pairs))])
    regions = np.array(["V"] * len(pairs)) if regions is None else regions
    agreement = pairwise_agreement(pairs, comparison)
    return ceilings_across_animals(pairs, agreement, names, regions, parts_of(pairs), comparison)


@pytest.mark.parametrize("comparison", OF_CHANCE_ZERO)
@pytest.mark.parametrize("n_animals", [6, 12])
def test_ceiling_is_what_the_matrix_behind_all_animals_would_reach(comparison, n_animals):
    """That matrix is known here as the mean over many other animals."""
    estimate, truth, alone = [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        features = rng.standard_normal((40, 8))
        behind = animals(rng, 300, features).mean(axis=0)
        pairs = animals(rng, n_animals, features)
        found = ceilings_of(pairs, comparison)
        estimate.append(found.ceiling[0])
        truth.append(np.mean([compare(one, behind, comparison) for one in pairs]))
        alone.append(found.leave_one_out.mean())
        assert set(found.kind) == {"across_animals"}
    assert np.mean(estimate) == pytest.approx(np.mean(truth), rel=0.03)
    assert np.mean(alone) < np.mean(truth) - 0.01  # the mean of few others holds their noise


def test_the_three_comparisons_have_one_reliability():
    rng = np.random.default_rng(1)
    pairs = animals(rng, 12, rng.standard_normal((40, 8)))
    found = [ceilings_of(pairs, comparison).reliability[0] for comparison in COMPARISONS]
    assert found[2] == pytest.approx(found[1], abs=0.03) and found[0] == pytest.approx(found[1], abs=0.06)


@pytest.mark.parametrize("comparison", OF_CHANCE_ZERO)
def test_unrelated_animals_have_no_ceiling(comparison):
    rng = np.random.default_rng(2)
    reliability = [
        ceilings_of(np.concatenate([animals(rng, 1, rng.standard_normal((30, 8))) for _ in range(6)]), comparison)
        for _ in range(20)
    ]
    values = np.array([found.reliability[0] for found in reliability])
    assert abs(values.mean()) < 0.02 and (values < 0).any()
    assert all(np.isnan(found.ceiling[0]) == (found.reliability[0] <= 0) for found in reliability)


@pytest.mark.parametrize("comparison", OF_CHANCE_ZERO)
@pytest.mark.parametrize("n_animals", [2, 6])
def test_regions_whose_animals_share_nothing_are_not_taken_for_reliable(comparison, n_animals):
    """Two animals are enough for an interval over items."""
    rng = np.random.default_rng(12)
    passed = []
    for _ in range(60):
        pairs = np.concatenate([animals(rng, 1, rng.standard_normal((24, 8))) for _ in range(n_animals)])
        found = ceilings_of(pairs, comparison)
        passed.append(lower(found.reliability[0], found.deviation[:, 0]) > 0.05)
    assert np.mean(passed) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("comparison", OF_CHANCE_ZERO)
def test_interval_over_items_covers_what_all_items_would_give(comparison):
    """The same two animals, whose cells stay, over items drawn anew each time."""
    rng = np.random.default_rng(13)
    weights = [rng.standard_normal((8, 40)) / np.sqrt(8) for _ in range(2)]

    def pairs_over(n_items):
        features = rng.standard_normal((n_items, 8))
        return np.array([matrix_of(features @ own + rng.standard_normal((n_items, 40))) for own in weights])

    truth = as_correlation(compare(*pairs_over(500), comparison), comparison)
    covered = []
    for _ in range(60):
        found = ceilings_of(pairs_over(40), comparison)
        se = np.sqrt((found.deviation[:, 0] ** 2).sum())
        low, high = reliability_interval(found.reliability[0], se, 19, 0.95)
        covered.append(low <= truth <= high)
    assert 0.1 < truth < 0.9 and np.mean(covered) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 60)


def test_regions_have_their_own_ceiling_and_an_animal_alone_has_none():
    rng = np.random.default_rng(3)
    pairs = np.concatenate(
        [animals(rng, 3, rng.standard_normal((30, 8))), animals(rng, 1, rng.standard_normal((30, 8)))]
    )
    found = ceilings_of(pairs, "spearman", np.array(["A", "A", "A", "B"]))
    table = pairwise_agreement(pairs, "spearman")
    assert found.reliability[0] == pytest.approx((table[0, 1] + table[0, 2] + table[1, 2]) / 3)
    assert found.kind.tolist() == ["across_animals"] * 3 + ["none"]
    assert np.isnan([found.reliability[3], found.ceiling[3], found.leave_one_out[3]]).all()
    assert found.leave_one_out[0] == pytest.approx(compare(pairs[0], pairs[1:3].mean(axis=0), "spearman"))


@pytest.mark.parametrize("comparison", OF_CHANCE_ZERO)
@pytest.mark.parametrize("most_entries", [4000, 10])
def test_pairwise_agreement_equals_pair_by_pair(comparison, most_entries, monkeypatch):
    monkeypatch.setattr("pipeline.comparison.ceilings.MOST_ENTRIES", most_entries)
    rng = np.random.default_rng(4)
    pairs = np.concatenate([rng.standard_normal((3, 45)), rng.integers(0, 3, (2, 45)), np.ones((1, 45))])
    expected = np.array([[compare(a, b, comparison) for b in pairs] for a in pairs])
    np.fill_diagonal(expected, 1.0)
    assert np.allclose(pairwise_agreement(pairs, comparison), expected, atol=1e-12)


def repeats_reliability(responses, comparison, seed):
    """Of one animal's matrix, with its deviations."""
    parts = parts_of_entries(np.arange(responses.shape[1]), in_time=False)
    return reliability_over_repeats(responses, matrix_of, parts, comparison, seed=seed)


def matrix_of(mean):
    """Upper triangle over items of mean responses (item, cell)."""
    return upper_triangle(item_similarity(mean - mean.mean(axis=0)))


def repeats_of(rng, signal, noise, n_repeats):
    """(repeat, item, cell): the same cells' responses to the same items, once more at every call."""
    return signal + noise * rng.standard_normal((n_repeats, *signal.shape))


@pytest.mark.parametrize("comparison", OF_CHANCE_ZERO)
def test_reliability_over_repeats_is_that_of_the_cells_recorded_once_more(comparison):
    estimate, truth = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        signal = rng.standard_normal((40, 8)) @ rng.standard_normal((8, 30)) / np.sqrt(8)
        first, again = repeats_of(rng, signal, 1.0, 8), repeats_of(rng, signal, 1.0, 8)
        estimate.append(repeats_reliability(first, comparison, seed)[0])
        agreement = compare(matrix_of(first.mean(axis=0)), matrix_of(again.mean(axis=0)), comparison)
        truth.append(as_correlation(agreement, comparison))
    assert 0.8 < np.mean(truth) < 0.96
    assert np.mean(truth) - 0.03 < np.mean(estimate) < np.mean(truth) + 0.005


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_reliability_of_two_repeats_is_stepped_up_by_hand(comparison):
    rng = np.random.default_rng(5)
    responses = repeats_of(rng, rng.standard_normal((20, 10)), 1.0, 2)
    agreement = compare(*(matrix_of(one) for one in responses), comparison)
    r = np.sin(np.pi * agreement / 2) if comparison == "kendall" else agreement
    assert repeats_reliability(responses, comparison, 0)[0] == pytest.approx(2 * r / (1 + r))


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_noise_alone_is_not_reliable_over_repeats(comparison):
    rng = np.random.default_rng(6)
    found = [repeats_reliability(rng.standard_normal((6, 24, 20)), comparison, seed) for seed in range(40)]
    values = np.array([value for value, _ in found])
    assert abs(values.mean()) < 0.04 and (values < 0).any()
    assert np.mean([lower(*one) > 0.05 for one in found]) <= 0.05


def test_noise_that_outlasts_an_item_passes_for_reliable():
    """A limit, stated where the estimate is described: neighbours are alike in both halves without any stimulus."""
    noise = np.random.default_rng(7).standard_normal((6, 51, 20))
    slow = np.mean([noise[:, lag : lag + 40] for lag in range(12)], axis=0)
    assert repeats_reliability(slow, "spearman", 0)[0] > 0.5


def test_missing_repeats_are_left_out_of_the_halves():
    rng = np.random.default_rng(8)
    responses = repeats_of(rng, rng.standard_normal((30, 12)), 1.0, 4)
    parts = np.arange(30) % 2
    expected = [reliability_over_repeats(responses, matrix_of, parts, "pearson", seed=seed)[0] for seed in range(30)]
    filled = np.full((6, 30, 12), np.nan)
    for item in range(30):  # each item's repeats lie elsewhere
        filled[rng.permutation(6)[:4], item] = responses[:, item]
    found = [reliability_over_repeats(filled, matrix_of, parts, "pearson", seed=seed)[0] for seed in range(30)]
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.01)
    single = filled.copy()
    single[:, 3, 5] = np.where(np.isfinite(single[:, 3, 5]).cumsum(axis=0) == 1, single[:, 3, 5], np.nan)
    kept = []

    def pairs_of(mean):
        kept.append(np.flatnonzero(np.isnan(mean).any(axis=1)).tolist())
        return None

    unknown = reliability_over_repeats(single, pairs_of, parts, "pearson", seed=0)
    assert np.isnan(unknown[0]) and np.isnan(unknown[1]).all() and kept[0] == [3]
    unknown = repeats_reliability(responses[:1], "pearson", 0)
    assert np.isnan(unknown[0]) and unknown[1].shape == (20,) and np.isnan(unknown[1]).all()


def test_repeats_give_a_ceiling_only_to_an_animal_alone():
    rng = np.random.default_rng(9)
    pairs = animals(rng, 6, rng.standard_normal((30, 8)))
    across = ceilings_of(pairs, "kendall", np.array(["A", "A", "B", "C", "D", "E"]))
    found = or_over_repeats(across, np.array([0.9, 0.9, 0.64, -0.1, np.nan, 1.0]), np.full((20, 6), 0.5), "kendall")
    assert found.kind.tolist() == ["across_animals"] * 2 + ["split_half_repeats"] * 2 + ["none", "split_half_repeats"]
    assert found.reliability[:2].tolist() == across.reliability[:2].tolist()
    assert found.ceiling[:2].tolist() == across.ceiling[:2].tolist()
    assert found.reliability[[2, 3, 5]].tolist() == [0.64, -0.1, 1.0]
    assert np.sin(np.pi * found.ceiling[2] / 2) == pytest.approx(0.8) and found.ceiling[5] == pytest.approx(1.0)
    assert np.isnan(found.ceiling[[3, 4]]).all() and np.isnan(found.reliability[4])
    np.testing.assert_array_equal(found.deviation[:, :2], across.deviation[:, :2])
    assert (found.deviation[:, [2, 3, 5]] == 0.5).all()
