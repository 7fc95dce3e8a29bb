"""Stage `map`: the layer-by-region table of a study, its summaries and its contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.artifacts.map import TABLES
from pipeline.artifacts.scores import open_scores
from pipeline.inference.analysis import AnalysisScores, InferenceSettings
from pipeline.inference.batch import Batch, paths_by_group
from pipeline.inference.contrasts import contrast_rows, outcomes_of
from pipeline.inference.encoding_batches import encoding_batches
from pipeline.inference.estimates import estimate_places
from pipeline.inference.geometry_batches import geometry_batches
from pipeline.inference.places import list_places
from pipeline.inference.region_order import order_rows
from pipeline.inference.rows import rows_of, summary_of
from pipeline.inference.streams import stream_rows

__all__ = ["AnalysisScores", "InferenceSettings", "build_map"]

Rows = dict[str, list[dict[str, Any]]]


def build_map(
    *, study: str, analyses: Sequence[AnalysisScores], inference: InferenceSettings
) -> dict[str, pd.DataFrame]:
    """Compute the map's three tables from the scores of all analyses.

    Parameters
    ----------
    study : its name, a column of every table
    analyses : in the order shown
    inference : bootstrap and reliability settings

    Returns
    -------
    ``row``, ``summary`` and ``contrast``; columns as in `pipeline.artifacts.map`

    Raises
    ------
    BrokenArtifact
        A scores file is missing or broken, or a model was not scored for every group.
    SampleMismatch
        Models of one group were scored on other blocks or items.
    """
    rows: Rows = {table: [] for table in TABLES}
    for analysis in analyses:
        for batch in _batches(analysis, inference):
            _add_batch(rows, {"study": study, "analysis": analysis.name}, analysis, batch, inference)
    return {table: pd.DataFrame(rows[table], columns=list(columns)) for table, columns in TABLES.items()}


def _batches(analysis: AnalysisScores, inference: InferenceSettings) -> list[Batch]:
    opened = [(path, open_scores(path).attrs) for path in analysis.paths]
    kinds = {str(attrs["kind"]) for _, attrs in opened}
    paths = paths_by_group(opened, analysis.models)
    if kinds == {"geometry_scores"}:
        return geometry_batches(paths, analysis.metric, inference)
    batches = encoding_batches(paths, analysis.metric, False, inference)
    if analysis.within_category:
        batches += encoding_batches(paths, analysis.metric, True, inference)
    return batches


def _add_batch(
    rows: Rows, where: dict[str, Any], analysis: AnalysisScores, batch: Batch, inference: InferenceSettings
) -> None:
    places = list_places(batch.targets, analysis.region_order)
    fixed_layers = [contrast.layer for contrast in analysis.contrasts if contrast.layer is not None]
    outcomes = {}
    for model in batch.models:
        scores = batch.load(model)
        estimates = estimate_places(batch, scores, places, inference)
        for whole, *pathways in zip(*estimates.values(), strict=True):
            rows["row"].extend(rows_of(where, batch, scores, whole, inference))
            rows["summary"].extend(summary_of(where, batch, one, inference) for one in (whole, *pathways))
        outcomes[model] = outcomes_of(estimates, scores.layers, fixed_layers, inference.confidence)
    where = {**where, "metric": batch.metric}
    rows["contrast"].extend(contrast_rows(where, analysis.contrasts, outcomes, inference.confidence))
    rows["contrast"].extend(order_rows(where, analysis.region_order, outcomes, inference.confidence))
    rows["contrast"].extend(stream_rows(where, analysis.streams, outcomes, inference.confidence))
