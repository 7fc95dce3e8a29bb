"""Simulated listeners: what each voxel is driven by, and the BIDS dataset it is "recorded" in.

A voxel of a region is a linear readout of the layer planted there (`pipeline.simulated.readouts`: identifiable by
construction), passed through a haemodynamic response. Listeners share the voxel's signal and differ in noise, whose
size sets the stated reliability. Nothing about a brain is modelled beyond that: this tests the pipeline.

Timing: a volume i is acquired from i·TR to (i + 1)·TR and stands for the **end** of that time, where the
haemodynamic response is read. The sound starts ``onset_s`` after the first volume does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.simulated.bids_writer import write_description, write_json_file, write_nifti, write_table, write_wav
from pipeline.simulated.haemodynamics import bold_response, scanner_noise, slow_drift
from pipeline.simulated.readouts import choose_readouts, layer_smoothers
from pipeline.simulated.sound_sequence import SAMPLING_RATE_HZ, compose_sound
from pipeline.stimuli.temporal_filter import cosine_high_pass

if TYPE_CHECKING:
    import numpy as np

MODEL = "crepe-tiny"
NOISE = "noise"
TASK = "listen"
SOUND_FILE = "listen_audio.wav"
LABELS_FILE = "derivatives/labels/regions_dseg.nii.gz"
REGIONS_FILE = "derivatives/labels/regions_dseg.tsv"
N_FEATURES = 500
PROJECTION_SEED = 0
BATCH_SIZE = 128
SHAPE = (20, 20, 10)
VOXEL_MM = 8.0
ORIGIN_MM = (-76.0, -90.0, -28.0)
AUTOCORRELATION = 0.3
BASELINE = 1000.0  # scanner units
SIGNAL_SD = 20.0  # of the signal in scanner units, 2 % of the baseline: rounding to integers adds nothing
DRIFT_SD = 3.0  # of the signal's SD
N_COMPONENTS = 150
NEIGHBOUR_R = 0.05
N_STEPS = 80
CLIMB = 0.2
NOTE = "SIMULATION by layermap: linear readouts of network layers heard through a haemodynamic response, no human data."


@dataclasses.dataclass(frozen=True)
class ListeningDesign:
    """What is simulated.

    Parameters
    ----------
    n_written : listeners written; each has noise of its own, whatever their number
    n_voxels : per region
    planted : region → layer, or ``noise``
    reliability : region → share of the signal in a voxel's variance after cleaning
    repetition_time_s, sound_s, onset_s : in s; the sound starts ``onset_s`` into the scan
    high_pass_s : period of the filter that responses are cleaned with
    n_folds, gap_s, delays_s : of the encoding model for which readouts are identifiable
    """

    n_written: int
    n_voxels: int
    planted: Mapping[str, str]
    reliability: Mapping[str, float]
    repetition_time_s: float
    sound_s: float
    onset_s: float
    high_pass_s: float
    n_folds: int
    gap_s: float
    delays_s: tuple[float, float]
    seed: int

    @property
    def n_volumes(self) -> int:
        """Volumes of the scan, which ends with the sound."""
        return int((self.onset_s + self.sound_s) / self.repetition_time_s + 1e-6)

    def volume_ends_s(self) -> np.ndarray:
        """(n_volumes,) ends of the volumes on the clock of the sound, in s."""
        import numpy as np

        return (np.arange(self.n_volumes) + 1) * self.repetition_time_s - self.onset_s

    def heard(self) -> np.ndarray:
        """(n_volumes,) bool: the volumes that lie within the sound."""
        import numpy as np

        return np.asarray(self.volume_ends_s() - self.repetition_time_s >= -1e-6)


def listener_name(number: int) -> str:
    return f"sub-{number + 1:02d}"


def bold_path(folder: Path, listener: str) -> Path:
    return folder / listener / "func" / f"{listener}_task-{TASK}_bold.nii.gz"


def simulate_listeners(folder: Path, design: ListeningDesign, weights_folder: Path) -> None:
    """Write the BIDS dataset."""
    import numpy as np

    sound = compose_sound(design.sound_s, design.seed)
    frame_s, features = extract_features(sound, weights_folder)
    signals = planted_signals(features, frame_s, design)
    labels = place_regions(list(design.planted), design.n_voxels)
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0])
    affine[:3, 3] = ORIGIN_MM
    _write_shared_files(folder, design, sound, labels, affine)
    for number in range(design.n_written):
        scan = make_scan(number, signals, labels, design)
        path = bold_path(folder, listener_name(number))
        write_nifti(path, scan, affine, design.repetition_time_s)
        _write_sidecars(path, design)


def extract_features(sound: np.ndarray, weights_folder: Path) -> tuple[float, dict[str, np.ndarray]]:
    """(frame interval in s, layer → (n_frames, 500)), with the projection that the study reduces its layers with."""
    import numpy as np

    from pipeline.activations.options import SparseProjection
    from pipeline.activations.reduce import make_reducer
    from pipeline.models.networks.crepe import CREPE_TINY, load
    from pipeline.stimuli.sounds.audio_files import audio_stimulus

    reduce = make_reducer(SparseProjection(n_features=N_FEATURES, seed=PROJECTION_SEED))
    heard = (sound / 32768.0).astype(np.float32)
    stimulus = audio_stimulus("sounds", [heard], ["sounds"], SAMPLING_RATE_HZ)
    network = load(CREPE_TINY, weights_folder, None, "cpu")
    _, clock_s = network.clock(stimulus)
    batches: dict[str, list[np.ndarray]] = {}
    for _, batch in network.batches(stimulus, BATCH_SIZE):
        for layer, values in batch.items():
            batches.setdefault(layer, []).append(reduce(layer, values))
    return float(clock_s[1] - clock_s[0]), {layer: np.concatenate(values) for layer, values in batches.items()}


def planted_signals(
    features: Mapping[str, np.ndarray], frame_s: float, design: ListeningDesign
) -> dict[str, np.ndarray]:
    """Region → (n_volumes, n_voxels): BOLD signals of variance 1 while the sound is heard; 0 before, and for noise.

    They hold nothing slower than the high-pass filter, which would remove it: all drift in a scan is noise.

    Parameters
    ----------
    features : layer → (n_frames, n_features), in order of depth; frame k ends at (k + 1) · frame_s
    """
    import numpy as np

    interval_s = design.repetition_time_s
    heard = design.heard()
    first, last = np.ceil(design.delays_s[0] / interval_s), np.floor(design.delays_s[1] / interval_s)
    smoothers = layer_smoothers(
        {layer: _filtered_by_fold(_binned(values, frame_s, design), design) for layer, values in features.items()},
        delays=range(int(first), int(last) + 1),
        n_folds=design.n_folds,
        gap_samples=int(design.gap_s / interval_s),
    )
    signals = {}
    for number, (region, layer) in enumerate(design.planted.items()):
        signals[region] = np.zeros((design.n_volumes, design.n_voxels))
        if layer != NOISE:
            centred = features[layer].astype(np.float64) - features[layer].mean(axis=0)
            bold = bold_response(centred, frame_s, design.volume_ends_s())
            chosen = choose_readouts(
                smoothers,
                cosine_high_pass(bold[heard], interval_s, design.high_pass_s),
                layer,
                design.n_voxels,
                n_components=N_COMPONENTS,
                neighbour_r=NEIGHBOUR_R,
                n_steps=N_STEPS,
                climb=CLIMB,
                seed=design.seed * len(design.planted) + number,
            )
            signals[region][heard] = chosen.signals
    return signals


def _binned(values: np.ndarray, frame_s: float, design: ListeningDesign) -> np.ndarray:
    """Mean of the frames that end within each heard volume: (n_heard, n_features)."""
    import numpy as np

    ends_s = design.volume_ends_s()[design.heard()]
    frame_ends_s = (np.arange(values.shape[0]) + 1) * frame_s
    volume = np.ceil((frame_ends_s - ends_s[0]) / design.repetition_time_s - 1e-6).astype(np.int64)
    within = (volume >= 0) & (volume < ends_s.size)
    totals = np.zeros((ends_s.size, values.shape[1]))
    np.add.at(totals, volume[within], values[within])
    return np.asarray(totals / np.bincount(volume[within], minlength=ends_s.size)[:, None])


def _filtered_by_fold(values: np.ndarray, design: ListeningDesign) -> np.ndarray:
    """High-pass each outer fold by itself, as encode does, so that nothing slow ties training to test rows."""
    import numpy as np

    edges = [round(values.shape[0] * fold / design.n_folds) for fold in range(1, design.n_folds)]
    folds = np.split(np.asarray(values, np.float64), edges)
    return np.concatenate([cosine_high_pass(fold, design.repetition_time_s, design.high_pass_s) for fold in folds])


def place_regions(regions: list[str], n_voxels: int) -> np.ndarray:
    """A label image (x, y, z) int16: region k of the list has label k + 1 in the voxels nearest to its centre."""
    import numpy as np

    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1).reshape(-1, 3)
    labels = np.zeros(grid.shape[0], dtype=np.int16)
    angle = 2 * np.pi * np.arange(len(regions)) / len(regions)
    middle = (np.array(SHAPE) - 1) / 2
    for number, turn in enumerate(angle):
        centre = middle + np.array([0.36 * SHAPE[0] * np.cos(turn), 0.36 * SHAPE[1] * np.sin(turn), 0])
        distance = np.where(labels == 0, ((grid - centre) ** 2).sum(axis=1), np.inf)
        labels[np.argsort(distance, kind="stable")[:n_voxels]] = number + 1
    return labels.reshape(SHAPE)


def make_scan(
    number: int, signals: Mapping[str, np.ndarray], labels: np.ndarray, design: ListeningDesign
) -> np.ndarray:
    """One listener's scan, (x, y, z, volume) int16; outside the regions there is noise, outside the head nothing."""
    import numpy as np

    generator = np.random.default_rng([design.seed, number])
    scan = np.zeros((*SHAPE, design.n_volumes))
    middle = (np.array(SHAPE) - 1) / 2
    place = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    head = (((place - middle) / (np.array(SHAPE) / 2)) ** 2).sum(axis=-1) <= 1.0
    scan[head] = BASELINE + SIGNAL_SD * scanner_noise(design.n_volumes, int(head.sum()), AUTOCORRELATION, generator).T
    noise_sd = cleaned_noise_sd(design)
    for label, (region, signal) in enumerate(signals.items(), start=1):
        reliability = design.reliability.get(region, 0.0)
        scale = np.sqrt(1 / reliability - 1) if reliability > 0 else 1.0
        noise = scanner_noise(design.n_volumes, design.n_voxels, AUTOCORRELATION, generator) / noise_sd
        drift = DRIFT_SD * slow_drift(design.n_volumes, design.n_voxels, generator)
        scan[labels == label] = BASELINE + SIGNAL_SD * (signal + scale * noise + drift).T
    return np.asarray(np.clip(np.round(scan), 0, np.iinfo(np.int16).max), dtype=np.int16)


def cleaned_noise_sd(design: ListeningDesign) -> float:
    """Expected SD that unit autoregressive noise has left over the heard volumes after the high-pass filter."""
    import numpy as np
    from scipy.linalg import toeplitz

    n = int(design.heard().sum())
    covariance = toeplitz(AUTOCORRELATION ** np.arange(n))
    filtered = cosine_high_pass(covariance, design.repetition_time_s, design.high_pass_s)
    return float(np.sqrt(np.trace(filtered) / n))


def _write_shared_files(
    folder: Path, design: ListeningDesign, sound: np.ndarray, labels: np.ndarray, affine: np.ndarray
) -> None:
    write_description(folder, "Simulated listeners with planted layers", NOTE)
    listeners = [[listener_name(number), "simulated"] for number in range(design.n_written)]
    write_table(folder / "participants.tsv", ["participant_id", "species"], listeners)
    write_wav(folder / "stimuli" / SOUND_FILE, sound, SAMPLING_RATE_HZ)
    write_nifti(folder / LABELS_FILE, labels, affine)
    rows = [[index, region, layer] for index, (region, layer) in enumerate(design.planted.items(), start=1)]
    write_table(folder / REGIONS_FILE, ["index", "name", "planted_layer"], rows)
    note = {"Name": "Regions of the simulated listeners", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    write_json_file(
        folder / "derivatives/labels/dataset_description.json",
        {**note, "GeneratedBy": [{"Name": "layermap simulation"}]},
    )


def _write_sidecars(path: Path, design: ListeningDesign) -> None:
    stem = path.name.removesuffix("_bold.nii.gz")
    content = {"RepetitionTime": design.repetition_time_s, "TaskName": TASK, "TaskDescription": NOTE}
    write_json_file(path.with_name(f"{stem}_bold.json"), content)
    row = [design.onset_s, design.sound_s, "sound", SOUND_FILE]
    write_table(path.with_name(f"{stem}_events.tsv"), ["onset", "duration", "trial_type", "stim_file"], [row])
