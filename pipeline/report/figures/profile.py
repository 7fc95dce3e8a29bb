"""Layer × region heat maps, and score against relative depth region by region."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.inference.networks import pathways_of
from pipeline.report.figures.figure import (
    CEILING_COLOUR,
    NEUTRAL,
    SEQUENTIAL,
    SMALLEST_SCALE,
    TWIN_COLOUR,
    TWIN_DASHES,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    colours_of,
    layout,
    score_range,
    slug,
    translucent,
)
from pipeline.report.sections.findings import is_predicted, records
from pipeline.report.study_facts import BASELINE, SEED, TWIN
from pipeline.report.views import View

if TYPE_CHECKING:
    import pandas as pd

SEED_OPACITY = 0.4
"""Of the lines of further seeds."""
FEWEST_FOR_SCALE = 4  # shorter maps stand beside one that shows the same scale
PATHWAYS = (
    " Layers of a network with several pathways stand in the order of pathway and depth, with a white line between "
    "pathways; its dots are chosen within each pathway."
)
VALUES = ("score", "ci_low", "ci_high", "ceiling", "r2")

HEAT = Caption(
    "Layers by regions",
    "{analysis}, {subject}. Colour is the {score} of each layer (rows, shallow at the bottom) in each region "
    "(columns); the scale starts at zero, and scores below zero take its darkest colour. White dots mark the nested "
    "best layer where it can be named; no dot means that the score is not reliably above zero or that layers spanning "
    "more than a third of the depth are not reliably below the best, or not told from it by simulations.{pathways} "
    "Hover for values with {interval}.",
    "{map}: model, layer, region, score, ci_low, ci_high, ceiling, r2; {summary}: best_layer, distinguishable, "
    "p_family",
)

COMPARTMENTS = Caption(
    "Layers by regions and compartments",
    "{analysis}, {subject}. As in the figure before, for each compartment of a region on its own.",
    "{map}: model, layer, region, compartment, score, ci_low, ci_high",
)

PROFILES = Caption(
    "Score against depth",
    "{analysis}, {subject}. Each panel is a region; the line is the {score} of each layer against its relative depth "
    "in the network, the band its {interval}. The highest point of a profile is an optimistic estimate of how well the "
    "best layer does; the score of the nested best layer, in the figures below, is not. A baseline without depth is a "
    "dotted level line. Where a ceiling is known it is the long-dashed line.",
    "{map}: model, relative_depth, region, score, ci_low, ci_high, ceiling, r2, r2_ci_low, r2_ci_high",
)


def heat_maps(view: View) -> Figure:
    """One heat map per network, one for the mean of its twins of each kind, one for all baselines together."""
    top = max([SMALLEST_SCALE, *(s for s in view.rows["score"] if math.isfinite(s))])
    panels = []
    for model in view.networks:
        if len(view.layers(model)) > 1:
            rows = view.rows[view.rows["model"] == model]
            panels.append(_heat_map(view, f"{model}", rows, view.layers(model), top, chosen=model))
            panels += _twin_maps(view, model, top)
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
    several = any(view.pathways_of(model) for model in view.networks)
    values = {"score": view.layer_score_name, "pathways": PATHWAYS if several else ""}
    return Figure(f"{view.id}-heat", HEAT, panels, values)


def _twin_maps(view: View, model: str, top: float) -> list[Panel]:
    panels = []
    for kind, twins in view.analysis.twins_of(model).items():
        rows = view.rows[view.rows["model"].isin([twin.name for twin in twins])]
        if len(rows):
            mean = rows.groupby(["layer", "place", "pathway"], sort=False, as_index=False)[list(VALUES)].mean()
            title = f"{kind} twins, mean of {len(twins)} seeds" if len(twins) > 1 else f"{kind} twin"
            title = title if len(view.networks) == 1 else f"{model}, {title}"
            mean[["ci_low", "ci_high"]] = math.nan if len(twins) > 1 else mean[["ci_low", "ci_high"]]
            panels.append(_heat_map(view, title, mean, view.layers(model), top))
    return panels


def compartment_map(view: View) -> Figure | None:
    """Heat map of each network over region × compartment; None where regions have one compartment."""
    panels = []
    for model in view.networks:
        rows = view.compartments[view.compartments["model"] == model]
        if len(rows):
            top = max([SMALLEST_SCALE, *(s for s in rows["score"] if math.isfinite(s))])
            panels.append(_heat_map(view, model, rows, view.layers(model), top, part="compartments"))
    return Figure(f"{view.id}-compartments", COMPARTMENTS, panels, {"score": view.layer_score_name}) if panels else None


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
            f"ceiling %{{customdata[2]:.3f}}{'<br>R² %{customdata[3]:.3f}' if view.analysis.encodes else ''}"
            "<extra></extra>",
        }
    ]
    if chosen:
        traces.append(_chosen_layers(view, chosen))
    size_px = 20 if len(layers) <= 16 else 15
    labels, lines = _pathway_marks(rows, layers)
    y: dict[str, Any] = {"categoryarray": layers, "categoryorder": "array", "dtick": 1, "ticksuffix": " "}
    y["range"] = [-0.5, len(layers) - 0.5]  # a dot on the outermost layer makes no room for itself
    return Panel(
        f"{view.id}-{part}-{slug(title)}",
        title,
        traces,
        layout(
            axis(type="category", tickangle=-45, showgrid=False),
            axis(type="category", showgrid=False, **y, **labels),
            **({"shapes": lines} if lines else {}),
        ),
        height_px=max(150, size_px * len(layers) + 90),
        min_width_px=max(260, 26 * len(places) + 150),
    )


def _chosen_layers(view: View, model: str) -> dict[str, Any]:
    """White dots on the nested best layers that can be named, pathway by pathway; none where layers cannot be told."""
    parts = [view.summary_of(model, pathway) for pathway in view.parts(model)]
    found = [
        part[[row["distinguishable"] == 1 and row["identified"] == 1 and is_predicted(row) for row in records(part)]]
        for part in parts
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [place for named in found for place in named.index],
        "y": [layer for named in found for layer in named["best_layer"]],
        "marker": {"symbol": "circle", "size": 9, "color": "#ffffff", "line": {"width": 2, "color": "#000000"}},
        "customdata": [score for named in found for score in named["best_layer_score"]],
        "hovertemplate": "%{x}: nested best layer %{y}<br>held-out score %{customdata:.3f}<extra></extra>",
    }


def _pathway_marks(rows: pd.DataFrame, layers: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Labels that say each layer's pathway, and lines between pathways; neither for a network of a single one."""
    of = dict(zip(rows["layer"], rows["pathway"], strict=True))
    order = [str(of.get(layer, "")) for layer in layers]
    if not pathways_of(order):
        return {}, []
    labels = [name if name.startswith(own) else f"{own}: {name}" for name, own in zip(layers, order, strict=True)]
    edges = [number - 0.5 for number in range(1, len(order)) if order[number] != order[number - 1]]
    line = {"color": "#ffffff", "width": 5}
    lines = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line} for y in edges]
    return {"tickvals": layers, "ticktext": labels}, lines


def profiles(view: View) -> Figure | None:
    """Score against relative depth, one panel per region, with interval bands, ceilings, twins and baselines.

    Networks of several pathways have a figure of their own (`pipeline.report.figures.pathways`); None if all do.
    """
    colours = colours_of(view)
    networks = [model for model in view.networks if not view.pathways_of(model)]
    if not networks:
        return None
    ceilings = ceilings_of(view)
    panels = [_profile(view, place, networks, colours, profile_range(view)) for place in view.places]
    legend = [LegendEntry(model, colours[model], "band") for model in networks]
    kinds = dict.fromkeys(kind for model in networks for kind in view.analysis.twins_of(model))
    if view.analysis.of_role(SEED):
        legend.append(LegendEntry("further seeds of a training, paler", translucent(NEUTRAL, SEED_OPACITY), "solid"))
    legend += [LegendEntry(f"{kind} twins (each seed)", TWIN_COLOUR, TWIN_DASHES[kind]) for kind in kinds]
    legend += [LegendEntry(model, colours[model], "dot") for model in view.models(BASELINE)]
    if ceilings:
        legend.append(LegendEntry("ceiling", CEILING_COLOUR, "longdash"))
    return Figure(f"{view.id}-profiles", PROFILES, panels, {"score": view.layer_score_name}, legend)


def ceilings_of(view: View) -> list[float]:
    """The known ceilings of a view's regions."""
    return [c for c in view.summary["ceiling"] if math.isfinite(c)]


def profile_range(view: View) -> list[float]:
    """The range of scores that all profiles of a view share."""
    shown = view.rows[view.rows["role"] != TWIN]
    values = [*shown["score"], *shown["ci_low"], *shown["ci_high"], *view.rows["score"]]
    return score_range(values, ceilings_of(view))


def _profile(view: View, place: str, networks: list[str], colours: dict[str, str], y_range: list[float]) -> Panel:
    here = view.rows[view.rows["place"] == place]
    traces: list[dict[str, Any]] = []
    for model in networks:
        for kind, twins in view.analysis.twins_of(model).items():
            for twin in twins:
                rows = here[here["model"] == twin.name]
                traces += profile_line(rows, twin.name, TWIN_COLOUR, TWIN_DASHES[kind], band=False)
    traces += baseline_lines(view, here, colours)
    for model in networks:
        for seed in view.analysis.seeds_of(model):
            if seed.name != model:
                pale = translucent(colours[model], SEED_OPACITY)
                traces += profile_line(here[here["model"] == seed.name], seed.name, pale, "solid", band=False)
        traces += profile_line(here[here["model"] == model], model, colours[model], "solid")
    traces += ceiling_line(here)
    return profile_panel(view, f"profile-{slug(place)}", place, traces, y_range)


def baseline_lines(view: View, here: pd.DataFrame, colours: dict[str, str]) -> list[dict[str, Any]]:
    """One place's baselines, dotted: a level line for those without depth."""
    traces: list[dict[str, Any]] = []
    for model in view.models(BASELINE):
        own = here[here["model"] == model]
        level = len(own) == 1
        traces += [_level(own, model, colours[model])] if level else profile_line(own, model, colours[model], "dot")
    return traces


def ceiling_line(here: pd.DataFrame) -> list[dict[str, Any]]:
    """One place's ceiling, where it is known."""
    ceiling = next((float(c) for c in here["ceiling"] if math.isfinite(c)), math.nan)
    known = math.isfinite(ceiling)
    return [_flat(ceiling, f"ceiling {ceiling:.3f}", CEILING_COLOUR, "longdash")] if known else []


def profile_panel(view: View, part: str, title: str, traces: list[dict[str, Any]], y_range: list[float]) -> Panel:
    """Score against relative depth."""
    return Panel(
        f"{view.id}-{part}",
        title,
        traces,
        layout(
            axis("relative depth", range=[-0.03, 1.03], dtick=0.25, zeroline=False),
            axis(view.analysis.symbol, nticks=6, range=y_range, zeroline=True),
        ),
        height_px=230,
    )


def profile_line(
    rows: pd.DataFrame, model: str, colour: str, dash: str, *, band: bool = True, symbol: str = "circle"
) -> list[dict[str, Any]]:
    """A line over layers, under it a band between the interval's ends."""
    own = rows.sort_values("relative_depth", kind="stable")
    depth = list(own["relative_depth"])
    r2 = "<br>R² %{customdata[3]:.3f} [%{customdata[4]:.3f}, %{customdata[5]:.3f}]" if own["r2"].notna().any() else ""
    traces: list[dict[str, Any]] = []
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
            "customdata": own[["layer", "ci_low", "ci_high", "r2", "r2_ci_low", "r2_ci_high"]].values.tolist(),
            "line": {"color": colour, "dash": dash, "width": 2 if band else 1},
            "marker": {"color": colour, "size": 5 if band else 3, "symbol": symbol},
            "hovertemplate": f"{model}, %{{customdata[0]}} (depth %{{x:.2f}})<br>"
            f"%{{y:.3f}} [%{{customdata[1]:.3f}}, %{{customdata[2]:.3f}}]{r2}<extra></extra>",
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
