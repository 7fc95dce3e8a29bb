"""The encode stage: held-out predictions of one group's responses from every layer of one model."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline.artifacts.store import standard_attrs
from pipeline.encoding.blocks import BlockSums
from pipeline.encoding.compute import Compute
from pipeline.encoding.group import GroupData, open_group
from pipeline.encoding.nuisance import nuisance_shares, take_out
from pipeline.encoding.options import EncodingOptions, RidgeOptions
from pipeline.encoding.reliability import Reliability, estimate_reliability, match_units, scored_responses
from pipeline.encoding.ridge import HighPass, RidgeFit, fisher_z, fit_ridge, is_constant
from pipeline.encoding.scratch import Scratch
from pipeline.encoding.shuffle import shuffled_rows
from pipeline.encoding.splits import Fold, describe, held_out_stretches, make_splits
from pipeline.errors import UnknownName

if TYPE_CHECKING:
    import xarray as xr


class LayerFit(Protocol):
    """Fits one layer in every fold.

    Takes what `pipeline.encoding.ridge.fit_ridge` takes, and how to compute it: ``features`` (n_bins, n_features) and
    ``responses`` (n_samples, n_targets) may be mapped from files, so they are read by columns where they are large, and
    ``compute.memory_budget_mb`` is what is left for the fit. Held-out predictions go into ``predictions``, float32 of
    the shape of ``responses``, which the fit gives back: it is used again for the next layer.
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


def _fit_ridge(
    features: np.ndarray, responses: np.ndarray, *, compute: Compute, predictions: np.ndarray, **how: Any
) -> RidgeFit:
    fit = fit_ridge(features, responses, memory_budget_mb=compute.memory_budget_mb, **how)
    predictions[:] = fit.predictions
    return dataclasses.replace(fit, predictions=predictions)


def score_group(
    *,
    runs: list[tuple[Path, Path]],
    options: EncodingOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    fit: LayerFit,
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group.

    Parameters
    ----------
    runs : (recording, activations) of each run of the group, in order; those of one member share targets, and
        all share the model; see `pipeline.encoding.members`
    options : splits, delays, and what the fit needs
    layers : to score, in order of depth; None scores all that the activations hold
    attrs : ``study, analysis, group, created_by, config_sha, inputs_sha``
    shuffle_seed : seed of a null study, None for the real one
    fit : the encoding model
    compute : budget, device and scratch folder; None: with the defaults

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
    scratch = Scratch(compute or Compute())
    group = open_group(runs, options)
    layers = layers or tuple(group.model_attrs["layer_order"])
    for layer in layers:
        if layer not in group.runs[0].activations.attrs["layer_order"]:
            raise UnknownName(f"layer of {group.model_attrs['model']}", layer, group.model_attrs["layer_order"])
    folds = make_splits(options.splits, group.samples, seed=options.seed)
    shares = None
    if group.nuisance is not None:
        # before they are shuffled: behaviour goes with the responses
        shares = nuisance_shares(
            group.responses, group.nuisance, group.samples.run, [(fold.train, fold.test) for fold in folds]
        )
        take_out(group.responses, group.nuisance, _fold_of(folds, group.samples.n))
    if shuffle_seed is not None:
        group = dataclasses.replace(group, responses=group.responses[:, shuffled_rows(group.samples, shuffle_seed)])
    high_pass, filtered = None, None
    if group.high_pass is not None:
        high_pass = HighPass(held_out_stretches(folds, group.samples.run), *group.high_pass)
        filtered = functools.partial(_filter_repeats, high_pass)
        group = dataclasses.replace(group, z_scored=False)
    responses = scored_responses(group.responses, group.samples.run, z_scored=group.z_scored, filtered=filtered)
    tables = _LayerTables(folds, responses, len(layers))
    _fit_layers(group, responses, folds, high_pass, layers, tables, fit, scratch)
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
    )
    scores = _dataset(group, folds, layers, tables, reliability, options, attrs, shuffle_seed)
    if group.surface is not None:
        scores = scores.assign_coords(surface_unit=("surface_vertex", _text(group.surface.unit)))
        scores = scores.assign_attrs(surface_mesh=group.surface.mesh)
    if group.nuisance is None:
        return scores
    return scores.assign(nuisance_share=(("regressor", "target"), shares)).assign_coords(
        regressor=_text(group.nuisance.share_names)
    )


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
    tables: _LayerTables,
    fit: LayerFit,
    scratch: Scratch,
) -> None:
    from tqdm import tqdm

    bin_runs, rows = group.bin_runs(), group.rows()
    predictions = scratch.array(responses.shape, np.float32)
    with tqdm(total=len(layers) * len(folds), unit="fold", desc=f"encode {group.model_attrs['model']}") as bar:
        for number, layer in enumerate(layers):
            bar.set_postfix_str(layer)
            fitted = fit(
                group.features(layer),
                responses,
                splits=folds,
                delays=group.delays,
                runs=bin_runs,
                rows=rows,
                high_pass=high_pass,
                compute=scratch.left,
                predictions=predictions,
                after_fold=bar.update,
            )
            tables.add(number, fitted)


class _LayerTables:
    """What is kept of every layer's fit, and the predictions of each target's best layer."""

    def __init__(self, folds: list[Fold], responses: np.ndarray, n_layers: int) -> None:
        self.sums = BlockSums(folds)
        self.responses = responses
        blocks = (self.sums.n.size, n_layers, responses.shape[1])
        choices = (len(folds), n_layers, responses.shape[1])
        self.sum_p, self.sum_p2, self.sum_py = (np.zeros(blocks) for _ in range(3))
        self.penalty = np.zeros(choices)
        self.penalty_edge = np.zeros(choices, np.int8)
        self.inner_score = np.zeros(choices)
        self.best_z = np.full(responses.shape[1], -np.inf)
        self.best_layer = np.zeros(responses.shape[1], int)
        self.best_predictions = np.full(responses.shape, np.nan, np.float32)

    def add(self, layer: int, fit: RidgeFit) -> None:
        """Take in the fit of one layer."""
        self.sum_p[:, layer] = self.sums.sum(fit.predictions)
        self.sum_p2[:, layer] = self.sums.sum(fit.predictions**2)
        self.sum_py[:, layer] = self.sums.sum(fit.predictions * self.responses)
        self.penalty[:, layer] = fit.penalty
        self.penalty_edge[:, layer] = fit.penalty_edge
        self.inner_score[:, layer] = fit.inner_score
        z = fisher_z(fit.score).mean(axis=0)
        better = z > self.best_z
        self.best_z[better] = z[better]
        self.best_layer[better] = layer
        self.best_predictions[:, better] = fit.predictions[:, better]

    def examples(self, regions: np.ndarray, constant: np.ndarray, n: int) -> list[int]:
        """The best targets, those of regions not yet shown first."""
        ranked = [int(target) for target in np.argsort(-self.best_z, kind="stable") if not constant[target]]
        firsts = [t for i, t in enumerate(ranked) if regions[t] not in {regions[s] for s in ranked[:i]}]
        return (firsts + [target for target in ranked if target not in set(firsts)])[:n]


def _dataset(
    group: GroupData,
    folds: list[Fold],
    layers: tuple[str, ...],
    tables: _LayerTables,
    reliability: Reliability,
    options: EncodingOptions,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
) -> xr.Dataset:
    import xarray as xr

    constant = is_constant(tables.responses)
    shown = tables.examples(group.targets["region"], constant, options.n_examples)
    variables = _variables(tables, constant, shown)
    coordinates = _coordinates(group, layers, tables, reliability, shown)
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
        }
    )


def _variables(tables: _LayerTables, constant: np.ndarray, shown: list[int]) -> dict[str, Any]:
    by_block, by_fold = ("block", "layer", "target"), ("fold_id", "layer", "target")
    return {
        "n": ("block", tables.sums.n),
        "fold": ("block", tables.sums.fold),
        "sum_p": (by_block, tables.sum_p),
        "sum_p2": (by_block, tables.sum_p2),
        "sum_py": (by_block, tables.sum_py),
        "sum_y": (("block", "target"), tables.sums.sum(tables.responses)),
        "sum_y2": (("block", "target"), tables.sums.sum(tables.responses**2)),
        "penalty": (by_fold, tables.penalty),
        "penalty_edge": (by_fold, tables.penalty_edge),
        "inner_score": (by_fold, tables.inner_score),
        "constant": ("target", constant.astype(np.int8)),
        "predicted": (("example", "sample"), tables.best_predictions[:, shown].T),
        "measured": (("example", "sample"), tables.responses[:, shown].T.astype(np.float32)),
    }


def _coordinates(
    group: GroupData, layers: tuple[str, ...], tables: _LayerTables, reliability: Reliability, shown: list[int]
) -> dict[str, Any]:
    infos = [group.layer(name) for name in layers]
    first_row = tables.sums.first_row
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
