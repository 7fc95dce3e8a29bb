"""Log-mel spectra against transformers' filters, modulation filters against modulated sound."""

import numpy as np
import pytest

from pipeline.core.errors import LayermapError
from pipeline.models.baselines import audio_baselines

RATE_HZ = 16_000
TIME_S = np.arange(2 * RATE_HZ) / RATE_HZ


def test_filters_are_those_of_transformers():
    from transformers.audio_utils import mel_filter_bank

    expected = mel_filter_bank(
        num_frequency_bins=audio_baselines.N_FFT // 2 + 1,
        num_mel_filters=audio_baselines.N_BANDS,
        min_frequency=audio_baselines.LOWEST_HZ,
        max_frequency=audio_baselines.HIGHEST_HZ,
        sampling_rate=RATE_HZ,
        norm=None,
        mel_scale="htk",
    )
    np.testing.assert_allclose(audio_baselines.mel_filters(), expected.T, atol=1e-9)


def test_a_tone_is_loudest_in_its_band_and_10_db_are_10_db():
    tone = np.sin(2 * np.pi * 1000 * TIME_S)
    spectra = audio_baselines.log_mel(np.stack([tone, tone / np.sqrt(10)]))
    centre_mel = np.linspace(*(2595 * np.log10(1 + np.array([50, 8000]) / 700)), 66)[1:-1]
    assert int(spectra[0].mean(axis=0).argmax()) == int(np.abs(centre_mel - 2595 * np.log10(1 + 1000 / 700)).argmin())
    assert (spectra[0] - spectra[1]).max() == pytest.approx(10, abs=1e-6)
    assert audio_baselines.log_mel(np.zeros((1, RATE_HZ))).max() == -100


def test_log_mel_hears_no_future(sounds_of, all_layers):
    network = audio_baselines.load_log_mel(None, None, None, "cpu")
    sound = np.random.default_rng(0).standard_normal(2 * RATE_HZ).astype(np.float32)
    changed = sound.copy()
    changed[RATE_HZ:] = 0
    time_s = network.clock(sounds_of([sound]))[1]
    np.testing.assert_allclose(time_s, 0.1 * np.arange(1, 21))
    before, after = (all_layers(network, sounds_of([s]))["log-mel"] for s in (sound, changed))
    np.testing.assert_array_equal(before[time_s <= 1], after[time_s <= 1])
    assert (before[time_s > 1.1] > after[time_s > 1.1] + 10).all()


def modulation_of(sound):
    """(rate, scale; negative scales fall) → energy in dB, mean over regions."""
    features = audio_baselines.describe_clip(sound.astype(np.float32))[audio_baselines.N_BANDS :]
    energies = features.reshape(-1, audio_baselines.N_REGIONS).mean(axis=1)
    return dict(zip(audio_baselines.modulations(), energies, strict=True))


@pytest.mark.parametrize("rate_hz", [4, 8, 16])
def test_modulated_noise_has_energy_at_its_rate(rate_hz):
    noise = 0.1 * np.random.default_rng(0).standard_normal(TIME_S.size)
    plain, modulated = modulation_of(noise), modulation_of(noise * (1 + 0.9 * np.sin(2 * np.pi * rate_hz * TIME_S)))
    gain = {rate: modulated[rate, 0] - plain[rate, 0] for rate in audio_baselines.RATES_HZ if rate}
    assert max(gain, key=gain.get) == rate_hz


def test_rising_and_falling_sweeps_differ():
    sweep = 0.1 * np.sin(2 * np.pi * np.cumsum(500 * 8 ** ((TIME_S * 4) % 1)) / RATE_HZ)
    rising, falling = modulation_of(sweep), modulation_of(sweep[::-1])
    preference = {sign: rising[4, sign * 2] - falling[4, sign * 2] for sign in (1, -1)}
    assert preference[1] * preference[-1] < 0
    assert min(abs(value) for value in preference.values()) > 3


def test_modulation_of_a_recording_is_that_of_the_last_two_seconds(sounds_of, all_layers):
    network = audio_baselines.load_spectrogram_modulation(None, None, None, "cpu")
    sound = np.random.default_rng(0).standard_normal(7 * RATE_HZ // 2).astype(np.float32)
    kind, time_s = network.clock(sounds_of([sound]))
    assert kind == "time"
    np.testing.assert_allclose(time_s, [1, 2, 3])
    heard = all_layers(network, sounds_of([sound]))["spectrogram-modulation"]
    pieces = [sound[: 1 * RATE_HZ], sound[: 2 * RATE_HZ], sound[1 * RATE_HZ : 3 * RATE_HZ]]
    clips = all_layers(network, sounds_of(pieces))["spectrogram-modulation"]
    np.testing.assert_array_equal(heard, clips)
    with pytest.raises(LayermapError, match=r"shorter than 1 s, .* use log-mel"):
        network.clock(sounds_of([sound[: RATE_HZ // 2]]))


def test_modulation_of_clips_ends_with_the_clip(sounds_of, all_layers):
    network = audio_baselines.load_spectrogram_modulation(None, None, None, "cpu")
    generator = np.random.default_rng(0)
    sounds = [generator.standard_normal(n).astype(np.float32) for n in (RATE_HZ, 2 * RATE_HZ)]
    quiet, loud = (all_layers(network, sounds_of(sounds, padding=p))["spectrogram-modulation"] for p in (0.0, 0.9))
    np.testing.assert_array_equal(quiet, loud)
