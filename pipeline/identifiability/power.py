"""How much has to be recorded for layers, or a network and its twin, to be told apart.

A recording that is planned is one region whose targets are random read-outs of all features of a layer (see
`generic_signals`) at all delays, and noise: white, or AR(1) within each run, independent between targets. Responses are
averaged over repeats and subjects, so that their noise has 1/(repeats · subjects) of its variance. Both are z-scored
within runs, as measured responses are, and go through the same folds, penalties and choice of layer.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from pipeline.artifacts.activations import LayerInfo
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.group_data import GroupData
from pipeline.encoding.group.planned import planned_group
from pipeline.encoding.group.reliability import MEAN_SUBJECT, z_score_runs
from pipeline.encoding.mapping import FitLayer, MappingEntry, MappingInputs
from pipeline.encoding.null_tables import Dropped
from pipeline.encoding.options import EncodingOptions
from pipeline.encoding.splits import Fold, Samples, make_splits
from pipeline.identifiability.regions import Regions
from pipeline.identifiability.signals import Part, SimulatedResponses, generic_signals
from pipeline.inference.profile import Profile
from pipeline.inference.questions.confusion import identified

Row = dict[str, Any]
SIGNALS_AT_ONCE = 2000
"""Read-outs that are made at once, whatever the budget: random numbers are then the same."""


@dataclasses.dataclass(frozen=True)
class Signal:
    """What is assumed of the responses.

    Parameters
    ----------
    share : of the variance of one subject's response to one repeat that is the layer's, above 0 to 1
    n_targets : of the region
    autocorrelation : of the noise of neighbouring samples, 0 for white noise
    """

    share: float = 0.05
    n_targets: int = 20
    autocorrelation: float = 0.0


@dataclasses.dataclass(frozen=True)
class Averaged:
    """Over how many responses a recording is averaged."""

    repeats: int
    subjects: int

    def share(self, single: float) -> float:
        """The signal's share of the variance of the mean, from that of a single response."""
        return single / (single + (1 - single) / (self.repeats * self.subjects))


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A network whose layers are to be told apart.

    Parameters
    ----------
    activations : name of the stimulus → activations to it
    layers : to score
    twin : that it is to be told from; None where the study has none
    """

    name: str
    activations: Mapping[str, Path]
    layers: tuple[str, ...]
    twin: Candidate | None = None


@dataclasses.dataclass(frozen=True)
class Planned:
    """One size of recording, divided into folds.

    Parameters
    ----------
    samples : that would be recorded
    folds : outer ones with inner ones
    """

    samples: Samples
    folds: Sequence[Fold]

    @classmethod
    def of(cls, samples: Samples, options: EncodingOptions) -> Planned:
        """With the study's folds; raises `BadConfiguration` where they cannot be made of so few samples."""
        return cls(samples, make_splits(options.splits, samples, seed=options.seed))


def recovery(
    mapping: MappingEntry,
    network: Candidate,
    planned: Planned,
    averaged: Sequence[Averaged],
    *,
    options: EncodingOptions,
    signal: Signal,
    n: int,
    seed: int,
    compute: Compute | None = None,
    after_fit: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Simulate recordings of one size from every layer of a network, and see which layer is named.

    Parameters
    ----------
    mapping : of each target by itself (``side_by_side``)
    network : of two layers or more
    averaged : designs, each of which gives a row; read-outs and noise are the same in all
    n : data sets simulated from each layer
    after_fit : called after each layer of the network, or of its twin, is fitted to the data sets of one design

    Returns
    -------
    rows with ``model, repeats, subjects, share, score`` (mean held-out score of the layer that was planted), ``exact,
    exact_se, within_one, chance, bits, depth_error`` (see `pipeline.inference.questions.confusion.Identified`),
    ``twin`` (share of data sets in which the network scores higher than its twin; NaN without one) and ``n``

    Raises
    ------
    As `planned_group`
    """
    scratch = Scratch(compute or Compute())
    own = _opened(mapping, network, planned, options, scratch)
    n_sets = n * len(own.layers)
    at_once = max(1, SIGNALS_AT_ONCE // signal.n_targets)
    shape = (n_sets, planned.samples.n, signal.n_targets)
    signals, noise = (scratch.array(shape, np.float32) for _ in range(2))
    for number, layer in enumerate(own.layers):
        # of their own for each network, layer and size, so that a row does not depend on what else is asked for
        generator = np.random.default_rng([seed, zlib.crc32(network.name.encode()), planned.samples.n, number])
        features = own.group.features(layer.name)
        for start in range(0, n, at_once):
            size = min(at_once, n - start)
            here = slice(number * n + start, number * n + start + size)
            lot = z_score_runs(
                generic_signals(features, own.design, size * signal.n_targets, generator), planned.samples.run
            )
            signals[here] = lot.reshape(planned.samples.n, size, signal.n_targets).swapaxes(0, 1)
        for out in noise[number * n : (number + 1) * n]:
            out[:] = z_score_runs(simulated_noise(planned.samples, signal, generator), planned.samples.run)
    sets = _Sets(signals, noise, [one.share(signal.share) for one in averaged])
    profiles = _fitted(own, sets, after_fit)
    twins: list[Profile] | None = None
    if network.twin is not None:
        twins = _fitted(_opened(mapping, network.twin, planned, options, scratch), sets, after_fit)
    rows = []
    for number, one in enumerate(averaged):
        row = {"model": network.name, "repeats": one.repeats, "subjects": one.subjects, "share": sets.shares[number]}
        row |= _named(profiles[number], own, n)
        row["twin"] = float("nan") if twins is None else _higher(profiles[number].nested, twins[number].nested)
        rows.append({**row, "n": n})
    return rows


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A network at the samples of a planned recording; layers in order of depth."""

    group: GroupData
    layers: list[LayerInfo]
    design: Design
    fit: FitLayer
    scratch: Scratch

    @property
    def depths(self) -> np.ndarray:
        return np.array([layer.relative_depth for layer in self.layers])

    @property
    def pathways(self) -> list[str]:
        return [layer.pathway for layer in self.layers]


def _opened(
    mapping: MappingEntry, network: Candidate, planned: Planned, options: EncodingOptions, scratch: Scratch
) -> _Opened:
    group = planned_group(network.activations, planned.samples, options, scratch)
    layers = sorted((group.layer(name) for name in network.layers), key=lambda layer: layer.relative_depth)
    design = Design(planned.folds, group.delays, group.bin_runs(), group.rows())
    fit = mapping.make(options, MappingInputs(group.targets, {}, scratch)).fit
    return _Opened(group, layers, design, fit, scratch)


@dataclasses.dataclass(frozen=True)
class _Sets:
    """Data sets of all layers, those of one layer after those of another.

    Parameters
    ----------
    signals, noise : (n_sets, n_samples, n_targets), mean 0 and variance 1 in each run
    shares : of the signal in the variance, of each design
    """

    signals: np.ndarray
    noise: np.ndarray
    shares: list[float]

    def responses(self, share: float) -> SimulatedResponses:
        n_sets, _, n_targets = self.noise.shape
        amplitude = np.full(n_targets, np.sqrt(share))
        return SimulatedResponses([Part(self.signals[one], amplitude, one) for one in range(n_sets)], self.noise)


def simulated_noise(samples: Samples, signal: Signal, generator: np.random.Generator) -> np.ndarray:
    """(n_samples, n_targets) of variance 1, stationary in each run."""
    from scipy.signal import lfilter

    noise = generator.standard_normal((samples.n, signal.n_targets))
    if signal.autocorrelation:
        for rows in samples.runs:
            innovations = noise[rows]
            innovations[1:] *= np.sqrt(1 - signal.autocorrelation**2)
            noise[rows] = lfilter([1.0], [1.0, -signal.autocorrelation], innovations, axis=0)
    return noise


def _fitted(opened: _Opened, sets: _Sets, after_fit: Callable[[], object]) -> list[Profile]:
    """What a network's layers say of all data sets, a profile of each design with a draw per data set."""
    n_sets, _, n_targets = sets.noise.shape
    nowhere = np.full(n_targets, "")
    targets = {"subject": np.full(n_targets, MEAN_SUBJECT), "region": nowhere, "compartment": nowhere}
    region = Regions.of(targets, np.zeros(n_targets, bool), opened.design)
    tables = [region.table(n_sets, len(opened.layers), opened.scratch) for _ in sets.shares]
    for number, layer in enumerate(opened.layers):
        features = opened.group.features(layer.name)
        for table, share in zip(tables, sets.shares, strict=True):
            responses = sets.responses(share)
            fitted = opened.fit(
                features,
                cast("np.ndarray", responses),
                opened.design,
                compute=opened.scratch.left,
                predictions=cast("np.ndarray", Dropped(responses.shape)),
                after_fold=lambda: None,
            )
            table.take(number, fitted.score, fitted.inner_score)
            after_fit()
    return [region.profiles(table, opened.depths)[0] for table in tables]


def _named(profile: Profile, opened: _Opened, n: int) -> Row:
    """How often the layer that was planted is named, in data sets (layer by layer, n of each)."""
    n_layers = len(opened.layers)
    found = identified(profile.best.reshape(n_layers, n).T, opened.depths, opened.pathways)
    own = profile.score.reshape(n_layers, n, n_layers)
    return {
        "score": float(np.nanmean(np.einsum("lnl->ln", own))),
        "exact": found.exact,
        "exact_se": found.exact_se,
        "within_one": found.within_one,
        "chance": 1 / n_layers,
        "bits": found.bits,
        "depth_error": found.depth_error,
    }


def _higher(network: np.ndarray, twin: np.ndarray) -> float:
    """Share of the data sets in which either has a score; an undefined one is the lowest."""
    known = np.isfinite(network) | np.isfinite(twin)
    network, twin = (np.nan_to_num(scores[known], nan=-np.inf) for scores in (network, twin))
    return float((network > twin).mean()) if known.any() else float("nan")
