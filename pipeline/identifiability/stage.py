"""Stage `identify`: could this study have told which layer, or which network, a region's responses come from?

Responses are simulated from every layer of every network with the study's own stimuli, samples, targets and noise, so
strong that the layer predicts them as well as the network predicts the measured ones, and go through the same folds,
penalties and choice of layer. How often the layer that they were made from is the one that is named is all that the
name of a layer can be worth.

Noise are the measured responses in other orders: their spectrum in time and what targets share are kept. Responses that
were averaged over subjects are simulated where there are any, else those of all subjects of the group.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline.artifacts.activations import LayerInfo
from pipeline.artifacts.identifiability import FITTED, GENERIC, READOUTS
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.correlation import is_constant
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.group_data import GroupData, open_group
from pipeline.encoding.group.reliability import MEAN_SUBJECT, scored_responses, z_score_runs
from pipeline.encoding.group.shuffle import alike_over, null_orders, shuffled_rows
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.mapping import FitLayer, MappingEntry, MappingInputs
from pipeline.encoding.null_tables import Dropped
from pipeline.encoding.options import FEWEST_REPEATS, MOST_COLUMNS, EncodingOptions
from pipeline.encoding.splits import held_out_stretches, make_splits
from pipeline.encoding.stage import again_filtered, clean_responses, unfiltered_responses
from pipeline.identifiability.calibration import CalibrationOptions, Planting, Source, calibration
from pipeline.identifiability.regions import Regions, Table
from pipeline.identifiability.signals import (
    Part,
    SideBySide,
    SimulatedResponses,
    fitted_signals,
    generic_signals,
    standardised,
)

if TYPE_CHECKING:
    import xarray as xr

    from pipeline.inference.profile import Profile

BATCH_MB = 256.0
AMPLITUDES = (0.15, 0.3, 0.45, 0.6, 0.8, 1.0)
"""Of the signal, tried to find the one at which a layer's score is the measured one."""
N_TRIALS = 4
"""Data sets at each of them."""
KEPT_MB = 8.0
"""The map holds as much of every group that it averages."""


@dataclasses.dataclass(frozen=True)
class Network:
    """One network of the analysis.

    Parameters
    ----------
    name : of the model
    runs : (recording, activations) of each run of the group, in order
    layers : to score, in order of depth; None for all that the activations hold
    only_best : simulate from its best layer only, as from a twin: whether networks are told apart, not layers
    """

    name: str
    runs: Sequence[tuple[Path, Path]]
    layers: tuple[str, ...] | None
    only_best: bool = False


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A network's group, and how its layers are fitted."""

    group: GroupData
    layers: tuple[LayerInfo, ...]
    design: Design
    responses: np.ndarray
    fit: FitLayer

    @property
    def depths(self) -> np.ndarray:
        return np.array([layer.relative_depth for layer in self.layers])


@dataclasses.dataclass(frozen=True)
class _Planted:
    """What responses are simulated from, of one network.

    Parameters
    ----------
    signals : readout → (n_layers, n_repeats or 1, n_samples, n_targets)
    amplitude : (readout, layer, region)
    reached : (readout, layer, region) bool, whether the layer can score as high as was measured
    measured : (region,) nested score of the measured responses
    named : (region,) their best layer, −1 for none
    best : (region,) layer of the highest score
    """

    layers: tuple[LayerInfo, ...]
    signals: dict[str, np.ndarray]
    amplitude: np.ndarray
    reached: np.ndarray
    measured: np.ndarray
    named: np.ndarray
    best: np.ndarray

    def signal(self, readout: str, layer: int, repeat: int) -> np.ndarray:
        of_layer = self.signals[readout][layer]
        return np.asarray(of_layer[repeat % of_layer.shape[0]])


def identify_group(
    mapping: MappingEntry,
    *,
    networks: Sequence[Network],
    options: EncodingOptions,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    n_repeats: int,
    seed: int,
    compute: Compute | None = None,
    calibrate: CalibrationOptions,
    most_columns: int = MOST_COLUMNS,
    kept_mb: float = KEPT_MB,
) -> xr.Dataset:
    """Simulate responses from every layer of every network of a group, and see which layer and network are named.

    Parameters
    ----------
    mapping : of each target by itself (``side_by_side``)
    networks : at least one that is not ``only_best``
    attrs : ``study, analysis, group, created_by, config_sha, inputs_sha``
    shuffle_seed : of a null study, None for the real one
    n_repeats : data sets simulated from each layer by either kind of read-out; samples that allow fewer orders than so
        many have fewer
    seed : of noise, random read-outs and the choice of targets
    calibrate : the data sets that the study's own tests are tried on, see `pipeline.identifiability.calibration`
    most_columns : simulated targets that a layer is fitted to; of more targets, so many are drawn that it is no more
    kept_mb : of scores of simulated targets, so that those of several groups can be averaged; as many targets, drawn
        by chance, as fit, one of each subject's region at least

    Returns
    -------
    Dataset of kind ``identifiability``, see `pipeline.artifacts.identifiability`; without repeats where the samples
    allow fewer than 20 other orders, or no target varies

    Raises
    ------
    As `pipeline.encoding.stage.encode_group`
    """
    return _Run(mapping, networks, options, shuffle_seed, seed, compute or Compute()).dataset(
        attrs, n_repeats, calibrate, most_columns, kept_mb
    )


class _Run:
    def __init__(
        self,
        mapping: MappingEntry,
        networks: Sequence[Network],
        options: EncodingOptions,
        shuffle_seed: int | None,
        seed: int,
        compute: Compute,
    ) -> None:
        self._mapping, self._networks, self._options = mapping, networks, options
        self._shuffle_seed, self._seed = shuffle_seed, seed
        self._scratch = Scratch(compute)
        self._compute = compute

    def dataset(
        self,
        attrs: dict[str, Any],
        n_repeats: int,
        calibrate: CalibrationOptions,
        most_columns: int,
        kept_mb: float,
    ) -> xr.Dataset:
        first = self._open(self._networks[0])
        regions, picked, noise = self._noise(first, n_repeats, most_columns)
        of_targets = {name: first.group.targets[name][picked.targets] for name in ("subject", "region")}
        del first
        planted: list[_Planted] = []
        for number, network in enumerate(self._networks):
            planted.append(self._plant(self._open(network), number, regions, picked, noise))
        found, tables = [], []
        tried = next(m for m, network in enumerate(self._networks) if not network.only_best)
        tests: tuple[dict[str, Any], dict[str, Any]] = {}, {}
        for m, network in enumerate(self._networks):
            opened = self._open(network)
            profiles, table = self._fit_all(opened, planted, m, picked, noise)
            found.append(profiles)
            tables.append(table)
            if m == tried:
                tests = self._calibrate(opened, planted[m], picked, calibrate, attrs)
            del opened  # the next network's finds room in its place
        described = {**self._attrs(attrs, regions, picked), "calibrated": self._networks[tried].name, **tests[1]}
        dataset = _dataset(self._networks, planted, found, picked, noise.shape[0], described)
        return dataset.assign(tests[0]).assign(self._kept(tables, of_targets, picked, kept_mb))

    def _calibrate(
        self,
        opened: _Opened,
        planted: _Planted,
        picked: Regions,
        settings: CalibrationOptions,
        attrs: dict[str, Any],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        layers = tuple(layer.name for layer in opened.layers)
        each = planted.best[picked.region_of]
        fitted = planted.signals[FITTED][:, 0]
        planting = Planting(
            regions=picked,
            layer=planted.best,
            signal=fitted[each, :, np.arange(each.size)].T,
            amplitude=planted.amplitude[READOUTS.index(FITTED), planted.best, np.arange(planted.best.size)],
        )
        source = Source(opened.group, layers, opened.design, opened.responses, opened.fit, self._options)
        return calibration(source, planting, settings, attrs, shuffle_seed=self._shuffle_seed, seed=self._seed)

    def _attrs(self, attrs: dict[str, Any], regions: Regions, picked: Regions) -> dict[str, Any]:
        return {
            **standard_attrs("identifiability", attrs["created_by"], attrs["config_sha"], attrs["inputs_sha"]),
            **{name: attrs[name] for name in ("study", "analysis", "group")},
            "metric": self._options.kind,
            "subject": regions.subject,
            "n_targets": regions.targets.size,
            "n_simulated": picked.targets.size,
            "seed": self._seed,
        }

    def _open(self, network: Network) -> _Opened:
        """The group as `pipeline.encoding.stage` opens it for this network."""
        options, scratch = self._options, self._scratch
        clean = functools.partial(clean_responses, options=options)
        group = open_group(network.runs, options, scratch, clean=clean, shuffle_seed=self._shuffle_seed)
        folds = make_splits(options.splits, group.samples, seed=options.seed)
        high_pass = None
        if group.high_pass is not None:
            high_pass = HighPass(held_out_stretches(folds, group.samples.run), *group.high_pass)
        design = Design(folds, group.delays, group.bin_runs(), group.rows(), high_pass)
        responses = scored_responses(
            group.responses,
            group.samples.run,
            z_scored=group.z_scored,
            memory_budget_mb=scratch.batch_mb(BATCH_MB),
            out=scratch.array(group.responses.shape[1:], np.float32),
        )
        if high_pass is not None:
            filtered = again_filtered(group, high_pass)
            responses = responses if filtered is None else np.asarray(filtered(responses), np.float32)
        names = network.layers or tuple(group.model_attrs["layer_order"])
        fit = self._mapping.make(options, MappingInputs(group.targets, {}, scratch)).fit
        return _Opened(group, tuple(group.layer(name) for name in names), design, responses, fit)

    def _noise(self, opened: _Opened, n_repeats: int, most_columns: int) -> tuple[Regions, Regions, np.ndarray]:
        """All regions, those of the targets that are simulated, and (n_repeats, n_samples, n_targets) of noise."""
        group, responses = opened.group, opened.responses
        regions = Regions.of(group.targets, is_constant(responses), opened.design)
        n_parts = 2 * n_repeats * (len(opened.layers) + len(self._networks))
        generator = np.random.default_rng([self._seed, 0])
        picked = regions.some(max(1, most_columns // n_parts), generator)
        samples, shuffled = group.samples, None
        if self._shuffle_seed is not None:
            shuffled = shuffled_rows(samples, self._shuffle_seed)
        alike = alike_over(responses, samples) if picked.targets.size else samples.n
        orders = null_orders(samples, n_repeats, self._seed, alike=alike, shuffled=shuffled, all_far=True)
        if len(orders) < FEWEST_REPEATS or not picked.targets.size:
            orders = []
        base = unfiltered_responses(group, responses, opened.design.high_pass)
        after = again_filtered(group, opened.design.high_pass)
        shape = (len(orders), samples.n, picked.targets.size)
        noise = self._scratch.array(shape, np.float32)
        for out, order in zip(noise, orders, strict=True):
            columns = np.asarray(base[:, picked.targets])[order]
            columns = columns if after is None else after(columns)
            out[:] = standardised(columns if group.z_scored else z_score_runs(columns, samples.run))
        return regions, picked, noise

    def _fit(self, opened: _Opened, features: np.ndarray, responses: Any) -> LayerFit:
        return opened.fit(
            features,
            responses,
            opened.design,
            compute=self._scratch.left,
            predictions=cast("np.ndarray", Dropped(responses.shape)),
            after_fold=lambda: None,
        )

    def _plant(self, opened: _Opened, number: int, regions: Regions, picked: Regions, noise: np.ndarray) -> _Planted:
        """Signals of all layers, and how strong they have to be."""
        n_layers, (n_repeats, n_samples, n_targets) = len(opened.layers), noise.shape
        signals = {
            FITTED: self._scratch.array((n_layers, 1, n_samples, n_targets), np.float32),
            GENERIC: self._scratch.array((n_layers, n_repeats, n_samples, n_targets), np.float32),
        }
        measured = regions.measured_table(opened.responses, opened.design, n_layers, self._scratch)
        run = opened.group.samples.run
        curves = np.zeros((len(READOUTS), n_layers, len(AMPLITUDES), len(regions.names)))
        for index, layer in enumerate(opened.layers if regions.targets.size else ()):
            features = opened.group.features(layer.name)
            if n_repeats:
                own = opened.responses[:, picked.targets]
                fitted = fitted_signals(features, own, opened.design, opened.fit, self._scratch.left)
                signals[FITTED][index, 0] = z_score_runs(fitted, run)
                generator = np.random.default_rng([self._seed, 1, number, index])
                generic = z_score_runs(generic_signals(features, opened.design, n_repeats * n_targets, generator), run)
                signals[GENERIC][index] = generic.reshape(n_samples, n_repeats, n_targets).swapaxes(0, 1)
            trials = _trials({readout: own[index] for readout, own in signals.items()}, noise)
            columns = SideBySide(opened.responses[:, regions.targets], SimulatedResponses(trials, noise))
            scores = self._fit(opened, features, columns)
            measured.take(index, scores.score[:, : regions.targets.size], scores.inner_score[:, : regions.targets.size])
            tried = picked.table(len(trials), 1, self._scratch)
            if trials:
                tried.take(0, scores.score[:, regions.targets.size :], scores.inner_score[:, regions.targets.size :])
            curves[:, index] = _curves(picked, tried)
            del features, scores, tried
        profiles = regions.profiles(measured, opened.depths)
        nested = np.array([profile.nested[0] for profile in profiles], float)
        amplitude, reached = _amplitudes(curves, nested)
        return _Planted(
            layers=opened.layers,
            signals=signals,
            amplitude=amplitude,
            reached=reached,
            measured=nested,
            named=np.array([profile.best[0] for profile in profiles], int),
            best=np.array([np.argmax(np.nan_to_num(profile.score[0], nan=-1.0)) for profile in profiles], int),
        )

    def _kept(
        self, tables: Sequence[Table], of_targets: Mapping[str, np.ndarray], picked: Regions, kept_mb: float
    ) -> dict[str, Any]:
        """Scores of all networks' data sets, target by target; without targets where nothing was simulated."""
        n_scored = sum(one.z.shape[0] * one.z.shape[2] for one in tables)
        per_target = 8 * max(1, n_scored) * picked.fold_weight.size
        some = picked.some(int(kept_mb * 1e6 / per_target), np.random.default_rng([self._seed, 2]))
        averaged = picked.subject == MEAN_SUBJECT  # no other group's are averaged with these
        here = np.searchsorted(picked.targets, some.targets) if n_scored and not averaged else np.zeros(0, int)
        z, inner = (
            np.concatenate([np.zeros((0, picked.fold_weight.size, here.size), np.float32), *parts])
            for parts in ([one.by_layer(getattr(one, name), here) for one in tables] for name in ("z", "inner"))
        )
        scored, weight = ("scored", "fold", "kept"), np.repeat(picked.fold_weight[:, None], here.size, axis=1)
        kept = {f"kept_{name}": ("kept", values[here].astype(object)) for name, values in of_targets.items()}
        return {"kept_z": (scored, z), "kept_inner": (scored, inner), "kept_weight": (("fold", "kept"), weight), **kept}

    def _fit_all(
        self, opened: _Opened, planted: Sequence[_Planted], number: int, picked: Regions, noise: np.ndarray
    ) -> tuple[list[Profile], Table]:
        """Profiles of one network over everything that was planted (see `_parts`), and the scores behind them."""
        parts = _parts(planted, number, picked, noise.shape[0], only_best=self._networks[number].only_best)
        table = picked.table(len(parts), len(opened.layers), self._scratch)
        for index, layer in enumerate(opened.layers):
            if parts:
                fitted = self._fit(opened, opened.group.features(layer.name), SimulatedResponses(parts, noise))
                table.take(index, fitted.score, fitted.inner_score)
        return picked.profiles(table, opened.depths), table


def _trials(signals: Mapping[str, np.ndarray], noise: np.ndarray) -> list[Part]:
    """Data sets of a layer's own signals, (n_repeats or 1, n_samples, n_targets), at each amplitude."""
    return [
        Part(signals[readout][trial % signals[readout].shape[0]], np.full(noise.shape[2], amplitude), trial)
        for readout in READOUTS
        for amplitude in AMPLITUDES
        for trial in range(min(N_TRIALS, noise.shape[0]))
    ]


def _curves(picked: Regions, table: Table) -> np.ndarray:
    """Mean score of a layer's own signals at each amplitude, (readout, amplitude, region); 0 without trials."""
    if not table.z.shape[0]:
        return np.zeros((len(READOUTS), len(AMPLITUDES), len(picked.names)))
    profiles = picked.profiles(table, np.zeros(1))
    scores = np.nan_to_num(np.stack([profile.score[:, 0] for profile in profiles], axis=-1))
    return np.asarray(scores.reshape(len(READOUTS), len(AMPLITUDES), -1, len(profiles)).mean(axis=2))


def _amplitudes(curves: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude at which each layer scores as was measured, and whether any does.

    Parameters
    ----------
    curves : (readout, layer, amplitude, region), scores
    measured : (region,)
    """
    amplitude = np.zeros((*curves.shape[:2], measured.size))
    reached = np.ones(amplitude.shape, bool)
    for where in np.ndindex(amplitude.shape):
        rising = np.maximum.accumulate([0.0, *curves[where[0], where[1], :, where[2]]])
        wanted = measured[where[2]]
        if wanted > 0:
            # a little more in each step, so that the smallest amplitude of equal scores is taken
            steps = rising + 1e-9 * np.arange(rising.size)
            amplitude[where] = np.interp(wanted, steps, (0.0, *AMPLITUDES))
            reached[where] = wanted <= rising[-1]
    return amplitude, reached


def _parts(planted: Sequence[_Planted], number: int, picked: Regions, n_repeats: int, *, only_best: bool) -> list[Part]:
    """What one network is fitted to: signals of all of its layers, then those of every network's best layers."""
    own = planted[number]
    parts = [
        Part(own.signal(readout, layer, repeat), own.amplitude[kind, layer][picked.region_of], repeat)
        for kind, readout in enumerate(READOUTS)
        for repeat in range(n_repeats)
        for layer in range(0 if only_best else len(own.layers))
    ]
    for kind, readout in enumerate(READOUTS):
        for repeat in range(n_repeats):
            for network in planted:
                layer = network.best[picked.region_of]
                columns = np.arange(layer.size)
                signal = np.stack([network.signal(readout, index, repeat) for index in range(len(network.layers))])
                amplitude = network.amplitude[kind][layer, picked.region_of]
                parts.append(Part(signal[layer, :, columns].T, amplitude, repeat))
    return parts


def _by_region(values: Sequence[np.ndarray]) -> np.ndarray:
    """(…, n_regions); of no region, without anything."""
    return np.stack(values, axis=-1) if values else np.zeros(0)


def _dataset(
    networks: Sequence[Network],
    planted: Sequence[_Planted],
    found: Sequence[Sequence[Profile]],
    regions: Regions,
    n_repeats: int,
    attrs: dict[str, Any],
) -> xr.Dataset:
    import xarray as xr

    n_regions = len(regions.names)
    by_planted: dict[str, list[np.ndarray]] = {"named": [], "depth_index": [], "own_score": []}
    recovered = []
    shown = [one for one, network in enumerate(networks) if not network.only_best]
    for number, (own, profiles) in enumerate(zip(planted, found, strict=True)):
        n_layers = len(own.layers)
        within = (len(READOUTS), n_repeats, n_layers if number in shown else 0)
        n_within = int(np.prod(within))
        best, depth, nested = (
            _by_region([getattr(profile, name) for profile in profiles]) for name in ("best", "depth", "nested")
        )
        by_planted["named"].append(best[:n_within].reshape(*within, n_regions))
        by_planted["depth_index"].append(depth[:n_within].reshape(*within, n_regions))
        if within[2]:
            score = _by_region([profile.score for profile in profiles])[:n_within]
            score = score.reshape(*within, n_layers, n_regions)
            by_planted["own_score"].append(np.einsum("krllg->krlg", score))
        recovered.append(nested[n_within:].reshape(len(READOUTS), n_repeats, len(planted), n_regions))
    layers = [(networks[one].name, layer) for one in shown for layer in planted[one].layers]
    dims = ("readout", "repeat", "planted", "region")
    variables: dict[str, Any] = {name: (dims, np.concatenate(values, axis=2)) for name, values in by_planted.items()}
    per_layer = ("readout", "planted", "region")
    variables |= {
        "amplitude": (per_layer, np.concatenate([planted[one].amplitude for one in shown], axis=1)),
        "reached": (per_layer, np.concatenate([planted[one].reached for one in shown], axis=1).astype(np.int8)),
        "measured_score": (("network", "region"), np.stack([own.measured for own in planted])),
        "measured_layer": (("network", "region"), np.stack([own.named for own in planted])),
        "n_network_layers": ("network", np.array([len(own.layers) for own in planted])),
        "network_score": (
            ("readout", "repeat", "planted_network", "network", "region"),
            np.stack(recovered, axis=3),
        ),
    }
    coords = {
        "readout": ("readout", np.array(READOUTS, object)),
        "region": ("region", np.array(regions.names, object)),
        "n_targets": ("region", np.bincount(regions.region_of, minlength=len(regions.names))),
        "network": ("network", np.array([network.name for network in networks], object)),
        "planted_model": ("planted", np.array([name for name, _ in layers], object)),
        "planted_layer": ("planted", np.array([layer.name for _, layer in layers], object)),
        "planted_pathway": ("planted", np.array([layer.pathway for _, layer in layers], object)),
        "relative_depth": ("planted", np.array([layer.relative_depth for _, layer in layers])),
    }
    return xr.Dataset(variables, coords, attrs)
