"""Layer × region heat maps, and score against relative depth region by region."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.report.facts import BASELINE, TWIN
from pipeline.report.figure import (
    CEILING_COLOUR,
    SEQUENTIAL,
    SMALLEST_SCALE,
    TWIN_COLOUR,
    Figure,
    LegendEntry,
    Panel,
    axis,
    colours_of,
    layout,
    score_range,
    translucent,
)
from pipeline.report.views import View

if TYPE_CHECKING:
    import pandas as pd

FEWEST_FOR_SCALE = 4  # shorter maps stand beside one that shows the same scale
VALUES = ("score", "ci_low", "ci_high", "ceiling", "score_normalised")


def heat_maps(view: View) -> Figure:
    """One heat map per network, one for the mean of each network's twins, one for all baselines together."""
    top = max([SMALLEST_SCALE, *(s for s in view.rows["score"] if math.isfinite(s))])
    panels = []
    for model in view.networks:
        if len(view.layers(model)) > 1:
            rows = view.rows[view.rows["model"] == model]
            panels.append(_heat_map(view, f"{model}", rows, view.layers(model), top, chosen=model))
            panels += _twin_map(view, model, top)
    baselines = view.rows[view.rows["role"] == BASELINE]
    if len(baselines):
        multilayer = {model for model in view.models(BASELINE) if len(view.layers(model)) > 1}
        named = baselines.assign(
            layer=[
                f"{m}: {n}" if m in multilayer else m
                for m, n in zip(baselines["model"], baselines["layer"], strict=True)
            ]
        )
        panels.append(_heat_map(view, "baselines", named, list(dict.fromkeys(named["layer"])), top))
    return Figure(f"{view.id}-heat", "heat", panels, {"score": view.layer_score_name})


def _twin_map(view: View, model: str, top: float) -> list[Panel]:
    twins = [twin.name for twin in view.analysis.twins_of(model)]
    rows = view.rows[view.rows["model"].isin(twins)]
    if not len(rows):
        return []
    mean = rows.groupby(["layer", "place"], sort=False, as_index=False)[list(VALUES)].mean()
    title = f"random twins, mean of {len(twins)} seeds" if len(twins) > 1 else "random twin"
    title = title if len(view.networks) == 1 else f"{model}, {title}"
    mean[["ci_low", "ci_high"]] = math.nan if len(twins) > 1 else mean[["ci_low", "ci_high"]]
    return [_heat_map(view, title, mean, view.layers(model), top)]


def compartment_map(view: View) -> Figure | None:
    """Heat map of each network over region × compartment; None where regions have one compartment."""
    panels = []
    for model in view.networks:
        rows = view.compartments[view.compartments["model"] == model]
        if len(rows):
            top = max([SMALLEST_SCALE, *(s for s in rows["score"] if math.isfinite(s))])
            panels.append(_heat_map(view, model, rows, view.layers(model), top, part="compartments"))
    return (
        Figure(f"{view.id}-compartments", "compartments", panels, {"score": view.layer_score_name}) if panels else None
    )


def _heat_map(
    view: View, title: str, rows: pd.DataFrame, layers: list[str], top: float, chosen: str = "", part: str = "heat"
) -> Panel:
    places = list(dict.fromkeys(rows["place"]))
    cells = {(row["layer"], row["place"]): row for row in rows.to_dict("records")}
    blank = dict.fromkeys(VALUES, math.nan)
    grid = [[cells.get((layer, place), blank) for place in places] for layer in layers]
    traces: list[dict[str, Any]] = [
        {
            "type": "heatmap",
            "x": places,
            "y": layers,
            "z": [[cell["score"] for cell in line] for line in grid],
            "customdata": [[[cell[name] for name in VALUES[1:]] for cell in line] for line in grid],
            "colorscale": SEQUENTIAL,
            "zmin": 0,
            "zmax": top,
            "showscale": len(layers) >= FEWEST_FOR_SCALE,
            "xgap": 1,
            "ygap": 1,
            "colorbar": {"title": {"text": view.analysis.symbol}, "thickness": 10, "len": 0.9, "outlinewidth": 0},
            "hovertemplate": "%{x}, %{y}<br>score %{z:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>"
            "ceiling %{customdata[2]:.3f}<extra></extra>",
        }
    ]
    if chosen:
        traces.append(_chosen_layers(view, chosen))
    size_px = 20 if len(layers) <= 16 else 15
    return Panel(
        f"{view.id}-{part}-{_slug(title)}",
        title,
        traces,
        layout(
            axis(type="category", tickangle=-45, showgrid=False),
            axis(type="category", categoryarray=layers, categoryorder="array", showgrid=False, dtick=1, ticksuffix=" "),
        ),
        height_px=max(150, size_px * len(layers) + 90),
        min_width_px=max(260, 26 * len(places) + 150),
    )


def _chosen_layers(view: View, model: str) -> dict[str, Any]:
    """White dots on the nested best layers that can be named; nothing where layers are not distinguishable."""
    summary = view.summary_of(model)
    named = summary[(summary["distinguishable"] == 1) & (summary["ci_low"] > 0)]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(named.index),
        "y": list(named["best_layer"]),
        "marker": {"symbol": "circle", "size": 9, "color": "#ffffff", "line": {"width": 2, "color": "#000000"}},
        "customdata": list(named["best_layer_score"]),
        "hovertemplate": "%{x}: nested best layer %{y}<br>held-out score %{customdata:.3f}<extra></extra>",
    }


def _slug(title: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def profiles(view: View) -> Figure:
    """Score against relative depth, one panel per region, with interval bands, ceilings, twins and baselines."""
    colours = colours_of(view)
    ceilings = [c for c in view.summary["ceiling"] if math.isfinite(c)]
    shown = view.rows[view.rows["role"] != TWIN]
    values = [*shown["score"], *shown["ci_low"], *shown["ci_high"], *view.rows["score"]]
    y_range = score_range(values, ceilings)
    panels = [_profile(view, place, colours, y_range) for place in view.places]
    legend = [LegendEntry(model, colours[model], "band") for model in view.networks]
    if view.models(TWIN):
        legend.append(LegendEntry("random twins (each seed)", TWIN_COLOUR, "dash"))
    legend += [LegendEntry(model, colours[model], "dot") for model in view.models(BASELINE)]
    if ceilings:
        legend.append(LegendEntry("ceiling", CEILING_COLOUR, "longdash"))
    return Figure(f"{view.id}-profiles", "profiles", panels, {"score": view.layer_score_name}, legend)


def _profile(view: View, place: str, colours: dict[str, str], y_range: list[float]) -> Panel:
    here = view.rows[view.rows["place"] == place]
    traces: list[dict[str, Any]] = []
    for model in view.models(TWIN):
        traces += _lines(here[here["model"] == model], model, TWIN_COLOUR, "dash", band=False)
    for model in view.models(BASELINE):
        own = here[here["model"] == model]
        traces += [_level(own, model, colours[model])] if len(own) == 1 else _lines(own, model, colours[model], "dot")
    for model in view.networks:
        traces += _lines(here[here["model"] == model], model, colours[model], "solid")
    ceiling = next((float(c) for c in here["ceiling"] if math.isfinite(c)), math.nan)
    if math.isfinite(ceiling):
        traces.append(_flat(ceiling, f"ceiling {ceiling:.3f}", CEILING_COLOUR, "longdash"))
    return Panel(
        f"{view.id}-profile-{_slug(place)}",
        place,
        traces,
        layout(
            axis("relative depth", range=[-0.03, 1.03], dtick=0.25, zeroline=False),
            axis(view.analysis.symbol, nticks=6, range=y_range, zeroline=True),
        ),
        height_px=230,
    )


def _lines(rows: pd.DataFrame, model: str, colour: str, dash: str, *, band: bool = True) -> list[dict[str, Any]]:
    """A line per pathway, under it a band between the interval's ends."""
    traces = []
    for _, own in rows.groupby("pathway", sort=False):
        own = own.sort_values("relative_depth", kind="stable")
        depth = list(own["relative_depth"])
        if band and own["ci_low"].notna().all() and len(own) > 1:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": depth + depth[::-1],
                    "y": list(own["ci_low"]) + list(own["ci_high"])[::-1],
                    "fill": "toself",
                    "fillcolor": translucent(colour),
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                }
            )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": model,
                "x": depth,
                "y": list(own["score"]),
                "customdata": own[["layer", "ci_low", "ci_high"]].values.tolist(),
                "line": {"color": colour, "dash": dash, "width": 2 if band else 1},
                "marker": {"color": colour, "size": 5 if band else 3},
                "hovertemplate": f"{model}, %{{customdata[0]}} (depth %{{x:.2f}})<br>"
                "%{y:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>",
            }
        )
    return traces


def _level(rows: pd.DataFrame, model: str, colour: str) -> dict[str, Any]:
    """A baseline without depth: a horizontal line."""
    row = rows.iloc[0]
    label = f"{model}: {row['score']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    return _flat(float(row["score"]), label, colour, "dot")


def _flat(value: float, label: str, colour: str, dash: str) -> dict[str, Any]:
    steps = [i / 20 for i in range(21)]  # enough points to be hovered anywhere
    return {
        "type": "scatter",
        "mode": "lines",
        "x": steps,
        "y": [value] * len(steps),
        "line": {"color": colour, "dash": dash, "width": 2},
        "hovertemplate": f"{label}<extra></extra>",
    }
