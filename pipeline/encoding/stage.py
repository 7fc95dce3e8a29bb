"""The encode stage: held-out predictions of one group's responses from every layer of one model."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import UnknownName
from pipeline.encoding.alignment.check import told
from pipeline.encoding.alignment.group_alignment import REMEDIES, check_group, checked_layer
from pipeline.encoding.alignment.reduced_problem import feature_components
from pipeline.encoding.compute import Compute
from pipeline.encoding.group.group_data import GroupData, open_group
from pipeline.encoding.group.nuisance import Nuisance, nuisance_shares, take_out
from pipeline.encoding.group.reliability import Reliability, estimate_reliability, match_units, scored_responses
from pipeline.encoding.group.shuffle import shuffled_rows
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.layer_tables import BATCH_MB, LayerTables
from pipeline.encoding.options import EncodingOptions, RidgeOptions
from pipeline.encoding.ridge.fit import RidgeFit, fit_ridge
from pipeline.encoding.scratch import Scratch, target_batches
from pipeline.encoding.splits import Fold, describe, held_out_stretches, make_splits

if TYPE_CHECKING:
    import xarray as xr


class LayerFit(Protocol):
    """Fits one layer in every fold.

    Takes what `pipeline.encoding.ridge.fit.fit_ridge` takes, and how to compute it: ``features`` (n_bins, n_features)
    and ``responses`` (n_samples, n_targets) may be mapped from files, so they are read by columns where they are large,
    and ``compute.memory_budget_mb`` is what is left for the fit. Held-out predictions go into ``predictions``, float32
    of the shape of ``responses``, which the fit gives back: it is used again for the next layer.
    """

    def __call__(
        self,
        features: np.ndarray,
        responses: np.ndarray,
        *,
        splits: Sequence[Fold],
        delays: Sequence[int],
        runs: np.ndarray,
        rows: np.ndarray,
        high_pass: HighPass | None,
        compute: Compute,
        predictions: np.ndarray,
        after_fold: Callable[[], object],
    ) -> RidgeFit: ...


@dataclasses.dataclass(frozen=True)
class FitOfTargets:
    """An encoding model that has to know the targets.

    Parameters
    ----------
    make : coordinates of the targets, name → (n_targets,), to the fit
    """

    make: Callable[[dict[str, np.ndarray]], LayerFit]


def encode_group(
    *,
    runs: list[tuple[Path, Path]],
    options: RidgeOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group by ridge regression; see `score_group`."""
    return score_group(
        runs=runs,
        options=options,
        layers=layers,
        attrs=attrs,
        shuffle_seed=shuffle_seed,
        fit=functools.partial(_fit_ridge, penalties=options.penalties.values()),
        compute=compute,
    )


def _fit_ridge(features: np.ndarray, responses: np.ndarray, *, compute: Compute, **how: Any) -> RidgeFit:
    return fit_ridge(features, responses, device=compute.device, memory_budget_mb=compute.memory_budget_mb, **how)


def score_group(
    *,
    runs: list[tuple[Path, Path]],
    options: EncodingOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    fit: LayerFit | FitOfTargets,
    compute: Compute | None = None,
    scratch: Scratch | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group.

    Parameters
    ----------
    runs : (recording, activations) of each run of the group, in order; those of one member share targets, and
        all share the model; see `pipeline.encoding.group.matched_cells`
    options : splits, delays, and what the fit needs
    layers : to score, in order of depth; None scores all that the activations hold
    attrs : ``study, analysis, group, created_by, config_sha, inputs_sha``
    shuffle_seed : seed of a null study, None for the real one
    fit : the encoding model, or what makes it once the targets are known
    compute : budget, device and scratch folder; None: with the defaults
    scratch : made with ``compute``, where other arrays share the budget; None makes one

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
        A layer that the activations do not hold.
    """
    scratch = scratch or Scratch(compute or Compute())
    group = open_group(runs, options, scratch)
    layers = layers or tuple(group.model_attrs["layer_order"])
    for layer in layers:
        if layer not in group.runs[0].activations.attrs["layer_order"]:
            raise UnknownName(f"layer of {group.model_attrs['model']}", layer, group.model_attrs["layer_order"])
    folds = make_splits(options.splits, group.samples, seed=options.seed)
    # before they are shuffled: behaviour goes with the responses
    shares = None if group.nuisance is None else _clean(group, group.nuisance, folds)
    if shuffle_seed is not None:
        _shuffle(group.responses, shuffled_rows(group.samples, shuffle_seed), scratch)
    high_pass, filtered = None, None
    if group.high_pass is not None:
        high_pass = HighPass(held_out_stretches(folds, group.samples.run), *group.high_pass)
        filtered = functools.partial(_filter_repeats, high_pass)
        group = dataclasses.replace(group, z_scored=False)
    responses = scored_responses(
        group.responses,
        group.samples.run,
        z_scored=group.z_scored,
        filtered=filtered,
        memory_budget_mb=scratch.batch_mb(BATCH_MB),
        out=scratch.array(group.responses.shape[1:], np.float32),
    )
    tables = LayerTables(
        folds,
        responses,
        regions=group.targets["region"],
        n_layers=len(layers),
        n_examples=options.n_examples,
        scratch=scratch,
    )
    layer_fit = fit.make(group.targets) if isinstance(fit, FitOfTargets) else fit
    components = _fit_layers(group, responses, folds, high_pass, layers, tables, layer_fit, options.seed)
    reliability = estimate_reliability(
        group.responses,
        group.samples.run,
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
    if shuffle_seed is None:  # shuffled responses are in no order
        found = check_group(group, components, responses, reliability.reliability, folds, high_pass, options.seed)
        remedy, model = REMEDIES[group.samples.kind], group.model_attrs["model"]
        kept = told(found, "encode", attrs, model=model, remedy=remedy, source=runs[0][0])
        scores = scores.assign_attrs(alignment=kept)
    if group.surface is not None:
        scores = scores.assign_coords(surface_unit=("surface_vertex", _text(group.surface.unit)))
        scores = scores.assign_attrs(surface_mesh=group.surface.mesh)
    if group.nuisance is None:
        return scores
    return scores.assign(nuisance_share=(("regressor", "target"), shares)).assign_coords(
        regressor=_text(group.nuisance.share_names)
    )


def _clean(group: GroupData, nuisance: Nuisance, folds: list[Fold]) -> np.ndarray:
    """Take what the animals did out of the responses, in place; returns the shares of variance that are theirs."""
    budget_mb = group.scratch.batch_mb(BATCH_MB)
    splits = [(fold.train, fold.test) for fold in folds]
    shares = nuisance_shares(group.responses, nuisance, group.samples.run, splits, memory_budget_mb=budget_mb)
    take_out(group.responses, nuisance, _fold_of(folds, group.samples.n), memory_budget_mb=budget_mb)
    return shares


def _shuffle(responses: np.ndarray, rows: np.ndarray, scratch: Scratch) -> None:
    """Reorder the samples of ``(n_repeats, n_samples, n_targets)`` in place."""
    for repeat in responses:
        for batch in target_batches(repeat.shape[1], repeat.shape[0], scratch.batch_mb(BATCH_MB)):
            repeat[:, batch] = repeat[rows, batch]


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
    folds: list[Fold],
    high_pass: HighPass | None,
    layers: tuple[str, ...],
    tables: LayerTables,
    fit: LayerFit,
    seed: int,
) -> np.ndarray:
    """Fills ``tables``; returns a few components of the layer that the alignment check looks at."""
    components = np.empty((0, 0))
    bin_runs, rows = group.bin_runs(), group.rows()
    # one for all layers; of the type that products over targets have, so scores do not depend on where it lies
    predictions = group.scratch.array(responses.shape, np.float32)
    with group.scratch.compute.progress(len(layers), len(folds)) as progress:
        for number, layer in enumerate(layers):
            progress.at(layer)
            features = group.features(layer)
            if layer == checked_layer(layers):
                components = feature_components(features, seed)
            fitted = fit(
                features,
                responses,
                splits=folds,
                delays=group.delays,
                runs=bin_runs,
                rows=rows,
                high_pass=high_pass,
                compute=group.scratch.left,
                predictions=predictions,
                after_fold=progress.advance,
            )
            del features  # the next layer's need not find room beside them
            tables.add(number, fitted)
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

    variables = _variables(tables)
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
        }
    )


def _variables(tables: LayerTables) -> dict[str, Any]:
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
