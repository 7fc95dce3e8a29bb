"""Score against relative depth of networks with several pathways: a line per pathway, its twins' paler beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.report.figures.figure import (
    CEILING_COLOUR,
    PATHWAY_COLOURS,
    PATHWAY_SYMBOLS,
    TWIN_DASHES,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    colours_of,
    slug,
    translucent,
)
from pipeline.report.figures.profile import (
    baseline_lines,
    ceiling_line,
    ceilings_of,
    profile_line,
    profile_panel,
    profile_range,
)
from pipeline.report.study_facts import BASELINE
from pipeline.report.views import View

if TYPE_CHECKING:
    import pandas as pd

TWIN_OPACITY = 0.5

PATHWAYS = Caption(
    "Score against depth, pathway by pathway",
    "{analysis}, {subject}. Each panel is a region; the lines are the {score} of each layer of {networks} against its "
    "relative depth within its pathway, the bands the {interval}. The pathways share their stem, which stands at depth "
    "0 of each beside its first layer of its own; depths of different pathways cannot be compared. The highest point "
    "of a profile is an optimistic estimate, as in other profiles.",
    "{map}: model, pathway, relative_depth, region, score, ci_low, ci_high, ceiling",
)


def pathway_profiles(view: View) -> Figure | None:
    """One panel per region and network of several pathways, which share the stem as their first layer.

    None where every network has a single pathway.
    """
    networks = [model for model in view.networks if view.pathways_of(model)]
    if not networks:
        return None
    panels = [_panel(view, place, model, alone=len(networks) == 1) for model in networks for place in view.places]
    legend = []
    names = dict.fromkeys(pathway for model in networks for pathway in view.pathways_of(model))
    for number, pathway in enumerate(names):
        colour = PATHWAY_COLOURS[number % len(PATHWAY_COLOURS)]
        legend.append(LegendEntry(pathway, colour, "band"))
        for kind in dict.fromkeys(kind for model in networks for kind in view.analysis.twins_of(model)):
            twins = LegendEntry(f"{pathway} of the {kind} twins (each seed)", translucent(colour, TWIN_OPACITY))
            legend.append(LegendEntry(twins.label, twins.colour, TWIN_DASHES[kind]))
    colours = colours_of(view)
    legend += [LegendEntry(model, colours[model], "dot") for model in view.models(BASELINE)]
    if ceilings_of(view):
        legend.append(LegendEntry("ceiling", CEILING_COLOUR, "longdash"))
    values = {"score": view.layer_score_name, "networks": " and ".join(networks)}
    return Figure(f"{view.id}-pathways", PATHWAYS, panels, values, legend)


def _panel(view: View, place: str, model: str, *, alone: bool) -> Panel:
    here = view.rows[view.rows["place"] == place]
    twins: list[dict[str, Any]] = []
    trained: list[dict[str, Any]] = []
    for number, pathway in enumerate(view.pathways_of(model)):
        layers = view.layers(model, pathway)
        colour, symbol = (every[number % len(every)] for every in (PATHWAY_COLOURS, PATHWAY_SYMBOLS))
        pale = translucent(colour, TWIN_OPACITY)
        for kind, seeds in view.analysis.twins_of(model).items():
            for twin in seeds:
                rows = _within(here, twin.name, layers)
                twins += profile_line(rows, twin.name, pale, TWIN_DASHES[kind], band=False, symbol=symbol)
        trained += profile_line(_within(here, model, layers), model, colour, "solid", symbol=symbol)
    traces = [*twins, *baseline_lines(view, here, colours_of(view)), *trained, *ceiling_line(here)]
    title = place if alone else f"{place}, {model}"
    return profile_panel(view, f"pathways-{slug(model)}-{slug(place)}", title, traces, profile_range(view))


def _within(rows: pd.DataFrame, model: str, layers: list[str]) -> pd.DataFrame:
    return rows[(rows["model"] == model) & rows["layer"].isin(layers)]
