"""Raw folders as fetch leaves them: images, events and sounds made here, digests and a selection beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import soundfile

from pipeline.core.keys import sha256_of_file
from pipeline.fetch.checks.digests import record_digest
from pipeline.recordings.stories.options import StoryOptions
from pipeline.recordings.stories.selection import Selection, StoryFiles, selection_path

VOXEL_MM = 10.0
SHAPE = (4, 4, 4)
CENTRE_MM = (10.0, 10.0, 10.0)
SPHERES = {"kind": "spheres", "coordinates": {"A": CENTRE_MM}, "radius_mm": 6.0}
"""One target: the voxel (1, 1, 1)."""


def write_volumes(path: Path, courses: Mapping[tuple[int, int, int], np.ndarray], repetition_time_s: float) -> None:
    """A NIfTI whose named voxels follow courses (n_volumes,), the rest being 0."""
    n_volumes = len(next(iter(courses.values())))
    values = np.zeros((*SHAPE, n_volumes), np.float32)
    for voxel, course in courses.items():
        values[voxel] = course
    image = nibabel.Nifti1Image(values, np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((VOXEL_MM, VOXEL_MM, VOXEL_MM, repetition_time_s))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


def write_click(path: Path, duration_s: float, click_s: float, sampling_rate_hz: int) -> None:
    """Silence with 50 ms of noise around one instant."""
    sound = np.zeros(round(duration_s * sampling_rate_hz), np.float32)
    around = slice(round((click_s - 0.025) * sampling_rate_hz), round((click_s + 0.025) * sampling_rate_hz))
    sound[around] = 0.3 * np.random.default_rng(0).standard_normal(around.stop - around.start)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, sampling_rate_hz)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def finish(folder: Path, options: StoryOptions, story: StoryFiles) -> None:
    """Record the digest of everything, and the selection of the one story."""
    selection = Selection(stories=(story,), digests={})
    write_text(folder / selection_path(options), json.dumps(selection.model_dump(mode="json")))
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".sha256":
            record_digest(path, sha256_of_file(path))
