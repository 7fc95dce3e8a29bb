"""Motion energy against gratings that drift at a known rate and direction."""

import numpy as np
import pytest

from pipeline.core.errors import LayermapError
from pipeline.models.baselines.image_baselines import N_ORIENTATIONS, WAVELENGTHS_PX
from pipeline.models.baselines.motion_baseline import MOTION_ENERGY, RATES_HZ, load, temporal_filters

pytestmark = pytest.mark.slow

FRAME_RATE_HZ = 30.0
ALL_RATES_HZ = [*RATES_HZ, *(-rate for rate in RATES_HZ if rate)]


@pytest.fixture(scope="module")
def network():
    return load(MOTION_ENERGY, None, None, "cpu")


def grating(rate_hz, wavelength_px=8, n_frames=30):
    """A vertical grating of 64 px that drifts to the right at positive rates."""
    time_s = np.arange(n_frames)[:, None, None] / FRAME_RATE_HZ
    x = np.arange(64)[None, None, :]
    frames = 127 + 100 * np.cos(2 * np.pi * (x / wavelength_px - rate_hz * time_s)) * np.ones((1, 64, 1))
    return frames.round().astype(np.uint8)[..., None]


def energy_of(network, frames, pictures_of, all_layers):
    """Mean over places and late frames: (scale, orientation, rate)."""
    energy = all_layers(network, pictures_of(frames, FRAME_RATE_HZ))["energy"][16:].mean(axis=(0, 2, 3))
    return energy.reshape(len(WAVELENGTHS_PX), N_ORIENTATIONS, len(ALL_RATES_HZ))


@pytest.mark.parametrize("rate_hz", [2, 4, 8, -2, -4, -8])
def test_energy_is_greatest_at_the_gratings_own_scale_orientation_and_drift(network, rate_hz, pictures_of, all_layers):
    energy = energy_of(network, grating(rate_hz), pictures_of, all_layers)
    scale, orientation, rate = np.unravel_index(energy.argmax(), energy.shape)
    assert (WAVELENGTHS_PX[scale], orientation, ALL_RATES_HZ[rate]) == (8, 0, rate_hz)
    opposite = energy[scale, orientation, ALL_RATES_HZ.index(-rate_hz)]
    assert energy.max() > 1.5 * opposite


def test_what_stands_still_has_no_direction(network, pictures_of, all_layers):
    energy = energy_of(network, grating(0), pictures_of, all_layers)
    n = len(RATES_HZ)
    np.testing.assert_allclose(energy[..., 1:n], energy[..., n:], rtol=1e-4, atol=1e-6)


def test_no_future_frame_counts(network, pictures_of, all_layers):
    frames = grating(4)
    changed = frames.copy()
    changed[20:] = np.random.default_rng(0).integers(0, 256, changed[20:].shape)
    before, after = (all_layers(network, pictures_of(one, FRAME_RATE_HZ))["energy"] for one in (frames, changed))
    np.testing.assert_array_equal(before[:20], after[:20])
    assert np.abs(before[20:] - after[20:]).max() > 0.01


def test_batches_agree(network, pictures_of, all_layers):
    stimulus = pictures_of(grating(4), FRAME_RATE_HZ)
    alone, together = (all_layers(network, stimulus, size)["energy"] for size in (7, 64))
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-6)


def test_filters_have_gain_one_at_their_own_rate():
    filters = temporal_filters(60.0)
    lags_s = np.arange(filters.shape[1])[::-1] / 60.0
    gains = np.abs((filters * np.exp(2j * np.pi * np.array(ALL_RATES_HZ)[:, None] * lags_s)).sum(axis=1))
    np.testing.assert_allclose(gains, 1, rtol=1e-6)


def test_slow_movies_are_refused(network, pictures_of):
    with pytest.raises(LayermapError, match=r"needs 16 frames per second, but stimulus 'movie' has 1; use gabor"):
        network.clock(pictures_of(grating(4), 1.0))
