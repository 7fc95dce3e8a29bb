"""Synthetic tones and noises, as float32 in ±1; everything is a function of its arguments and a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def glide_hz(from_hz: float, to_hz: float, duration_s: float, sampling_rate_hz: int) -> np.ndarray:
    """A fundamental that moves evenly on a logarithmic scale: (n_samples,) Hz."""
    import numpy as np

    n_samples = round(duration_s * sampling_rate_hz)
    return np.geomspace(from_hz, to_hz, n_samples)


def harmonic_tone(
    fundamental_hz: np.ndarray,
    sampling_rate_hz: int,
    *,
    harmonics: tuple[int, ...] = (1,),
    slope_db_per_octave: float = 0.0,
) -> np.ndarray:
    """Harmonics of a fundamental that may move, each at sine phase; those above Nyquist's frequency fall silent.

    Parameters
    ----------
    fundamental_hz : (n_samples,) fundamental at each sample
    harmonics : which multiples sound; without 1 the fundamental is missing
    slope_db_per_octave : level of the harmonics against the first, negative for duller tones

    Returns
    -------
    (n_samples,) float32 with a peak of 1.
    """
    import numpy as np

    phase = 2 * np.pi * np.cumsum(fundamental_hz) / sampling_rate_hz
    sound = np.zeros(fundamental_hz.size)
    for harmonic in harmonics:
        amplitude = 10 ** (slope_db_per_octave * np.log2(harmonic) / 20)
        sound += amplitude * (harmonic * fundamental_hz < sampling_rate_hz / 2) * np.sin(harmonic * phase)
    return _to_peak(sound)


def band_noise(
    duration_s: float, sampling_rate_hz: int, *, low_hz: float, high_hz: float, rng: np.random.Generator
) -> np.ndarray:
    """Gaussian noise with a flat spectrum between two frequencies: (n_samples,) float32 with a peak of 1."""
    import numpy as np

    n_samples = round(duration_s * sampling_rate_hz)
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / sampling_rate_hz)
    spectrum[(frequency_hz < low_hz) | (frequency_hz > high_hz)] = 0
    return _to_peak(np.fft.irfft(spectrum, n_samples))


def ramped(sound: np.ndarray, sampling_rate_hz: int, ramp_s: float = 0.01) -> np.ndarray:
    """Raised-cosine onset and offset, so that a sound starts and ends without a click."""
    import numpy as np

    n_ramp = min(round(ramp_s * sampling_rate_hz), sound.size // 2)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n_ramp) + 0.5) / max(1, n_ramp))
    envelope = np.ones(sound.size)
    envelope[:n_ramp] = ramp
    envelope[sound.size - n_ramp :] = ramp[::-1]
    return np.asarray(sound * envelope, dtype=np.float32)


def at_level(sound: np.ndarray, rms: float) -> np.ndarray:
    """The sound scaled to a root-mean-square level; silence stays silent."""
    import numpy as np

    level = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return np.asarray(sound * (rms / level if level > 0 else 0.0), dtype=np.float32)


def _to_peak(sound: np.ndarray) -> np.ndarray:
    import numpy as np

    peak = float(np.abs(sound).max(initial=0.0))
    return np.asarray(sound / peak if peak > 0 else sound, dtype=np.float32)
