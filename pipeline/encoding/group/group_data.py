"""The runs of a group, opened, checked against each other and laid one after another, members side by side."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from pipeline.artifacts.activations import Activations, LayerInfo, open_activations
from pipeline.artifacts.recording import open_recording_blocks
from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.group.align import (
    Alignment,
    Binning,
    align_convolved,
    align_items,
    align_time,
    whole_delays,
    without_features,
)
from pipeline.encoding.group.matched_cells import (
    Member,
    RunRows,
    count_subjects,
    find_members,
    join_responses,
    join_targets,
)
from pipeline.encoding.group.nuisance import Nuisance, read_nuisance
from pipeline.encoding.group.shuffle import shuffle, shuffled_rows
from pipeline.encoding.splits import Samples

if TYPE_CHECKING:
    import xarray as xr

BLOCK_MB = 256.0
BATCH_MB = 256.0  # of targets whose responses are cleaned or shuffled
BLOCKS_AT_ONCE = 6  # of float32, while a block of activations is binned: read, picked, sorted, and summed in float64
_MODEL_ATTRS = ("model", "weights_sha256", "rate", "convolved", "sample_kind")


@dataclasses.dataclass(frozen=True)
class AlignedRun:
    """One run's activations and where they go on its grid of bins."""

    label: str
    activations: Activations
    alignment: Alignment


@dataclasses.dataclass(frozen=True)
class Surface:
    """Which unit is painted on each vertex of a cortical mesh.

    Parameters
    ----------
    mesh : its name, such as ``fsaverage5``
    unit : (n_vertices,) str, left hemisphere then right; empty where there is none
    """

    mesh: str
    unit: np.ndarray


@dataclasses.dataclass(frozen=True)
class GroupData:
    """A group's responses and activations on one sample axis.

    Parameters
    ----------
    responses : (n_repeats, n_samples, n_targets) float32, NaN where a repeat is missing, as measured, but for what
        `open_group` was asked to do with them; read-only
    samples : run, stimulus and clock of each sample
    axis : (n_samples,) time in s, later runs set behind earlier ones, or the number of the item
    targets : coordinates of the targets, name → (n_targets,)
    runs : in the order of the samples
    delays : of the response behind the features, in samples
    high_pass : (sample_interval_s, period_s) of the filter that the responses went through, or None
    z_scored : whether they were z-scored per run, and stay so as nothing is taken out of them
    n_subjects : of the group
    nuisance : what the animals did, None where it stays in the responses; see `pipeline.encoding.group.nuisance`
    nuisance_shares : what cleaning the responses of it said of them, see `open_group`
    surface : the cortical mesh that the targets lie on, None where the recordings state none
    scratch : makes the arrays of responses and features
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
    nuisance: Nuisance | None = None
    nuisance_shares: np.ndarray | None = None
    surface: Surface | None = None
    scratch: Scratch = dataclasses.field(default_factory=Scratch)

    @property
    def n_without_features(self) -> int:
        """Samples with no activation in any bin that their delays reach; of items, none."""
        return sum(int(without_features(run.alignment, self.delays).sum()) for run in self.runs)

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

        Each chunk of the store is read once, however many runs heard it; memory is one block of them, and the array
        itself lies in a file where it is large.

        Raises
        ------
        BrokenArtifact
            Activations that are not finite.
        SampleMismatch
            The layer has not the same number of features in all runs.
        """
        starts = np.cumsum([0, *(run.alignment.n_bins for run in self.runs)])
        stores = {run.activations.path: run.activations for run in self.runs}
        n_features = _n_features(list(stores.values()), layer)
        features = self.scratch.array((int(starts[-1]), n_features), np.float32)
        parts: dict[Path, dict[int, tuple[Alignment, list[np.ndarray]]]] = {}
        for run, start, stop in zip(self.runs, starts[:-1], starts[1:], strict=True):
            by_alignment = parts.setdefault(run.activations.path, {})
            by_alignment.setdefault(id(run.alignment), (run.alignment, []))[1].append(features[start:stop])
        n_bytes = int(self.scratch.batch_mb(BLOCK_MB) * 2**20 / BLOCKS_AT_ONCE)
        for path, by_alignment in parts.items():
            binnings = [Binning(alignment, out) for alignment, out in by_alignment.values()]
            for first, block in stores[path].blocks(layer, n_bytes):
                for binning in binnings:
                    binning.add(first, block)
        return features


class GroupOptions(Protocol):
    """What opening a group needs of a metric's options."""

    @property
    def delays_s(self) -> tuple[float, float] | None: ...

    @property
    def nuisance(self) -> tuple[str, ...]: ...


class Clean(Protocol):
    """Takes what the animals did out of ``responses`` (n_repeats, n_samples, n_targets), in place.

    Returns shares of their variance, (1 + n_regressors, n_targets), or None; no other array that grows with the number
    of targets exceeds the budget.
    """

    def __call__(
        self, responses: np.ndarray, nuisance: Nuisance, samples: Samples, memory_budget_mb: float
    ) -> np.ndarray | None: ...


def open_group(
    runs: Sequence[tuple[Path, Path]],
    options: GroupOptions,
    scratch: Scratch | None = None,
    *,
    clean: Clean | None = None,
    shuffle_seed: int | None = None,
) -> GroupData:
    """Open a group's recordings and activations.

    Blanks are left out, targets matched within members and members stacked along the targets (see
    `pipeline.encoding.group.matched_cells`). Recordings are read in blocks of samples, once to check them and once to
    join them.

    Parameters
    ----------
    runs : (recording, activations) of each run, in order; a recording of several stimuli once for each that is wanted
    scratch : makes the arrays of responses and features; None: in memory, however large
    clean : where the options name nuisance regressors, takes them out of the responses; None leaves them as measured
    shuffle_seed : of a null study, whose (cleaned) responses are in another order: behaviour goes with them; None for
        the real one

    Raises
    ------
    SampleMismatch
        Targets, clocks, surfaces or models differ between runs, or a recording and its activations do not share a
        stimulus.
    BadConfiguration
        Delays were asked for items, or nuisance regressors of recordings without them or without repeats.
    """
    scratch = scratch or Scratch()
    activations = {path: open_activations(path) for path in dict.fromkeys(path for _, path in runs)}
    with contextlib.ExitStack() as files:
        recordings = {
            path: files.enter_context(open_recording_blocks(path)) for path in dict.fromkeys(path for path, _ in runs)
        }
        return _join_group(runs, recordings, activations, options, scratch, clean, shuffle_seed)


def _join_group(
    runs: Sequence[tuple[Path, Path]],
    recordings: dict[Path, xr.Dataset],
    activations: dict[Path, Activations],
    options: GroupOptions,
    scratch: Scratch,
    clean: Clean | None,
    shuffle_seed: int | None,
) -> GroupData:
    n_bytes = int(scratch.batch_mb(BLOCK_MB) * 2**20 / BLOCKS_AT_ONCE)
    members = find_members([(path, activations[layers]) for path, layers in runs], recordings, n_bytes)
    _check_models(list(activations.values()))
    attrs = recordings[runs[0][0]].attrs
    in_time = attrs["sample_kind"] == "time"
    if options.delays_s is not None and not in_time:
        raise BadConfiguration(
            f"delays_s {list(options.delays_s)} need a recording in time, but {runs[0][0]} has items; leave them out"
        )
    first = activations[runs[0][1]]
    interval_s, high_pass_s = float(attrs.get("sample_interval_s", 0.0)), float(attrs["high_pass_s"])
    delays = whole_delays(None if first.attrs["convolved"] else options.delays_s, interval_s) if in_time else [0]
    # what the first member saw, the others saw as well
    aligned = align_runs(members[0], max(delays), high_pass_s)
    samples = join_samples([run.samples for run in members[0].runs])
    nuisance = read_nuisance(members, recordings, options.nuisance) if options.nuisance else None
    responses = join_responses(recordings, members, scratch, n_bytes)
    # changed here, where nobody else has seen them: there is no room for a second array of their size
    batch_mb, shares = scratch.batch_mb(BATCH_MB), None
    if nuisance is not None and clean is not None:
        shares = clean(responses, nuisance, samples, batch_mb)
    if shuffle_seed is not None:
        shuffle(responses, shuffled_rows(samples, shuffle_seed), memory_budget_mb=batch_mb)
    responses.setflags(write=False)
    return GroupData(
        responses=responses,
        samples=samples,
        axis=_axis(samples),
        targets=join_targets(members),
        runs=aligned,
        delays=delays,
        high_pass=(interval_s, high_pass_s) if in_time and high_pass_s > 0 else None,
        z_scored=bool(attrs["z_scored"]) and nuisance is None,
        n_subjects=count_subjects(members, int(attrs["n_subjects"])),
        nuisance=nuisance,
        nuisance_shares=shares,
        surface=_surface(recordings),
        scratch=scratch,
    )


def _surface(recordings: dict[Path, xr.Dataset]) -> Surface | None:
    """The surface that all recordings share; None where none has one."""
    found = {path: _surface_of(recording) for path, recording in recordings.items()}
    first, expected = next(iter(found.items()))
    for path, surface in found.items():
        if surface is None or expected is None:
            same = surface is expected
        else:
            same = surface.mesh == expected.mesh and np.array_equal(surface.unit, expected.unit)
        if not same:
            raise SampleMismatch(
                f"{path} has {_said(surface)} and {first} {_said(expected)}, painted differently; runs of a group must "
                "share their surface: make both again with: snakemake prepare"
            )
    return expected


def _surface_of(recording: xr.Dataset) -> Surface | None:
    if "surface_unit" not in recording.variables:
        return None
    return Surface(str(recording.attrs.get("surface_mesh", "")), recording["surface_unit"].values.astype(str))


def _said(surface: Surface | None) -> str:
    return "no surface" if surface is None else f"surface {surface.mesh} of {surface.unit.size} vertices"


def _check_models(activations: list[Activations]) -> None:
    first = activations[0]
    for layers in activations:
        for name in _MODEL_ATTRS:
            if layers.attrs[name] != first.attrs[name]:
                raise SampleMismatch(
                    f"{layers.path} has {name} {layers.attrs[name]} and {first.path} {first.attrs[name]}; "
                    "remake them with: snakemake activate"
                )


def _n_features(stores: Sequence[Activations], layer: str) -> int:
    expected = stores[0].n_features(layer)
    for store in stores:
        found = store.n_features(layer)
        if found != expected:
            raise SampleMismatch(
                f"layer '{layer}' has {expected} features in {stores[0].path} and {found} in {store.path}; "
                "give the model a reduction to a fixed number of features"
            )
    return expected


def align_runs(member: Member, max_delay: int, high_pass_s: float) -> tuple[AlignedRun, ...]:
    """The runs of a member; those with the same activations and clock share one alignment."""
    found: dict[tuple[Path, int, bytes], Alignment] = {}
    aligned = []
    for run in member.runs:
        layers = run.activations
        clock = run.samples.clock() if run.samples.kind == "time" else run.samples.items()
        key = (layers.path, clock.size, clock.tobytes())
        if key not in found:
            found[key] = align_samples(run.samples, layers, max_delay, f"{run.path} and {layers.path}")
        _check_unbroken(found[key], high_pass_s, run)
        aligned.append(AlignedRun(str(run.samples.run[0]), layers, found[key]))
    return tuple(aligned)


def _check_unbroken(alignment: Alignment, high_pass_s: float, run: RunRows) -> None:
    if high_pass_s > 0 and (np.diff(alignment.rows) != 1).any():
        raise SampleMismatch(
            f"{run.path}: run '{run.name}' lacks samples within, so its high-pass filter cannot be applied to the "
            "features; keep such samples, or start a new run after them"
        )


def align_samples(samples: Samples, layers: Activations, max_delay: int, source: str) -> Alignment:
    if samples.kind == "item":
        return align_items(layers.clock(), samples.items(), source=source)
    if layers.attrs["convolved"]:
        return align_convolved(layers.clock(), samples.clock(), samples.interval_s, source=source)
    rate: Literal["mean", "sum"] = "sum" if layers.attrs["rate"] == "sum" else "mean"
    return align_time(
        layers.clock(), samples.clock(), samples.interval_s, rate=rate, max_delay=max_delay, source=source
    )


def join_samples(parts: list[Samples]) -> Samples:
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
        content=joined("content"),
    )


def _axis(samples: Samples) -> np.ndarray:
    """One ascending axis: time in s with later runs set behind earlier ones, or the sample's number."""
    if samples.kind == "item":
        return np.arange(samples.n, dtype=np.float64)
    axis = samples.clock().copy()
    shift_s = 0.0
    for here in samples.runs:
        if shift_s:
            axis[here] += shift_s - axis[here][0] + samples.interval_s
        shift_s = float(axis[here][-1])
    return axis
