"""Simulated mice: what each cell is driven by, and the experiments it is "recorded" in.

A cell of an area is a linear readout of the layer planted there (`pipeline.simulated.readouts`: identifiable by
construction), passed through a calcium kernel, plus noise that sets the stated single-trial reliability. Nothing
about a mouse is modelled beyond that: the simulation tests the pipeline, not the brain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.simulated.calcium import binned_response, calcium_response, noise
from pipeline.simulated.movie import render_movie
from pipeline.simulated.nwb_writer import Experiment, Shown, write_experiment
from pipeline.simulated.readouts import choose_readouts, layer_smoothers

if TYPE_CHECKING:
    import numpy as np

MODEL = "efficientnet-lite0"
NOISE = "noise"
MOVIE = "natural_movie_one"
"""The Allen name under which the simulated movie is stored."""
N_FEATURES = 1000
PROJECTION_SEED = 0
BATCH_SIZE = 30
RATE_2P_HZ = 30.0
CLOCK_ERROR = 0.002  # largest deviation of an experiment's 2-photon rate, as a part of it
JITTER_S = 0.0005
QUIET_S = 20.0  # spontaneous activity before and after the movie
FIRST_EXPERIMENT_ID = 9_900_000_000  # Allen experiments have nine digits
DFF_SD = 0.1  # of the signal per frame of the movie
DFF_MEAN = 0.1
NOTE = "SIMULATION by layermap: linear readouts of network layers, not a recording of an animal."


@dataclasses.dataclass(frozen=True)
class MouseDesign:
    """What is simulated.

    Parameters
    ----------
    n_mice, n_written : mice whose readouts are chosen together; how many of them are written
    n_cells : per area
    planted : area → layer, or ``noise``
    reliability : area → expected correlation of two single trials, per frame of the movie
    depth_um : area → imaging depth
    n_frames, n_repeats, frame_rate_hz : of the movie
    n_folds, gap_s, delays_s : of the encoding model for which readouts are identifiable
    """

    n_mice: int
    n_written: int
    n_cells: int
    planted: Mapping[str, str]
    reliability: Mapping[str, float]
    depth_um: Mapping[str, int]
    n_frames: int
    n_repeats: int
    frame_rate_hz: float
    n_folds: int
    gap_s: float
    delays_s: tuple[float, float]
    seed: int

    @property
    def frame_s(self) -> float:
        return 1 / self.frame_rate_hz

    @property
    def samples_per_frame(self) -> int:
        return round(RATE_2P_HZ * self.frame_s)


def mouse_name(number: int) -> str:
    return f"mouse-{number + 1}"


def experiment_path(folder: Path, mouse: str, area: str) -> Path:
    return folder / mouse / f"{area}.nwb"


def simulate_mice(folder: Path, design: MouseDesign, weights_folder: Path) -> None:
    """Write one NWB file per mouse and area: ``<folder>/<mouse>/<area>.nwb``."""
    movie = render_movie(design.n_frames, design.seed)
    features = extract_features(movie, design.frame_rate_hz, weights_folder)
    drives = planted_drives(features, design)
    for number in range(design.n_written):
        cells = slice(number * design.n_cells, (number + 1) * design.n_cells)
        for area in design.planted:
            path = experiment_path(folder, mouse_name(number), area)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_experiment(path, make_experiment(number, area, drives[area][:, cells], movie, design))


def extract_features(movie: np.ndarray, frame_rate_hz: float, weights_folder: Path) -> dict[str, np.ndarray]:
    """Layer → (n_frames, 1000), with the projection that the study reduces its layers with."""
    import numpy as np

    from pipeline.activations.options import SparseProjection
    from pipeline.activations.reduce import make_reducer
    from pipeline.models.networks.efficientnet import EFFICIENTNET_LITE0, load
    from pipeline.stimuli.pictures.picture_files import movie_stimulus

    reduce = make_reducer(SparseProjection(n_features=N_FEATURES, seed=PROJECTION_SEED))
    stimulus = movie_stimulus("movie", movie, frame_rate_hz)
    batches: dict[str, list[np.ndarray]] = {}
    for _, batch in load(EFFICIENTNET_LITE0, weights_folder, None, "cpu").batches(stimulus, BATCH_SIZE):
        for layer, values in batch.items():
            batches.setdefault(layer, []).append(reduce(layer, values))
    return {layer: np.concatenate(values) for layer, values in batches.items()}


def planted_drives(features: Mapping[str, np.ndarray], design: MouseDesign) -> dict[str, np.ndarray]:
    """Area → (n_frames, n_mice · n_cells): drives whose response per frame has mean 0 and variance 1; 0 for noise."""
    import numpy as np

    first, last = (round(delay / design.frame_s) for delay in design.delays_s)
    smoothers = layer_smoothers(
        features,
        delays=range(first, last + 1),
        n_folds=design.n_folds,
        gap_samples=round(design.gap_s / design.frame_s),
    )
    n_readouts = design.n_mice * design.n_cells
    drives = {}
    for number, (area, layer) in enumerate(design.planted.items()):
        drives[area] = np.zeros((design.n_frames, n_readouts))
        if layer != NOISE:
            centred = features[layer].astype(np.float64) - features[layer].mean(axis=0)
            response = binned_response(centred, design.frame_s, design.samples_per_frame)
            seed = design.seed * len(design.planted) + number
            chosen = choose_readouts(smoothers, response, layer, n_readouts, seed=seed)
            drives[area] = centred @ chosen.weights
    return drives


def make_experiment(number: int, area: str, drive: np.ndarray, movie: np.ndarray, design: MouseDesign) -> Experiment:
    """One area of one mouse, with a 2-photon clock of its own.

    Parameters
    ----------
    number : of the mouse, from 0
    drive : (n_frames, n_cells), 0 for a noise area
    """
    import numpy as np

    place = list(design.planted).index(area)
    generator = np.random.default_rng([design.seed, number, place])
    timestamps_s, movie_onset_s = _clock(design, generator)
    onsets_s = movie_onset_s + np.arange(design.n_frames * design.n_repeats + 1) * design.frame_s
    edges = np.searchsorted(timestamps_s, onsets_s)

    shown = np.tile(np.arange(design.n_frames), design.n_repeats)
    signal = calcium_response(drive[shown], design.frame_s, timestamps_s - movie_onset_s).T
    reliability = design.reliability.get(area, 0.0)
    noise_sd = np.sqrt(1 / reliability - 1) if reliability > 0 else 1.0
    noisy = signal + noise_sd * noise(
        drive.shape[1], timestamps_s.size, RATE_2P_HZ, design.samples_per_frame, generator
    )
    experiment_id = FIRST_EXPERIMENT_ID + 1000 * (number + 1) + place
    return Experiment(
        experiment_id=experiment_id,
        container_id=experiment_id,
        session_type="three_session_A",
        specimen=f"{mouse_name(number)} (simulated)",
        area=area,
        depth_um=design.depth_um[area],
        genotype="none (simulated)",
        note=NOTE,
        cell_ids=experiment_id * 100 + np.arange(drive.shape[1]),
        timestamps_s=timestamps_s,
        dff=DFF_MEAN + DFF_SD * noisy,
        stimuli={MOVIE: Shown(shown, np.stack([edges[:-1], edges[1:]], axis=1), movie)},
        spontaneous=[(0, int(edges[0])), (int(edges[-1]), timestamps_s.size)],
    )


def _clock(design: MouseDesign, generator: np.random.Generator) -> tuple[np.ndarray, float]:
    """Times of the 2-photon samples, with an error of the rate and jitter, and when the movie begins; in s."""
    import numpy as np

    movie_s = design.n_frames * design.n_repeats * design.frame_s
    rate_hz = RATE_2P_HZ * (1 + generator.uniform(-CLOCK_ERROR, CLOCK_ERROR))
    n_samples = int((movie_s + 2 * QUIET_S) * rate_hz)
    jitter_s = np.clip(generator.normal(0, JITTER_S, n_samples), -4 * JITTER_S, 4 * JITTER_S)
    timestamps_s = np.arange(n_samples) / rate_hz + jitter_s + generator.uniform(5, 10)
    return timestamps_s, float(timestamps_s[0] + QUIET_S + generator.uniform(-0.5, 0.5))
