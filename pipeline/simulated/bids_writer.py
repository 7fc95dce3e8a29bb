"""Writing a BIDS dataset of task-fMRI; equal contents give equal bytes (no time stamps, no file names inside)."""

from __future__ import annotations

import gzip
import io
import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

BIDS_VERSION = "1.9.0"


def write_json_file(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A tab-separated table, as BIDS has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(str(cell) for cell in row) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_description(folder: Path, name: str, note: str) -> None:
    """``dataset_description.json`` and ``README``."""
    content = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "raw", "Acknowledgements": note}
    write_json_file(folder / "dataset_description.json", {**content, "License": "CC0", "Authors": ["layermap"]})
    (folder / "README").write_text(note + "\n", encoding="utf-8")


def write_nifti(path: Path, volumes: np.ndarray, affine: np.ndarray, repetition_time_s: float | None = None) -> None:
    """A ``.nii.gz`` of integers.

    Parameters
    ----------
    volumes : (x, y, z) or (x, y, z, volume)
    affine : (4, 4), voxel to mm
    repetition_time_s : in s, for 4-D images
    """
    import nibabel

    image = nibabel.Nifti1Image(volumes, affine)
    image.header.set_xyzt_units("mm", "sec")
    if repetition_time_s is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], repetition_time_s))
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as stream:
        stream.write(image.to_bytes())
    path.write_bytes(buffer.getvalue())


def write_wav(path: Path, samples: np.ndarray, sampling_rate_hz: int) -> None:
    """One channel of int16 samples as PCM."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(sampling_rate_hz)
        stream.writeframes(samples.astype("<i2").tobytes())
