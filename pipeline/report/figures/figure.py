"""Figures as data: panels of Plotly traces with fixed ids, one style, and colours that the colour-blind can tell apart.

A figure is one or several panels that the page lays out side by side where there is room. Colours are those of
Okabe & Ito 2008 (Color Universal Design); maps of scores are in cividis.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any, Protocol

from pipeline.report.study_facts import BASELINE, NETWORK, SEED, TWIN
from pipeline.report.views import View

NETWORK_COLOURS = ("#0072B2", "#D55E00", "#009E73")
PATHWAY_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#0072B2")
PATHWAY_SYMBOLS = ("circle", "square", "triangle-up", "x")
BASELINE_COLOURS = ("#E69F00", "#CC79A7", "#56B4E9", "#000000")
COLOURS = (*NETWORK_COLOURS, *BASELINE_COLOURS)
"""Of what is neither, one after another."""
TWIN_COLOUR = "#777777"
NEUTRAL = "#333333"
TWIN_DASHES = {"random": "dash", "shuffled": "dashdot"}
SYMBOLS = {NETWORK: "circle", SEED: "circle-open", TWIN: "circle-open", BASELINE: "diamond"}
TEXT_COLOUR = "#222222"
GRID_COLOUR = "#e4e4e4"
CEILING_COLOUR = "#555555"
SEQUENTIAL = "Cividis"
SMALLEST_SCALE = 0.1  # scores that are all near zero are not stretched into a pattern


class PanelLike(Protocol):
    """What the page asks of a panel, whatever draws it."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def height_px(self) -> int: ...
    @property
    def min_width_px(self) -> int: ...
    def to_json(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class Panel:
    """One Plotly plot.

    Parameters
    ----------
    min_width_px : below this the panel scrolls sideways rather than shrink
    """

    id: str
    title: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    height_px: int = 280
    min_width_px: int = 250

    def to_json(self) -> str:
        """Compact JSON that is safe inside a script element; NaN becomes null, floats keep 5 decimals."""
        return script_json(_plain({"data": self.traces, "layout": self.layout}))


@dataclasses.dataclass(frozen=True)
class LegendEntry:
    """A line of the legend shared by a figure's panels."""

    label: str
    colour: str
    style: str = "line"


@dataclasses.dataclass(frozen=True)
class Caption:
    """What stands below every figure of a kind.

    Placeholders: ``{analysis} {subject} {interval} {study}``, those that name the map's CSV files (``{map} {summary}
    {contrasts} {units_file} {surface_file} {variance_file} {identifiability} {confusion} {recovery}``) and the
    figure's own ``values``.

    Parameters
    ----------
    source : which columns of which table hold the numbers
    """

    title: str
    text: str
    source: str


@dataclasses.dataclass(frozen=True)
class Figure:
    """A captioned figure.

    Parameters
    ----------
    values : what the caption's placeholders stand for
    column_px : panels get a column at least this wide where the screen has room; 0 leaves it to their own widths
    shared : id → JSON that the page holds once for all panels that name it
    """

    id: str
    caption: Caption
    panels: Sequence[PanelLike]
    values: dict[str, str] = dataclasses.field(default_factory=dict)
    legend: list[LegendEntry] = dataclasses.field(default_factory=list)
    column_px: int = 0
    shared: dict[str, str] = dataclasses.field(default_factory=dict)


def slug(title: str) -> str:
    """A title as a part of an id."""
    return "".join(c if c.isalnum() else "-" for c in title.lower())


def script_json(contents: Any) -> str:
    """Compact JSON that is safe inside a script element."""
    text = json.dumps(contents, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value


def colours_of(view: View) -> dict[str, str]:
    """Model → colour, the same in all figures of an analysis."""
    networks = [model.name for model in view.analysis.of_role(NETWORK)]
    baselines = [model.name for model in view.analysis.of_role(BASELINE)]
    colours = {name: NETWORK_COLOURS[i % len(NETWORK_COLOURS)] for i, name in enumerate(networks)}
    colours |= {name: BASELINE_COLOURS[i % len(BASELINE_COLOURS)] for i, name in enumerate(baselines)}
    for model in view.analysis.of_role(SEED):
        colours[model.name] = colours[view.analysis.seeds_of(model.name)[0].name]
    return colours | {model.name: TWIN_COLOUR for model in view.analysis.of_role(TWIN)}


def translucent(colour: str, opacity: float = 0.18) -> str:
    """``#0072B2`` as ``rgba(0,114,178,0.18)``."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis in the page's style."""
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": GRID_COLOUR,
        "zerolinecolor": "#999999",
        "linecolor": "#999999",
        "automargin": True,
        "fixedrange": True,
        **more,
    }


def layout(x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A layout with the page's fonts and margins."""
    return {
        "xaxis": x,
        "yaxis": y,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": TEXT_COLOUR},
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": "system-ui, sans-serif", "size": 12}},
        **more,
    }


def error_bars(value: Sequence[float], low: Sequence[float], high: Sequence[float], **more: Any) -> dict[str, Any]:
    """Plotly's asymmetric error bars from interval ends; a missing interval draws none."""
    above = [max(0.0, b - v) if math.isfinite(b - v) else None for v, b in zip(value, high, strict=True)]
    below = [max(0.0, v - a) if math.isfinite(v - a) else None for v, a in zip(value, low, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": above,
        "arrayminus": below,
        "width": 3,
        "thickness": 1.5,
        **more,
    }


def reference_line(x: Sequence[Any], y: Sequence[float], dash: str) -> dict[str, Any]:
    """What other traces are held against: chance, a twin, a bound; grey, and without a hover text."""
    line = {"color": TWIN_COLOUR, "width": 1.5, "dash": dash}
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "line": line, "hoverinfo": "skip"}


def score_range(values: Sequence[float], ceilings: Sequence[float] = ()) -> list[float]:
    """A range that holds all finite values and zero, with a margin; never narrower than `SMALLEST_SCALE`."""
    finite = [float(v) for v in (*values, *ceilings) if math.isfinite(v)]
    low, high = min([0.0, *finite]), max([SMALLEST_SCALE, *finite])
    margin = 0.06 * (high - low)
    return [low - (margin if low < 0 else 0.02 * (high - low)), high + margin]
