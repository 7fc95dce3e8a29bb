"""Pictures and sounds that no study uses, to recompute a random twin's normalisation statistics on.

They are bundled with scikit-image and scikit-learn or synthesised from a fixed seed, so nothing is
downloaded. The demo's movie is made of scikit-image's astronaut, camera, chelsea, coffee and rocket:
none of these is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SCIKIT_IMAGE_PHOTOGRAPHS = ("coins", "hubble_deep_field", "immunohistochemistry", "moon", "retina", "brick", "grass")
SCIKIT_LEARN_PHOTOGRAPHS = ("china.jpg", "flower.jpg")
_SEED = 20240229
_CROPS_PER_PHOTOGRAPH = 3


def calibration_photographs(size_px: int) -> list[np.ndarray]:
    """Square crops (size_px, size_px, 3) uint8 of nine photographs, three each, from a fixed seed."""
    import numpy as np
    import skimage.data
    from sklearn.datasets import load_sample_image

    photographs = [getattr(skimage.data, name)() for name in SCIKIT_IMAGE_PHOTOGRAPHS]
    photographs += [load_sample_image(name) for name in SCIKIT_LEARN_PHOTOGRAPHS]
    generator = np.random.default_rng(_SEED)
    crops = []
    for photograph in photographs:
        rgb = photograph if photograph.ndim == 3 else np.repeat(photograph[:, :, None], 3, axis=2)
        for _ in range(_CROPS_PER_PHOTOGRAPH):
            top = generator.integers(rgb.shape[0] - size_px + 1)
            left = generator.integers(rgb.shape[1] - size_px + 1)
            crops.append(np.ascontiguousarray(rgb[top : top + size_px, left : left + size_px, :3]))
    return crops


def calibration_sound(sampling_rate_hz: int, duration_s: float = 40.0) -> np.ndarray:
    """Gliding harmonic complexes, pure tones and coloured noise, one after the other: (n_samples,) float32, ±1.

    Half a second each, with amplitudes over 40 dB, so that a network meets periodic and noisy, loud and faint input.
    """
    import numpy as np

    generator = np.random.default_rng(_SEED)
    n = int(0.5 * sampling_rate_hz)
    time_s = np.arange(n) / sampling_rate_hz
    ramp = np.minimum(1, np.minimum(time_s, time_s[::-1]) / 0.02)
    pieces = []
    for index in range(round(duration_s / 0.5)):
        start_hz, end_hz = np.exp(generator.uniform(np.log(70), np.log(900), 2))
        phase = 2 * np.pi * np.cumsum(np.geomspace(start_hz, end_hz, n)) / sampling_rate_hz
        if index % 4 == 0:
            piece = np.sin(phase)
        elif index % 4 == 3:
            spectrum = np.fft.rfft(generator.standard_normal(n))
            frequency_hz = np.maximum(np.fft.rfftfreq(n, 1 / sampling_rate_hz), 20)
            piece = np.fft.irfft(spectrum * frequency_hz ** -generator.uniform(0, 1), n)
        else:
            harmonics = np.arange(1, 13)[:, None]
            audible = harmonics * max(start_hz, end_hz) < sampling_rate_hz / 2
            piece = (audible * np.sin(harmonics * phase) * harmonics ** -generator.uniform(0, 1.5)).sum(axis=0)
        level = 10 ** generator.uniform(-2, 0)
        pieces.append(level * ramp * piece / np.abs(piece).max())
    return np.concatenate(pieces).astype(np.float32)
