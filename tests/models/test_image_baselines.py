"""Pixels as given, and Gabor energy that knows orientation and scale but not phase."""

import numpy as np
import pytest

from pipeline.models.baselines import image_baselines


def grating(wavelength_px, orientation, phase=0.0, size_px=64):
    y, x = np.mgrid[:size_px, :size_px]
    along = np.cos(orientation) * x + np.sin(orientation) * y
    return (127.5 + 100 * np.cos(2 * np.pi * along / wavelength_px + phase)).astype(np.uint8)[None, ..., None]


@pytest.mark.parametrize("scale", range(4))
@pytest.mark.parametrize("orientation", range(4))
def test_a_grating_drives_its_own_channel_most(scale, orientation):
    wavelength = image_baselines.WAVELENGTHS_PX[scale]
    energy = image_baselines.gabor_energy(grating(wavelength, orientation * np.pi / 4))
    assert energy.shape == (1, 16, 8, 8)
    assert int(energy[0, :, 2:6, 2:6].mean(axis=(1, 2)).argmax()) == 4 * scale + orientation


def test_energy_ignores_phase_and_mean_luminance():
    one, other = (image_baselines.gabor_energy(grating(8, 0.0, phase))[0, 4, 2:6, 2:6] for phase in (0.0, np.pi / 2))
    np.testing.assert_allclose(one, other, rtol=0.03)
    flat = np.full((1, 64, 64, 1), 200, dtype=np.uint8)
    assert np.abs(image_baselines.gabor_energy(flat)).max() < 1e-6


def test_energy_is_that_of_an_explicit_gabor_pair():
    """Against even and odd filters in space, over one cell in the middle of a picture of noise."""
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 1)).astype(np.uint8)
    wavelength, sd = 8, 0.56 * 8
    y, x = np.mgrid[-32:32, -32:32]
    envelope = np.exp(-(x**2 + y**2) / (2 * sd**2)) / (2 * np.pi * sd**2)
    pair = [envelope * wave(2 * np.pi * x / wavelength) for wave in (np.cos, np.sin)]
    field = picture[0, ..., 0] / 255 - picture.mean() / 255
    energies = [
        2 * np.hypot(*((np.roll(field, (32 - row, 32 - column), axis=(0, 1)) * part).sum() for part in pair))
        for row in range(24, 32)
        for column in range(24, 32)
    ]
    assert image_baselines.gabor_energy(picture)[0, 4, 3, 3] == pytest.approx(np.mean(energies), rel=0.01)


def test_small_pictures_are_taken_as_given_and_large_ones_shrunk():
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (2, 31, 31, 1)).astype(np.uint8)
    np.testing.assert_allclose(image_baselines.pixels(small)[:, 0], small[..., 0] / 255, atol=1e-7)
    assert image_baselines.pixels(generator.integers(0, 256, (2, 304, 608, 3)).astype(np.uint8)).shape == (2, 3, 32, 64)


def test_networks_follow_the_stimulus(pictures_of, all_layers):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 1)).astype(np.uint8)
    for load, layer in ((image_baselines.load_pixels, "pixels"), (image_baselines.load_gabor_energy, "energy")):
        network = load(None, None, None, "cpu")
        small, large = (all_layers(network, pictures_of(pictures), size)[layer] for size in (2, 5))
        np.testing.assert_array_equal(small, large)
    kind, items = network.clock(pictures_of(pictures))
    assert kind == "item"
    assert list(items) == [f"picture{index}" for index in range(5)]
