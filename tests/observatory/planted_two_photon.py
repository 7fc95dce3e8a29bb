"""Mice whose cells read out known layers of EfficientNet-Lite0, in the files of the Allen Brain Observatory.

A session holds what a real one does: movies in several passes, or scenes in random order with grey screens among them,
spontaneous activity around them, a 2-photon clock of its own, running and pupil. Readouts are chosen so that the
encoding model of the study can tell layers apart (`pipeline.simulated.readouts`).
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.recordings.allen.presentations import of_movie
from pipeline.recordings.allen.responses import WINDOWS_S, mean_responses, window_weights
from pipeline.recordings.allen.stimuli import FRAME_RATE_HZ, SCENES
from pipeline.simulated.mouse import extract_features
from pipeline.simulated.movie import render_movie
from pipeline.simulated.nwb_writer import Experiment, Shown, write_experiment
from pipeline.simulated.readouts import choose_readouts, layer_smoothers

RATE_2P_HZ = 30.0
QUIET_S = 15.0
LATENCY_S = 0.1
SCENE_S = 0.25
DECAY_S = 0.5  # of dF/F behind events
BASELINE = 6.0  # in SDs of the signal per sample: events are hardly ever negative
PLANTED = {"VISp": "stem", "VISl": "stage2", "VISal": "stage4", "VISpm": "stage6", "VISam": "head"}


@dataclasses.dataclass(frozen=True)
class Design:
    """What is shown and how well it can be seen.

    Parameters
    ----------
    shown : stimulus → number of frames or scenes
    n_repeats : of each
    n_cells : per experiment
    planted : area → layer
    reliability : of single trials, per sample of the recording
    frames_per_bin, window_s : of movies and of responses, as in the study
    latency_s : from a picture's onset to what it drives
    running_gain : effect of one SD of running speed, in SDs of the signal per sample
    """

    shown: Mapping[str, int]
    n_repeats: int
    n_cells: int
    planted: Mapping[str, str] = dataclasses.field(default_factory=lambda: PLANTED)
    reliability: float = 0.5
    frames_per_bin: int = 15
    window_s: tuple[float, float] = WINDOWS_S["events"]
    latency_s: float = LATENCY_S
    running_gain: float = 0.5
    n_folds: int = 5
    gap_samples: int = 4
    seed: int = 0

    @property
    def scenes(self) -> bool:
        return SCENES in self.shown


@dataclasses.dataclass(frozen=True)
class Drives:
    """Pictures of every stimulus, and area → (n pictures of all stimuli, n readouts) what drives its cells."""

    pictures: dict[str, np.ndarray]
    by_area: dict[str, np.ndarray]


def make_drives(design: Design, weights_folder: Path, n_experiments: Mapping[str, int]) -> Drives:
    """Draw the pictures, run the network on them, and choose readouts for all cells of each area."""
    pictures, shots, shot_of_picture = {}, [], []
    for number, (stimulus, n) in enumerate(design.shown.items()):
        # pictures that differ from bin to bin: what a bin of a movie shows is one photograph
        per_shot = 1 if stimulus == SCENES else design.frames_per_bin
        shot_of_picture.append(sum(map(len, shots)) + np.arange(n) // per_shot)
        shots.append(render_movie(2 * -(-n // per_shot), design.seed + number)[::2])
        pictures[stimulus] = np.repeat(shots[-1], per_shot, axis=0)[:n]
    of_shots = extract_features(np.concatenate(shots), FRAME_RATE_HZ, weights_folder)
    features = {layer: values[np.concatenate(shot_of_picture)] for layer, values in of_shots.items()}
    binned = {layer: _per_sample(values, design) for layer, values in features.items()}
    smoothers = layer_smoothers(binned, n_folds=design.n_folds, gap_samples=0 if design.scenes else design.gap_samples)
    by_area = {}
    for place, (area, layer) in enumerate(design.planted.items()):
        n_readouts = design.n_cells * n_experiments.get(area, 0)
        if n_readouts == 0:
            continue
        centred = features[layer].astype(np.float64) - features[layer].mean(axis=0)
        response = _response(centred, design)
        chosen = choose_readouts(smoothers, response, layer, n_readouts, n_components=60, seed=design.seed + place)
        by_area[area] = centred @ chosen.weights
    return Drives(pictures, by_area)


def random_drives(design: Design, n_experiments: Mapping[str, int]) -> Drives:
    """Pictures and drives of noise: for tests that need files, not layers."""
    generator = np.random.default_rng(design.seed)
    pictures = {name: generator.integers(0, 256, (n, 16, 32), np.uint8) for name, n in design.shown.items()}
    n_pictures = sum(design.shown.values())
    return Drives(
        pictures,
        {area: generator.standard_normal((n_pictures, design.n_cells * n)) for area, n in n_experiments.items()},
    )


def _per_sample(values: np.ndarray, design: Design) -> np.ndarray:
    """Features per picture → per bin of a movie, as encode bins them; scenes stay as they are."""
    if design.scenes:
        return values
    parts, start = [], 0
    for n in design.shown.values():
        whole = n // design.frames_per_bin * design.frames_per_bin
        part = values[start : start + whole]
        parts.append(part.reshape(whole // design.frames_per_bin, design.frames_per_bin, -1).mean(axis=1))
        start += n
    return np.concatenate(parts)


def _response(drive: np.ndarray, design: Design) -> np.ndarray:
    """What the recording would hold of (n_pictures, n) noise-free drives: (n_samples, n)."""
    if design.scenes:
        return drive
    parts, start = [], 0
    for stimulus, n in design.shown.items():
        times_s = np.arange(n + 60) / FRAME_RATE_HZ
        frame = np.arange(n)
        shown = of_movie(
            stimulus,
            frame,
            np.zeros(n, int),
            frame / FRAME_RATE_HZ,
            frames_per_bin=design.frames_per_bin,
            source=Path(),
        )
        trace = _at(times_s - design.latency_s, drive[start : start + n], 1 / FRAME_RATE_HZ)
        weights = window_weights(shown, design.window_s, times_s, Path())
        parts.append(mean_responses(trace.T, weights, shown)[0])
        start += n
    return np.concatenate(parts)


def _at(times_s: np.ndarray, drive: np.ndarray, frame_s: float) -> np.ndarray:
    """The drive of what is on the screen at some times after the onset of the first picture; 0 before and after."""
    frame = np.floor(times_s / frame_s + 1e-9).astype(int)
    on = (frame >= 0) & (frame < drive.shape[0])
    return np.where(on[:, None], drive[np.clip(frame, 0, drive.shape[0] - 1)], 0.0)


def make_experiment(row: dict[str, Any], drives: Drives, cells: slice, design: Design) -> tuple[Experiment, np.ndarray]:
    """One experiment and its inferred events (n_cells, n_samples).

    Parameters
    ----------
    row : of the warehouse, in allensdk's short form
    cells : which of the area's readouts its cells are
    """
    generator = np.random.default_rng([design.seed, int(row["id"])])
    schedule, total_s = _schedule(design, generator)
    rate_hz = RATE_2P_HZ * (1 + generator.uniform(-0.002, 0.002))
    n_samples = int(total_s * rate_hz)
    timestamps_s = np.arange(n_samples) / rate_hz + generator.normal(0, 3e-4, n_samples) + generator.uniform(5, 10)
    since_s = timestamps_s - timestamps_s[0]
    drive, signal = drives.by_area[row["targeted_structure"]][:, cells], np.zeros((n_samples, design.n_cells))
    stimuli, start = {}, 0
    for stimulus, n in design.shown.items():
        data, onset_s, picture_s = schedule[stimulus]
        own = drive[start : start + n]
        start += n
        edges = np.searchsorted(since_s, np.append(onset_s, onset_s[-1] + picture_s) - 1e-6)
        ends = np.minimum(edges[1:], edges[:-1] + np.ceil(picture_s * rate_hz).astype(int))
        stimuli[stimulus] = Shown(data, np.stack([edges[:-1], ends], axis=1), drives.pictures[stimulus])
        place = np.searchsorted(onset_s, since_s - design.latency_s, side="right") - 1
        on = (place >= 0) & (since_s - design.latency_s < onset_s[place] + picture_s)
        shown = np.where(on, data[np.clip(place, 0, data.size - 1)], -1)
        signal += np.where((shown >= 0)[:, None], own[np.clip(shown, 0, n - 1)], 0.0)
    running = running_bouts(n_samples, generator)
    samples_per_bin = SCENE_S * RATE_2P_HZ if design.scenes else design.frames_per_bin * RATE_2P_HZ / FRAME_RATE_HZ
    noise_sd = np.sqrt((1 / design.reliability - 1) * samples_per_bin)
    events = signal + design.running_gain * (running - running.mean())[:, None] / running.std()
    events = BASELINE + events + noise_sd * generator.standard_normal(events.shape)
    kept = np.exp(-1 / (DECAY_S * RATE_2P_HZ))
    dff = _leaky(events - BASELINE, kept) * (1 - kept)
    pupil_times_s = np.arange(timestamps_s[0], timestamps_s[-1], 1 / 30.3)
    pupil = 900 + 200 * np.interp(pupil_times_s, timestamps_s, running_bouts(n_samples, generator))
    quiet = sorted((int(shown.samples.min()), int(shown.samples.max())) for shown in stimuli.values())
    experiment = Experiment(
        experiment_id=int(row["id"]),
        container_id=int(row["experiment_container_id"]),
        session_type=str(row["session_type"]),
        specimen=str(row["specimen_name"]),
        area=str(row["targeted_structure"]),
        depth_um=int(row["imaging_depth"]),
        genotype=f"{row['cre_line']}/wt (simulated)",
        note="SIMULATION by layermap: linear readouts of network layers, not a recording of an animal.",
        # the same cells in all sessions of a container
        cell_ids=int(row["experiment_container_id"]) * 1000 + np.arange(design.n_cells),
        timestamps_s=timestamps_s,
        dff=0.05 + 0.05 * dff.T,
        stimuli=stimuli,
        spontaneous=[(0, quiet[0][0]), (quiet[-1][1], n_samples)],
        running_cm_s=running,
        pupil=(pupil_times_s, pupil),
    )
    return experiment, events.T.astype(np.float32)


def _leaky(values: np.ndarray, kept: float) -> np.ndarray:
    from scipy.signal import lfilter

    return lfilter([1.0], [1.0, -kept], values, axis=0)


def running_bouts(n_samples: int, generator: np.random.Generator) -> np.ndarray:
    """Bouts of running, a few seconds each, in cm/s at `RATE_2P_HZ`."""
    steps = _leaky(generator.standard_normal((n_samples, 1)), np.exp(-1 / (3 * RATE_2P_HZ)))[:, 0]
    return np.maximum(10 * steps / steps.std(), -2.0) + 2.0


def _schedule(
    design: Design, generator: np.random.Generator
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray, float]], float]:
    """Stimulus → (picture of each presentation, its onset and its duration in s); and the session's length in s."""
    schedule, at_s = {}, QUIET_S
    for stimulus, n in design.shown.items():
        if stimulus == SCENES:
            data = generator.permutation(np.repeat(np.arange(-1, n), design.n_repeats))
            picture_s = SCENE_S
        else:
            data = np.tile(np.arange(n), design.n_repeats)
            picture_s = 1 / FRAME_RATE_HZ
        schedule[stimulus] = (data, at_s + np.arange(data.size) * picture_s, picture_s)
        at_s += data.size * picture_s + 2.0
    return schedule, at_s + QUIET_S


def experiment_files(rows: Sequence[dict[str, Any]], drives: Drives, design: Design) -> dict[int, dict[str, bytes]]:
    """Experiment → kind of file → contents, for experiments given in the warehouse's short form.

    Experiments of one container have the same cells.
    """
    files: dict[int, dict[str, bytes]] = {}
    next_cell: dict[str, int] = {}
    of_container: dict[int, slice] = {}
    for row in sorted(rows, key=lambda one: int(one["id"])):
        container, area = int(row["experiment_container_id"]), str(row["targeted_structure"])
        if container not in of_container:
            first = next_cell.get(area, 0)
            of_container[container] = slice(first, first + design.n_cells)
            next_cell[area] = first + design.n_cells
        experiment, events = make_experiment(row, drives, of_container[container], design)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "experiment.nwb"
            write_experiment(path, experiment)
            archive = io.BytesIO()
            np.savez_compressed(archive, ev=events)
            files[int(row["id"])] = {"NWBOphys": path.read_bytes(), "ObservatoryEventsFile": archive.getvalue()}
    return files
