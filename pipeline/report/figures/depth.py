"""Where along the depth: nested best layers and depth indices."""

from __future__ import annotations

import math
from typing import Any

from pipeline.report.figures.figure import (
    CEILING_COLOUR,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    colours_of,
    error_bars,
    layout,
)
from pipeline.report.sections.findings import Row, is_distinguished, is_pathway_told, is_predicted, records
from pipeline.report.views import View

PLANTED_COLOUR = "#D55E00"
INDEX_COLOUR = "#000000"
PALE_COLOUR = "#bbbbbb"
PATHWAYS = (
    " Each pathway of a network with several has a panel, the stem that they share being the first layer of each: "
    "layers are chosen, and depth is taken, within it."
)
NOT_PREDICTED = "score not reliably above zero"
NO_PATHWAY = "simulations do not tell pathways apart"
HIERARCHY = ("hierarchy_index", "hierarchy_ci_low", "hierarchy_ci_high")
BEST_HOVER = ("best_layer", "best_layer_score", "ci_low", "ci_high", *HIERARCHY)

DEPTH = Caption(
    "Nested best layer and depth index",
    "{analysis}, {subject}. Filled circles are nested best layers, chosen on other data than they are scored on; they "
    "are open where the layers not reliably below the best (pale bar) span more than a third of the depth. Diamonds "
    "are depth indices, the mean depth weighted by how far each layer exceeds the lowest, with {interval}; a flat "
    "profile has none. Hover over a circle for the hierarchy index, its layer's place from shallow divided by the "
    "number of layers.{pathways}",
    "{summary}: best_layer, best_layer_depth, best_layer_set, distinguishable, depth_index, depth_ci_low, "
    "depth_ci_high, hierarchy_index, hierarchy_ci_low, hierarchy_ci_high",
)


def depth_plot(view: View) -> Figure | None:
    """Per network or pathway, and region: nested best layer, layers it cannot be told from, depth index with interval.

    None where no network has several layers.
    """
    colours = colours_of(view)
    models = [model for model in view.networks if len(view.layers(model)) > 1]
    if not models:
        return None
    legend = [
        LegendEntry("nested best layer", colours[models[0]], "circle"),
        LegendEntry("layers not reliably below the best", colours[models[0]], "bar"),
        LegendEntry("depth index with interval", INDEX_COLOUR, "diamond"),
    ]
    if view.analysis.planted and view.analysis.planted_model in models:
        legend.append(LegendEntry("planted layer", PLANTED_COLOUR, "cross"))
    panels = [_depths(view, model, part, colours[model]) for model in models for part in view.parts(model)]
    several = any(view.pathways_of(model) for model in models)
    return Figure(f"{view.id}-depth", DEPTH, panels, {"pathways": PATHWAYS if several else ""}, legend)


def _depths(view: View, model: str, pathway: str, colour: str) -> Panel:
    """One panel; ``pathway`` is empty for a network that has only one."""
    rows = records(view.summary_of(model, pathway).reset_index())
    layers = view.layers(model, pathway)
    n_layers = len(layers)
    own = view.rows[(view.rows["model"] == model) & view.rows["layer"].isin(layers)]
    depth_of = dict(zip(own["layer"], own["relative_depth"], strict=True))
    places = [str(row["place"]) for row in rows]
    traces = [_set_bars(rows, depth_of, colour, n_layers), _best(rows, colour, n_layers), _indices(rows)]
    traces += [*_planted(view, model, layers), _row_holder(places)]
    notes = [_note(row, n_layers) for row in rows]
    rows_range = [-0.5, len(places) - 0.35]  # room for the note above the first row
    return Panel(
        "-".join([view.id, "depth", model, *([pathway] if pathway else [])]),
        f"{model}, {pathway}" if pathway else model,
        traces,
        layout(
            axis("relative depth (0 first layer, 1 last)", range=[-0.04, 1.04], dtick=0.25, zeroline=False),
            axis(type="category", categoryarray=places[::-1], categoryorder="array", ticksuffix=" ", range=rows_range),
            annotations=[
                {
                    "x": 0.5,
                    "y": place,
                    "text": note,
                    "showarrow": False,
                    "bgcolor": "#ffffff",
                    "yshift": 0 if note in (NOT_PREDICTED, NO_PATHWAY) else 15,
                    "font": {"size": 11, "color": CEILING_COLOUR},
                }
                for place, note in zip(places, notes, strict=True)
                if note
            ],
        ),
        height_px=48 * len(rows) + 60,
        min_width_px=300,
    )


def _row_holder(places: list[str]) -> dict[str, Any]:
    """Invisible marks that give regions without any estimate their row."""
    marker = {"opacity": 0, "size": 1}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [0.5] * len(places),
        "y": places,
        "marker": marker,
        "hoverinfo": "skip",
    }


def _note(row: Row, n_layers: int) -> str:
    if not is_predicted(row):
        return NOT_PREDICTED
    if not is_pathway_told(row):
        return NO_PATHWAY
    notes = [] if is_distinguished(row, n_layers) else ["not distinguishable"]
    notes += [] if math.isfinite(row["depth_index"]) else ["no depth index (flat profile)"]
    return "; ".join(notes)


def _set_bars(rows: list[Row], depth_of: dict[str, float], colour: str, n_layers: int) -> dict[str, Any]:
    x: list[float | None] = []
    y: list[str | None] = []
    text: list[str | None] = []
    for row in rows:
        depths = [depth_of[name] for name in str(row["best_layer_set"]).split(" | ") if name in depth_of]
        if depths and is_predicted(row) and is_pathway_told(row):
            x += [min(depths), max(depths), None]
            y += [str(row["place"])] * 2 + [None]
            text += [f"{len(depths)} of {n_layers} layers"] * 2 + [None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "text": text,
        "opacity": 0.3,
        "line": {"color": colour, "width": 9},
        "hovertemplate": "%{y}: not reliably below<br>%{text}<extra></extra>",
    }


def _best(rows: list[Row], colour: str, n_layers: int) -> dict[str, Any]:
    shown = [row for row in rows if is_predicted(row) and is_pathway_told(row)]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [row["best_layer_depth"] for row in shown],
        "y": [row["place"] for row in shown],
        "customdata": [[row[name] for name in BEST_HOVER] for row in shown],
        "marker": {
            "color": colour,
            "size": 12,
            "line": {"color": colour, "width": 2},
            "symbol": ["circle" if is_distinguished(row, n_layers) else "circle-open" for row in shown],
        },
        "hovertemplate": "%{y}: nested best layer %{customdata[0]} (depth %{x:.2f})<br>score %{customdata[1]:.3f} "
        "[%{customdata[2]:.3f}, %{customdata[3]:.3f}]<br>hierarchy index %{customdata[4]:.2f} "
        "[%{customdata[5]:.2f}, %{customdata[6]:.2f}]<extra></extra>",
    }


def _indices(rows: list[Row]) -> dict[str, Any]:
    shown = [row for row in rows if math.isfinite(row["depth_index"])]
    index = [float(row["depth_index"]) for row in shown]
    low, high = ([float(row[name]) for row in shown] for name in ("depth_ci_low", "depth_ci_high"))
    return {
        "type": "scatter",
        "mode": "markers",
        "x": index,
        "y": [row["place"] for row in shown],
        "customdata": [list(pair) for pair in zip(low, high, strict=True)],
        "marker": {"color": INDEX_COLOUR, "size": 8, "symbol": "diamond"},
        "error_x": error_bars(index, low, high, color=INDEX_COLOUR),
        "hovertemplate": "%{y}: depth index %{x:.2f} [%{customdata[0]:.2f}, %{customdata[1]:.2f}]<extra></extra>",
    }


def _planted(view: View, model: str, shown: list[str]) -> list[dict[str, Any]]:
    layers = {layer.name: layer.relative_depth for layer in view.analysis.planted_layers if layer.name in shown}
    planted = {r: n for r, n in view.analysis.planted.items() if r in view.places and n in layers}
    if model != view.analysis.planted_model or not planted:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [layers[name] for name in planted.values()],
            "y": list(planted),
            "text": list(planted.values()),
            "marker": {
                "color": PLANTED_COLOUR,
                "size": 15,
                "symbol": "x-thin",
                "line": {"width": 2.5, "color": PLANTED_COLOUR},
            },
            "hovertemplate": "%{y}: planted %{text} (depth %{x:.2f})<extra></extra>",
        }
    ]
