"""What the benchmark shows to which network: generated pictures and sounds, kept as stimulus artifacts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.stimulus import write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.registry import import_object
from pipeline.models.entry import ModelEntry, Network, Twin
from pipeline.models.torch.hooked_network import HookedNetwork

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

WEIGHTS = Path("data/raw/weights")
SOUND_HZ = 16_000
ATTRS = standard_attrs("activations", "benchmark", "", "")
_LOADED: dict[str, HookedNetwork] = {}


@dataclasses.dataclass(frozen=True)
class Workload:
    """A network and what it is shown.

    Parameters
    ----------
    entry : with the factory `loaded`: reading weights is in none of the times
    stimulus : path of the artifact
    n_samples : of its clock
    """

    title: str
    entry: ModelEntry
    network: HookedNetwork
    stimulus: Path
    n_samples: int


def workload(title: str, entry: ModelEntry, stimulus: Path, device: str) -> Workload:
    """Load a network once and find out how many samples the stimulus gives."""
    from pipeline.artifacts.stimulus import open_stimulus
    from pipeline.fetch.weights.resolve import fetch_weights

    folder = None
    if entry.weights is not None:
        folder = WEIGHTS / entry.name
        fetch_weights(entry.name, entry.weights, folder)
    network = import_object(entry.factory)(entry, folder, None, device)
    key = f"{entry.name}:{stimulus}:{device}"
    _LOADED[key] = network
    entry = dataclasses.replace(entry, factory="benchmarks.workloads:loaded", arguments={"loaded": key})
    _, clock = network.clock(open_stimulus(stimulus))
    return Workload(title, entry, network, stimulus, len(clock))


def loaded(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> Network:
    """A `NetworkFactory` that hands out what `workload` has loaded."""
    return _LOADED[entry.arguments["loaded"]]


def reductions() -> dict[str, Any]:
    """What layers are reduced by in every comparison."""
    from pipeline.activations.options import SparseProjection, SpatialMean

    return {"spatial_mean": SpatialMean(), "sparse_projection 1000": SparseProjection(n_features=1000)}


def natural_pictures(n: int, side_px: int, seed: int) -> np.ndarray:
    """Pictures (n, side_px, side_px, 3) uint8 whose amplitude falls as 1/frequency, as in photographs, mostly grey."""
    import numpy as np

    generator = np.random.default_rng(seed)
    cycles = np.hypot(np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None])
    cycles[0, 0] = 1 / side_px
    pictures = np.empty((n, side_px, side_px, 3), dtype=np.uint8)
    for picture in pictures:
        noise = np.fft.rfft2(generator.standard_normal((4, side_px, side_px)), axes=(1, 2))
        grey, *colours = np.fft.irfft2(noise / cycles, s=(side_px, side_px), axes=(1, 2))
        mixed = np.stack([grey + 0.3 * colour for colour in colours], axis=-1)
        picture[:] = np.clip(127 + 50 * (mixed - mixed.mean()) / mixed.std(), 0, 255)
    return pictures


def picture_stimulus(folder: Path, n: int, side_px: int, seed: int) -> Path:
    """An artifact of n pictures."""
    import xarray as xr

    pictures = natural_pictures(n, side_px, seed)
    items = [f"picture-{number:05d}" for number in range(n)]
    dataset = xr.Dataset({"images": (("image", "y", "x", "colour"), pictures)}, {"item": ("image", items)})
    return _write(dataset, folder / f"pictures-{n}-{side_px}.zarr", "images")


def sound_stimulus(folder: Path, n_clips: int, clip_s: float) -> Path:
    """An artifact of n clips of gliding harmonic complexes, tones and noise; one clip is a recording on a clock."""
    import numpy as np
    import xarray as xr

    from pipeline.models.calibration import calibration_sound

    length = round(clip_s * SOUND_HZ)
    sound = calibration_sound(SOUND_HZ, n_clips * clip_s + 1)[: n_clips * length]
    clips = sound.reshape(n_clips, length)
    sizes = {"n_samples": ("clip", np.full(n_clips, length))}
    items = {"item": ("clip", [f"clip-{number:03d}" for number in range(n_clips)])}
    dataset = xr.Dataset({"clips": (("clip", "sample"), clips), **sizes}, items, {"sampling_rate_hz": float(SOUND_HZ)})
    return _write(dataset, folder / f"sounds-{n_clips}-{clip_s:g}.zarr", "audio")


def _write(dataset: xr.Dataset, path: Path, modality: str) -> Path:
    if not path.is_dir():
        attrs = standard_attrs("stimulus", "benchmark", "", "")
        write_stimulus(dataset.assign_attrs({**dataset.attrs, **attrs, "modality": modality, "name": path.stem}), path)
    return path
