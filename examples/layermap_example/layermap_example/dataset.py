"""Recordings of one lab: a MATLAB file with pictures, mean responses and the area of each cell.

``lab.mat`` holds ``pictures`` (picture, y, x) uint8, ``responses`` (picture, cell) in events per second and
``area`` (cell), the names of the areas.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from pipeline.artifacts.catalogue import Catalogue, Group, RawFile, Run, StimulusEntry
from pipeline.core.errors import BrokenArtifact
from pipeline.core.keys import sha256_of_file
from pipeline.core.section import beside_the_study
from pipeline.recordings.entry import DatasetEntry, DatasetOptions

if TYPE_CHECKING:
    import xarray as xr

KIND = "example_lab"
RAW_FILE = "lab.mat"


class LabOptions(DatasetOptions):
    kind: Literal["example_lab"] = Field("example_lab", description="recordings of one lab in a MATLAB file")
    file: Path = Field(description="the .mat file, relative to the study file")

    @field_validator("file")
    @classmethod
    def _exists(cls, value: Path, info: ValidationInfo) -> Path:
        return beside_the_study(str(value), info)


def contents(options: LabOptions) -> dict[str, Any]:
    """What keys hold instead of the file's place."""
    return {"file": sha256_of_file(options.file)}


def catalogue(options: LabOptions, key: str, mirror: str | None) -> Catalogue:
    file = options.file
    raw = RawFile(path=RAW_FILE, url=file.as_uri(), bytes=file.stat().st_size, sha256=sha256_of_file(file))
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(Group(name="cells", runs=(Run(stimulus="pictures", recording="cells"),), subjects=("mouse",)),),
        recordings=("cells",),
        stimuli=(StimulusEntry(name="pictures", modality="images"),),
        files=(raw,),
    )


def read_lab(raw_folder: Path) -> dict[str, Any]:
    """The file's variables; what is wrong with it is said in one line."""
    from scipy.io import loadmat

    path = raw_folder / RAW_FILE
    try:
        found = loadmat(path, squeeze_me=True)
        return {name: found[name] for name in ("pictures", "responses", "area")}
    except (OSError, ValueError, KeyError) as error:
        raise BrokenArtifact(f"{path} is no file of our lab ({error}); export it again") from error


def names_of(n: int) -> list[str]:
    return [f"picture-{number:03d}" for number in range(n)]


def prepare_stimulus(name: str, raw_folder: Path, options: LabOptions) -> xr.Dataset:
    import xarray as xr

    pictures = read_lab(raw_folder)["pictures"]
    return xr.Dataset(
        {"images": (("image", "y", "x", "colour"), pictures[..., None])},
        coords={"item": ("image", names_of(len(pictures)))},
        attrs={"modality": "images", "name": name},
    )


def prepare_recording(name: str, raw_folder: Path, options: LabOptions) -> xr.Dataset:
    import numpy as np
    import xarray as xr

    lab = read_lab(raw_folder)
    responses = np.asarray(lab["responses"], dtype=np.float32)[None]
    n_samples, n_cells = responses.shape[1:]
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), responses),
            "n_repeats": (("sample", "target"), np.ones((n_samples, n_cells), dtype=np.int64)),
        },
        coords={
            "run": ("sample", np.full(n_samples, name)),
            "stimulus": ("sample", np.full(n_samples, "pictures")),
            "item": ("sample", names_of(n_samples)),
            "target": [f"cell-{number}" for number in range(n_cells)],
            "region": ("target", [str(area) for area in lab["area"]]),
            "subject": ("target", ["mouse"] * n_cells),
        },
        attrs={"units": "events/s", "sample_kind": "item", "high_pass_s": 0.0, "z_scored": 0, "n_subjects": 1},
    )


LAB = DatasetEntry(
    kind=KIND,
    options=LabOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Recordings of the example lab",
    citation="none: made up for this example",
    licence="CC0",
    selection=("kind",),
    contents=contents,
)
