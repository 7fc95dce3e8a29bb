"""Pictures, sounds and words that no study uses: for a twin's normalisation statistics, and to fit components on.

They are bundled with scikit-image and scikit-learn or synthesised from a fixed seed, so nothing is
downloaded. The demo's movie is made of scikit-image's astronaut, camera, chelsea, coffee and rocket:
none of these is here. Words are the descriptions of scikit-learn's data sets, plain English prose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

SCIKIT_IMAGE_PHOTOGRAPHS = ("coins", "hubble_deep_field", "immunohistochemistry", "moon", "retina", "brick", "grass")
SCIKIT_LEARN_PHOTOGRAPHS = ("china.jpg", "flower.jpg")
SCIKIT_LEARN_TEXTS = (
    "breast_cancer.rst",
    "california_housing.rst",
    "covtype.rst",
    "digits.rst",
    "iris.rst",
    "kddcup99.rst",
    "lfw.rst",
    "olivetti_faces.rst",
    "twenty_newsgroups.rst",
    "wine_data.rst",
)
CROP_PX = 224
SAMPLING_RATE_HZ = 16_000
FRAME_RATE_HZ = 25.0
_SEED = 20240229
_CROPS_PER_PHOTOGRAPH = 3
_FRAMES_PER_PHOTOGRAPH = 15
_MANY = 20
"""How many times more samples components are fitted on than statistics are computed on."""


def calibration_stimulus(modality: str, *, many: bool = False) -> xr.Dataset:
    """A stimulus artifact of the modality, in memory.

    Parameters
    ----------
    modality : ``images`` (27 crops of 224 px), ``movie`` (9 panned photographs of 15 frames at 25 Hz), ``audio`` (one
        recording of 40 s at 16 kHz) or ``words`` (some thousand words)
    many : 20 times as many crops or frames, 8 times as much sound
    """
    return _MADE[modality](many).assign_attrs(modality=modality, name="calibration")


def _images(many: bool) -> xr.Dataset:
    import numpy as np
    import xarray as xr

    crops = np.stack(calibration_photographs(CROP_PX, (_MANY if many else 1) * _CROPS_PER_PHOTOGRAPH))
    items = [f"crop-{number:03d}" for number in range(len(crops))]
    return xr.Dataset({"images": (("image", "y", "x", "colour"), crops)}, {"item": ("image", items)})


def _movie(many: bool) -> xr.Dataset:
    import xarray as xr

    frames = _panned_photographs((_MANY if many else 1) * _FRAMES_PER_PHOTOGRAPH)
    return xr.Dataset({"frames": (("frame", "y", "x", "colour"), frames)}, attrs={"frame_rate_hz": FRAME_RATE_HZ})


def _audio(many: bool) -> xr.Dataset:
    import xarray as xr

    sound = calibration_sound(SAMPLING_RATE_HZ, 320.0 if many else 40.0)
    return xr.Dataset(
        {"clips": (("clip", "sample"), sound[None]), "n_samples": ("clip", [sound.size])},
        {"item": ("clip", ["calibration"])},
        {"sampling_rate_hz": float(SAMPLING_RATE_HZ)},
    )


def _text(many: bool) -> xr.Dataset:
    import numpy as np
    import xarray as xr

    words = _words()
    onset_s = 0.4 * np.arange(len(words))
    return xr.Dataset({"text": ("word", words), "onset_s": ("word", onset_s), "offset_s": ("word", onset_s + 0.3)})


_MADE = {"images": _images, "movie": _movie, "audio": _audio, "words": _text}
"""Modality → what makes its stimulus."""


def _photographs() -> list[np.ndarray]:
    """Nine photographs (y, x, 3) uint8."""
    import numpy as np
    import skimage.data
    from sklearn.datasets import load_sample_image

    photographs = [getattr(skimage.data, name)() for name in SCIKIT_IMAGE_PHOTOGRAPHS]
    photographs += [load_sample_image(name) for name in SCIKIT_LEARN_PHOTOGRAPHS]
    return [one[..., :3] if one.ndim == 3 else np.repeat(one[:, :, None], 3, axis=2) for one in photographs]


def calibration_photographs(size_px: int, crops_per_photograph: int = _CROPS_PER_PHOTOGRAPH) -> list[np.ndarray]:
    """Square crops (size_px, size_px, 3) uint8 of nine photographs, from a fixed seed."""
    import numpy as np

    generator = np.random.default_rng(_SEED)
    crops = []
    for photograph in _photographs():
        for _ in range(crops_per_photograph):
            top = generator.integers(photograph.shape[0] - size_px + 1)
            left = generator.integers(photograph.shape[1] - size_px + 1)
            crops.append(np.ascontiguousarray(photograph[top : top + size_px, left : left + size_px]))
    return crops


def _panned_photographs(n_frames: int) -> np.ndarray:
    """A window of 224 px that moves over each photograph and back: (n, 224, 224, 3) uint8."""
    import numpy as np

    generator = np.random.default_rng(_SEED)
    frames = []
    for photograph in _photographs():
        room = np.array(photograph.shape[:2]) - CROP_PX
        place = generator.uniform(0, room + 1e-9)
        step = generator.uniform(-6, 6, size=2)
        for _ in range(n_frames):
            step = np.where((place + step < 0) | (place + step > room), -step, step)
            place = np.clip(place + step, 0, room)
            top, left = (int(value) for value in place)
            frames.append(photograph[top : top + CROP_PX, left : left + CROP_PX])
    return np.stack(frames)


def _words() -> list[str]:
    """The words of the texts, without tables and markup."""
    import re
    from importlib import resources

    folder = resources.files("sklearn.datasets.descr")
    text = " ".join((folder / name).read_text(encoding="utf-8") for name in SCIKIT_LEARN_TEXTS)
    return re.findall(r"[A-Za-z][a-z']*[.,;]?(?=\s)", text)


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
