"""CREPE tiny: reads pitch, hears nothing of the future, averages clips over their own windows only."""

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.models.networks import crepe

RATE_HZ = crepe.SAMPLING_RATE_HZ


@pytest.fixture(scope="module")
def network(weights):
    return crepe.load(crepe.CREPE_TINY, weights("crepe-tiny"), None, "cpu")


def noise(duration_s, seed=0):
    return np.random.default_rng(seed).standard_normal(int(duration_s * RATE_HZ)).astype(np.float32) * 0.1


@pytest.mark.parametrize("frequency_hz", [110.0, 440.0, 660.0])
def test_finds_the_pitch_of_a_tone(network, sounds_of, all_layers, frequency_hz):
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    pitch = all_layers(network, sounds_of([tone]))["pitch"]
    found_cents = crepe.LOWEST_PITCH_CENTS + 20 * pitch.argmax(axis=1)
    expected_cents = 1200 * np.log2(frequency_hz / 10)
    assert np.abs(np.median(found_cents) - expected_cents) < 30


def test_layers_are_those_of_the_registry(network, sounds_of, all_layers):
    layers = all_layers(network, sounds_of([noise(0.5)]))
    assert list(layers) == [layer.name for layer in crepe.CREPE_TINY.layers]
    assert layers["conv1"].shape == (5, 128, 128)
    assert layers["conv6"].shape == (5, 64, 4)
    assert sum(values.numel() for values in network.module.parameters()) == crepe.CREPE_TINY.parameters


def test_time_is_the_end_of_what_was_heard_and_the_future_changes_nothing(network, sounds_of, all_layers):
    sound = noise(2.0)
    kind, time_s = network.clock(sounds_of([sound]))
    assert kind == "time"
    np.testing.assert_allclose(time_s, 0.1 * np.arange(1, 21))
    changed = sound.copy()
    changed[int(1.0 * RATE_HZ) :] = noise(1.0, seed=1)
    before, after = all_layers(network, sounds_of([sound])), all_layers(network, sounds_of([changed]))
    past = time_s <= 1.0
    for name in before:
        np.testing.assert_array_equal(before[name][past], after[name][past])
        assert np.abs(before[name][~past] - after[name][~past]).max() > 0


def test_batch_size_does_not_change_the_numbers(network, sounds_of, all_layers):
    stimulus = sounds_of([noise(2.0)])
    small, large = all_layers(network, stimulus, 3), all_layers(network, stimulus, 64)
    for name, values in small.items():
        assert np.abs(values - large[name]).max() < 1e-5 * values.std(), name


def test_clips_are_means_over_their_own_windows(network, sounds_of, all_layers):
    short, long = noise(0.35), noise(1.0, seed=1)
    loud_padding = all_layers(network, sounds_of([short, long], padding=0.9))
    alone = all_layers(network, sounds_of([short]))
    for name, values in loud_padding.items():
        np.testing.assert_allclose(values[0], alone[name].mean(axis=0), atol=1e-5)


def test_silence_is_finite(network, sounds_of, all_layers):
    assert all(np.isfinite(values).all() for values in all_layers(network, sounds_of([np.zeros(RATE_HZ)])).values())


def test_a_clip_shorter_than_a_window_is_refused(network, sounds_of):
    with pytest.raises(BrokenArtifact, match=r"clip of 0.050 s, shorter than one window of 0.064 s"):
        network.clock(sounds_of([noise(0.05), noise(1.0)]))


def test_other_sampling_rates_are_brought_to_16_khz(network, sounds_of, all_layers):
    tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100).astype(np.float32)
    stimulus = sounds_of([tone], sampling_rate_hz=44_100)
    found_cents = crepe.LOWEST_PITCH_CENTS + 20 * all_layers(network, stimulus)["pitch"].argmax(axis=1)
    assert np.abs(np.median(found_cents) - 1200 * np.log2(44)) < 30
    np.testing.assert_allclose(network.clock(stimulus)[1][-1], 1.0)
