"""Ceilings of simulated regions: noise gets none, reliabilities are unbiased, intervals cover."""

import numpy as np
import pytest

from benchmarks.calibration_ceilings import Design, calibrate, region_ceiling

pytestmark = pytest.mark.slow

N_SETS = 60
SE = np.sqrt(0.05 * 0.95 / N_SETS)

ITEMS = Design("items", 118, 2)
SHARED = Design("items, shared noise", 118, 2, shared=0.5)
FIVE = Design("five repeats", 118, 5, n_targets=20)
TIME = Design("time", 1000, 2, autocorrelation=0.9)


@pytest.mark.parametrize("design", [ITEMS, SHARED, FIVE, TIME], ids=lambda one: one.name)
def test_regions_of_noise_get_no_ceiling(design: Design) -> None:
    """Forty targets of noise: some exceed the floor of .05 in nearly every region."""
    found = calibrate(design, 0.0, N_SETS)
    assert found.passed <= 0.05 + 2 * SE
    assert found.coverage >= 0.95 - 2 * SE
    assert abs(found.bias) <= 0.01 + 2 * found.bias_se
    assert abs(found.signal_power_bias) <= 0.01


@pytest.mark.parametrize("reliability", [0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("design", [ITEMS, FIVE, TIME], ids=lambda one: one.name)
def test_planted_reliabilities_come_back(design: Design, reliability: float) -> None:
    n_sets = 30
    found = calibrate(design, reliability, n_sets, seed=1)
    assert abs(found.bias) <= 0.01
    assert found.coverage >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_sets)
    assert abs(found.signal_power_bias) <= 0.01
    assert reliability < 0.3 or found.passed == 1.0


def test_heavy_tails_bias_no_more_than_a_fiftieth() -> None:
    for reliability in (0.1, 0.3, 0.6, 0.9):
        assert abs(calibrate(Design("tails", 118, 2, heavy_tails=True), reliability, 30, seed=1).bias) <= 0.02


def test_noise_that_targets_share_widens_the_interval() -> None:
    """Forty targets with one noise are little more than one target."""
    widths = []
    for shared in (0.0, 0.9):
        generator = np.random.default_rng(2)
        found = [region_ceiling(Design("items", 118, 2, shared=shared), generator, 0.0) for _ in range(10)]
        widths.append(np.mean([one.high - one.low for one in found]))
    assert widths[1] > 3 * widths[0]
