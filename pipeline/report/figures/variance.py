"""Unique contributions and shares of explained variance: against depth, and region by region."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.encoding.mapping import LAYER
from pipeline.report.figures.figure import (
    CEILING_COLOUR,
    TWIN_COLOUR,
    TWIN_DASHES,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    colours_of,
    error_bars,
    layout,
    slug,
    translucent,
)
from pipeline.report.sections.variance import adds, by_place, space_label, space_names
from pipeline.report.views import View

if TYPE_CHECKING:
    import pandas as pd

OPACITY = 0.55  # of bars, so that marks on them are seen
SMALLEST_RANGE = 0.01  # of R²: less is not stretched into a pattern

VARIANCE = Caption(
    "Unique contribution and shares against depth",
    "{analysis}, {subject}. Each panel is a region; every layer was fitted jointly with {spaces}. The solid line is "
    "the unique contribution of each layer, the R² of the joint fit minus that of {spaces} alone (long-dashed), the "
    "band its {interval}. Dashed and dotted lines are shares of the joint R²: of the layer and of {spaces}. Shares sum "
    "to the joint R² but divide what spaces have in common as the fit happened to; what would be lost without the "
    "layer is its unique contribution alone.",
    "{variance_file}: nested 0, model, layer, relative_depth, region, space, share_r2, without_r2, unique_r2 and their "
    "ends",
)

VARIANCE_REGIONS = Caption(
    "Unique contribution and shares, region by region",
    "{analysis}, {subject}. At the nested best layer of each region: bars are the shares of the layer and of {spaces} "
    "in the R² of the joint fit; diamonds are the layer's unique contribution with {interval}, filled where it adds to "
    "them, with p against the largest of all regions below .05 (without p, where the interval lies above zero), or "
    "where the interval lies below zero.",
    "{variance_file}: nested 1, model, region, space, share_r2, without_r2, unique_r2 and their ends, p_family",
)


def variance_profiles(view: View) -> Figure | None:
    """Unique contribution and shares of each layer against depth, one panel per network and region."""
    table = view.variance[view.variance["nested"] == 0]
    models = [model for model in view.networks if (table["model"] == model).any() and len(view.layers(model)) > 1]
    if not models:
        return None
    colours = space_colours(view)
    several = len(models) > 1
    shown = table[table["model"].isin(models)]
    ends = [*shown["unique_r2_ci_low"], *shown["unique_r2_ci_high"], *shown["share_r2"], *shown["without_r2"]]
    y_range = _range([float(value) for value in ends])
    panels = []
    for model in models:
        for place in view.places:
            title = f"{place}, {model}" if several else place
            traces = _traces(view, table[table["place"] == place], model, colours)
            panels.append(
                Panel(
                    f"{view.id}-variance-{slug(title)}",
                    title,
                    traces,
                    layout(
                        axis("relative depth", range=[-0.03, 1.03], dtick=0.25, zeroline=False),
                        axis("R²", nticks=6, range=y_range, zeroline=True),
                    ),
                    height_px=230,
                )
            )
    return Figure(f"{view.id}-variance", VARIANCE, panels, _values(view), _legend(view, models, colours))


def space_colours(view: View) -> dict[str, str]:
    """Space → colour; a layer has that of its network."""
    colours = colours_of(view)
    return {
        space: colours.get(space.partition(":")[0], CEILING_COLOUR) for space in space_names(view) if space != LAYER
    }


def _values(view: View) -> dict[str, str]:
    return {"spaces": " and ".join(view.analysis.spaces)}


def _legend(view: View, models: list[str], colours: dict[str, str]) -> list[LegendEntry]:
    own = colours_of(view)
    legend = []
    for model in models:
        legend += [
            LegendEntry(f"unique contribution, {model}", own[model], "band"),
            LegendEntry(f"share of the layer, {model}", own[model], "dash"),
        ]
        kinds = view.analysis.twins_of(model)
        legend += [LegendEntry(f"unique contribution of {one} twins", TWIN_COLOUR, TWIN_DASHES[one]) for one in kinds]
    legend += [LegendEntry(f"share of {space}", colour, "dot") for space, colour in colours.items()]
    return [*legend, LegendEntry("R² without the layer", CEILING_COLOUR, "longdash")]


def _traces(view: View, here: pd.DataFrame, model: str, colours: dict[str, str]) -> list[dict[str, Any]]:
    own = here[here["model"] == model]
    colour = colours_of(view)[model]
    traces: list[dict[str, Any]] = []
    for kind, twins in view.analysis.twins_of(model).items():
        for twin in twins:
            rows = here[(here["model"] == twin.name) & (here["space"] == LAYER)]
            traces.append(_line(rows, "unique_r2", f"{twin.name}: unique", TWIN_COLOUR, TWIN_DASHES[kind], 1))
    for part in view.parts(model):
        rows = own[own["layer"].isin(view.layers(model, part))]
        for space, of_space in colours.items():
            label = f"share of {space}"
            traces.append(_line(rows[rows["space"] == space], "share_r2", label, of_space, "dot", 2))
        layer = rows[rows["space"] == LAYER]
        traces.append(_band(layer, colour))
        traces.append(_line(layer, "share_r2", "share of the layer", colour, "dash", 1.5))
        traces.append(_line(layer, "unique_r2", "unique", colour, "solid", 2))
        traces.append(_line(layer, "without_r2", "R² without the layer", CEILING_COLOUR, "longdash", 1.5, marks=False))
    return traces


def _band(rows: pd.DataFrame, colour: str) -> dict[str, Any]:
    rows = rows.sort_values("relative_depth", kind="stable")
    depth = list(rows["relative_depth"])
    return {
        "type": "scatter",
        "mode": "lines",
        "x": depth + depth[::-1],
        "y": list(rows["unique_r2_ci_low"]) + list(rows["unique_r2_ci_high"])[::-1],
        "fill": "toself",
        "fillcolor": translucent(colour),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _line(
    rows: pd.DataFrame, name: str, label: str, colour: str, dash: str, width: float, *, marks: bool = True
) -> dict[str, Any]:
    rows = rows.sort_values("relative_depth", kind="stable")
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if marks else "lines",
        "name": label,
        "x": list(rows["relative_depth"]),
        "y": list(rows[name]),
        "customdata": rows[["layer", f"{name}_ci_low", f"{name}_ci_high"]].values.tolist(),
        "line": {"color": colour, "dash": dash, "width": width},
        "hovertemplate": f"{label}, %{{customdata[0]}} (depth %{{x:.2f}})<br>"
        "R² %{y:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>",
    }
    if marks:
        trace["marker"] = {"color": colour, "size": 4 if width > 1 else 3}
    return trace


def variance_bars(view: View) -> Figure | None:
    """Shares of the joint fit at the nested best layer, stacked, beside the unique contribution, region by region."""
    panels = []
    colours = space_colours(view)
    own = colours_of(view)
    for model in view.networks:
        rows = by_place(view, model)
        if rows:
            panels.append(_bars(view, model, rows, {LAYER: own[model], **colours}))
    if not panels:
        return None
    legend = [
        LegendEntry(f"share of the layer, {model}", translucent(own[model], OPACITY), "swatch")
        for model in view.networks
    ]
    legend += [
        LegendEntry(f"share of {space}", translucent(colour, OPACITY), "swatch") for space, colour in colours.items()
    ]
    legend.append(LegendEntry("unique contribution of the layer", "#000000", "diamond"))
    return Figure(f"{view.id}-variance-regions", VARIANCE_REGIONS, panels, _values(view), legend)


def _bars(view: View, model: str, rows: dict[str, list[Any]], colours: dict[str, str]) -> Panel:
    places = list(rows)
    traces: list[dict[str, Any]] = []
    for space, colour in colours.items():
        of_space = [{str(row["space"]): row for row in rows[place]}.get(space) for place in places]
        traces.append(
            {
                "type": "bar",
                "x": places,
                "y": [row["share_r2"] if row else None for row in of_space],
                "customdata": [
                    [row["share_r2_ci_low"], row["share_r2_ci_high"], row["layer"]] if row else [None] * 3
                    for row in of_space
                ],
                "marker": {"color": translucent(colour, OPACITY)},
                "hovertemplate": f"%{{x}}: share of {space_label(space)} %{{y:.3f}} [%{{customdata[0]:.3f}}, "
                "%{customdata[1]:.3f}]<br>layer %{customdata[2]}<extra></extra>",
            }
        )
    first = [of_place[0] for of_place in rows.values()]
    clear = [adds(row) or row["unique_r2_ci_high"] < 0 for row in first]
    unique, low, high = ([float(row[f"unique_r2{end}"]) for row in first] for end in ("", "_ci_low", "_ci_high"))
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": places,
            "y": unique,
            "customdata": [
                [row["unique_r2_ci_low"], row["unique_r2_ci_high"], row["without_r2"], row["p_family"]] for row in first
            ],
            "marker": {
                "color": "#000000",
                "size": 9,
                "symbol": ["diamond" if one else "diamond-open" for one in clear],
            },
            "error_y": error_bars(unique, low, high, color="#000000"),
            "hovertemplate": "%{x}: unique %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>"
            "R² without the layer %{customdata[2]:.3f}, p_family %{customdata[3]:.3f}<extra></extra>",
        }
    )
    return Panel(
        f"{view.id}-variance-regions-{slug(model)}",
        model,
        traces,
        layout(axis(type="category", tickangle=-45), axis("R²", zeroline=True), barmode="relative"),
        height_px=300,
        min_width_px=max(280, 46 * len(places) + 90),
    )


def _range(values: list[float]) -> list[float]:
    finite = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([SMALLEST_RANGE, *finite])
    margin = 0.05 * (high - low)
    return [low - margin, high + margin]
