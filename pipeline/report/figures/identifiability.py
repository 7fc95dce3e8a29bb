"""Depth as a posterior over layers, layers that are taken for each other, and networks that are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.artifacts.identifiability import FITTED, READOUTS
from pipeline.report.figures.figure import (
    SEQUENTIAL,
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
from pipeline.report.sections.findings import records
from pipeline.report.views import View

if TYPE_CHECKING:
    import pandas as pd

POSTERIOR = Caption(
    "Depth, as far as it can be told",
    "{analysis}, {subject}. Mean of the posterior over layers, and its 95 % credible set, given the layer that was "
    "named: filled, with thin bars, where responses are simulated with read-outs as fitted to the measured responses; "
    "open, with pale bars, with random weights on all features. A bar across the panel means that the study cannot "
    "tell where in the network the region belongs{pathways}.",
    "{identifiability}: depth, depth_low, depth_high, exact, within_one, bits",
)
PATHWAYS = "; a region without a mark, that it cannot tell which pathway"
CONFUSION = Caption(
    "Layers taken for each other",
    "{analysis}, {subject}. Rows are the layers that responses were simulated from, columns those that were named; "
    "colour is the share of data sets, over all regions that the network predicts. On the diagonal the layer's own "
    "name.{left}",
    "{confusion}: planted_layer, named_layer, n",
)
RECOVERY = Caption(
    "Networks taken for each other",
    "{analysis}, {subject}. Rows are the networks that responses were simulated from (from the layer that scores "
    "highest in each region, as well as the network scores there), columns those with the highest nested score; "
    "colour is the share of data sets, over all regions that the network of the row predicts.{left}",
    "{recovery}: planted_model, named_model, n, n_repeats",
)


def posterior_depths(view: View) -> Figure | None:
    """A panel per network; None where nothing was simulated."""
    panels = []
    for model in view.networks:
        traces, regions = [], []
        for readout in reversed(READOUTS):
            rows = records(view.identified(model, readout))
            regions = [str(row["region"]) for row in rows]
            depth, low, high = ([float(row[name]) for row in rows] for name in ("depth", "depth_low", "depth_high"))
            colour = colours_of(view)[model]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": depth,
                    "y": regions,
                    "customdata": [
                        [row[name] for name in ("exact", "within_one", "bits", "named_layer")] for row in rows
                    ],
                    "marker": {
                        "color": colour,
                        "size": 9,
                        "symbol": "circle" if readout == FITTED else "circle-open",
                        "line": {"width": 2, "color": colour},
                    },
                    # the wide pale bars of generic read-outs lie behind the thin ones of fitted read-outs
                    "error_x": error_bars(depth, low, high, color=colour)
                    | ({} if readout == FITTED else {"color": translucent(colour, 0.3), "thickness": 5, "width": 0}),
                    "hovertemplate": f"%{{y}} ({readout} read-outs)<br>depth %{{x:.2f}}; named %{{customdata[3]}}<br>"
                    "own layer named in %{customdata[0]:.0%} (± 1: %{customdata[1]:.0%}), "
                    "%{customdata[2]:.2f} bits<extra></extra>",
                }
            )
        if regions:
            y = axis(type="category", categoryarray=regions[::-1], categoryorder="array", ticksuffix=" ", dtick=1)
            x = axis("relative depth", range=[-0.05, 1.05], dtick=0.25)
            height = 28 * len(regions) + 80
            panels.append(Panel(f"{view.id}-posterior-{slug(model)}", model, traces, layout(x, y), height, 300))
    legend = [
        LegendEntry("read-outs as fitted", "#222222", "circle"),
        LegendEntry("generic read-outs", "#222222", "open"),
    ]
    several = any(view.pathways_of(model) for model in view.networks)
    values = {"pathways": PATHWAYS if several else ""}
    return Figure(f"{view.id}-posterior", POSTERIOR, panels, values, legend) if panels else None


def confusions(view: View) -> Figure | None:
    """Planted against named layers of each network; None where nothing was simulated."""
    panels, left = [], []
    for model in view.networks:
        rows = view.confusion[view.confusion["model"] == model]
        layers = [layer for layer in view.layers(model) if (rows["planted_layer"] == layer).any()]
        left += _left(view, model, rows) if len(view.identified(model, FITTED)) else []
        for readout in READOUTS:
            own = rows[rows["readout"] == readout]
            if len(layers) > 1 and len(own):
                title = f"{model}, {readout} read-outs"
                panels.append(_matrix(view, title, own, layers, "planted_layer", "named_layer"))
    return Figure(f"{view.id}-confusion", CONFUSION, panels, {"left": _in_words(left)}) if panels else None


def recovered_networks(view: View) -> Figure | None:
    """Planted against named networks; None where nothing was simulated, or there is one network."""
    planted = list(dict.fromkeys(view.recovery["planted_model"]))
    names = [*planted, *dict.fromkeys(name for name in view.recovery["named_model"] if name not in planted)]
    if len(names) < 2:
        return None
    panels = [
        _matrix(
            view,
            f"{readout} read-outs",
            view.recovery[view.recovery["readout"] == readout],
            names,
            "planted_model",
            "named_model",
        )
        for readout in READOUTS
    ]
    left = [one for name in names for one in _left(view, name, view.recovery[view.recovery["planted_model"] == name])]
    return Figure(f"{view.id}-recovery", RECOVERY, panels, {"left": _in_words(left)})


def _left(view: View, model: str, rows: pd.DataFrame) -> list[str]:
    """``net 5 of 6``: in how many regions something was planted, unless it was in all."""
    n, n_regions = rows["region"].nunique(), view.summary["region"].nunique()
    return [f"{model} {n} of {n_regions}"] if n < n_regions else []


def _in_words(left: list[str]) -> str:
    return f" In others nothing was planted; regions left: {', '.join(left)}." if left else ""


def _matrix(view: View, title: str, rows: pd.DataFrame, names: list[str], planted: str, named: str) -> Panel:
    counts = rows.pivot_table(index=planted, columns=named, values="n", aggfunc="sum", fill_value=0)
    counts = counts.reindex(index=names, columns=names, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": shares.to_numpy(),
        "x": names,
        "y": names,
        "zmin": 0,
        "zmax": 1,
        "colorscale": SEQUENTIAL,
        "colorbar": {"title": {"text": "share", "side": "right"}, "thickness": 12},
        "hovertemplate": "from %{y}, named %{x}: %{z:.0%}<extra></extra>",
    }
    x = axis("named", type="category", tickangle=-45)
    y = axis("simulated from", type="category", autorange="reversed" if planted == "planted_model" else True)
    size = max(260, 22 * len(names) + 130)
    return Panel(f"{view.id}-{planted}-{slug(title)}", title, [trace], layout(x, y), size, max(320, size + 60))
