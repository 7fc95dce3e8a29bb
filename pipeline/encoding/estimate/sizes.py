"""How large the fits of a group are, from the headers of its recordings and activations."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.activations import Activations, open_activations
from pipeline.artifacts.recording import open_recording_blocks
from pipeline.encoding.group.align import whole_delays
from pipeline.encoding.group.group_data import align_runs, join_samples
from pipeline.encoding.group.matched_cells import find_members
from pipeline.encoding.mapping import SpaceFiles
from pipeline.encoding.options import EncodingOptions
from pipeline.encoding.ridge.cost import FoldShape, fold_shapes
from pipeline.encoding.splits import make_splits

if TYPE_CHECKING:
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class GroupSizes:
    """Sizes that all layers of a model share in a group.

    Parameters
    ----------
    n_repeats : of each response, at most
    n_blocks : of the bootstrap, over all folds
    parts : rows of each outer fold's inner folds, then its own
    n_bins, n_delays : 0 while there are no activations
    n_features : of each layer, in order; empty while there are no activations
    """

    n_samples: int
    n_targets: int
    n_repeats: int
    n_blocks: int
    parts: tuple[tuple[FoldShape, ...], ...]
    n_bins: int = 0
    n_delays: int = 0
    n_features: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class _NotMade:
    """Stands in for activations that are still to be made: what is known of them beforehand."""

    path: Path
    sample_kind: str
    attrs: dict[str, Any]

    def clock(self) -> np.ndarray:
        return np.array([], str)

    def contents(self) -> np.ndarray:
        return np.array([""] if self.sample_kind == "time" else [], str)


@contextlib.contextmanager
def open_headers(paths: Iterable[Path]) -> Iterator[dict[Path, xr.Dataset]]:
    """Recordings, each once, whose responses stay in their files."""
    with contextlib.ExitStack() as stack:
        yield {path: stack.enter_context(open_recording_blocks(path)) for path in dict.fromkeys(paths)}


def group_sizes(
    runs: Sequence[tuple[Path, Path]],
    stimuli: Sequence[str],
    recordings: Mapping[Path, xr.Dataset],
    options: EncodingOptions,
    layers: tuple[str, ...] | None,
) -> GroupSizes:
    """Sizes of a group's fits; no responses and no activations are read.

    Parameters
    ----------
    runs : (recording, activations) of each run; the activations may be missing
    stimuli : the stimulus of each run
    recordings : from `open_headers`
    layers : to score; None for all that the activations hold

    Raises
    ------
    SampleMismatch, BadConfiguration
        As `pipeline.encoding.group.group_data.open_group` and `pipeline.encoding.splits.make_splits` do.
    """
    attrs = recordings[runs[0][0]].attrs
    made = all(path.is_dir() for _, path in runs)
    opened: dict[Path, Any] = {
        path: open_activations(path) if made else _NotMade(path, attrs["sample_kind"], {"stimulus": stimulus})
        for (_, path), stimulus in zip(runs, stimuli, strict=True)
    }
    members = find_members([(path, opened[shown]) for path, shown in runs], recordings, sizes_only=True)
    samples = join_samples([run.samples for run in members[0].runs])
    folds = make_splits(options.splits, samples, seed=options.seed)
    sizes = GroupSizes(
        n_samples=samples.n,
        n_targets=sum(member.n_targets for member in members),
        n_repeats=max(recording.sizes["repeat"] for recording in recordings.values()),
        n_blocks=sum(np.unique(fold.block).size for fold in folds),
        parts=fold_shapes(folds),
    )
    if not made:
        return sizes
    first: Activations = opened[runs[0][1]]
    in_time = attrs["sample_kind"] == "time"
    convolved = bool(first.attrs["convolved"])
    delays = whole_delays(None if convolved else options.delays_s, samples.interval_s) if in_time else [0]
    aligned = align_runs(members[0], max(delays), float(attrs["high_pass_s"]))
    return dataclasses.replace(
        sizes,
        n_bins=sum(run.alignment.n_bins for run in aligned),
        n_delays=len(delays),
        n_features=tuple(first.n_features(layer) for layer in layers or first.attrs["layer_order"]),
    )


def n_features_of(space: SpaceFiles) -> int:
    """Of a feature space: of its layers together."""
    activations = open_activations(space.activations[0])
    return sum(activations.n_features(layer) for layer in space.layers or activations.attrs["layer_order"])
