"""Stage `map`: the layer-by-region table of a study, its summaries and its contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.artifacts.identifiability import open_identifiability
from pipeline.artifacts.map import TABLES
from pipeline.artifacts.scores import open_header
from pipeline.core.names import refuse_alike
from pipeline.inference.estimates import Estimate, estimate_places
from pipeline.inference.networks import pathways_of, twin_of
from pipeline.inference.null_tests import null_tests
from pipeline.inference.places import ALL, Place, list_places
from pipeline.inference.questions.averaged_groups import Measured, averaged_groups, can_be_averaged
from pipeline.inference.questions.contrasts import ModelOutcomes, contrast_rows, outcomes_of
from pipeline.inference.questions.families import with_families
from pipeline.inference.questions.identifiability import identifiability_rows
from pipeline.inference.questions.languages import Cells, cells_of, language_rows
from pipeline.inference.questions.region_order import order_rows, rank_rows
from pipeline.inference.questions.seeds import seed_rows
from pipeline.inference.questions.streams import stream_rows
from pipeline.inference.questions.units import UnitMaps, list_units
from pipeline.inference.questions.variance_parts import variance_rows
from pipeline.inference.requests import AnalysisScores, InferenceSettings
from pipeline.inference.rows import rows_of, summary_of
from pipeline.inference.scores.encoding_batches import encoding_batches
from pipeline.inference.scores.geometry_batches import geometry_batches
from pipeline.inference.scores.shared_draws import Batch, paths_by_group
from pipeline.inference.surface import surface_rows

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["AnalysisScores", "InferenceSettings", "build_map"]

Rows = dict[str, list[dict[str, Any]]]


def build_map(
    *, study: str, analyses: Sequence[AnalysisScores], inference: InferenceSettings
) -> dict[str, pd.DataFrame]:
    """Compute the map's tables from the scores of all analyses.

    Parameters
    ----------
    study : its name, a column of every table
    analyses : in the order shown
    inference : bootstrap and reliability settings

    Returns
    -------
    all tables of `pipeline.artifacts.map`, with its columns

    Raises
    ------
    BrokenArtifact
        A scores file is missing or broken, a model was not scored for every group, or names of regions look alike.
    SampleMismatch
        Models of one group were scored on other blocks or items, or groups show different units on one vertex.
    UnknownName
        A contrast names a model, layer or pathway, or the languages a group, that the scores do not have.
    """
    rows: Rows = {table: [] for table in TABLES}
    for analysis in analyses:
        _add_analysis(rows, {"study": study, "analysis": analysis.name}, analysis, inference)
    rows["contrast"] = with_families(rows["contrast"])
    return {table: _table(table, found) for table, found in rows.items()}


def _table(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """A table of the map; pandas alone would drop a value without a column, and fill up a column without values."""
    columns = TABLES[name]
    for row in rows:
        odd = sorted(row.keys() ^ columns.keys())
        if odd:
            raise ValueError(f"rows and columns of the map's table '{name}' differ in: {', '.join(odd)}")
    return pd.DataFrame(rows, columns=list(columns))


def _add_analysis(rows: Rows, where: dict[str, Any], analysis: AnalysisScores, inference: InferenceSettings) -> None:
    opened = [(path, open_header(path)) for path in analysis.paths]
    simulated = [open_identifiability(path) for path in analysis.identifiability]
    for one in simulated:
        _extend(rows, identifiability_rows(where, one))
    rows["surface"].extend(surface_rows(where, opened))
    cells: dict[str, Cells] = {}
    for batch in _batches(opened, analysis, inference):
        outcomes, averaged = _add_batch(rows, where, analysis, batch, inference)
        _extend(rows, _averaged(where, simulated, batch, averaged))
        if analysis.languages is not None:
            cells.setdefault(batch.metric, {}).update(cells_of(analysis.languages, outcomes))
    for metric, found in cells.items():
        if analysis.languages is not None:
            rows["contrast"].extend(language_rows({**where, "metric": metric}, analysis.languages, found, inference))


def _averaged(where: dict[str, Any], simulated: Sequence[xr.Dataset], batch: Batch, measured: Measured) -> Rows:
    """What was simulated for averaged scores of a batch's groups, where there are several."""
    groups = [str(name) for name in batch.targets["group"].unique()]
    own = [found for found in simulated if found.attrs["group"] in groups and found.attrs["metric"] == batch.metric]
    if not measured or len(groups) < 2 or len(own) < len(groups) or not can_be_averaged(own):
        return {}
    return identifiability_rows(where, averaged_groups(own, measured))


def _extend(rows: Rows, added: Rows) -> None:
    for table, found in added.items():
        rows[table].extend(found)


def _batches(
    opened: Sequence[tuple[Path, xr.Dataset]], analysis: AnalysisScores, inference: InferenceSettings
) -> list[Batch]:
    kinds = {str(scores.attrs["kind"]) for _, scores in opened}
    paths = paths_by_group(((path, scores.attrs) for path, scores in opened), analysis.models)
    apart = analysis.languages is not None  # a group of listeners is what is compared, so none is averaged with another
    if kinds == {"geometry_scores"}:
        return geometry_batches(paths, analysis.metric, inference)
    batches = encoding_batches(paths, analysis.metric, False, inference, apart=apart)
    if analysis.within_category:
        batches += encoding_batches(paths, analysis.metric, True, inference, apart=apart)
    return batches


def _add_batch(
    rows: Rows, where: dict[str, Any], analysis: AnalysisScores, batch: Batch, inference: InferenceSettings
) -> tuple[dict[str, ModelOutcomes], Measured]:
    """Add a batch's rows; returns its models' outcomes, and what was measured of scores averaged over groups."""
    units = list_units(batch)
    sides = [side for assignment in analysis.streams for side in (assignment.ventral, assignment.dorsal)]
    named = [name for names in (batch.targets["region"], analysis.region_order, *sides) for name in names]
    refuse_alike(named, "", "regions of recordings and study file")
    places = list_places(batch.targets, analysis.region_order)
    fixed_layers = [contrast.layer for contrast in analysis.contrasts if contrast.layer is not None]
    outcomes: dict[str, ModelOutcomes] = {}
    averaged: dict[tuple[str, str], tuple[float, str]] = {}
    for model in batch.models:
        scores = batch.load(model)
        maps = UnitMaps([] if twin_of(model) else units, scores, inference)
        estimates = estimate_places(batch, scores, places, inference, also=maps.add if maps.needs_draws else None)
        rows["unit"].extend(maps.rows(where, batch))
        layers = scores.layers
        parts = dict.fromkeys(estimates, slice(None)) | pathways_of(layers.pathway)
        tests = null_tests(scores.null, places, layers.relative_depth, parts, zero_is_chance=batch.zero_is_chance)
        for number, (whole, *pathways) in enumerate(zip(*estimates.values(), strict=True)):
            rows["row"].extend(rows_of(where, batch, scores, whole, tests[whole.pathway][number].layers, inference))
            rows["summary"].extend(
                summary_of(where, batch, scores, one, tests[one.pathway][number].nested, inference)
                for one in (whole, *pathways)
            )
        averaged |= _averaged_scores(model, layers.name, places, next(iter(estimates.values())))
        if scores.division is not None:
            whole_network = next(iter(estimates.values()))
            rows["variance"].extend(variance_rows(where, batch, scores.division, whole_network, inference))
        outcomes[model] = outcomes_of(estimates, tests, layers, fixed_layers, inference.confidence)
    where = {**where, "metric": batch.metric}
    rows["contrast"].extend(contrast_rows(where, analysis.contrasts, outcomes, inference, analysis.spaces))
    rows["contrast"].extend(seed_rows(where, analysis.contrasts, outcomes, inference, analysis.spaces))
    rows["contrast"].extend(order_rows(where, analysis.region_order, outcomes, inference))
    rows["contrast"].extend(rank_rows(where, analysis.region_order, outcomes, inference))
    rows["contrast"].extend(stream_rows(where, analysis.streams, outcomes, inference))
    return outcomes, averaged


def _averaged_scores(
    model: str, layers: Sequence[str], places: Sequence[Place], whole: Sequence[Estimate]
) -> dict[tuple[str, str], tuple[float, str]]:
    """Of whole regions, averaged over subjects of several groups."""
    found = {}
    for place, one in zip(places, whole, strict=True):
        key = (model, place.region)
        if (place.group, place.subject) == (ALL, ALL) and (place.compartment == ALL or key not in found):
            best = int(one.point.best[0])
            found[key] = float(one.point.nested[0]), str(layers[best]) if best >= 0 else ""
    return found
