"""The language design in figures: effects region by region, and the cells that they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pipeline.report.figures.figure import (
    COLOURS,
    SEQUENTIAL,
    SMALLEST_SCALE,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    error_bars,
    layout,
    score_range,
    slug,
)
from pipeline.report.sections.findings import Row, records, verdict_of
from pipeline.report.sections.languages import LanguageView, name_of

NEUTRAL = "#333333"
MEAN_OF_REGIONS = "mean over regions"
HOVER = ("ci_low", "ci_high", "p", "contrast", "place")

LANGUAGE_EFFECTS = Caption(
    "Native over non-native language",
    "{analysis}, {subject}. How much more of the listeners' responses models trained on their own language predict, "
    "beyond what a model or a group of listeners differs in overall, region by region ({score}), with {interval}; "
    "filled where the interval leaves zero out and p, corrected for the regions, is below .05. "
    "Where a panel is about the acoustic domain, it is "
    "the same for models trained on the kind of sound that the listeners heard. Each listener heard only one language: "
    "no claim about experience follows.",
    "{contrasts}: rows named 'native over non-native language …' and 'acoustic domain match …', difference, ci_low, "
    "ci_high, p, statement",
)

LANGUAGE_CELLS = Caption(
    "Models by groups of listeners",
    "{analysis}, {subject}. The {score} of each model's nested best layer (rows, with the language it was trained on) "
    "in each group of listeners (columns, with the language they heard), averaged over regions and region by region, "
    "on one scale; orange frames mark native cells. Hover for values with {interval}; averages over regions have none.",
    "{summary}: model, group, region, best_layer_score, ci_low, ci_high",
)


def language_effects(view: LanguageView, percent: str) -> Figure:
    """Effects region by region.

    Parameters
    ----------
    percent : level of the intervals, e.g. ``95 %``
    """
    values = _values(view, percent, view.effects["ci_unit"])
    return Figure(
        f"{_label(view)}-effects", LANGUAGE_EFFECTS, _effect_panels(view, _label(view)), values, _legend(view)
    )


def language_cells(view: LanguageView, percent: str) -> Figure:
    """The cells that effects come from: models by groups of listeners."""
    values = _values(view, percent, view.cells["ci_unit"])
    return Figure(f"{_label(view)}-cells", LANGUAGE_CELLS, _cell_panels(view, _label(view)), values)


def _label(view: LanguageView) -> str:
    return slug(f"{view.analysis.name}-{view.metric}-languages")


def _values(view: LanguageView, percent: str, ci_unit: Iterable[str]) -> dict[str, str]:
    return {
        "subject": "all groups of listeners",
        "score": f"held-out {view.analysis.symbol}",
        "interval": f"{percent} interval over {view.analysis.ci_units(ci_unit)}",
    }


def _legend(view: LanguageView) -> list[LegendEntry]:
    groups = _groups(view)
    return [LegendEntry(f"group {name}", colour, "circle") for name, colour in groups.items()] if groups else []


def _groups(view: LanguageView) -> dict[str, str]:
    """Group of listeners with an effect of its own → colour."""
    names = [name_of(name).group for name in view.names if name_of(name).group]
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(dict.fromkeys(names))}


def _effect_panels(view: LanguageView, label: str) -> list[Panel]:
    """A panel per effect over the whole design, and one with each group's own beside each other."""
    ends = [float(row[key]) for row in records(view.effects) for key in ("difference", "ci_low", "ci_high")]
    y_range = score_range([*ends, -min(SMALLEST_SCALE, max(map(abs, ends), default=0)) / 4])
    whole = [name for name in view.names if not name_of(name).group]
    panels = [
        _panel(view, f"{label}-effect-{number}", name, [_effect(view, view.rows_of(name), NEUTRAL, 0.0)], y_range)
        for number, name in enumerate(whole)
    ]
    colours = _groups(view)
    for effect in dict.fromkeys(name_of(name).effect for name in view.names if name_of(name).group):
        own = [name for name in view.names if name_of(name).effect == effect and name_of(name).group]
        traces = [
            _effect(view, view.rows_of(name), colours[name_of(name).group], 0.5 * (place + 0.5) / len(own) - 0.25)
            for place, name in enumerate(own)
        ]
        panels.append(_panel(view, f"{label}-groups-{slug(effect)}", f"{effect}, group by group", traces, y_range))
    return panels


def _panel(view: LanguageView, id_: str, title: str, traces: list[dict[str, Any]], y_range: list[float]) -> Panel:
    places = view.places
    x = axis(
        tickvals=list(range(len(places))),
        ticktext=places,
        range=[-0.6, len(places) - 0.4],
        tickangle=-45,
        showgrid=False,
        zeroline=False,
    )
    y = axis(f"difference in {view.analysis.symbol}", range=y_range, zeroline=True)
    return Panel(id_, title, traces, layout(x, y), 320, max(300, 40 * len(places) + 90))


def _effect(view: LanguageView, rows: list[Row], colour: str, shift: float) -> dict[str, Any]:
    position = {place: number for number, place in enumerate(view.places)}
    difference, low, high = ([float(row[name]) for row in rows] for name in ("difference", "ci_low", "ci_high"))
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [position[str(row["place"])] + shift for row in rows],
        "y": difference,
        "customdata": [[row[name] for name in HOVER] for row in rows],
        "marker": {
            "color": colour,
            "size": 9,
            "line": {"width": 2, "color": colour},
            "symbol": ["circle" if verdict_of(row) in ("above", "below") else "circle-open" for row in rows],
        },
        "error_y": error_bars(difference, low, high, color=colour),
        "hovertemplate": "%{customdata[4]}: %{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>"
        "%{customdata[3]}<br>p %{customdata[2]:.3f}<extra></extra>",
    }


def _cell_panels(view: LanguageView, label: str) -> list[Panel]:
    """Models by groups: the mean over regions, then each region; one scale."""
    columns = ["best_layer_score", "ci_low", "ci_high"]
    regions = {place: view.cells[view.cells["place"] == place] for place in view.places}
    mean = view.cells.groupby(["model", "group"], sort=False, as_index=False)[columns].mean()
    mean[["ci_low", "ci_high"]] = math.nan
    top = max([SMALLEST_SCALE, *(float(one) for one in view.cells["best_layer_score"] if math.isfinite(one))])
    found = {MEAN_OF_REGIONS: mean} | regions if len(regions) > 1 else regions
    return [
        _cells(view, f"{label}-cells-{slug(title)}", title, records(table), top)
        for title, table in found.items()
        if len(table)
    ]


def _cells(view: LanguageView, id_: str, title: str, rows: list[Row], top: float) -> Panel:
    groups, models = list(view.design.listeners), list(view.design.models)[::-1]
    at = {(row["model"], row["group"]): row for row in rows}
    blank = {"best_layer_score": math.nan, "ci_low": math.nan, "ci_high": math.nan}
    grid = [[at.get((model, group), blank) for group in groups] for model in models]
    trace = {
        "type": "heatmap",
        "x": [f"{group} ({view.design.listeners[group]})" for group in groups],
        "y": [f"{model} ({view.design.models[model]})" for model in models],
        "z": [[cell["best_layer_score"] for cell in line] for line in grid],
        "customdata": [[[cell["ci_low"], cell["ci_high"]] for cell in line] for line in grid],
        "texttemplate": "%{z:.2f}",
        "colorscale": SEQUENTIAL,
        "zmin": 0,
        "zmax": top,
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"title": {"text": view.analysis.symbol}, "thickness": 10, "len": 0.9, "outlinewidth": 0},
        "hovertemplate": "%{y}, listeners %{x}<br>score %{z:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]"
        "<extra></extra>",
    }
    line = {"color": "#D55E00", "width": 3}
    native = [
        {"type": "rect", "x0": j - 0.48, "x1": j + 0.48, "y0": i - 0.48, "y1": i + 0.48, "line": line}
        for i, model in enumerate(models)
        for j, group in enumerate(groups)
        if view.is_native(model, group)
    ]
    x = axis("listeners (language heard)", type="category", showgrid=False)
    y = axis(type="category", showgrid=False, ticksuffix=" ")
    return Panel(id_, title, [trace], layout(x, y, shapes=native), 42 * len(models) + 90, 300)
