"""How depth in the network follows the order of regions: best layers beside their rank correlation with that order."""

from __future__ import annotations

from typing import Any

from pipeline.inference.questions.region_order import ShareOfOrders
from pipeline.report.figures.depth import BEST_HOVER, PALE_COLOUR
from pipeline.report.figures.figure import Figure, LegendEntry, Panel, axis, colours_of, layout, slug
from pipeline.report.sections.findings import Row, is_predicted, records
from pipeline.report.views import View
from pipeline.report.wording import with_interval


def gradient_plot(view: View) -> Figure | None:
    """A panel per rank correlation of the map; None if there is none."""
    rows = records(view.ranks)
    if not rows:
        return None
    legend = [LegendEntry("score not reliably above zero: the layer means nothing", PALE_COLOUR, "open")]
    panels = [_panel(view, row) for row in rows]
    order = [name for name in view.analysis.region_order if name in view.places]
    values = {"first": order[0], "last": order[-1]} if order else {"first": "the first", "last": "the last region"}
    return Figure(f"{view.id}-gradient", "gradient", panels, values, legend)


def _panel(view: View, rank: Row) -> Panel:
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
