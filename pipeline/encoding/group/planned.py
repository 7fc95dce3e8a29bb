"""A group that nobody has recorded yet: samples that follow from its stimuli, and layers brought to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.activations import open_activations
from pipeline.artifacts.stimulus import item_names, labels, open_stimulus
from pipeline.core.errors import BadConfiguration
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.group.align import TOLERANCE, whole_delays
from pipeline.encoding.group.group_data import AlignedRun, GroupData, align_samples, join_samples
from pipeline.encoding.options import EncodingOptions
from pipeline.encoding.splits import Samples


def planned_samples(shown: Mapping[str, tuple[Path, Path]], interval_s: float) -> Samples:
    """Samples of all of some stimuli, each of them a run.

    Items are shown once each, in the order of their stimulus. Stimuli in time are recorded from their start to the last
    activation.

    Parameters
    ----------
    shown : name of the stimulus → its artifact, and any network's activations to it
    interval_s : between samples of stimuli in time, in s

    Raises
    ------
    BrokenArtifact
        A stimulus or activations that are missing or broken.
    BadConfiguration
        Some stimuli have items and others are in time, or one is shorter than a sample.
    """
    parts = [_samples_of(name, stimulus, activations, interval_s) for name, (stimulus, activations) in shown.items()]
    if len({part.kind for part in parts}) > 1:
        raise BadConfiguration("some stimuli have items and others are in time; no recording has both kinds of samples")
    return join_samples(parts)


def _samples_of(name: str, stimulus: Path, activations: Path, interval_s: float) -> Samples:
    layers = open_activations(activations)
    clock, content = layers.clock(), layers.contents()
    if layers.sample_kind == "item":
        shown, category = np.full(clock.size, name), _categories(stimulus, clock)
        return Samples("item", shown, shown, item=clock.astype(str), category=category, content=content)
    n = int(np.floor(clock.max() / interval_s + TOLERANCE))
    if n < 1:
        raise BadConfiguration(f"stimulus '{name}' lasts {clock.max():g} s, less than a sample of {interval_s:g} s")
    shown, time_s = np.full(n, name), interval_s * np.arange(1, n + 1)
    return Samples("time", shown, shown, interval_s, time_s, content=np.repeat(content, n))


def _categories(path: Path, items: np.ndarray) -> np.ndarray | None:
    """Of each item, where the stimulus knows them."""
    stimulus = open_stimulus(path)
    if "category" not in stimulus.variables:
        return None
    known = dict(zip(item_names(stimulus).tolist(), labels(stimulus["category"]).tolist(), strict=True))
    return np.array([known[item] for item in items.tolist()])


def some_samples(samples: Samples, n: int, seed: int) -> Samples:
    """So many of the samples, in order: items drawn by chance, of each stimulus in time as large a part from its start.

    Parameters
    ----------
    n : no more than there are
    seed : of the items drawn; those of fewer are among those of more
    """
    if samples.kind == "item":
        rows = np.sort(np.random.default_rng(seed).permutation(samples.n)[:n])
    else:
        bounds = np.cumsum([0, *(run.size for run in samples.runs)])
        ends = np.round(bounds * n / samples.n).astype(int)
        rows = np.concatenate([run[:size] for run, size in zip(samples.runs, np.diff(ends), strict=True)])
    return _these(samples, rows)


def _these(samples: Samples, rows: np.ndarray) -> Samples:
    names = ("run", "stimulus", "time_s", "item", "category", "content")
    values: dict[str, Any] = {name: getattr(samples, name) for name in names}
    chosen: dict[str, Any] = {name: None if v is None else v[rows] for name, v in values.items()}
    return dataclasses.replace(samples, **chosen)


def planned_group(
    activations: Mapping[str, Path], samples: Samples, options: EncodingOptions, scratch: Scratch
) -> GroupData:
    """A network's layers at the samples of a planned recording, aligned and delayed as `encode` does; no responses.

    Parameters
    ----------
    activations : name of the stimulus → a network's activations to it
    samples : whose runs are stimuli

    Raises
    ------
    SampleMismatch
        The activations lack an item, or do not cover the samples.
    BadConfiguration
        The delays hold no multiple of the sample interval.
    """
    in_time = samples.kind == "time"
    opened = {name: open_activations(activations[name]) for name in dict.fromkeys(samples.run.tolist())}
    convolved = bool(next(iter(opened.values())).attrs["convolved"])
    delays = whole_delays(None if convolved else options.delays_s, samples.interval_s) if in_time else [0]
    runs = []
    for (name, layers), rows in zip(opened.items(), samples.runs, strict=True):
        source = f"planned recording of '{name}' and {layers.path}"
        runs.append(AlignedRun(name, layers, align_samples(_these(samples, rows), layers, max(delays), source)))
    return GroupData(
        responses=np.zeros((1, samples.n, 0), np.float32),
        samples=samples,
        axis=np.arange(samples.n, dtype=np.float64),
        targets={},
        runs=tuple(runs),
        delays=delays,
        high_pass=None,
        z_scored=False,
        n_subjects=0,
        scratch=scratch,
    )
