"""How depth in the network follows the order of regions: pair by pair, and by rank correlation over all of them."""

from __future__ import annotations

from typing import Any

from pipeline.inference.questions.region_order import ShareOfOrders
from pipeline.report.figures.depth import BEST_HOVER, PALE_COLOUR
from pipeline.report.figures.figure import (
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    colours_of,
    error_bars,
    layout,
    slug,
)
from pipeline.report.sections.findings import Row, is_predicted, records, unpredicted, verdict_of
from pipeline.report.views import View
from pipeline.report.wording import with_interval

ORDER_HOVER = ("ci_low", "ci_high", "p", "statement")

ORDER = Caption(
    "Order of regions in depth",
    "{analysis}, {subject}. Difference in relative depth between two regions' nested best layers (later minus earlier "
    "in the study's order) with {interval}; filled where the interval leaves zero out and p, corrected for "
    "all pairs, is below .05, and pale "
    "where one of the two has a score that is not reliably above zero, so that its layer means nothing. This is an "
    "order within the network, not in time or in anatomy.",
    "{contrasts}: rows named 'depth order …', difference, ci_low, ci_high, p",
)

GRADIENT = Caption(
    "Depth along the order of regions",
    "{analysis}, {subject}. Nested best layers of the regions in the study's order, from {first} to {last}. ρ is "
    "Spearman's rank correlation of their depths with that order, with {interval}: 1 where every later region's best "
    "layer lies deeper. The interval takes these regions as given. Beside it stands the share of all orders of these "
    "regions that would correlate as strongly, in either direction; best layers are said to follow the order only "
    "where the interval lies above 0 and that share is below 5 %. Regions whose score is not reliably above zero are "
    "pale.",
    "{contrasts}: rows named 'depth order: rank correlation …', difference, ci_low, ci_high, statement; {summary}: "
    "best_layer, best_layer_depth",
)


def order_plot(view: View) -> Figure | None:
    """Difference in depth between two regions' best layers, with interval.

    Pairs with a region that is not predicted are pale: their best layers mean nothing.
    """
    panels = []
    for model, pathway, table in view.orders():
        rows = records(table)
        pairs = [_pair(row) for row in rows]
        told, untold = ([row for row in rows if bool(unpredicted(row)) is pale] for pale in (False, True))
        traces = [_differences(told, colours_of(view)[model]), _differences(untold, PALE_COLOUR)]
        y = axis(type="category", categoryarray=pairs[::-1], categoryorder="array", ticksuffix=" ", dtick=1)
        x = axis("difference in relative depth", range=[-1.08, 1.08], zeroline=True)
        label = "-".join([view.id, "order", model, *([pathway] if pathway else [])])
        title = f"{model}, {pathway}" if pathway else model
        panels.append(Panel(label, title, traces, layout(x, y), 24 * len(rows) + 80, 300))
    return Figure(f"{view.id}-order", ORDER, panels) if panels else None


def _pair(row: Row) -> str:
    return str(row["pair"])


def _differences(rows: list[Row], colour: str) -> dict[str, Any]:
    difference, low, high = ([float(row[name]) for row in rows] for name in ("difference", "ci_low", "ci_high"))
    clear = [colour != PALE_COLOUR and verdict_of(row) in ("above", "below") for row in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": difference,
        "y": [_pair(row) for row in rows],
        "customdata": [[row[name] for name in ORDER_HOVER] for row in rows],
        "marker": {
            "color": colour,
            "size": 9,
            "line": {"width": 2, "color": colour},
            "symbol": ["circle" if one else "circle-open" for one in clear],
        },
        "error_x": error_bars(difference, low, high, color=colour),
        "hovertemplate": "%{y}<br>depth difference %{x:.2f} [%{customdata[0]:.2f}, %{customdata[1]:.2f}]<br>"
        "p %{customdata[2]:.3f}<br>%{customdata[3]}<extra></extra>",
    }


def gradient_plot(view: View) -> Figure | None:
    """A panel per rank correlation of the map; None if there is none."""
    rows = records(view.ranks)
    if not rows:
        return None
    legend = [LegendEntry("score not reliably above zero: the layer means nothing", PALE_COLOUR, "open")]
    panels = [_gradient(view, row) for row in rows]
    order = [name for name in view.analysis.region_order if name in view.places]
    values = {"first": order[0], "last": order[-1]} if order else {"first": "the first", "last": "the last region"}
    return Figure(f"{view.id}-gradient", GRADIENT, panels, values, legend)


def _gradient(view: View, rank: Row) -> Panel:
    model, pathway = str(rank["model"]), str(rank["pathway"])
    by_place = {str(row["place"]): row for row in records(view.summary_of(model, pathway).reset_index())}
    order = [name for name in view.analysis.region_order if name in by_place]
    told = [by_place[name] for name in order if is_predicted(by_place[name])]
    untold = [by_place[name] for name in order if not is_predicted(by_place[name])]
    name = f"{model}, {pathway}" if pathway else model
    correlation = with_interval(rank["difference"], rank["ci_low"], rank["ci_high"])
    share = ShareOfOrders.read(str(rank["statement"]))
    orders = f"; as strong in {share.in_percent} of orders" if share else ""
    x = axis(type="category", categoryorder="array", categoryarray=order, range=[-0.6, len(order) - 0.4], tickangle=-45)
    y = axis("relative depth of the best layer", range=[-0.05, 1.05], dtick=0.25, zeroline=False)
    return Panel(
        f"{view.id}-gradient-{slug(name)}",
        f"{name}: ρ = {correlation}{orders}",
        [_layers(told, colours_of(view)[model], "circle"), _layers(untold, PALE_COLOUR, "circle-open")],
        layout(x, y),
        320,
        max(300, 34 * len(order) + 90),
    )


def _layers(rows: list[Row], colour: str, symbol: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [row["place"] for row in rows],
        "y": [row["best_layer_depth"] for row in rows],
        "customdata": [[row[name] for name in BEST_HOVER] for row in rows],
        "marker": {"color": colour, "size": 11, "symbol": symbol, "line": {"color": colour, "width": 2}},
        "hovertemplate": "%{x}: nested best layer %{customdata[0]} (depth %{y:.2f})<br>score %{customdata[1]:.3f} "
        "[%{customdata[2]:.3f}, %{customdata[3]:.3f}]<extra></extra>",
    }
