"""Batches of geometry scores: groups with the same items share their draws of items, over all models at once."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.scores import open_scores
from pipeline.errors import SampleMismatch
from pipeline.inference.analysis import InferenceSettings
from pipeline.inference.batch import Batch, ModelScores, layer_axis, target_table
from pipeline.inference.bootstrap import draw_counts, generator
from pipeline.inference.fold_scores import FoldScores
from pipeline.inference.pair_scores import HALVINGS_PER_DRAW, MOST_KENDALL_DRAWS, PairVectors, pair_scores

if TYPE_CHECKING:
    import xarray as xr


def geometry_batches(paths: dict[str, dict[str, Path]], metric: str, settings: InferenceSettings) -> list[Batch]:
    """One batch per group: its models are ranked together, draw by draw.

    Parameters
    ----------
    paths : group → model → scores file
    metric : of the analysis, as in the map
    """
    return [_batch(by_model, metric, settings) for by_model in paths.values()]


def _batch(by_model: dict[str, Path], metric: str, settings: InferenceSettings) -> Batch:
    opened = {model: open_scores(path) for model, path in by_model.items()}
    first = next(iter(opened.values()))
    for model, scores in opened.items():
        if scores["item"].values.tolist() != first["item"].values.tolist():
            raise SampleMismatch(
                f"{by_model[model]} has other items ({scores.sizes['item']}) than {next(iter(by_model.values()))} "
                f"({first.sizes['item']}); make both again with: snakemake map --forcerun compare_group"
            )

    @functools.cache
    def both() -> tuple[FoldScores, FoldScores]:
        return _point_and_draws(list(opened.values()), settings)

    starts = np.cumsum([0, *(scores.sizes["layer"] for scores in opened.values())])
    slices = {model: slice(a, b) for model, a, b in zip(opened, starts[:-1], starts[1:], strict=True)}

    def load(model: str) -> ModelScores:
        point, draws = (scores.layers(slices[model]) for scores in both())
        none = np.full(point.score.shape[1:], np.nan)
        return ModelScores(layer_axis(opened[model]), point, [draws], none, none)

    return Batch(
        metric=metric,
        targets=target_table([first]),
        ci_unit=str(first.attrs["ci_unit"]),
        n_units=int(first.sizes["item"]),
        models=list(opened),
        load=load,
    )


def _point_and_draws(parts: list[xr.Dataset], settings: InferenceSettings) -> tuple[FoldScores, FoldScores]:
    """Scores of all models' layers, one model after the other, for the data and for the draws."""
    split, comparison = json.loads(parts[0].attrs["split"]), str(parts[0].attrs["comparison"])
    models = PairVectors.of(np.concatenate([part["model_similarity"].values for part in parts]))
    targets = PairVectors.of(np.moveaxis(parts[0]["similarity"].values, 2, 0))
    n_items = int(parts[0].sizes["item"])
    rng = np.random.default_rng(split["seed"])
    point = pair_scores(models, targets, np.ones((1, n_items)), comparison, split["n_splits"], rng)
    n_draws = min(settings.n_bootstrap, MOST_KENDALL_DRAWS) if comparison == "kendall" else settings.n_bootstrap
    counts = draw_counts(n_items, n_draws, generator(settings.seed, "unit"))
    halvings = min(HALVINGS_PER_DRAW, split["n_splits"])
    return point, pair_scores(models, targets, counts, comparison, halvings, generator(settings.seed, "halves"))
