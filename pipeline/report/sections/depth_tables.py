"""Tables of depth, region by region: nested best layer and indices; of simulations, beside the planted layer."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from pipeline.core.prose import counted
from pipeline.report.sections.findings import Row, is_distinguished, is_pathway_told, is_predicted, records
from pipeline.report.views import View
from pipeline.report.wording import number, with_interval

NO_PATHWAY = "pathway not distinguishable"


@dataclasses.dataclass(frozen=True)
class DepthRow:
    """One region."""

    region: str
    best: str
    depth_index: str
    hierarchy_index: str
    score: str


@dataclasses.dataclass(frozen=True)
class DepthGroup:
    """The regions in one network, or in one of its pathways."""

    network: str
    rows: list[DepthRow]


def depth_groups(view: View) -> list[DepthGroup]:
    """Networks and pathways with an order of layers; empty where no index is defined in any of them."""
    groups, defined = [], False
    for model in view.networks:
        for pathway in view.parts(model):
            n_layers = len(view.layers(model, pathway))
            rows = records(view.summary_of(model, pathway).reset_index())
            if n_layers > 1 and rows:
                defined |= any(is_predicted(row) and math.isfinite(row["hierarchy_index"]) for row in rows)
                groups.append(
                    DepthGroup(f"{model}, {pathway}" if pathway else model, [_row(row, n_layers) for row in rows])
                )
    return groups if defined else []


def _row(row: Row, n_layers: int) -> DepthRow:
    return DepthRow(
        region=str(row["place"]),
        best=recovered(row, n_layers),
        depth_index=depth_index(row),
        hierarchy_index=hierarchy_index(row),
        score=with_interval(row["best_layer_score"], row["ci_low"], row["ci_high"]),
    )


@dataclasses.dataclass(frozen=True)
class PlantedRow:
    """One region of a simulation: what was planted and what was recovered."""

    region: str
    planted: str
    recovered: str
    depth_index: str
    hierarchy_index: str
    score: str


@dataclasses.dataclass(frozen=True)
class PlantedTable:
    """Planted against recovered layers of one view, and a sentence on how well they agree."""

    title: str
    sentence: str
    rows: list[PlantedRow]


def planted_table(view: View) -> PlantedTable | None:
    """Planted against recovered layers; None unless the data are simulated and the planted network was fitted."""
    analysis = view.analysis
    model = analysis.planted_model
    if not analysis.planted or model not in view.networks:
        return None
    by_place = {str(row["place"]): row for row in records(view.summary_of(model).reset_index())}
    layers = {layer.name: layer for layer in analysis.planted_layers}
    rows, pairs = [], []
    for place, row in by_place.items():
        layer = layers.get(analysis.planted.get(place, ""))
        rows.append(
            PlantedRow(
                region=place,
                planted=f"{layer.name} (depth {number(layer.relative_depth)})" if layer else "nothing (noise)",
                recovered=recovered(row, len(view.layers(model))),
                depth_index=depth_index(row),
                hierarchy_index=hierarchy_index(row),
                score=with_interval(row["best_layer_score"], row["ci_low"], row["ci_high"]),
            )
        )
        if layer and math.isfinite(row["best_layer_index"]):
            pairs.append((layer, row))
    return PlantedTable(f"{model}, {view.subject_in_words}", _agreement(pairs), rows)


def recovered(row: Row, n_layers: int) -> str:
    """The nested best layer, or why none is named."""
    if not is_predicted(row):
        return f"score not reliably above {'zero' if row.get('zero_is_chance', True) else 'chance'}"
    if not is_pathway_told(row):
        return NO_PATHWAY
    named = f"{row['best_layer']} (depth {number(row['best_layer_depth'])})"
    return named if is_distinguished(row, n_layers) else f"{named}, not distinguishable"


def depth_index(row: Row) -> str:
    """With its interval; undefined where the profile is flat, a dash where pathways cannot be told."""
    if not is_pathway_told(row):
        return "–"
    if not math.isfinite(row["depth_index"]):
        return "undefined: flat profile"
    return with_interval(row["depth_index"], row["depth_ci_low"], row["depth_ci_high"])


def hierarchy_index(row: Row) -> str:
    """With its interval; a dash where the best layer means nothing, or lies in one of several pathways."""
    if not is_predicted(row) or not math.isfinite(row["hierarchy_index"]):
        return "–"
    return with_interval(row["hierarchy_index"], row["hierarchy_ci_low"], row["hierarchy_ci_high"])


def _agreement(pairs: list[tuple[Any, Row]]) -> str:
    from scipy.stats import spearmanr

    if not pairs:
        return "No planted region was scored."
    steps = sorted(abs(layer.index - row["best_layer_index"]) for layer, row in pairs)
    middle = (steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]) / 2
    text = f"Median distance between planted and recovered layer: {middle:g} layers in {counted(len(pairs), 'region')}"
    planted = [layer.relative_depth for layer, _ in pairs]
    recovered = [float(row["best_layer_depth"]) for _, row in pairs]
    if len(pairs) > 2 and len(set(planted)) > 1 and len(set(recovered)) > 1:
        text += f"; Spearman ρ of planted and recovered depth {number(float(spearmanr(planted, recovered).statistic))}"
    return f"{text}."
