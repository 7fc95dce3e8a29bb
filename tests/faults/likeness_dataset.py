"""A dataset of similarity matrices that comes over http, as a plug-in: none of layermap's own is small and open.

Its files have no published digest, so fetch records one beside each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.artifacts.catalogue import Catalogue, Group, RawFile, Run, StimulusEntry
from pipeline.recordings.entry import DatasetEntry, DatasetOptions
from pipeline.recordings.verified import sha_of_files, verified

if TYPE_CHECKING:
    import xarray as xr

KIND = "likeness"
HOST = "data.example.invalid"
PICTURES, MATRICES, LARGE = "pictures.npy", "matrices.npy", "large.bin"
REGIONS = ("early", "late")


class LikenessOptions(DatasetOptions):
    kind: Literal["likeness"] = Field("likeness", description="similarity matrices of two regions")


def catalogue(options: LikenessOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group, one geometry, one stimulus."""
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(Group(name="areas", runs=(Run(stimulus="pictures", recording="areas"),), subjects=("pooled",)),),
        recordings=("areas",),
        stimuli=(StimulusEntry(name="pictures", modality="images"),),
        files=tuple(RawFile(path=name, url=f"https://{HOST}/{name}") for name in (PICTURES, MATRICES, LARGE)),
    )


def _items(n: int) -> list[str]:
    return [f"picture-{number:02d}" for number in range(n)]


def prepare_stimulus(name: str, raw_folder: Path, options: LikenessOptions) -> xr.Dataset:
    """Grey pictures, uint8."""
    import numpy as np
    import xarray as xr

    with verified(raw_folder / PICTURES):
        pictures = np.load(raw_folder / PICTURES)
    return xr.Dataset(
        {"images": (("image", "y", "x", "colour"), pictures)},
        coords={"item": ("image", _items(len(pictures)))},
        attrs={"modality": "images", "name": name, "inputs_sha": sha_of_files(raw_folder, (PICTURES,))},
    )


def prepare_recording(name: str, raw_folder: Path, options: LikenessOptions) -> xr.Dataset:
    """Pearson similarities ``(item, item2, target)``."""
    import numpy as np
    import xarray as xr

    with verified(raw_folder / MATRICES):
        matrices = np.load(raw_folder / MATRICES)
    items = _items(len(matrices))
    n = len(REGIONS)
    return xr.Dataset(
        {"similarity": (("item", "item2", "target"), matrices)},
        coords={
            "item": items,
            "item2": items,
            "target": list(REGIONS),
            "region": ("target", list(REGIONS)),
            "compartment": ("target", [""] * n),
            "subject": ("target", ["pooled"] * n),
            "ceiling": ("target", [0.9] * n),
        },
        attrs={
            "similarity": "pearson",
            "ceiling_kind": "split_half_trials",
            "stimulus": "pictures",
            "units": "Pearson r",
            "n_subjects": 0,
        },
    )


DATASET = DatasetEntry(
    kind=KIND,
    options=LikenessOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Similarity matrices made up for a campaign of faults",
    citation="none: made up",
    licence="CC0",
    selection=("kind",),
)
