"""The encode stage: held-out predictions of one group's responses from every layer of one model."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import UnknownName
from pipeline.encoding.alignment.check import told
from pipeline.encoding.alignment.group_alignment import REMEDIES, check_group, checked_layer
from pipeline.encoding.alignment.reduced_problem import feature_components
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.feature_space import open_space
from pipeline.encoding.group.group_data import GroupData, open_group
from pipeline.encoding.group.jackknife import parts_of
from pipeline.encoding.group.nuisance import Nuisance, nuisance_shares, take_out
from pipeline.encoding.group.reliability import (
    Reliability,
    estimate_reliability,
    match_units,
    scored_responses,
    z_score_runs,
)
from pipeline.encoding.group.shuffle import Reordered, alike_over, null_orders, shuffled_rows
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.layer_tables import BATCH_MB, LayerTables
from pipeline.encoding.mapping import FitLayer, MappingEntry, MappingInputs, OtherOrders, SpaceFiles
from pipeline.encoding.null_tables import NullTables, n_orders_of
from pipeline.encoding.options import FEWEST_ORDERS, EncodingOptions, NullOptions
from pipeline.encoding.splits import Fold, Samples, describe, held_out_stretches, make_splits

if TYPE_CHECKING:
    import xarray as xr

NO_NULL = NullOptions()


def encode_group(
    mapping: MappingEntry,
    *,
    runs: list[tuple[Path, Path]],
    options: EncodingOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    spaces: Sequence[SpaceFiles] = (),
    compute: Compute | None = None,
    null: NullOptions = NO_NULL,
) -> xr.Dataset:
    """Score every layer of a model on one group by a mapping.

    Parameters
    ----------
    mapping : its entry
    runs : (recording, activations) of each run of the group, in order; those of one member share targets, and
        all share the model; see `pipeline.encoding.group.matched_cells`
    options : of the mapping's class
    layers : to score, in order of depth; None scores all that the activations hold
    attrs : ``study, analysis, group, created_by, config_sha, inputs_sha``
    shuffle_seed : seed of a null study, None for the real one
    spaces : of a joint fit, fitted with each layer; none for a model that is one of them, whose layers are scored by
        themselves
    compute : budget, device and scratch folder; None: with the defaults
    null : in how many other orders the responses are fitted as well; see `pipeline.encoding.null_tables`

    Returns
    -------
    encoding scores, see `pipeline.artifacts.scores`

    Raises
    ------
    SampleMismatch
        Recordings and activations that do not belong together; the message names both files.
    BadConfiguration
        Splits or delays that the data do not allow.
    UnknownName
        A layer that the activations, of the model or of a space, do not hold.
    LayermapError
        The mapping gives what cannot be scored.
    """
    scratch = Scratch(compute or Compute())
    recordings = [recording for recording, _ in runs]
    opened = {space.name: open_space(space, recordings, options, scratch) for space in spaces}
    clean = functools.partial(clean_responses, options=options)
    group = open_group(runs, options, scratch, clean=clean, shuffle_seed=shuffle_seed)
    at_work = mapping.make(options, MappingInputs(group.targets, opened, scratch))
    null = null if mapping.side_by_side or at_work.test_in is not None else NO_NULL
    scores = score_group(
        group,
        at_work.fit,
        options,
        layers,
        attrs,
        shuffle_seed,
        source=recordings[0],
        null=null,
        test_in=at_work.test_in,
    )
    del group  # what the mapping adds may take its place
    return at_work.finish(scores)


def score_group(
    group: GroupData,
    fit: FitLayer,
    options: EncodingOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    *,
    source: Path,
    null: NullOptions = NO_NULL,
    test_in: Callable[[OtherOrders], object] | None = None,
    orders: Sequence[np.ndarray] | None = None,
) -> xr.Dataset:
    """Fit every layer of a group's model, and sum up how well it is predicted; see `encode_group`.

    Parameters
    ----------
    group : opened with ``shuffle_seed``
    source : the recording that a warning of the alignment check names
    null : other orders, for a ``fit`` of each target by itself, or for ``test_in``
    test_in : takes the orders, so that ``fit`` tests in them what it adds; its scores are then not held against them
    orders : of the samples, in place of those that ``null`` has drawn; see `Reordered`
    """
    scratch = group.scratch
    layers = layers or tuple(group.model_attrs["layer_order"])
    for layer in layers:
        if layer not in group.runs[0].activations.attrs["layer_order"]:
            raise UnknownName(f"layer of {group.model_attrs['model']}", layer, group.model_attrs["layer_order"])
    folds = make_splits(options.splits, group.samples, seed=options.seed)
    high_pass, filtered = None, None
    if group.high_pass is not None:
        high_pass = HighPass(held_out_stretches(folds, group.samples.run), *group.high_pass)
        filtered = functools.partial(_filter_repeats, high_pass)
    responses = scored_responses(
        group.responses,
        group.samples.run,
        z_scored=group.z_scored and high_pass is None,
        filtered=filtered,
        memory_budget_mb=scratch.batch_mb(BATCH_MB),
        out=scratch.array(group.responses.shape[1:], np.float32),
    )
    design = Design(folds, group.delays, group.bin_runs(), group.rows(), high_pass)
    tables = LayerTables(
        folds,
        responses,
        regions=group.targets["region"],
        n_layers=len(layers),
        n_examples=options.n_examples,
        scratch=scratch,
    )
    if orders is None:
        orders = _other_orders(group, tables, null, shuffle_seed) if null.n else []
    nulls = None
    if orders and test_in is not None:
        test_in(OtherOrders(orders, tables.constant, again_filtered(group, design.high_pass)))
    elif orders:
        nulls = _null_tables(group, design, tables, len(layers), orders)
    components = _fit_layers(group, responses, design, layers, tables, nulls, fit, options.seed)
    reliability = estimate_reliability(
        group.responses,
        group.samples.run,
        parts_of(folds, group.samples.n, group.samples.kind),
        subjects=group.targets["subject"],
        units=match_units(
            group.targets["subject"], group.targets["region"], group.targets["compartment"], group.targets.get("unit")
        ),
        seed=options.seed,
        members=group.targets.get("member"),
        filtered=filtered,
        scratch=scratch,
    )
    scores = _dataset(group, folds, layers, tables, reliability, options, attrs, shuffle_seed)
    if nulls is not None:
        scores = scores.assign(nulls.variables())
    if shuffle_seed is None:  # shuffled responses are in no order
        found = check_group(group, components, responses, reliability.reliability, design, options.seed)
        remedy, model = REMEDIES[group.samples.kind], group.model_attrs["model"]
        kept = told(found, "encode", attrs, model=model, remedy=remedy, source=source)
        scores = scores.assign_attrs(alignment=kept)
    if group.surface is not None:
        scores = scores.assign_coords(surface_unit=("surface_vertex", _text(group.surface.unit)))
        scores = scores.assign_attrs(surface_mesh=group.surface.mesh)
    if group.nuisance is None:
        return scores
    return scores.assign(nuisance_share=(("regressor", "target"), group.nuisance_shares)).assign_coords(
        regressor=_text(group.nuisance.share_names)
    )


def _other_orders(
    group: GroupData, tables: LayerTables, null: NullOptions, shuffle_seed: int | None
) -> list[np.ndarray]:
    """Other orders of the responses; none where the samples allow too few, or no target varies."""
    responses, samples = tables.responses, group.samples
    orders = null_orders(
        samples,
        n_orders_of(null, responses.shape[1]),
        null.seed,
        alike=alike_over(responses, samples),
        shuffled=None if shuffle_seed is None else shuffled_rows(samples, shuffle_seed),
    )
    return [] if len(orders) < FEWEST_ORDERS or tables.constant.all() else orders


def _null_tables(
    group: GroupData, design: Design, tables: LayerTables, n_layers: int, orders: Sequence[np.ndarray]
) -> NullTables:
    """For the scores of other orders."""
    base = unfiltered_responses(group, tables.responses, design.high_pass)
    after = again_filtered(group, design.high_pass)
    reordered = functools.partial(Reordered, base, after=after)
    return NullTables(reordered, orders, design, group.targets, tables.constant, n_layers, group.scratch)


def unfiltered_responses(group: GroupData, responses: np.ndarray, high_pass: HighPass | None) -> np.ndarray:
    """Responses that can be put in another order, before they are filtered; see `again_filtered`."""
    if high_pass is None:
        return responses
    scratch = group.scratch
    return scored_responses(
        group.responses,
        group.samples.run,
        z_scored=group.z_scored,
        memory_budget_mb=scratch.batch_mb(BATCH_MB),
        out=scratch.array(responses.shape, np.float32),
    )


def again_filtered(group: GroupData, high_pass: HighPass | None) -> Callable[[np.ndarray], np.ndarray] | None:
    """What makes scored responses of those in another order; None where they are not filtered.

    The filter works within what a fold holds out, so responses are filtered once they are in order.
    """
    if high_pass is None:
        return None
    run = group.samples.run
    return lambda columns: z_score_runs(high_pass.apply(columns), run)


def clean_responses(
    responses: np.ndarray, nuisance: Nuisance, samples: Samples, memory_budget_mb: float, *, options: EncodingOptions
) -> np.ndarray:
    """Take what the animals did out of the responses, in place, with coefficients of each outer fold's own."""
    folds = make_splits(options.splits, samples, seed=options.seed)
    splits = [(fold.train, fold.test) for fold in folds]
    shares = nuisance_shares(responses, nuisance, samples.run, splits, memory_budget_mb=memory_budget_mb)
    take_out(responses, nuisance, _fold_of(folds, samples.n), memory_budget_mb=memory_budget_mb)
    return shares


def _fold_of(folds: list[Fold], n_samples: int) -> np.ndarray:
    """The outer fold that holds each sample out, ``(n_samples,)``."""
    fold_of = np.empty(n_samples, int)
    for number, fold in enumerate(folds):
        fold_of[fold.test] = number
    return fold_of


def _filter_repeats(high_pass: HighPass, responses: np.ndarray) -> np.ndarray:
    """Filter each repeat of ``(n_repeats, n_samples, n_targets)``; missing ones stay missing."""
    return np.stack([np.where(np.isnan(repeat), np.nan, high_pass.apply(repeat)) for repeat in responses])


def _fit_layers(
    group: GroupData,
    responses: np.ndarray,
    design: Design,
    layers: tuple[str, ...],
    tables: LayerTables,
    nulls: NullTables | None,
    fit: FitLayer,
    seed: int,
) -> np.ndarray:
    """Fills ``tables`` and ``nulls``; returns a few components of the layer that the alignment check looks at."""
    components = np.empty((0, 0))
    # one for all layers; of the type that products over targets have, so scores do not depend on where it lies
    predictions = group.scratch.array(responses.shape, np.float32)
    with group.scratch.compute.progress(len(layers), len(design.splits)) as progress:
        for number, layer in enumerate(layers):
            progress.at(layer)
            features = group.features(layer)
            if layer == checked_layer(layers):
                components = feature_components(features, seed)
            fitted = fit(
                features,
                responses,
                design,
                compute=group.scratch.left,
                predictions=predictions,
                after_fold=progress.advance,
            )
            tables.add(number, fitted)
            if nulls is not None:
                nulls.add(number, fitted, features, fit)
            del features  # the next layer's need not find room beside them
    return components


def _dataset(
    group: GroupData,
    folds: list[Fold],
    layers: tuple[str, ...],
    tables: LayerTables,
    reliability: Reliability,
    options: EncodingOptions,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
) -> xr.Dataset:
    import xarray as xr

    variables = _variables(tables, reliability)
    coordinates = _coordinates(group, layers, tables, reliability)
    split = {
        **describe(options.splits, folds),
        **{"shuffle_seed": shuffle_seed, "delays": group.delays, "nuisance": list(options.nuisance)},
    }
    names = ("study", "analysis", "group")
    return xr.Dataset(variables, coordinates).assign_attrs(
        {
            **standard_attrs("encoding_scores", attrs["created_by"], attrs["config_sha"], attrs["inputs_sha"]),
            **{name: attrs[name] for name in names},
            **{name: str(group.model_attrs[name]) for name in ("model", "objective", "weights_sha256")},
            "metric": options.kind,
            "n_subjects": group.n_subjects,
            "split": json.dumps(split, sort_keys=True),
            "seed": options.seed,
            "ci_unit": "block" if group.samples.kind == "time" else "item",
            "sample_kind": group.samples.kind,
            "sample_interval_s": group.samples.interval_s,
            "equal_contents": group.samples.equal,
            "n_samples": group.samples.n,
            "n_without_features": group.n_without_features,
            "reliability_df": reliability.deviation.shape[0] - 1,
        }
    )


def _variables(tables: LayerTables, reliability: Reliability) -> dict[str, Any]:
    by_block, by_fold = ("block", "layer", "target"), ("fold_id", "layer", "target")
    return {
        "n": ("block", tables.sums.n),
        "fold": ("block", tables.sums.fold),
        "sum_p": (by_block, tables.sum_p),
        "sum_p2": (by_block, tables.sum_p2),
        "sum_py": (by_block, tables.sum_py),
        "sum_y": (("block", "target"), tables.sum_y),
        "sum_y2": (("block", "target"), tables.sum_y2),
        "penalty": (by_fold, tables.penalty),
        "penalty_edge": (by_fold, tables.penalty_edge),
        "inner_score": (by_fold, tables.inner_score),
        "constant": ("target", tables.constant.astype(np.int8)),
        "reliability_deviation": (("part", "target"), reliability.deviation),
        "signal_power": ("target", reliability.signal_power),
        "predicted": (("example", "sample"), tables.shown_predictions()),
        "measured": (("example", "sample"), tables.responses[:, tables.shown].T.astype(np.float32)),
    }


def _coordinates(
    group: GroupData, layers: tuple[str, ...], tables: LayerTables, reliability: Reliability
) -> dict[str, Any]:
    infos = [group.layer(name) for name in layers]
    first_row, shown = tables.sums.first_row, tables.shown
    return {
        "layer": ("layer", _text(layers)),
        "layer_index": ("layer", np.array([info.index for info in infos])),
        "relative_depth": ("layer", np.array([info.relative_depth for info in infos])),
        "pathway": ("layer", _text([info.pathway for info in infos])),
        **{n: ("target", _text(v) if v.dtype.kind == "U" else v) for n, v in group.targets.items()},
        "reliability": ("target", reliability.reliability),
        "ceiling": ("target", reliability.ceiling),
        "ceiling_kind": ("target", _text(reliability.kind)),
        "fold_id": ("fold_id", np.arange(tables.penalty.shape[0])),
        "block_start": ("block", (group.axis - group.samples.interval_s)[first_row]),
        "block_item": ("block", _labels(group.samples.item, first_row)),
        "block_category": ("block", _labels(group.samples.category, first_row)),
        "block_stimulus": ("block", _labels(group.samples.stimulus, first_row)),
        "sample_time": ("sample", group.axis),
        "example_target": ("example", _text(group.targets["target"][shown])),
        "example_layer": ("example", _text([layers[index] for index in tables.best_layer[shown]])),
    }


def _labels(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    return _text([""] * rows.size if values is None else values[rows])


def _text(values: Any) -> np.ndarray:
    """Strings as objects, which NetCDF stores with their own lengths."""
    return np.array([str(value) for value in values], dtype=object)
