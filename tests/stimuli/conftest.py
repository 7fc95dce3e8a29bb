"""Small stimuli of each modality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr

from pipeline.stimuli.sounds.audio_files import audio_stimulus


def pictures_stimulus(pictures: Sequence[np.ndarray]) -> xr.Dataset:
    """Pictures (y, x, colour) of one size, called p0, p1, …"""
    names = [f"p{number}" for number in range(len(pictures))]
    return xr.Dataset(
        {"images": (("image", "y", "x", "colour"), np.stack(pictures))},
        coords={"item": ("image", np.array(names))},
        attrs={"modality": "images", "name": "pictures"},
    )


def sounds_stimulus(sounds: Sequence[np.ndarray], rate: int = 16000) -> xr.Dataset:
    """Sounds called s0, s1, …; a single one is on a clock."""
    parts = [np.asarray(sound, np.float32) for sound in sounds]
    return audio_stimulus("sounds", parts, [f"s{number}" for number in range(len(sounds))], rate)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
