"""A study's own calibration: do its tests and intervals keep what they promise, on its own stimuli, samples and noise?

Data sets of *nothing* are the measured responses in other orders; *planted* ones are the same with what the best layer
of each region says of them, so strong that it is predicted as well as was measured. Every data set is a set of regions
of its own, side by side with all others, and goes through what scores go through: fits, other orders, draws.

What is put in another order must not be put back by one of the orders that it is tested against: each data set has
orders of its own, none of which does.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.identifiability import GIVEN
from pipeline.artifacts.scores import write_scores
from pipeline.encoding.design import Design
from pipeline.encoding.group.group_data import GroupData
from pipeline.encoding.group.shuffle import alike_over, null_orders, shuffled_rows
from pipeline.encoding.mapping import FitLayer
from pipeline.encoding.options import FEWEST_DATA_SETS, FEWEST_ORDERS, MOST_COLUMNS, EncodingOptions
from pipeline.encoding.splits import Samples
from pipeline.encoding.stage import score_group, unfiltered_responses
from pipeline.identifiability.regions import Regions
from pipeline.identifiability.signals import standardised
from pipeline.inference.estimates import Estimate, estimate_places
from pipeline.inference.null_tests import PlaceTest, null_tests
from pipeline.inference.places import ALL, Place, list_places
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.rows import best_layers
from pipeline.inference.scores.bootstrap import CORRELATION, DIFFERENCE
from pipeline.inference.scores.encoding_batches import encoding_batches

if TYPE_CHECKING:
    import xarray as xr

N_ORDERS = 60
"""Of each data set, at most: p < .05 is then one in 20 (3 of 61), with 99 it would be 4 of 100."""
USUAL = 20
"""Data sets of either kind for which a layer is fitted to ``most_columns``; for others in proportion."""
SEPARATOR = "|"
STREAM = 3


@dataclasses.dataclass(frozen=True)
class CalibrationOptions:
    """How a study's tests are tried.

    Parameters
    ----------
    n : data sets of each kind, at most
    inference : the settings of the map's intervals and tests
    most_columns : targets × orders × data sets that a layer is fitted to, for `USUAL` data sets
    """

    n: int
    inference: InferenceSettings
    most_columns: int = MOST_COLUMNS


@dataclasses.dataclass(frozen=True)
class Source:
    """A network's group, and how its layers are fitted; ``responses`` (n_samples, n_targets) are as scored."""

    group: GroupData
    layers: tuple[str, ...]
    design: Design
    responses: np.ndarray
    fit: FitLayer
    options: EncodingOptions


@dataclasses.dataclass(frozen=True)
class Planting:
    """What may be planted in each target.

    Parameters
    ----------
    regions : of these targets
    layer : (region,) whose read-outs they are, the best one for the measured responses
    signal : (n_samples, n_targets), mean 0 and SD 1 in each run
    amplitude : (region,) of the signal, 0 to 1
    """

    regions: Regions
    layer: np.ndarray
    signal: np.ndarray
    amplitude: np.ndarray


@dataclasses.dataclass(frozen=True)
class DataSetOrders:
    """Orders of samples.

    Parameters
    ----------
    noise : that make noise of the responses, (n_samples,) for each data set of nothing, and the planted one beside it
    others : that these are tested against, (2 · n_sets, n_samples) each: one of its own for every data set
    why : there are none; empty if there are
    """

    noise: list[np.ndarray]
    others: list[np.ndarray]
    why: str = ""


def calibration(
    source: Source,
    planting: Planting,
    settings: CalibrationOptions,
    attrs: dict[str, Any],
    *,
    shuffle_seed: int | None,
    seed: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the map says of data sets of nothing and of planted ones.

    Parameters
    ----------
    planting : of which targets are drawn where they are more than ``most_columns`` allow
    attrs : ``study, analysis, group, created_by, config_sha, inputs_sha``
    shuffle_seed : of a null study, None for the real one
    seed : of orders and the choice of targets

    Returns
    -------
    variables ``test_*`` and attributes of `pipeline.artifacts.identifiability`; without data sets where none are
    wanted, or the samples allow too few
    """
    n_orders = min(N_ORDERS, settings.inference.permutations)
    n, at_most = _sizes(
        planting.regions, settings.n, settings.most_columns * settings.n // USUAL // (2 * (1 + n_orders))
    )
    orders = DataSetOrders([], [], "no target varies")
    if planting.regions.targets.size:
        alike = alike_over(source.responses, source.group.samples)
        orders = data_set_orders(source.group.samples, n, n_orders, seed, alike=alike, shuffle_seed=shuffle_seed)
    told = {"confidence": settings.inference.confidence, "no_calibration": orders.why if settings.n else ""}
    n_regions = len(planting.regions.names)
    if not orders.noise:
        return _variables(np.zeros(n_regions), _Table.empty(0, n_regions)), {**told, "test_orders": 0}
    some = _some(planting, at_most, np.random.default_rng([seed, STREAM]))
    made = _made(source, some, orders.noise)
    scores = score_group(
        made,
        source.fit,
        source.options.model_copy(update={"n_examples": 0}),
        source.layers,
        attrs,
        seed,  # in no order that was measured, so none is checked
        source=Path(),
        orders=orders.others,
    )
    table = _tested(scores, some, len(orders.noise), settings.inference, source.group.scratch.compute.folder)
    return _variables(some.amplitude, table), {**told, "test_orders": len(orders.others)}


def _sizes(regions: Regions, n: int, budget: int) -> tuple[int, int]:
    """How many data sets there are, and how many targets at most each of them has, of a budget for all."""
    n_leaves = max(1, np.unique(regions.leaf_of).size)
    n = min(n, max(FEWEST_DATA_SETS, budget // n_leaves))
    return n, budget // max(1, n)


def data_set_orders(
    samples: Samples, n: int, n_orders: int, seed: int, *, alike: int, shuffle_seed: int | None
) -> DataSetOrders:
    """Orders of all data sets, none of which puts responses back to within 20 s of where they were measured.

    Parameters
    ----------
    n : data sets of either kind, at most
    n_orders : of each, at most; 0 for data sets without
    alike : over how many samples responses are alike
    shuffle_seed : of a null study, whose responses are in another order already
    """
    given = np.arange(samples.n) if shuffle_seed is None else shuffled_rows(samples, shuffle_seed)
    start = None if shuffle_seed is None else given
    noise = null_orders(samples, n, _own_seed(seed, 0), alike=alike, shuffled=start, all_far=True)
    if len(noise) < FEWEST_DATA_SETS:
        return DataSetOrders([], [], f"the samples allow fewer than {FEWEST_DATA_SETS} other orders to make noise of")
    if not n_orders:
        return DataSetOrders(noise, [])
    each = [
        null_orders(samples, n_orders, _own_seed(seed, 1 + number), alike=alike, shuffled=given[order])
        for number, order in enumerate(noise)
    ]
    fewest = min(map(len, each))
    if fewest < FEWEST_ORDERS:
        why = f"responses that are in another order already allow fewer than {FEWEST_ORDERS} others"
        return DataSetOrders([], [], why)
    others = [np.stack([own[k] for own in each] * len(GIVEN)).astype(np.int32) for k in range(fewest)]
    return DataSetOrders(noise, others)


def _own_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, STREAM, number]).generate_state(1)[0])


def _some(planting: Planting, at_most: int, generator: np.random.Generator) -> Planting:
    regions = planting.regions.some(at_most, generator)
    columns = np.searchsorted(planting.regions.targets, regions.targets)
    return dataclasses.replace(planting, regions=regions, signal=planting.signal[:, columns])


def _made(source: Source, planting: Planting, noise: Sequence[np.ndarray]) -> GroupData:
    """The group with responses of all data sets side by side, nothing first; region ``0007|VISp`` is of the eighth.

    Responses that the fit filters are put in order before they are: noise has SD 1 once it is filtered.
    """
    group, regions, high_pass = source.group, planting.regions, source.design.high_pass
    base = np.asarray(unfiltered_responses(group, source.responses, high_pass)[:, regions.targets])
    n_targets, n_sets = regions.targets.size, len(noise)
    responses = group.scratch.array((1, group.samples.n, len(GIVEN) * n_sets * n_targets), np.float32)
    amplitude = planting.amplitude[regions.region_of]
    for number, order in enumerate(noise):
        columns = standardised(base[order])
        if high_pass is not None:
            sd = high_pass.apply(columns).std(axis=0)
            columns = np.asarray(columns / np.where(sd > 0, sd, 1.0), np.float32)
        for given, values in enumerate((columns, amplitude * planting.signal + np.sqrt(1 - amplitude**2) * columns)):
            first = (given * n_sets + number) * n_targets
            responses[0, :, first : first + n_targets] = values
    kept = {name: group.targets[name][regions.targets] for name in ("target", "region", "subject", "compartment")}
    targets = {name: np.tile(values, len(GIVEN) * n_sets) for name, values in kept.items()}
    set_of = np.repeat(np.arange(len(GIVEN) * n_sets), n_targets)
    for name in ("target", "region"):
        named = [f"{number:04d}{SEPARATOR}{value}" for number, value in zip(set_of, targets[name], strict=True)]
        targets[name] = np.array(named)
    return dataclasses.replace(
        group, responses=responses, targets=targets, nuisance=None, nuisance_shares=None, surface=None
    )


@dataclasses.dataclass(frozen=True)
class _Table:
    """What the map says, each (given, data set, region); NaN where it says nothing."""

    p: np.ndarray
    found: np.ndarray
    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    difference: np.ndarray
    difference_low: np.ndarray
    difference_high: np.ndarray
    in_set: np.ndarray

    @classmethod
    def empty(cls, n_sets: int, n_regions: int) -> _Table:
        shape = (len(GIVEN), n_sets, n_regions)
        return cls(*(np.full(shape, np.nan) for _ in dataclasses.fields(cls)))

    def fill(
        self,
        where: tuple[int, int, int],
        estimate: Estimate,
        test: PlaceTest,
        layer: int,
        inference: InferenceSettings,
    ) -> None:
        nested = estimate.sampled(lambda profile: profile.nested)
        if not np.isfinite(nested.value):
            return
        low, high = nested.interval(inference.confidence, CORRELATION)
        self.p[where] = test.nested.p[0]
        self.found[where] = test.is_predicted(float(low))
        self.score[where], self.low[where], self.high[where] = nested.value, low, high
        self.in_set[where] = best_layers(estimate, inference)[layer]
        depths = estimate.layers.relative_depth
        other = next((one for one in (int(np.argmin(depths)), int(np.argmax(depths))) if one != layer), None)
        if other is None:
            return
        difference = estimate.sampled(lambda profile: profile.score[..., layer] - profile.score[..., other])
        self.difference[where] = difference.value
        self.difference_low[where], self.difference_high[where] = difference.interval(inference.confidence, DIFFERENCE)


def _tested(
    scores: xr.Dataset, planting: Planting, n_sets: int, inference: InferenceSettings, folder: Path | None
) -> _Table:
    """From encoding scores, as the map has it; a family is what the map's is, of one data set."""
    table = _Table.empty(n_sets, len(planting.regions.names))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        path = Path(own) / "scores.nc"
        write_scores(scores, path)
        model = str(scores.attrs["model"])
        (batch,) = encoding_batches({str(scores.attrs["group"]): {model: path}}, "", False, inference)
        loaded = batch.load(model)
    null = loaded.null
    if null is not None:
        null = dataclasses.replace(null, orders=list(null.orders))
    places = _places(list_places(batch.targets, ()), planting.regions.subject)
    estimates = next(iter(estimate_places(batch, loaded, places, inference).values()))
    by_set: dict[int, list[int]] = {}
    for index, place in enumerate(places):
        by_set.setdefault(int(place.region.partition(SEPARATOR)[0]), []).append(index)
    for number, own_places in by_set.items():
        depths = loaded.layers.relative_depth
        tests = null_tests(null, [places[one] for one in own_places], depths, {"": slice(None)})[""]
        for index, test in zip(own_places, tests, strict=True):
            region = planting.regions.names.index(places[index].region.partition(SEPARATOR)[2])
            where = (*divmod(number, n_sets), region)
            table.fill(where, estimates[index], test, int(planting.layer[region]), inference)
    return table


def _places(places: Sequence[Place], subject: str) -> list[Place]:
    """Whole regions of a subject, of the mean of subjects, or of all; of all, a single one's whose responses vary."""
    own = [place for place in places if place.subject == subject] or list(places)
    whole = [place for place in own if place.compartment == ALL]
    return whole or own


def _variables(amplitude: np.ndarray, table: _Table) -> dict[str, Any]:
    by_set = ("given", "data_set", "region")
    values = {f"test_{one.name}": (by_set, getattr(table, one.name)) for one in dataclasses.fields(table)}
    return {**values, "test_amplitude": ("region", amplitude), "given": ("given", np.array(GIVEN, object))}
