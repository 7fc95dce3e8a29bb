"""Stimulus artifact: what was shown, played or read, in the units of its own clock.

==========  =====================================  ==============================================
modality    variables                              attrs
==========  =====================================  ==============================================
movie       ``frames (frame, y, x, colour)`` u1    ``frame_rate_hz``
images      ``images (image, y, x, colour)`` u1    —
audio       ``clips (clip, sample)`` f4, ±1        ``sampling_rate_hz``; ``n_samples (clip)``
words       ``text (word)``                        ``onset_s``, ``offset_s`` ``(word)`` in s
==========  =====================================  ==============================================

Images and clips are labelled by ``item`` (the name a recording refers to) and, where known,
``category``. Grey images have one colour. Words may carry ``log_frequency (word)`` (natural log of a
count). Any stimulus may carry ``regressor (regressor, volume)`` with ``regressor_time_s (volume)``:
time courses that the dataset itself supplies, already convolved with a haemodynamic response.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.contract import Contract, read_zarr, write_zarr
from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    import xarray as xr

MODALITIES = {
    "movie": Contract(
        "stimulus",
        "prepare",
        {"frames": ("frame", "y", "x", "colour")},
        ("modality", "name", "frame_rate_hz"),
    ),
    "images": Contract(
        "stimulus",
        "prepare",
        {"images": ("image", "y", "x", "colour"), "item": ("image",)},
        ("modality", "name"),
    ),
    "audio": Contract(
        "stimulus",
        "prepare",
        {"clips": ("clip", "sample"), "n_samples": ("clip",), "item": ("clip",)},
        ("modality", "name", "sampling_rate_hz"),
    ),
    "words": Contract(
        "stimulus",
        "prepare",
        {"text": ("word",), "onset_s": ("word",), "offset_s": ("word",)},
        ("modality", "name"),
    ),
}


def _contract(dataset: xr.Dataset, source: Path) -> Contract:
    modality = dataset.attrs.get("modality")
    if modality not in MODALITIES:
        raise BrokenArtifact(f"{source} has modality '{modality}', expected one of: {', '.join(MODALITIES)}")
    return MODALITIES[modality]


def write_stimulus(dataset: xr.Dataset, path: Path) -> None:
    """Write ``…/stimuli/<stimulus>.zarr``."""
    write_zarr(dataset, path, _contract(dataset, path))


def open_stimulus(path: Path) -> xr.Dataset:
    """Open a stimulus lazily; raises `BrokenArtifact` naming the file and what was expected."""
    dataset = read_zarr(path, Contract("stimulus", "prepare", {}, ("modality", "name")))
    return _contract(dataset, path).check(dataset, path)
