"""Listeners whose cortex reads out known layers of known networks: responses of regions, and images that hold them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import torch

from pipeline.recordings.bold.parcellation.parcels import AUDITORY_TO_PREFRONTAL
from pipeline.simulated.haemodynamics import bold_response, scanner_noise
from tests.listening.planted_net import N_LAYERS, build

REGIONS = tuple(AUDITORY_TO_PREFRONTAL)
LAYER_OF = {region: f"blocks.{number}" for number, region in enumerate(REGIONS)}
"""Heschl reads the first layer, prefrontal cortex the last."""
WINDOW_S = 0.5
N_READOUTS = 4
RELIABILITY = 0.6
AUTOCORRELATION = 0.3
BASELINE, SIGNAL_SD = 1000.0, 20.0
VOXEL_MM, SHAPE, ORIGIN_MM = 4.0, (44, 54, 46), (-88.0, -122.0, -78.0)
SAMPLING_RATE_HZ = 16_000


def layers_of(sound: np.ndarray, seed: int) -> list[np.ndarray]:
    """(n_windows, n_features) of each layer of the network of a seed; window k ends at (k + 1) · WINDOW_S.

    Parameters
    ----------
    sound : (n_samples,) float32 at 16 kHz
    """
    length = round(WINDOW_S * SAMPLING_RATE_HZ)
    windows = torch.from_numpy(sound[: sound.size // length * length].reshape(-1, length))
    net, found = build(seed), []
    hooks = [block.register_forward_hook(lambda _m, _i, out: found.append(out.numpy())) for block in net.blocks]
    with torch.no_grad():
        net(windows)
    for hook in hooks:
        hook.remove()
    assert len(found) == N_LAYERS
    return found


def planted_signals(sound: np.ndarray, network_seed: int, instants_s: np.ndarray) -> dict[str, np.ndarray]:
    """Region → (n_volumes, N_READOUTS) of variance 1: random mixtures of the region's layer, through the haemodynamic
    response, at instants on the clock of the sound; before and after it 0. A mixture is the same for every sound.

    Parameters
    ----------
    network_seed : of the network that is planted
    """
    signals = {}
    for number, (region, values) in enumerate(zip(REGIONS, layers_of(sound, network_seed), strict=True)):
        fine = np.repeat(values.astype(np.float64), 5, axis=0)  # frames of 0.1 s, at which offsets of scans can be read
        mixtures = np.random.default_rng([network_seed, number]).standard_normal((fine.shape[1], N_READOUTS))
        drive = (fine - fine.mean(axis=0)) @ mixtures
        bold = bold_response(drive, WINDOW_S / 5, instants_s)
        signals[region] = bold / bold.std(axis=0)
    return signals


def listener_scan(signals: Mapping[str, np.ndarray], listener: int) -> dict[str, np.ndarray]:
    """Region → (n_volumes, N_READOUTS) of one listener: the signals that all share, and noise of one's own."""
    generator = np.random.default_rng([7, listener])
    noise_sd = np.sqrt(1 / RELIABILITY - 1)
    return {
        region: signal + noise_sd * scanner_noise(len(signal), N_READOUTS, AUTOCORRELATION, generator)
        for region, signal in signals.items()
    }


@dataclasses.dataclass(frozen=True)
class Cortex:
    """Region and readout that each vertex of fsaverage5 shows, left and right hemisphere; −1 where none."""

    region: tuple[np.ndarray, np.ndarray]
    readout: tuple[np.ndarray, np.ndarray]

    @classmethod
    def read(cls, annotations: tuple[Path, Path]) -> Cortex:
        """Parcels of a region take its readouts in turn; the right hemisphere goes on where the left ended."""
        regions, readouts = [], []
        turn = dict.fromkeys(REGIONS, 0)
        for path in annotations:
            labels, _, names = nibabel.freesurfer.read_annot(path)
            region, readout = np.full(labels.size, -1), np.full(labels.size, -1)
            for number, (name, parcels) in enumerate(AUDITORY_TO_PREFRONTAL.items()):
                for parcel in parcels:
                    here = labels == [one.decode() for one in names].index(parcel)
                    region[here], readout[here] = number, turn[name] % N_READOUTS
                    turn[name] += 1
            regions.append(region)
            readouts.append(readout)
        return cls((regions[0], regions[1]), (readouts[0], readouts[1]))

    def on_surface(self, scan: Mapping[str, np.ndarray], side: int, n_vertices: int) -> np.ndarray:
        """(n_volumes, n_vertices) float32 in scanner units; only vertices of fsaverage5 show anything."""
        columns = np.concatenate([scan[region] for region in REGIONS], axis=1)
        painted = np.flatnonzero(self.region[side] >= 0)
        values = np.zeros((len(columns), n_vertices), np.float32)
        shown = self.region[side][painted] * N_READOUTS + self.readout[side][painted]
        values[:, painted] = BASELINE + SIGNAL_SD * columns[:, shown]
        return values


def write_gifti(path: Path, values: np.ndarray) -> None:
    """A time series on a surface, one data array a volume, as AFNI and fmriprep write them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [
        nibabel.gifti.GiftiDataArray(row, intent="NIFTI_INTENT_TIME_SERIES", datatype="NIFTI_TYPE_FLOAT32")
        for row in values
    ]
    nibabel.save(nibabel.GiftiImage(darrays=arrays), path)


class Volume:
    """A coarse grid in MNI space whose voxels show what the vertices of fsaverage5 in them do."""

    def __init__(self, cortex: Cortex) -> None:
        from nilearn.datasets import load_fsaverage

        self.affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
        self.affine[:3, 3] = ORIGIN_MM
        votes: dict[tuple[int, ...], list[int]] = {}
        meshes = load_fsaverage("fsaverage5")
        for side, name in enumerate(("left", "right")):
            white = meshes["white_matter"].parts[name].coordinates
            pial = meshes["pial"].parts[name].coordinates
            painted = np.flatnonzero(cortex.region[side] >= 0)
            shown = (side * len(REGIONS) + cortex.region[side][painted]) * N_READOUTS + cortex.readout[side][painted]
            for depth in np.linspace(0, 1, 6):
                place = np.round((white + depth * (pial - white) - ORIGIN_MM) / VOXEL_MM).astype(int)
                for voxel, what in zip(place[painted].tolist(), shown.tolist(), strict=True):
                    votes.setdefault(tuple(voxel), []).append(what)
        self._voxels = np.array(list(votes))
        self._shown = np.array([max(set(what), key=what.count) for what in votes.values()])

    def image(
        self, left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray], repetition_time_s: float
    ) -> nibabel.Nifti1Image:
        """What the two hemispheres of one listener show."""
        columns = np.concatenate([side[region] for side in (left, right) for region in REGIONS], axis=1)
        values = np.zeros((*SHAPE, len(columns)), np.int16)
        values[tuple(self._voxels.T)] = np.round(BASELINE + SIGNAL_SD * columns[:, self._shown]).T
        image = nibabel.Nifti1Image(values, self.affine)
        image.header.set_xyzt_units("mm", "sec")
        image.header.set_zooms((VOXEL_MM, VOXEL_MM, VOXEL_MM, repetition_time_s))
        return image
