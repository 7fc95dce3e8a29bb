"""Errors of shares: what is promised is seldom marked, what is broken mostly is, whatever regions share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from pipeline.inference.questions.calibration import AT_MOST, count
from pipeline.inference.questions.confusion import binomial_se, clustered_se

N_SETS = 20


def marked(n_hit: int, n_sets: int) -> bool:
    """Whether so many false families are marked."""
    return not count((np.arange(n_sets) < n_hit).astype(float)[:, None], 0.05, AT_MOST)["kept"]


def chance_of_a_mark(true: float, n_sets: int) -> float:
    return float(sum(binom.pmf(k, n_sets, true) * marked(k, n_sets) for k in range(n_sets + 1)))


@pytest.mark.parametrize(("n_sets", "by_chance", "found"), [(20, (0.01, 0.02), 0.55), (60, (0.02, 0.04), 0.95)])
def test_families_that_err_more_often_than_promised_are_marked(n_sets, by_chance, found) -> None:
    """Exactly. Of 20 data sets a family's share comes in steps of 5 points, so that only 1.6 % or 7.5 % can be had."""
    assert by_chance[0] < chance_of_a_mark(0.05, n_sets) < by_chance[1]
    assert chance_of_a_mark(0.2, n_sets) > found
    assert marked(n_sets, n_sets)


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.8])
def test_regions_that_share_their_noise(shared: float) -> None:
    """Six regions of 20 data sets: p < .05 in 5 % of them is marked in 2 to 5 %, in 20 % of them in most studies."""
    rng, n = np.random.default_rng(0), 1000
    noise = np.sqrt(shared) * rng.standard_normal((n, N_SETS, 1)) + np.sqrt(1 - shared) * rng.standard_normal(
        (n, N_SETS, 6)
    )
    share = {
        true: np.mean([not count((one > norm.isf(true)).astype(float), 0.05, AT_MOST)["kept"] for one in noise])
        for true in (0.05, 0.2)
    }
    assert 0.015 < share[0.05] < 0.05
    assert share[0.2] > 0.8


def test_an_error_is_that_of_whole_data_sets() -> None:
    """As many hits, spread over all data sets, or in two of them alone."""
    hit = np.zeros((20, 5))
    hit[:2] = 1
    spread = np.tile([1.0, 0, 0, 0, 0], (10, 1))
    spread = np.concatenate([spread, np.zeros((10, 5))])
    assert clustered_se(spread, 0.05) == pytest.approx(binomial_se(0.05, 100))
    assert clustered_se(hit, 0.05) > 2 * binomial_se(0.05, 100)
    assert clustered_se(np.ones((20, 5)), 0.05) == binomial_se(0.05, 100)
    hit[:, 3] = np.nan
    assert clustered_se(hit, 0.05) < 2.1 * binomial_se(0.05, 80)
    assert np.isnan(clustered_se(np.full((3, 2), np.nan), 0.05))
