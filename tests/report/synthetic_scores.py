"""Scores made from random numbers, as strong as `tests.report.synthetic_models` says."""

import json

import numpy as np
import xarray as xr

from pipeline.artifacts.storage.store import standard_attrs
from pipeline.comparison.ceilings import ceilings_across_animals, pairwise_agreement, parts_of_entries
from pipeline.comparison.options import RsaOptions
from pipeline.inference.scores.variance_scores import UNIQUE, variance_scores, variance_sums
from tests.report.synthetic_models import strength, targets_of

GRID = np.geomspace(1e-4, 1e6, 21)


RSA_OF_RECORDINGS = RsaOptions(
    comparison="kendall", block_s=0.5, stretch_s=1.5, centred=True, nuisance=("running_speed", "pupil_area"), n_splits=4
)


def attrs_of(spec, model, kind, split):
    return {
        **standard_attrs(kind, "layermap encode", "c", "i"),
        "study": "synthetic",
        "analysis": spec.name,
        "group": "g",
        "model": model.name,
        "objective": model.objective,
        "n_subjects": len(spec.subjects),
        "split": json.dumps(split),
        "seed": 0,
        "weights_sha256": model.weights_sha256,
        "reliability_df": 19,
    }


def coordinates(spec, model, targets):
    def text(values):
        return np.array(list(values), dtype=object)

    return {
        "layer": ("layer", text(layer.name for layer in model.layers)),
        "layer_index": ("layer", np.array([layer.index for layer in model.layers])),
        "relative_depth": ("layer", np.array([layer.relative_depth for layer in model.layers])),
        "pathway": ("layer", text(layer.pathway for layer in model.layers)),
        "target": ("target", text(f"{s}-{r}-{c}" for s, r, c in targets)),
        "subject": ("target", text(s for s, _, _ in targets)),
        "region": ("target", text(r for _, r, _ in targets)),
        "compartment": ("target", text(c for _, _, c in targets)),
        "reliability": ("target", np.full(len(targets), spec.ceiling**2)),
        "ceiling": ("target", np.full(len(targets), spec.ceiling)),
        "ceiling_kind": ("target", text(["split_half_spearman_brown" if spec.ceiling > 0 else "none"] * len(targets))),
    }


def deviations(n_targets):
    """Of reliabilities with a standard error of .045."""
    return {"reliability_deviation": (("part", "target"), np.full((20, n_targets), 0.01))}


def encoding_scores(spec, model, rng):
    """Sums of predictions that correlate with responses as `strength` says."""
    targets = targets_of(spec)
    n_samples, n_folds = (80, 5) if spec.items else (240, 5)
    fold = np.arange(n_samples) % n_folds if spec.items else np.arange(n_samples) * n_folds // n_samples
    block = np.arange(n_samples) if spec.items else np.arange(n_samples) // 8
    measured = np.random.default_rng(spec.seed).standard_normal((n_samples, len(targets)))
    r = np.stack([strength(spec, model, region) for _, region, _ in targets], axis=-1)
    noise = rng.standard_normal((n_samples, *r.shape))
    predicted = r * measured[:, None] + np.sqrt(1 - r**2) * noise

    def sums(values):
        return np.stack([values[block == one].sum(axis=0) for one in range(block.max() + 1)])

    best = np.argsort(-r.max(axis=0), kind="stable")[:4]
    chosen = r[:, best].argmax(axis=0)
    first = [int(np.flatnonzero(block == one)[0]) for one in range(block.max() + 1)]
    shape = (n_folds, *r.shape)
    picks = rng.integers(3, 21, shape)
    empty = [""] * len(first)
    coords = coordinates(spec, model, targets)
    kind = "random_items" if spec.items else "contiguous"
    split = {
        "kind": kind,
        "n_folds": n_folds,
        "n_inner_folds": 4,
        "gap_s": 10.0,
        "block_s": 20.0,
        "n_train": [n_samples - n_samples // n_folds] * n_folds,
        "n_test": [n_samples // n_folds] * n_folds,
        "n_blocks": len(first),
        "nuisance": list(spec.nuisance),
    }
    scores = xr.Dataset(
        {
            "n": ("block", np.bincount(block)),
            "fold": ("block", fold[first]),
            "sum_p": (("block", "layer", "target"), sums(predicted)),
            "sum_p2": (("block", "layer", "target"), sums(predicted**2)),
            "sum_py": (("block", "layer", "target"), sums(predicted * measured[:, None])),
            "sum_y": (("block", "target"), sums(measured)),
            "sum_y2": (("block", "target"), sums(measured**2)),
            "penalty": (("fold_id", "layer", "target"), GRID[picks]),
            "penalty_edge": (("fold_id", "layer", "target"), np.where(picks == 20, 1, 0)),
            **deviations(len(targets)),
            "inner_score": (("fold_id", "layer", "target"), np.broadcast_to(r, shape)),
            "constant": ("target", np.zeros(len(targets), int)),
            "predicted": (("example", "sample"), predicted[:, chosen, best].T.astype("f4")),
            "measured": (("example", "sample"), measured[:, best].T.astype("f4")),
        },
        {
            **coords,
            "block_start": ("block", np.array(first, float)),
            "block_item": ("block", np.array(empty, object)),
            "block_category": ("block", np.array([f"c{i % 4}" for i in first] if spec.items else empty, object)),
            "sample_time": ("sample", 2.0 * np.arange(1, n_samples + 1)),
            "example_target": ("example", coords["target"][1][best]),
            "example_layer": ("example", coords["layer"][1][chosen]),
        },
        {
            **attrs_of(spec, model, "encoding_scores", split),
            "metric": "ridge",
            "ci_unit": "item" if spec.items else "block",
        },
    )
    if not spec.spaces:
        scores = scores.assign(null_scores(predicted, measured, r, fold, targets, rng))
    if spec.spaces and model.name not in spec.spaces:
        scores = with_spaces(spec, scores)
        scores = scores if "@" in model.name else scores.assign(null_unique(scores, fold, targets, r, rng))
    return with_shares(spec, scores) if spec.nuisance else scores


def null_scores(predicted, measured, r, fold, targets, rng):
    """Held-out scores of each leaf in 99 orders of the responses behind the given one, layers chosen by chance."""
    leaves = list(dict.fromkeys(targets))
    leaf_of = np.array([leaves.index(target) for target in targets])
    orders = [np.arange(len(fold)), *(rng.permutation(len(fold)) for _ in range(99))]
    z = np.empty((len(orders), fold.max() + 1, r.shape[0], len(leaves)), "f4")
    for number, order in enumerate(orders):
        for one in range(fold.max() + 1):
            here = fold == one
            p, y = (values - values.mean(axis=0) for values in (predicted[here], measured[order][here]))
            norm = np.sqrt((p**2).sum(axis=0) * (y**2).sum(axis=0))
            found = np.arctanh((p * y[:, None]).sum(axis=0) / norm)
            z[number, one] = np.stack([found[:, leaf_of == leaf].mean(axis=1) for leaf in range(len(leaves))], axis=1)
    inner = 0.1 * rng.standard_normal(z.shape).astype("f4")
    inner[0] = np.stack([r[:, leaf_of == leaf].mean(axis=1) for leaf in range(len(leaves))], axis=1)
    by_leaf = ("order", "fold_id", "layer", "leaf")
    return {
        "null_z": (by_leaf, z),
        "null_inner": (by_leaf, inner),
        "leaf_of": ("target", leaf_of),
        "fold_weight": ("fold_id", np.bincount(fold) - 3.0),
        "order_code": ("order", np.arange(len(orders))),
    }


def null_unique(scores, fold, targets, r, rng):
    """Unique contributions of each leaf, behind them those in 99 orders, rather below 0; layers chosen by chance."""
    leaves = list(dict.fromkeys(targets))
    leaf_of = np.array([leaves.index(target) for target in targets])
    held = variance_scores(variance_sums(scores)).held[0][:, UNIQUE]
    observed, chosen = (
        np.stack([values[..., leaf_of == leaf].mean(axis=-1) for leaf in range(len(leaves))], axis=-1)
        for values in (held, np.broadcast_to(r, held.shape))
    )
    drawn = rng.standard_normal((2, 99, *observed.shape))
    by_leaf = ("order", "fold_id", "layer", "leaf")
    return {
        "null_unique": (by_leaf, np.concatenate([observed[None], 0.02 * drawn[0] - 0.02]).astype("f4")),
        "null_inner": (by_leaf, np.concatenate([chosen[None], 0.1 * drawn[1]]).astype("f4")),
        "leaf_of": ("target", leaf_of),
        "fold_weight": ("fold_id", np.bincount(fold) - 3.0),
        "order_code": ("order", np.arange(100)),
    }


def with_spaces(spec, scores):
    """Predictions on a scale that explains variance, 70 % of them the layer's; without it 10 % are explained."""
    scale, parts = 0.3, np.array([0.7, *([0.3 / len(spec.spaces)] * len(spec.spaces))])
    scores = scores.assign(
        sum_p=scale * scores["sum_p"], sum_p2=scale**2 * scores["sum_p2"], sum_py=scale * scores["sum_py"]
    )
    of_spaces = {
        f"sum_{name}": (("space", *total.dims), parts[:, None, None, None] * total.values)
        for name, total in (("sp", scores["sum_p"]), ("spp", scores["sum_p2"]), ("spy", scores["sum_py"]))
    }
    chosen = np.broadcast_to(parts[:, None, None], (scores.sizes["fold_id"], parts.size, *scores["penalty"].shape[1:]))
    slope = 0.05
    without = {"p": slope * scores["sum_y"], "p2": slope**2 * scores["sum_y2"], "py": slope * scores["sum_y2"]}
    return scores.assign(
        **of_spaces,
        weight=(("fold_id", "space", "layer", "target"), chosen),
        **{f"without_sum_{name}": values for name, values in without.items()},
    ).assign_coords(space=np.array(["layer", *spec.spaces], dtype=object))


def with_shares(spec, scores):
    """Shares of 3 % jointly and 2 % and 1 % uniquely; no pupil of the first subject, nothing in the last target."""
    values = np.repeat([[0.03], [0.02], [0.01]], scores.sizes["target"], axis=1)
    values[2, scores["subject"].values == spec.subjects[0]] = np.nan
    values[:, -1] = np.nan
    names = np.array(["all", *spec.nuisance], dtype=object)
    return scores.assign(nuisance_share=(("regressor", "target"), values)).assign_coords(regressor=names)


def geometry_scores(spec, model, rng):
    """Similarity matrices of 24 items; layers share more with a region's the nearer they lie to its peak."""
    targets = targets_of(spec)
    n_items = 24
    truth = np.random.default_rng(spec.seed).standard_normal((len(targets), n_items, 12))
    measured = np.stack([np.corrcoef(one) for one in truth], axis=-1)
    r = np.stack([strength(spec, model, region) for _, region, _ in targets], axis=-1)
    features = np.concatenate(
        [np.sqrt(r)[:, :, None, None] * truth, 0.4 * rng.standard_normal((r.shape[0], 1, n_items, 12))], axis=1
    )
    modelled = np.stack([np.corrcoef(one.transpose(1, 0, 2).reshape(n_items, -1)) for one in features])
    pairs = [measured[..., t][np.triu_indices(n_items, 1)] for t in range(len(targets))]
    items = np.array([f"scene-{i:03d}" for i in range(n_items)], dtype=object)
    return xr.Dataset(
        {
            "model_similarity": (("layer", "item", "item2"), modelled),
            "similarity": (("item", "item2", "target"), measured),
            "reference_similarity": (("target", "target2"), np.corrcoef(pairs)),
            **deviations(len(targets)),
        },
        {**coordinates(spec, model, targets), "item": ("item", items)},
        {
            **attrs_of(spec, model, "geometry_scores", {"kind": "random_halves", "n_splits": 6, "seed": 0}),
            "metric": "rsa",
            "comparison": "spearman",
            "similarity": "pearson",
            "ci_unit": "item",
        },
    )


def recordings_scores(spec, model, rng):
    """Matrices over 36 blocks of a movie, one per animal and region; animals of a region share most of theirs."""
    targets = targets_of(spec)
    options, n_blocks = RSA_OF_RECORDINGS, 36
    shared = np.random.default_rng(spec.seed)
    truth = {region: shared.standard_normal((n_blocks, 10)) for region in spec.peaks}
    cells = [truth[region] + 0.6 * shared.standard_normal((n_blocks, 10)) for _, region, _ in targets]
    measured = np.stack([np.corrcoef(one) for one in cells])
    r = np.stack([strength(spec, model, region) for region in spec.peaks], axis=-1)
    features = [
        np.concatenate([*(np.sqrt(own) * one for own, one in zip(layer, truth.values(), strict=True)), noise], axis=1)
        for layer, noise in zip(r, 0.4 * rng.standard_normal((len(r), n_blocks, 10)), strict=True)
    ]
    pairs = measured[:, *np.triu_indices(n_blocks, 1)]
    subjects, regions = (np.array(names) for names in list(zip(*targets, strict=True))[:2])
    agreement = pairwise_agreement(pairs, "kendall")
    stretch = np.arange(n_blocks) // 3
    parts = parts_of_entries(stretch, in_time=True)
    ceilings = ceilings_across_animals(pairs, agreement, subjects, regions, parts, "kendall")
    split = {"kind": "random_halves", "n_splits": options.n_splits, "seed": 0, "centred": options.centred}
    split |= {"min_cells": options.min_cells, "nuisance": list(options.nuisance), "block_s": options.block_s}
    split |= {"stretch_s": options.stretch_s, "n_stretches": int(stretch.max()) + 1}
    of_targets = {"reliability": ceilings.reliability, "ceiling": ceilings.ceiling, "ceiling_kind": ceilings.kind}
    blocks = np.array([f"natural_movie_one block {i:03d}" for i in range(n_blocks)], dtype=object)
    return xr.Dataset(
        {
            "model_similarity": (("layer", "item", "item2"), np.stack([np.corrcoef(one) for one in features])),
            "similarity": (("item", "item2", "target"), np.moveaxis(measured, 0, 2)),
            "reference_similarity": (("target", "target2"), agreement),
            "leave_one_out": ("target", ceilings.leave_one_out),
            "reliability_deviation": (("part", "target"), ceilings.deviation),
        },
        {
            **coordinates(spec, model, targets),
            **{name: ("target", values) for name, values in of_targets.items()},
            "item": ("item", blocks),
            "stretch": ("item", stretch),
        },
        {
            **attrs_of(spec, model, "geometry_scores", split),
            "metric": "rsa",
            "reliability_df": int(parts.max()),
            "comparison": "kendall",
            "similarity": "pearson",
            "ci_unit": "block",
        },
    )


def identifiability(spec, models, rng, n_repeats=20):
    """Layers named as they are, or of listeners' mean hardly; networks named right in most data sets."""
    models = [model for model in models if model.role != "twin"]
    regions = list(spec.peaks)
    layers = [(model.name, layer) for model in models for layer in model.layers]
    shape = (2, n_repeats, len(layers), len(regions))
    n_layers = np.array([len(model.layers) for model in models for _ in model.layers])[:, None]
    planted = np.array([number for model in models for number in range(len(model.layers))])[:, None]
    spread = np.array([2.5 if spec.mean else 0.2, 0.2])[:, None, None, None] * rng.standard_normal(shape)
    named = np.clip(np.rint(planted + spread), 0, n_layers - 1).astype(int)
    by_planted = ("readout", "repeat", "planted", "region")
    scores = rng.uniform(0, 0.4, (2, n_repeats, len(models), len(models), len(regions)))
    scores[:, :, range(len(models)), range(len(models))] += 0.2
    per_region = (len(models), len(regions))
    return xr.Dataset(
        {
            "named": (by_planted, named),
            "depth_index": (by_planted, np.full(shape, 0.5)),
            "own_score": (by_planted, np.full(shape, 0.4)),
            "amplitude": (("readout", "planted", "region"), np.full((2, len(layers), len(regions)), 0.5)),
            "reached": (("readout", "planted", "region"), np.ones((2, len(layers), len(regions)), np.int8)),
            "measured_score": (("network", "region"), np.full(per_region, 0.4)),
            "measured_layer": (("network", "region"), np.zeros(per_region, int)),
            "network_score": (("readout", "repeat", "planted_network", "network", "region"), scores),
            "n_network_layers": ("network", np.array([len(model.layers) for model in models])),
            "kept_z": (("scored", "fold", "kept"), np.zeros((0, 5, 0), np.float32)),
            "kept_inner": (("scored", "fold", "kept"), np.zeros((0, 5, 0), np.float32)),
            "kept_weight": (("fold", "kept"), np.zeros((5, 0))),
            "kept_subject": ("kept", np.zeros(0, object)),
            "kept_region": ("kept", np.zeros(0, object)),
            **_of_known_truth(rng, len(regions)),
        },
        {
            "readout": np.array(["fitted", "generic"], object),
            "given": np.array(["nothing", "planted"], object),
            "region": np.array(regions, object),
            "n_targets": ("region", np.ones(len(regions), int)),
            "network": np.array([model.name for model in models], object),
            "planted_model": ("planted", np.array([name for name, _ in layers], object)),
            "planted_layer": ("planted", np.array([layer.name for _, layer in layers], object)),
            "planted_pathway": ("planted", np.array([layer.pathway for _, layer in layers], object)),
            "relative_depth": ("planted", np.array([layer.relative_depth for _, layer in layers])),
        },
        {
            **standard_attrs("identifiability", "layermap identify", "c", "i"),
            **{"study": "synthetic", "analysis": spec.name, "group": "g", "metric": "ridge", "seed": 0},
            "subject": "mean" if spec.mean else "all" if len(spec.subjects) > 1 else spec.subjects[0],
            **{"n_targets": len(regions), "n_simulated": len(regions)},
            **{"calibrated": "net", "test_orders": 60, "confidence": 0.95, "no_calibration": ""},
        },
    )


def _of_known_truth(rng, n_regions, n_sets=20):
    """Sound tests: scores of SD .05 with intervals that know it, everything planted is found."""
    shape, by_set = (2, n_sets, n_regions), ("given", "data_set", "region")
    planted = np.broadcast_to(np.array([0, 1])[:, None, None], shape)
    found = {
        "test_p": np.where(planted, 1 / 61, rng.uniform(size=shape)),
        "test_found": planted,
        "test_in_set": planted,
    }
    for name, prefix in (("test_score", "test"), ("test_difference", "test_difference")):
        value = 0.3 * planted + 0.05 * rng.standard_normal(shape)
        found |= {name: value, f"{prefix}_low": value - 0.1, f"{prefix}_high": value + 0.1}
    variables = {name: (by_set, values.astype(float)) for name, values in found.items()}
    return {**variables, "test_amplitude": ("region", np.full(n_regions, 0.5))}
