"""What the mice saw, as stimulus artifacts: movies and scenes as they are, gratings drawn from their parameters.

The recordings hold no pictures of gratings. Geometry, orientation and phase are those of allensdk's monitor (a flat
screen, degrees proportional to pixels), the contrast is that of the experiments. Drifting gratings are put one after
the other into a movie: 1 s of grey before 2 s of each.

References
----------
Allen Brain Observatory, Stimulus set and response analysis (technical white paper), 2018.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch
from pipeline.stimuli.pictures.picture_files import images_stimulus, movie_stimulus

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

MOVIES = ("natural_movie_one", "natural_movie_two", "natural_movie_three")
SCENES = "natural_scenes"
STATIC = "static_gratings"
DRIFTING = "drifting_gratings"
IN_TIME = (*MOVIES, DRIFTING)
AS_ITEMS = (SCENES, STATIC)
GREY = 127
CONTRAST = 0.8
PX_PER_SCREEN_PX = {"static": 1 / 4, "drifting": 1 / 8}
"""Size of the pictures, as a part of the monitor's 1200 × 1920 pixels."""
DRIFTING_ORIENTATIONS_DEG = tuple(range(0, 360, 45))
DRIFTING_TEMPORAL_FREQUENCIES_HZ = (1.0, 2.0, 4.0, 8.0, 15.0)
DRIFTING_SPATIAL_FREQUENCY_CPD = 0.04
GREY_FRAMES = 30
DRIFTING_FRAMES = 60
DRIFTING_CYCLE_FRAMES = GREY_FRAMES + DRIFTING_FRAMES
FRAME_RATE_HZ = 30.0
_NAME = re.compile(r"^ori(?P<orientation>[\d.]+)-sf(?P<frequency>[\d.]+)-phase(?P<phase>[\d.]+)$")


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


def scene_names(n_scenes: int) -> list[str]:
    """``scene-000`` … : the Allen Institute's numbers."""
    return [f"scene-{number:03d}" for number in range(n_scenes)]


def static_name(orientation_deg: float, spatial_frequency_cpd: float, phase: float) -> str:
    """``ori30-sf0.04-phase0.25``: degrees, cycles per degree, part of a cycle."""
    return f"ori{orientation_deg:g}-sf{spatial_frequency_cpd:g}-phase{phase:g}"


def draw_static(names: Sequence[str]) -> np.ndarray:
    """Pictures (n, 300, 480) uint8 of the static gratings of these names."""
    import numpy as np

    pictures = []
    for name in names:
        found = _NAME.match(name)
        if found is None:
            raise ValueError(f"'{name}' does not name a static grating")
        orientation, frequency, phase = (float(found[part]) for part in ("orientation", "frequency", "phase"))
        pictures.append(draw_grating(orientation, frequency, phase, PX_PER_SCREEN_PX["static"]))
    return np.stack(pictures)


def draw_drifting() -> np.ndarray:
    """The movie of all drifting gratings: (n_gratings · 90, 150, 240) uint8 at 30 Hz."""
    import numpy as np

    part = PX_PER_SCREEN_PX["drifting"]
    frames = []
    for orientation, frequency_hz in drifting_parameters():
        phases = np.arange(DRIFTING_FRAMES) / FRAME_RATE_HZ * frequency_hz
        drawn = [draw_grating(orientation, DRIFTING_SPATIAL_FREQUENCY_CPD, phase % 1, part) for phase in phases]
        frames += [np.full_like(drawn[0], GREY)] * GREY_FRAMES + drawn
    return np.stack(frames)


def drifting_parameters() -> list[tuple[float, float]]:
    """(orientation in degrees, temporal frequency in Hz) in the order in which the movie shows them."""
    return [(float(ori), tf) for ori in DRIFTING_ORIENTATIONS_DEG for tf in DRIFTING_TEMPORAL_FREQUENCIES_HZ]


def drifting_number(orientation_deg: np.ndarray, temporal_frequency_hz: np.ndarray, source: Path) -> np.ndarray:
    """Place of each grating in `drifting_parameters`.

    Raises
    ------
    SampleMismatch
        A grating is none of them.
    """
    import numpy as np

    place = {parameters: number for number, parameters in enumerate(drifting_parameters())}
    shown = list(zip((orientation_deg % 360).tolist(), temporal_frequency_hz.tolist(), strict=True))
    unknown = [parameters for parameters in shown if parameters not in place]
    if unknown:
        raise SampleMismatch(
            f"{source}: a drifting grating of {unknown[0][0]:g}° and {unknown[0][1]:g} Hz is none of the 40 of this "
            "stimulus; add the recording to leave_out"
        )
    return np.array([place[parameters] for parameters in shown], dtype=np.int64)


def draw_grating(orientation_deg: float, spatial_frequency_cpd: float, phase: float, part: float) -> np.ndarray:
    """One full-field sine grating, (y, x) uint8.

    Parameters
    ----------
    phase : part of a cycle
    part : of the monitor's resolution
    """
    import numpy as np

    screen_height, screen_width, px_per_degree = _screen()
    height, width = round(screen_height * part), round(screen_width * part)
    px_per_cycle = px_per_degree / spatial_frequency_cpd * part
    y, x = np.mgrid[:height, :width].astype(np.float64)
    theta = np.deg2rad(orientation_deg)
    along = (x - width / 2) * np.cos(theta) - (y - height / 2) * np.sin(theta)
    wave = np.cos(2 * np.pi * (along / px_per_cycle + phase))
    return np.round(GREY + CONTRAST * GREY * wave).astype(np.uint8)


@functools.cache
def _screen() -> tuple[int, int, float]:
    """Height and width of the monitor in px, and px per degree in its middle."""
    from pipeline.recordings.allen.sdk import monitor_class

    monitor = monitor_class()()
    return int(monitor.n_pixels_r), int(monitor.n_pixels_c), float(monitor.visual_degrees_to_pixels(1.0))
