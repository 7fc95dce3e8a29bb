"""The runs of a group, opened, checked against each other and laid one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.artifacts.activations import Activations, LayerInfo, open_activations
from pipeline.artifacts.recording import open_recording
from pipeline.encoding.align import Alignment, align_convolved, align_items, align_time, whole_delays
from pipeline.encoding.options import EncodingOptions
from pipeline.encoding.splits import Samples
from pipeline.errors import BadConfiguration, BrokenArtifact, SampleMismatch

if TYPE_CHECKING:
    import xarray as xr

_SHARED_ATTRS = ("sample_kind", "sample_interval_s", "high_pass_s", "z_scored", "n_subjects")
_MODEL_ATTRS = ("model", "weights_sha256", "rate", "convolved", "sample_kind")


@dataclasses.dataclass(frozen=True)
class AlignedRun:
    """One run's activations and where they go on its grid of bins."""

    label: str
    activations: Activations
    alignment: Alignment


@dataclasses.dataclass(frozen=True)
class GroupData:
    """A group's responses and activations on one sample axis.

    Parameters
    ----------
    responses : (n_repeats, n_samples, n_targets) float32, NaN where a repeat is missing
    samples : run, stimulus and clock of each sample
    axis : (n_samples,) time in s, later runs set behind earlier ones, or the number of the item
    targets : coordinates of the targets, name → (n_targets,)
    runs : in the order of the samples
    delays : of the response behind the features, in samples
    high_pass : (sample_interval_s, period_s) of the filter that the responses went through, or None
    z_scored : whether they were z-scored per run
    """

    responses: np.ndarray
    samples: Samples
    axis: np.ndarray
    targets: dict[str, np.ndarray]
    runs: tuple[AlignedRun, ...]
    delays: list[int]
    high_pass: tuple[float, float] | None
    z_scored: bool
    n_subjects: int

    @property
    def model_attrs(self) -> dict[str, Any]:
        """Attributes of the activations."""
        return self.runs[0].activations.attrs

    def layer(self, name: str) -> LayerInfo:
        """Where a layer stands in the network."""
        return {layer.name: layer for layer in self.runs[0].activations.layers}[name]

    def bin_runs(self) -> np.ndarray:
        """Run of each bin, all runs' bins one after another."""
        return np.concatenate([np.full(run.alignment.n_bins, number) for number, run in enumerate(self.runs)])

    def rows(self) -> np.ndarray:
        """Bin of each sample."""
        starts = np.cumsum([0, *(run.alignment.n_bins for run in self.runs)])
        return np.concatenate([start + run.alignment.rows for start, run in zip(starts, self.runs, strict=False)])

    def features(self, layer: str) -> np.ndarray:
        """One layer of all runs on their bins: ``(n_bins, n_features)`` float32, NaN where nothing was.

        Raises
        ------
        BrokenArtifact
            Activations that are not finite.
        SampleMismatch
            The layer has not the same number of features in all runs.
        """
        parts: list[np.ndarray] = []
        read: dict[Path, np.ndarray] = {}
        for run in self.runs:
            path = run.activations.path
            if path not in read:
                read = {path: run.activations.read(layer)}
                if not np.isfinite(read[path]).all():
                    raise BrokenArtifact(
                        f"{path}: layer '{layer}' holds NaN or infinite activations; "
                        "delete it and run: snakemake activate"
                    )
            parts.append(run.alignment.apply(read[path]))
            if parts[-1].shape[1] != parts[0].shape[1]:
                raise SampleMismatch(
                    f"layer '{layer}' has {parts[0].shape[1]} features in {self.runs[0].activations.path} and "
                    f"{parts[-1].shape[1]} in {path}; give the model a reduction to a fixed number of features"
                )
        return np.concatenate(parts)


def open_group(runs: Sequence[tuple[Path, Path]], options: EncodingOptions) -> GroupData:
    """Open a group's recordings and activations.

    Parameters
    ----------
    runs : (recording, activations) of each run, in order

    Raises
    ------
    SampleMismatch
        Targets, clocks or models differ between runs, or a recording and its activations do not share a stimulus.
    BadConfiguration
        Delays were asked for items.
    """
    recordings = [(path, open_recording(path)) for path, _ in runs]
    activations = [open_activations(path) for _, path in runs]
    _check_recordings(recordings)
    _check_models(activations)
    attrs = recordings[0][1].attrs
    in_time = attrs["sample_kind"] == "time"
    convolved = bool(activations[0].attrs["convolved"])
    if options.delays_s is not None and not in_time:
        raise BadConfiguration(
            f"delays_s {list(options.delays_s)} need a recording in time, but {recordings[0][0]} has items; "
            "leave them out"
        )
    interval_s = float(attrs.get("sample_interval_s", 0.0))
    delays = whole_delays(None if convolved else options.delays_s, interval_s) if in_time else [0]
    aligned, samples, responses = [], [], []
    for number, ((path, recording), layers) in enumerate(zip(recordings, activations, strict=True)):
        _check_pair(path, recording, layers)
        for run in dict.fromkeys(recording["run"].values.tolist()):
            part = recording.isel(sample=np.flatnonzero(recording["run"].values == run))
            label = f"{number}/{run}"
            alignment = _align(part, layers, convolved, max(delays), f"{path} and {layers.path}")
            _check_unbroken(alignment, float(attrs["high_pass_s"]), path, run)
            aligned.append(AlignedRun(label, layers, alignment))
            samples.append(_samples(part, label))
            responses.append(part["responses"].values)
    joined = _join_samples(samples)
    high_pass_s = float(attrs["high_pass_s"])
    return GroupData(
        responses=_stack_repeats(responses),
        samples=joined,
        axis=_axis(joined),
        targets=_targets(recordings[0][1]),
        runs=tuple(aligned),
        delays=delays,
        high_pass=(interval_s, high_pass_s) if in_time and high_pass_s > 0 else None,
        z_scored=bool(attrs["z_scored"]),
        n_subjects=int(attrs["n_subjects"]),
    )


def _check_recordings(recordings: list[tuple[Path, xr.Dataset]]) -> None:
    first_path, first = recordings[0]
    for path, recording in recordings:
        names, expected = recording["target"].values.tolist(), first["target"].values.tolist()
        if names != expected:
            odd = next(iter(sorted(set(names) ^ set(expected))), "")
            what = f"'{odd}' is in one only" if odd else "the order differs"
            raise SampleMismatch(
                f"{path} has {len(names)} targets and {first_path} {len(expected)} ({what}); "
                "runs of a group must share their targets"
            )
        for name in _SHARED_ATTRS:
            if recording.attrs.get(name) != first.attrs.get(name):
                raise SampleMismatch(
                    f"{path} has {name} {recording.attrs.get(name)} and {first_path} {first.attrs.get(name)}; "
                    "runs of a group must share it"
                )
        missing = np.argwhere(recording["n_repeats"].values < 1)
        if missing.size:
            sample, target = missing[0]
            raise SampleMismatch(
                f"{path}: target '{names[target]}' has no repeat of sample {sample} "
                f"({len(missing)} responses are missing); drop such samples or targets in prepare"
            )


def _check_models(activations: list[Activations]) -> None:
    first = activations[0]
    for layers in activations:
        for name in _MODEL_ATTRS:
            if layers.attrs[name] != first.attrs[name]:
                raise SampleMismatch(
                    f"{layers.path} has {name} {layers.attrs[name]} and {first.path} {first.attrs[name]}; "
                    "remake them with: snakemake activate"
                )


def _check_pair(path: Path, recording: xr.Dataset, layers: Activations) -> None:
    if recording.attrs["sample_kind"] != layers.sample_kind:
        raise SampleMismatch(
            f"{path} has samples of kind '{recording.attrs['sample_kind']}' and {layers.path} '{layers.sample_kind}'; "
            "prepare both from one stimulus"
        )
    stimuli = sorted(set(recording["stimulus"].values.tolist()))
    if stimuli != [layers.attrs["stimulus"]]:
        raise SampleMismatch(
            f"{path} was recorded with stimulus '{', '.join(stimuli)}', but {layers.path} is of "
            f"'{layers.attrs['stimulus']}'; give both the same stimulus"
        )


def _check_unbroken(alignment: Alignment, high_pass_s: float, path: Path, run: str) -> None:
    if high_pass_s > 0 and (np.diff(alignment.rows) != 1).any():
        raise SampleMismatch(
            f"{path}: run '{run}' lacks samples within, so its high-pass filter cannot be applied to the features; "
            "keep such samples, or start a new run after them"
        )


def _align(recording: xr.Dataset, layers: Activations, convolved: bool, max_delay: int, source: str) -> Alignment:
    if layers.sample_kind == "item":
        return align_items(layers.clock(), recording["item"].values.astype(str), source=source)
    time_s = recording["time_s"].values.astype(np.float64)
    interval_s = float(recording.attrs["sample_interval_s"])
    if convolved:
        return align_convolved(layers.clock(), time_s, interval_s, source=source)
    rate: Literal["mean", "sum"] = "sum" if layers.attrs["rate"] == "sum" else "mean"
    return align_time(layers.clock(), time_s, interval_s, rate=rate, max_delay=max_delay, source=source)


def _samples(recording: xr.Dataset, label: str) -> Samples:
    """The samples of one run."""
    in_time = recording.attrs["sample_kind"] == "time"
    return Samples(
        kind="time" if in_time else "item",
        run=np.full(recording.sizes["sample"], label),
        stimulus=recording["stimulus"].values.astype(str),
        interval_s=float(recording.attrs.get("sample_interval_s", 0.0)),
        time_s=recording["time_s"].values.astype(np.float64) if in_time else None,
        item=None if in_time else recording["item"].values.astype(str),
        category=recording["category"].values.astype(str) if "category" in recording.variables else None,
    )


def _join_samples(parts: list[Samples]) -> Samples:
    def joined(name: str) -> np.ndarray | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values)

    return dataclasses.replace(
        parts[0],
        run=np.concatenate([part.run for part in parts]),
        stimulus=np.concatenate([part.stimulus for part in parts]),
        time_s=joined("time_s"),
        item=joined("item"),
        category=joined("category"),
    )


def _axis(samples: Samples) -> np.ndarray:
    """One ascending axis: time in s with later runs set behind earlier ones, or the sample's number."""
    if samples.kind == "item":
        return np.arange(samples.n, dtype=np.float64)
    axis = samples.clock().copy()
    shift_s = 0.0
    for run in dict.fromkeys(samples.run.tolist()):
        here = samples.run == run
        if shift_s:
            axis[here] += shift_s - axis[here][0] + samples.interval_s
        shift_s = float(axis[here][-1])
    return axis


def _stack_repeats(parts: list[np.ndarray]) -> np.ndarray:
    """Runs one after another; those with fewer repeats are filled up with NaN."""
    n_repeats = max(part.shape[0] for part in parts)
    filled = [
        np.concatenate([part, np.full((n_repeats - part.shape[0], *part.shape[1:]), np.nan, np.float32)])
        for part in parts
    ]
    return np.concatenate(filled, axis=1)


def _targets(recording: xr.Dataset) -> dict[str, np.ndarray]:
    """Coordinates of the targets; compartment is empty where the recording has none."""
    found = {
        str(name): variable.values for name, variable in recording.variables.items() if variable.dims == ("target",)
    }
    found.setdefault("compartment", np.full(recording.sizes["target"], ""))
    return {name: values.astype(str) if values.dtype.kind in "OUS" else values for name, values in found.items()}
