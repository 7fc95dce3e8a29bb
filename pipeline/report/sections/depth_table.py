"""Nested best layer, depth index and hierarchy index side by side, region by region."""

from __future__ import annotations

import dataclasses
import math

from pipeline.report.sections.comparisons import depth_index, hierarchy_index, recovered
from pipeline.report.sections.findings import Row, is_predicted, records
from pipeline.report.views import View
from pipeline.report.wording import with_interval


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
