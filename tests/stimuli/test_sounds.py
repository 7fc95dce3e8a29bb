"""Tones and noises have the spectrum that they were asked for."""

import numpy as np
import pytest

from pipeline.stimuli.synthetic.tones import at_level, band_noise, glide_hz, harmonic_tone, ramped

RATE = 16_000


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(sound.size, 1 / RATE), np.abs(np.fft.rfft(sound)) / sound.size


def test_a_tone_has_its_harmonics_and_nothing_else():
    tone = harmonic_tone(np.full(RATE, 200.0), RATE, harmonics=(2, 3, 50), slope_db_per_octave=-6)
    frequency, size = spectrum(tone)
    loud = frequency[size > 1e-3 * size.max()]
    assert loud.tolist() == [400.0, 600.0]
    ratio = size[frequency == 600.0][0] / size[frequency == 400.0][0]
    assert 20 * np.log10(ratio) == pytest.approx(-6 * np.log2(1.5), abs=0.05)


def test_a_glide_moves_from_one_pitch_to_the_other():
    track = glide_hz(110, 220, 2.0, RATE)
    tone = harmonic_tone(track, RATE)
    crossings = np.flatnonzero((tone[:-1] < 0) & (tone[1:] >= 0))
    assert RATE / np.diff(crossings)[:5].mean() == pytest.approx(110, rel=0.03)
    assert RATE / np.diff(crossings)[-5:].mean() == pytest.approx(220, rel=0.03)
    assert track[RATE] == pytest.approx(110 * np.sqrt(2), rel=1e-3)


def test_noise_stays_in_its_band_and_follows_its_seed():
    noise = band_noise(1.0, RATE, low_hz=500, high_hz=1000, rng=np.random.default_rng(3))
    again = band_noise(1.0, RATE, low_hz=500, high_hz=1000, rng=np.random.default_rng(3))
    other = band_noise(1.0, RATE, low_hz=500, high_hz=1000, rng=np.random.default_rng(4))
    frequency, size = spectrum(noise)
    inside = (frequency >= 500) & (frequency <= 1000)
    assert (size[~inside] ** 2).sum() < 1e-8 * (size[inside] ** 2).sum()
    assert np.array_equal(noise, again)
    assert not np.array_equal(noise, other)


def test_level_and_ramps():
    sound = ramped(at_level(np.ones(RATE, np.float32), 0.1), RATE, ramp_s=0.01)
    assert sound[0] == pytest.approx(0, abs=1e-4)
    assert sound[RATE // 2] == pytest.approx(0.1)
    assert np.all(np.diff(sound[:160]) > 0)
    assert not at_level(np.zeros(10, np.float32), 0.1).any()
