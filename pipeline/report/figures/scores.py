"""Predicted against measured responses, penalties chosen, and similarity matrices: what lies behind the scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.prose import listed
from pipeline.report.figures.figure import SEQUENTIAL, Caption, Figure, LegendEntry, Panel, axis, layout
from pipeline.report.study_facts import AnalysisFacts
from pipeline.report.wording import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.report.read_scores import Example, Penalties, Reference, ScoresContents

MEASURED_COLOUR = "#000000"
PREDICTED_COLOUR = "#0072B2"
MOST_EXAMPLES = 4
MOST_TARGETS = 24  # of a matrix that shows every target by itself
EXAMPLE_COLUMN_PX = {True: 460, False: 240}  # in time, over items

EXAMPLES_TIME = Caption(
    "Predicted and measured responses",
    "{analysis}. Held-out predictions of the best predicted targets (different regions first) from each one's best "
    "layer. The targets were picked because they are predicted best: they show what a good prediction looks like, not "
    "a typical one. r is the mean over folds.{note}",
    "data/scores/{study}/…/*.nc: predicted, measured, sample_time",
)

EXAMPLES_ITEMS = Caption(
    "Predicted and measured responses",
    "{analysis}. Held-out predictions of the best predicted targets (different regions first) from each one's best "
    "layer, one dot per item. The targets were picked because they are predicted best: they show what a good "
    "prediction looks like, not a typical one. r is the mean over folds.{note}",
    "data/scores/{study}/…/*.nc: predicted, measured",
)

PENALTIES = Caption(
    "Penalties chosen",
    "{analysis}. Share of ridge penalties chosen in inner folds, over all targets, layers, folds and groups; penalties "
    "are relative to the mean eigenvalue of the training Gram matrix, so that layers of different width share one "
    "scale. The ends of the grid are orange: many choices there mean a grid that is too short, or responses that a "
    "model does not predict (largest penalty). {edges}",
    "data/scores/{study}/…/*.nc: penalty, penalty_edge",
)

SIMILARITIES = Caption(
    "Measured and model similarities",
    "{analysis}. {entries} similarities of the target that the network matches best on all {entry}s ({target}, "
    "{symbol} = {score_value}; picked for its height, so optimistic) beside those of layer {layer}. Each matrix has "
    "its own colour scale, from the 1st to the 99th percentile of the pairs.{cut}",
    "data/scores/{study}/…/*.nc: similarity, model_similarity",
)

REFERENCE = Caption(
    "Agreement between measured matrices",
    "{analysis}. How well the similarity matrices of two targets agree, computed as for a network: a practical "
    "reference for the scores above. Between different regions it goes from {range}. It is not a ceiling: two areas "
    "may differ for good reasons, and both hold noise.{alone}",
    "data/scores/{study}/…/*.nc: reference_similarity",
)

REFERENCE_REGIONS = Caption(
    "Agreement between measured matrices",
    "{analysis}. How well the similarity matrices of two different subjects agree, computed as for a network and "
    "averaged over pairs of subjects: of the same region on the diagonal, from which ceilings follow, and of different "
    "regions beside it, where two areas may differ for good reasons.{alone}",
    "data/scores/{study}/…/*.nc: reference_similarity (every pair of targets)",
)


def examples(analysis: AnalysisFacts, contents: ScoresContents) -> Figure | None:
    """The best predicted targets, of different regions where possible: lines over time, or a scatter over items."""
    found = contents.examples
    best = _best(found)
    if not best:
        return None
    panels = [_example(analysis, number, one) for number, one in enumerate(best)]
    legend = [LegendEntry("measured", MEASURED_COLOUR), LegendEntry("predicted", PREDICTED_COLOUR)]
    cut = [one for one in best if one.n_samples > one.time.size]
    note = f" The first {cut[0].time.size:,} of {cut[0].n_samples:,} samples are shown." if cut else ""
    return Figure(
        f"{analysis.name}-examples",
        EXAMPLES_TIME if best[0].in_time else EXAMPLES_ITEMS,
        panels,
        {"note": note},
        legend if best[0].in_time else [],
        EXAMPLE_COLUMN_PX[best[0].in_time],
    )


def _best(found: list[Example]) -> list[Example]:
    ranked = sorted((one for one in found if math.isfinite(one.r)), key=lambda one: -one.r)
    firsts: dict[str, Example] = {}
    for one in ranked:
        firsts.setdefault(one.place, one)
    others = [one for one in ranked if one not in firsts.values()]
    return sorted([*firsts.values(), *others][:MOST_EXAMPLES], key=lambda one: -one.r)


def _example(analysis: AnalysisFacts, number_: int, one: Example) -> Panel:
    subject = "" if one.subject in ("group", "pooled") else f", {one.subject}"
    title = f"{one.place}{subject}: r = {number(one.r)} ({one.model}, {one.layer})"
    label = f"{analysis.name}-example-{number_}"
    if not one.in_time:
        points = {
            "type": "scatter",
            "mode": "markers",
            "x": one.predicted,
            "y": one.measured,
            "text": [f"item {int(i)}" for i in one.time],
            "marker": {"color": PREDICTED_COLOUR, "size": 5, "opacity": 0.7},
            "hovertemplate": "%{text}<br>predicted %{x:.2f}, measured %{y:.2f}<extra></extra>",
        }
        axes = axis("predicted (SD)", zeroline=False), axis("measured (SD)", zeroline=False)
        return Panel(label, title, [points], layout(*axes), 280, 260)
    time, measured, predicted, running = _gaps(one)
    traces = [
        _line(time, measured, "measured", MEASURED_COLOUR, 1.2),
        _line(time, predicted, "predicted", PREDICTED_COLOUR, 2.0),
    ]
    x = axis("time over all runs (s)" if running else "time in the stimulus (s)", zeroline=False)
    return Panel(
        label, title, traces, layout(x, axis("response (SD)", zeroline=False), hovermode="x unified"), 220, 300
    )


def _gaps(one: Example) -> tuple[list[float], list[float], list[float], bool]:
    """Times that go on over several runs, with a break in the line between them."""
    steps = np.diff(one.time)
    step = float(np.median(steps)) if steps.size else 1.0
    breaks = np.flatnonzero((steps <= 0) | (steps > 3.5 * abs(step))) + 1
    running = bool((steps <= 0).any())
    time = one.time if not running else step * np.arange(1, one.time.size + 1)
    series = [np.insert(array, breaks, np.nan) for array in (time, one.measured, one.predicted)]
    return series[0].tolist(), series[1].tolist(), series[2].tolist(), running


def _line(x: list[float], y: list[float], name: str, colour: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "width": width},
        "connectgaps": False,
        "hovertemplate": "%{y:.2f}",
    }


def penalties(analysis: AnalysisFacts, contents: ScoresContents) -> Figure | None:
    """How often each penalty of the grid was chosen; None where the metric has no penalties."""
    found = contents.penalties
    grid = analysis.options.get("penalties")
    if not found or not grid:
        return None
    values = np.geomspace(grid["lowest"], grid["highest"], grid["n"])
    panels = [_penalty_panel(analysis, one, [float(v) for v in values]) for one in found]
    edges = [
        f"{one.model}: {100 * one.at_lowest:.1f} % at the smallest, {100 * one.at_highest:.1f} % at the largest penalty"
        for one in found
    ]
    return Figure(f"{analysis.name}-penalties", PENALTIES, panels, {"edges": f"{'; '.join(edges)}."})


def _penalty_panel(analysis: AnalysisFacts, one: Penalties, grid: list[float]) -> Panel:
    total = sum(one.counts.values())
    share = [100 * sum(c for v, c in one.counts.items() if math.isclose(v, g, rel_tol=1e-3)) / total for g in grid]
    last = len(grid) - 1
    bars = {
        "type": "bar",
        "x": [math.log10(g) for g in grid],
        "y": share,
        "customdata": [f"{g:.3g}" for g in grid],
        "marker": {"color": ["#D55E00" if i in (0, last) else "#0072B2" for i in range(len(grid))]},
        "hovertemplate": "penalty %{customdata}<br>%{y:.1f} % of choices<extra></extra>",
    }
    axes = axis("log₁₀ penalty", zeroline=False), axis("share of choices (%)", rangemode="tozero")
    return Panel(f"{analysis.name}-penalties-{one.model}", one.model, [bars], layout(*axes, bargap=0.08), 220, 280)


def similarities(analysis: AnalysisFacts, contents: ScoresContents) -> Figure | None:
    """Measured beside model similarities of the best matched target."""
    found = contents.similarities
    if not found:
        return None
    best = max(found, key=lambda one: one.score)
    entry = "block" if best.blocks else "item"
    panels = [
        _matrix(f"{analysis.name}-measured", f"measured: {best.target}", best.measured, best.items, entry),
        _matrix(f"{analysis.name}-modelled", f"{best.model}, {best.layer}", best.modelled, best.items, entry),
    ]
    n_drawn = len(best.items)
    cut = f" The first {n_drawn} of {best.n_items} {entry}s are shown." if n_drawn < best.n_items else ""
    values = {"symbol": analysis.symbol, "score_value": number(best.score), "target": best.target, "layer": best.layer}
    values |= {"entry": entry, "entries": f"{entry.capitalize()} × {entry}", "cut": cut}
    return Figure(f"{analysis.name}-similarities", SIMILARITIES, panels, values)


def _matrix(label: str, title: str, values: NDArray[np.float64], items: list[str], entry: str) -> Panel:
    off = values.copy()
    np.fill_diagonal(off, np.nan)
    low, high = (float(v) for v in np.nanquantile(off, [0.01, 0.99]))
    trace = {
        "type": "heatmap",
        "x": items,
        "y": items,
        "z": np.round(off, 3),
        "colorscale": SEQUENTIAL,
        "zmin": low,
        "zmax": high,
        "colorbar": {"thickness": 10, "len": 0.9, "outlinewidth": 0},
        "hovertemplate": "%{x} – %{y}<br>similarity %{z:.3f}<extra></extra>",
    }
    x = axis(entry, type="category", showticklabels=False, ticks="", showgrid=False)
    y = axis(entry, type="category", showticklabels=False, ticks="", showgrid=False, autorange="reversed")
    return Panel(label, title, [trace], layout(x, y), 330, 300)


def reference(analysis: AnalysisFacts, contents: ScoresContents) -> Figure | None:
    """How well measured matrices agree: target by target, or region by region where there are too many targets."""
    found = contents.reference
    if found is None or len(found.targets) < 2:
        return None
    alone = _leave_one_out(found)
    if len(found.targets) > MOST_TARGETS and len(set(found.subjects)) > 1:
        regions, means = _between_animals(found)
        panel = _agreement(analysis, regions, means, "mean over pairs of subjects")
        return Figure(f"{analysis.name}-reference", REFERENCE_REGIONS, [panel], {"alone": alone})
    off = found.values.copy()
    np.fill_diagonal(off, np.nan)
    panel = _agreement(analysis, found.targets, off, "between measured matrices")
    values = {"range": _between_regions(found), "alone": alone}
    return Figure(f"{analysis.name}-reference", REFERENCE, [panel], values)


def _agreement(analysis: AnalysisFacts, names: list[str], values: NDArray[np.float64], title: str) -> Panel:
    known = values[np.isfinite(values)]
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": values,
        "colorscale": SEQUENTIAL,
        "zmin": float(known.min(initial=0.0)),
        "zmax": float(known.max(initial=0.0)),
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": analysis.symbol}, "thickness": 10, "outlinewidth": 0},
        "hovertemplate": f"%{{x}} – %{{y}}<br>{analysis.symbol} = %{{z:.3f}}<extra></extra>",
    }
    x = axis(type="category", tickangle=-60, dtick=1, showgrid=False)
    y = axis(type="category", autorange="reversed", dtick=1, showgrid=False, ticksuffix=" ")
    size = max(300, 22 * len(names) + 110)
    return Panel(f"{analysis.name}-reference-matrix", title, [trace], layout(x, y), size, size + 90)


def _between_animals(found: Reference) -> tuple[list[str], NDArray[np.float64]]:
    """Regions, and the mean agreement of two subjects' matrices of each two of them; NaN where there are no two."""
    regions = list(dict.fromkeys(found.regions))
    of, subject = np.array(found.regions), np.array(found.subjects)
    values = np.where(subject[:, None] != subject[None, :], found.values, np.nan)
    means = np.full((len(regions), len(regions)), np.nan)
    for i, one in enumerate(regions):
        for j, other in enumerate(regions):
            pairs = values[np.ix_(of == one, of == other)]
            if np.isfinite(pairs).any():
                means[i, j] = np.nanmean(pairs)
    return regions, means


def _leave_one_out(found: Reference) -> str:
    """Agreement with the mean of the others, region by region; empty where it is not known."""
    if found.leave_one_out is None or not np.isfinite(found.leave_one_out).any():
        return ""
    of = np.array(found.regions)
    means = {region: found.leave_one_out[of == region] for region in dict.fromkeys(found.regions)}
    told = [f"{region} {number(float(np.nanmean(own)))}" for region, own in means.items() if np.isfinite(own).any()]
    return (
        f" A subject's matrix agrees with the mean of the others' of its region by {listed(told)} on average "
        "(leave_one_out), which is shown for comparison and not used as a ceiling."
    )


def _between_regions(found: Reference) -> str:
    """Lowest to highest agreement between matrices of different regions."""
    regions = np.array(found.regions)
    different = found.values[regions[:, None] != regions[None, :]]
    ends = [number(float(value)) for value in (different.min(), different.max())] if different.size else []
    return listed(ends, last="to") if ends else "n/a"
