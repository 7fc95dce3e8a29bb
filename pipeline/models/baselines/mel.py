"""Log-mel spectra of short frames of sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SAMPLING_RATE_HZ = 16_000
FRAME = 400
STEP = 160
N_FFT = 512
N_BANDS = 64
LOWEST_HZ, HIGHEST_HZ = 50.0, 8000.0
FLOOR = 1e-10
"""Power below which a band counts as silent: −100 dB of full scale."""


def mel_filters() -> np.ndarray:
    """Triangular filters evenly spaced on the HTK mel scale: (n_bands, n_fft // 2 + 1)."""
    import numpy as np

    def to_mel(hz: float) -> float:
        return float(2595 * np.log10(1 + hz / 700))

    mels = np.linspace(to_mel(LOWEST_HZ), to_mel(HIGHEST_HZ), N_BANDS + 2)
    edges_hz = 700 * (10 ** (mels / 2595) - 1)
    frequency_hz = np.fft.rfftfreq(N_FFT, 1 / SAMPLING_RATE_HZ)[None, :]
    low, centre, high = (edges_hz[shift : shift + N_BANDS, None] for shift in range(3))
    rising, falling = (frequency_hz - low) / (centre - low), (high - frequency_hz) / (high - centre)
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


def log_mel(sounds: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram of sounds (n, n_samples) at 16 kHz: (n, n_frames, 64) in dB, floored.

    Hann frames of 25 ms every 10 ms that lie wholly within the sound.
    """
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(sounds, FRAME, axis=1)[:, ::STEP]
    spectra = np.fft.rfft(windows * np.hanning(FRAME + 1)[:-1], N_FFT)
    power = (np.square(spectra.real) + np.square(spectra.imag)) / FRAME
    return np.asarray(10 * np.log10(np.maximum(power @ mel_filters().T, FLOOR)))
