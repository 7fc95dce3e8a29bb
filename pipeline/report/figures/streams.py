"""Ventral against dorsal, one panel per assignment of regions; a network's twins of one kind share a line."""

from __future__ import annotations

import math
from typing import Any

from pipeline.report.figures.figure import (
    TWIN_COLOUR,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    colours_of,
    error_bars,
    layout,
)
from pipeline.report.sections.findings import Row, verdict_of
from pipeline.report.sections.streams import StreamLine, assignments_of, stream_lines
from pipeline.report.views import View

LEAST_REACH = 0.05  # differences that are all near zero are not stretched over the panel
OF_PAIRS = (
    "For a pair of pathways: ({score} of the first − that of the second) in ventral minus the same in dorsal regions. "
)
OF_NETWORKS = "For a network: {score} in ventral minus that in dorsal regions{less}. "
LESS = ", less the mean of the same of its random twins, for one more of them (no interval for fewer than five)"
TWINS = "Open grey circles are single seeds of the twins, without their intervals. "
HOVER = ("ci_low", "ci_high", "p", "statement")

STREAMS = Caption(
    "Two streams",
    "{analysis}, {subject}. Each panel is an assignment of regions to the ventral and the dorsal stream. {what}Bars "
    "are {interval}; filled where they leave zero out and p is below .05. {twins}Layers are chosen anew for every "
    "region, network and pathway.",
    "{contrasts}: rows named 'streams (…)', difference, ci_low, ci_high, p, statement",
)


def stream_plot(view: View) -> Figure | None:
    """None where no assignment of the study could be compared."""
    lines, names = stream_lines(view), assignments_of(view)
    if not lines:
        return None
    ends = [float(row[key]) for row in _all_rows(lines) for key in ("difference", "ci_low", "ci_high")]
    finite = [value for value in ends if math.isfinite(value)]
    x_range = [1.08 * min([-LEAST_REACH, *finite]), 1.08 * max([LEAST_REACH, *finite])]
    panels = [_panel(view, number, name, lines, x_range) for number, name in enumerate(names)]
    twins = any(line.twins for line in lines)
    less = any(not line.first and line.label != line.model for line in lines)
    what = OF_PAIRS.format(score=view.score_name) if any(line.first for line in lines) else ""
    if not all(line.first for line in lines):
        what += OF_NETWORKS.format(score=view.score_name, less=LESS if less else "")
    values = {"what": what, "twins": TWINS if twins else ""}
    legend = [LegendEntry("network with interval", "#333333", "circle")]
    legend += [LegendEntry("each seed of the twins", TWIN_COLOUR, "open")] if twins else []
    return Figure(f"{view.id}-streams", STREAMS, panels, values, legend)


def _all_rows(lines: list[StreamLine]) -> list[Row]:
    own = [row for line in lines for row in line.rows.values()]
    return own + [row for line in lines for found in line.twins.values() for rows in found.values() for row in rows]


def _panel(view: View, number: int, assignment: str, lines: list[StreamLine], x_range: list[float]) -> Panel:
    colours = colours_of(view)
    labels: list[str] = []
    traces: list[dict[str, Any]] = []
    for line in lines:
        if assignment in line.rows:
            labels.append(_label(line, len(view.networks) == 1))
            traces.append(_network(line.rows[assignment], labels[-1], colours[line.model]))
        for kind, found in line.twins.items():
            if assignment in found:
                labels.append(f"{_label(line, len(view.networks) == 1)},<br>{kind} twins")
                traces.append(_seeds(found[assignment], labels[-1]))
    y = axis(type="category", categoryarray=labels[::-1], categoryorder="array", ticksuffix=" ", dtick=1)
    x = axis(f"difference in {view.axis_name}", range=x_range, zeroline=True, nticks=6)
    height_px = 30 * len(labels) + 96
    return Panel(f"{view.id}-streams-{number}", assignment, traces, layout(x, y), height_px, 320)


def _label(line: StreamLine, alone: bool) -> str:
    if not line.first:
        return f"{line.model} − twins" if line.label != line.model else line.model
    pair = f"{line.first} − {line.second}"
    return pair if alone else f"{line.model}: {pair}"


def _network(row: Row, label: str, colour: str) -> dict[str, Any]:
    difference, low, high = (float(row[key]) for key in ("difference", "ci_low", "ci_high"))
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [difference],
        "y": [label],
        "customdata": [[row[key] for key in HOVER]],
        "marker": {
            "color": colour,
            "size": 9,
            "line": {"width": 2, "color": colour},
            "symbol": "circle" if verdict_of(row) in ("above", "below") else "circle-open",
        },
        "error_x": error_bars([difference], [low], [high], color=colour),
        "hovertemplate": "%{y}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>p %{customdata[2]:.3f}"
        "<br>%{customdata[3]}<extra></extra>",
    }


def _seeds(rows: list[Row], label: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [float(row["difference"]) for row in rows],
        "y": [label] * len(rows),
        "customdata": [[row["model"], row["ci_low"], row["ci_high"]] for row in rows],
        "marker": {"color": TWIN_COLOUR, "size": 7, "symbol": "circle-open"},
        "hovertemplate": "%{customdata[0]}: %{x:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>",
    }
