"""Kendall's τ-b as a matrix product, against scipy on written-out entries."""

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison import kendall
from pipeline.comparison.kendall import dense_ranks, kendall_tau


@pytest.mark.parametrize("bytes_at_once", [1 << 20, 5000])
@pytest.mark.parametrize("most", [1, 3, 40])
def test_equals_scipy_with_ties_and_multiplicities(bytes_at_once, most, monkeypatch):
    monkeypatch.setattr(kendall, "_BYTES_AT_ONCE", bytes_at_once)
    rng = np.random.default_rng(most)
    rows = np.concatenate([rng.standard_normal((2, 70)), rng.integers(0, 4, (2, 70))])
    columns = np.concatenate([rng.integers(0, 3, (2, 70)), rows[:2] + rng.standard_normal((2, 70))])
    weight = rng.integers(1, most + 1, 70)
    got = kendall_tau(dense_ranks(rows), dense_ranks(columns), weight.astype(float))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            expected = stats.kendalltau(np.repeat(row, weight), np.repeat(column, weight)).statistic
            assert got[i, j] == pytest.approx(expected, abs=1e-12)


def test_sums_stay_exact_where_single_precision_would_not(monkeypatch):
    """Multiplicities whose products exceed what float32 counts exactly, over all entries together."""
    monkeypatch.setattr(kendall, "_BYTES_AT_ONCE", 1 << 30)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2, 300))
    weight = rng.integers(1, 60, 300)
    got = kendall_tau(dense_ranks(values), dense_ranks(values), weight.astype(float))
    expected = stats.kendalltau(*(np.repeat(one, weight) for one in values)).statistic
    assert got[0, 1] == pytest.approx(expected, abs=1e-13) and got[0, 0] == pytest.approx(1, abs=1e-13)


def test_a_constant_vector_agrees_with_nothing():
    ranks = dense_ranks(np.array([[1.0, 1, 1, 1], [3, 1, 2, 5]]))
    assert kendall_tau(ranks, ranks, np.ones(4)).tolist() == [[0, 0], [0, 1]]
