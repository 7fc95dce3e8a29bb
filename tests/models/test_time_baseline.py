"""Elapsed time: moments are alike by how near they are, and by nothing that is shown."""

import numpy as np
import pytest

from pipeline.comparison.similarity import item_similarity
from pipeline.models.baselines.blind_baselines import ELAPSED_TIME, WIDTHS_S, load_elapsed_time

FRAME_RATE_HZ = 30.0
LAYERS = [layer.name for layer in ELAPSED_TIME.layers]


@pytest.fixture(scope="module")
def layers(pictures_of, all_layers):
    """Frames → every layer of the baseline."""

    def show(frames, batch_size=64):
        network = load_elapsed_time(ELAPSED_TIME, None, None, "cpu")
        return all_layers(network, pictures_of(frames, FRAME_RATE_HZ), batch_size)

    return show


def noise(seed, n_frames=300):
    return np.random.default_rng(seed).integers(0, 256, (n_frames, 4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize(("name", "width_s"), list(zip(LAYERS, WIDTHS_S, strict=True)))
def test_alike_by_the_time_between_and_nothing_else(layers, name, width_s):
    """Against the correlation of two Gaussian bumps, exp(−Δt²/4w²), brought to a mean of 0 over features."""
    features = layers(noise(0))[name]
    time_s = (1 + np.arange(300)) / FRAME_RATE_HZ
    bump = np.exp(-((time_s[:, None] - time_s) ** 2) / (4 * width_s**2))
    # bumps one SD apart: their sum is √2π and the sum of their squares √π, wherever the moment lies
    mean_part = 2 * np.sqrt(np.pi) / features.shape[1]
    np.testing.assert_allclose(item_similarity(features), (bump - mean_part) / (1 - mean_part), atol=2e-3)


def test_bumps_end(layers):
    """Tails of all sizes would be scaled up in a training set that lacks the bump's own stretch of the movie."""
    values = np.concatenate([features[features > 0] for features in layers(noise(0)).values()])
    assert 1e-4 < values.min() < values.max() <= 1


def test_what_is_shown_does_not_matter_but_how_long_it_is(layers):
    first, second, longer = layers(noise(1)), layers(noise(2)), layers(noise(1, 600))
    for name in LAYERS:
        np.testing.assert_array_equal(first[name], second[name])
        n = first[name].shape[1]
        assert longer[name].shape[1] > n
        np.testing.assert_array_equal(longer[name][:300, : n - 8], first[name][:, : n - 8])


def test_the_pictures_are_never_read(pictures_of):
    class Unreadable:
        def __init__(self, stimulus):
            self.attrs, self.sizes = stimulus.attrs, stimulus.sizes

        def __getitem__(self, name):
            raise AssertionError(f"{name} was read")

    stimulus = Unreadable(pictures_of(noise(3), FRAME_RATE_HZ))
    network = load_elapsed_time(ELAPSED_TIME, None, None, "cpu")
    assert [start for start, _ in network.batches(stimulus, 128)] == [0, 128, 256]


def test_batches_agree(layers):
    alone, together = layers(noise(4), 7), layers(noise(4), 512)
    for name in LAYERS:
        np.testing.assert_array_equal(alone[name], together[name])
