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
``category``. ``content`` is a digest of what an item holds, (image) or (clip), or attr of a movie, one sound or
words: by it, equal contents under several names are known (`pipeline.stimuli.repeated.contents`; made anew where it is
not there). Attrs ``equal_contents`` and ``alike`` say in words what is equal, and what is nearly so or comes again.

Grey images have one colour. Words may carry ``log_frequency (word)`` (natural log of a count). Any stimulus may carry
``regressor (regressor, volume)`` with ``regressor_time_s (volume)``: time courses that the dataset itself supplies,
already convolved with a haemodynamic response.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline.artifacts.storage.contract import Contract, read_zarr, write_zarr
from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

LARGEST_PEAK = 4.0
"""Of audio. Lossy decoders and resampling overshoot ±1, loud noise threefold; wrong scales lie far beyond."""


def _modality(dataset: xr.Dataset, source: Path) -> Modality:
    modality = dataset.attrs.get("modality")
    if modality not in MODALITIES:
        raise BrokenArtifact(f"{source} has modality '{modality}', expected one of: {', '.join(MODALITIES)}")
    return MODALITIES[modality]


def write_stimulus(dataset: xr.Dataset, path: Path) -> None:
    """Write ``…/stimuli/<stimulus>.zarr``.

    Raises
    ------
    BrokenArtifact
        A variable is missing or has other dims or values than the table above says.
    """
    modality = _modality(dataset, path)
    modality.contract.check(dataset, path)
    modality.check(dataset, path)
    write_zarr(dataset, path, modality.contract)


def _check_pictures(dataset: xr.Dataset, path: Path) -> None:
    """Of movies and images: bytes of one colour or three."""
    name = "frames" if "frames" in dataset else "images"
    pictures = dataset[name]
    if str(pictures.dtype) != "uint8":
        _refuse(path, f"'{name}' has type {pictures.dtype}, expected uint8 from 0 (black) to 255")
    if 0 in pictures.shape or pictures.sizes["colour"] not in (1, 3):
        _refuse(path, f"'{name}' has shape {pictures.shape}, expected at least one picture of one colour or three")
    if name == "frames":
        _check_rate(dataset, path, "frame_rate_hz")


def _check_clips(dataset: xr.Dataset, path: Path) -> None:
    """Of audio: within ±1 but for what filters and decoders overshoot, and zero after the end of each clip."""
    import numpy as np

    clips, n_samples = dataset["clips"], dataset["n_samples"].values
    if str(clips.dtype) != "float32" or 0 in clips.shape:
        _refuse(path, f"'clips' has type {clips.dtype} and shape {clips.shape}, expected float32 with samples")
    if n_samples.dtype.kind not in "iu" or n_samples.min() < 1 or n_samples.max() > clips.sizes["sample"]:
        _refuse(path, f"'n_samples' is {n_samples.min()} to {n_samples.max()}, expected 1 to {clips.sizes['sample']}")
    for item, clip, end in zip(dataset["item"].values, clips.values, n_samples, strict=True):
        peak = max(float(clip.max()), -float(clip.min()))
        if not np.isfinite(peak) or peak > LARGEST_PEAK:
            _refuse(path, f"clip '{item}' reaches {peak:,.5g}, expected samples within ±1")
        if clip[end:].any():
            _refuse(path, f"clip '{item}' goes on after its {end} samples, expected zeros")
    _check_rate(dataset, path, "sampling_rate_hz")


def _check_words(dataset: xr.Dataset, path: Path) -> None:
    """Of words: finite times in order, and no word that ends before its onset."""
    import numpy as np

    onset_s, offset_s = dataset["onset_s"].values, dataset["offset_s"].values
    if onset_s.size == 0:
        _refuse(path, "there is no word")
    for name, wrong in (
        ("has times that are no numbers", ~(np.isfinite(onset_s) & np.isfinite(offset_s))),
        ("begins before the word above", np.diff(onset_s, prepend=onset_s[0]) < 0),
        ("ends before its onset", offset_s < onset_s),
    ):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            times = f"{onset_s[first]:g} to {offset_s[first]:g} s"
            _refuse(path, f"word {first + 1} ('{dataset['text'].values[first]}', {times}) {name}")


def _check_rate(dataset: xr.Dataset, path: Path, name: str) -> None:
    rate_hz = float(dataset.attrs[name])
    if not 0 < rate_hz < math.inf:
        _refuse(path, f"attribute '{name}' is {rate_hz:g}, expected a number above 0")


def _refuse(path: Path, what: str) -> NoReturn:
    raise BrokenArtifact(f"{path}: {what}; the reader of the dataset must give it so")


@dataclasses.dataclass(frozen=True)
class Modality:
    """What the artifact of a kind of stimulus holds.

    Parameters
    ----------
    variables : name → dims
    check : refuses values that are not as the table above says
    attrs : besides ``modality`` and ``name``
    """

    variables: dict[str, tuple[str, ...]]
    check: Callable[[xr.Dataset, Path], None]
    attrs: tuple[str, ...] = ()

    @property
    def contract(self) -> Contract:
        return Contract("stimulus", "prepare", self.variables, ("modality", "name", *self.attrs))


MODALITIES = {
    "movie": Modality({"frames": ("frame", "y", "x", "colour")}, _check_pictures, ("frame_rate_hz",)),
    "images": Modality({"images": ("image", "y", "x", "colour"), "item": ("image",)}, _check_pictures),
    "audio": Modality(
        {"clips": ("clip", "sample"), "n_samples": ("clip",), "item": ("clip",)}, _check_clips, ("sampling_rate_hz",)
    ),
    "words": Modality({"text": ("word",), "onset_s": ("word",), "offset_s": ("word",)}, _check_words),
}


def open_stimulus(path: Path) -> xr.Dataset:
    """Open a stimulus lazily; raises `BrokenArtifact` naming the file and what was expected."""
    dataset = read_zarr(path, Contract("stimulus", "prepare", {}, ("modality", "name")))
    return _modality(dataset, path).contract.check(dataset, path)


def item_names(stimulus: xr.Dataset) -> np.ndarray:
    """Names of the images or clips, (n_items,) str."""
    return labels(stimulus["item"])


def labels(variable: xr.DataArray) -> np.ndarray:
    """A variable of names as a plain string array; Zarr gives strings of variable width."""
    import numpy as np

    return np.array([str(value) for value in variable.values], dtype=str)
