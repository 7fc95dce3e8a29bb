"""Small scans in the true formats, and two annotations that divide each hemisphere into strips."""

import dataclasses
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage

from pipeline.recordings.bold.options import BoldOptions
from pipeline.recordings.bold.story import Heard, Scan, prepare_story

N_VERTICES = 10_242
REMEDY = "run: snakemake fetch --forcerun fetch_recordings"
AFFINE = np.array([[4.0, 0, 0, -8], [0, 4.0, 0, -8], [0, 0, 4.0, -4], [0, 0, 0, 1]])
SHAPE = (5, 5, 3)
MNI_AFFINE = np.array([[-3.0, 0, 0, 90], [0, 3.0, 0, -126], [0, 0, 3.0, -72], [0, 0, 0, 1]])
MNI_SHAPE = (61, 73, 61)


class Options(BoldOptions):
    kind: Literal["test"] = "test"


def write_nifti(path: Path, volumes: np.ndarray, tr_s: float, affine: np.ndarray = AFFINE) -> Path:
    image = nibabel.Nifti1Image(np.asarray(volumes, np.float32), affine)
    image.header.set_xyzt_units("mm", "sec")
    if volumes.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], tr_s))
    nibabel.save(image, path)
    return path


def write_gifti(path: Path, values: np.ndarray) -> Path:
    """(n_volumes, n_vertices), an array for each volume."""
    arrays = [
        GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32")
        for row in values.astype(np.float32)
    ]
    nibabel.save(GiftiImage(darrays=arrays), path)
    return path


def write_strips(folder: Path, names: list[str], n_vertices: int = N_VERTICES) -> dict[str, str]:
    """Left and right annotation: vertex v lies in strip v mod (number of names)."""
    colours = np.array([[number, 7 * number, 1, 0] for number in range(len(names))])
    paths = {side: folder / f"{side}.annot" for side in ("left", "right")}
    for path in paths.values():
        labels = np.arange(n_vertices) % len(names)
        nibabel.freesurfer.write_annot(str(path), labels, colours, names, fill_ctab=True)
    return {side: str(path) for side, path in paths.items()}


@dataclasses.dataclass
class Lab:
    """A folder of scans and the recording that is made of them."""

    folder: Path

    def volumes(self, subject: str, values: np.ndarray, tr_s: float, audio_start_s: float = 0.0, **more) -> Scan:
        """A scan all of whose voxels have one course (n_volumes,), or with a course of its own each."""
        series = np.broadcast_to(values, (*SHAPE, values.shape[-1]))
        path = write_nifti(self.folder / f"{subject}_bold.nii.gz", series, tr_s)
        return Scan(subject, (path,), audio_start_s, **more)

    def surfaces(self, subject: str, left: np.ndarray, right: np.ndarray, audio_start_s: float = 0.0, **more) -> Scan:
        paths = [
            write_gifti(self.folder / f"{subject}_hemi-{side}_bold.func.gii", values)
            for side, values in (("L", left), ("R", right))
        ]
        return Scan(subject, (paths[0], paths[1]), audio_start_s, **{"repetition_time_s": 2.0, **more})

    def parts(self, scans, heard=(0.0, 100.0), **options):
        return prepare_story(
            "group-story", scans, Heard("story", *heard), self.folder, Options(**options), remedy=REMEDY
        )

    def recording(self, scans, heard=(0.0, 100.0), **options):
        return self.parts(scans, heard, **options).whole()


SPHERE = {"kind": "spheres", "coordinates": {"centre": (0.0, 0.0, 0.0)}, "radius_mm": 5.0}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
