"""What the mice saw, as stimulus artifacts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.recordings.allen.gratings import FRAME_RATE_HZ, draw_drifting, draw_static
from pipeline.recordings.allen.presentations import DRIFTING, STATIC, scene_names
from pipeline.stimuli.pictures.picture_files import images_stimulus, movie_stimulus

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


def movie(name: str, frames: np.ndarray) -> xr.Dataset:
    """A natural movie: frames (n, y, x) uint8 at 30 Hz."""
    return _with_sha(movie_stimulus(name, frames, FRAME_RATE_HZ), frames)


def scenes(name: str, pictures: np.ndarray) -> xr.Dataset:
    """Natural scenes: pictures (n, y, x) uint8, items ``scene-000`` …; the grey screen is no picture."""
    return _images(name, pictures, scene_names(pictures.shape[0]))


def static_gratings(names: Sequence[str]) -> xr.Dataset:
    """Static gratings, drawn from their names."""
    return _images(STATIC, draw_static(names), names)


def drifting_gratings() -> xr.Dataset:
    """All drifting gratings, one after the other, as a movie at 30 Hz."""
    frames = draw_drifting()
    return _with_sha(movie_stimulus(DRIFTING, frames, FRAME_RATE_HZ), frames)


def _images(name: str, pictures: np.ndarray, items: Sequence[str]) -> xr.Dataset:
    return _with_sha(images_stimulus(name, pictures[..., None], items), pictures)


def _with_sha(stimulus: xr.Dataset, pictures: np.ndarray) -> xr.Dataset:
    """The pictures are the same in whichever experiment they are found: their own hash says what a stimulus is."""
    return stimulus.assign_attrs(inputs_sha=hashlib.sha256(pictures.tobytes()).hexdigest())
