"""What animals agree on, against simulations in which the matrix behind them is known."""

import numpy as np
import pytest

from pipeline.comparison.ceilings import ceilings_across_animals, pairwise_agreement
from pipeline.comparison.similarity import compare, item_similarity, upper_triangle

COMPARISONS = ["pearson", "spearman", "kendall"]


def animals(rng, n, features, signal=0.4, n_cells=25):
    """Upper triangles of n animals' matrices: cells are random projections of the features, with noise."""
    found = []
    for _ in range(n):
        cells = features @ rng.standard_normal((features.shape[1], n_cells)) / np.sqrt(features.shape[1])
        cells = np.sqrt(signal) * cells + np.sqrt(1 - signal) * rng.standard_normal(cells.shape)
        found.append(upper_triangle(item_similarity((cells - cells.mean(axis=0)) / cells.std(axis=0))))
    return np.array(found)


def ceilings_of(pairs, comparison, regions=None):
    names = np.array([f"m{i}" for i in range(len(pairs))])
    regions = np.array(["V"] * len(pairs)) if regions is None else regions
    return ceilings_across_animals(pairs, pairwise_agreement(pairs, comparison), names, regions, comparison)


@pytest.mark.parametrize("comparison", COMPARISONS)
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


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_unrelated_animals_have_no_ceiling(comparison):
    rng = np.random.default_rng(2)
    reliability = [
        ceilings_of(np.concatenate([animals(rng, 1, rng.standard_normal((30, 8))) for _ in range(6)]), comparison)
        for _ in range(20)
    ]
    values = np.array([found.reliability[0] for found in reliability])
    assert values.mean() < 0.02 and (values == 0).any()
    assert all(np.isnan(found.ceiling[0]) for found in reliability if found.reliability[0] == 0)


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


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("most_entries", [4000, 10])
def test_pairwise_agreement_equals_pair_by_pair(comparison, most_entries, monkeypatch):
    monkeypatch.setattr("pipeline.comparison.ceilings.MOST_ENTRIES", most_entries)
    rng = np.random.default_rng(4)
    pairs = np.concatenate([rng.standard_normal((3, 45)), rng.integers(0, 3, (2, 45)), np.ones((1, 45))])
    expected = np.array([[compare(a, b, comparison) for b in pairs] for a in pairs])
    np.fill_diagonal(expected, 1.0)
    assert np.allclose(pairwise_agreement(pairs, comparison), expected, atol=1e-12)
