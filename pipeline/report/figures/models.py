"""Models side by side, contrasts, and the spread over single subjects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.inference.networks import is_trained_group, twin_of
from pipeline.report.figures.figure import (
    CEILING_COLOUR,
    NEUTRAL,
    TWIN_COLOUR,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    colours_of,
    error_bars,
    layout,
    score_range,
    translucent,
)
from pipeline.report.sections.findings import Row, records, verdict_of
from pipeline.report.study_facts import BASELINE, SEED
from pipeline.report.views import View

if TYPE_CHECKING:
    import pandas as pd

FEWEST_SUBJECTS = 3

MODELS = Caption(
    "Models side by side",
    "{analysis}, {subject}. The {score} of each model's nested best layer with {interval}, region by region. Models "
    "differ in architecture, size, training data and number of layers as well as in their objective.",
    "{summary}: model, region, best_layer, best_layer_score, ci_low, ci_high, ceiling",
)

CONTRASTS = Caption(
    "Networks against twins, baselines and each other",
    "{analysis}, {subject}. Difference in {score} (model minus reference) with paired {interval}; filled where the "
    "interval leaves zero out and p, corrected for the regions, is below .05. Against "
    "twins the reference is the mean of their seeds, and interval "
    "and p are those of one more seed: crosses mark the difference from the best of the seeds. Fewer than five seeds "
    "have no interval. {seeds}Grey bands are margins that the study states: a difference surely within counts as none. "
    "Two trained networks differ in more than what they were trained for: a difference between them "
    "is not a test of the learning objective{but}.",
    "{contrasts}: contrast, region, difference, best_reference_score, ci_low, ci_high, p_family, margin",
)

SEEDS = (
    "Of all seeds of trainings both sides are means, and interval and p are over seeds and items, blocks or subjects; "
    "grey bars, of fewer than five seeds, are over the latter alone. "
)
BUT_OF_SEEDS = ", except between means over seeds of one architecture and diet"

SUBJECTS = Caption(
    "Single subjects",
    "{analysis}. One dot for each subject with the region, of {n_subjects} in all, in the same order in every region; "
    "the diamond is the score of their average with {interval}. Layers are chosen anew for each subject and for the "
    "average, so that the diamond need not be the mean of the dots.",
    "{summary} and {contrasts}: subject, region, best_layer_score or difference",
)


def models_side_by_side(view: View) -> Figure:
    """Held-out score of each model's nested best layer, one panel per region; a network's twins share a line."""
    colours = colours_of(view)
    values = [*view.summary["best_layer_score"], *view.summary["ci_low"], *view.summary["ci_high"]]
    x_range = score_range(values, list(view.summary["ceiling"]))
    panels = [_models(view, place, colours, x_range) for place in view.places]
    legend = [LegendEntry("nested best layer with interval", NEUTRAL, "circle")]
    if (view.summary["role"] == "twin").any():
        legend.append(LegendEntry("each seed of the twins (filled: best seed, with interval)", TWIN_COLOUR, "open"))
    if view.analysis.of_role(SEED):
        legend.append(LegendEntry("further seeds of a training, without their intervals", NEUTRAL, "open"))
    if view.summary["ceiling"].notna().any():
        legend.append(LegendEntry("ceiling", CEILING_COLOUR, "longdash"))
    return Figure(f"{view.id}-models", MODELS, panels, {"score": view.score_name}, legend)


def _models(view: View, place: str, colours: dict[str, str], x_range: list[float]) -> Panel:
    here = {str(row["model"]): row for row in records(view.summary[view.summary["place"] == place])}
    labels, traces = [], []
    for model in dict.fromkeys([*view.networks, *view.models(BASELINE)]):
        if model in here:
            labels.append(model)
            traces.append(
                _dot(here[model], model, colours[model], "diamond" if model in view.models(BASELINE) else "circle")
            )
            others = [one.name for one in view.analysis.seeds_of(model) if one.name != model]
            traces += _open_dots([here[one] for one in others if one in here], model, colours[model])
        for kind, twins in view.analysis.twins_of(model).items():
            seeds = [here[twin.name] for twin in twins if twin.name in here]
            if seeds:
                labels.append(f"{model} {kind} twins" if len(view.networks) > 1 else f"{kind} twins")
                traces += _twins(seeds, labels[-1])
    ceiling = next((float(row["ceiling"]) for row in here.values() if math.isfinite(row["ceiling"])), math.nan)
    shapes = []
    if math.isfinite(ceiling):
        line = {"color": CEILING_COLOUR, "dash": "longdash", "width": 2}
        shapes = [{"type": "line", "x0": ceiling, "x1": ceiling, "yref": "paper", "y0": 0, "y1": 1, "line": line}]
    return Panel(
        f"{view.id}-models-{''.join(c if c.isalnum() else '-' for c in place.lower())}",
        place,
        traces,
        layout(
            axis(view.axis_name, range=x_range, zeroline=True),
            axis(type="category", categoryarray=labels[::-1], categoryorder="array", ticksuffix=" ", dtick=1),
            shapes=shapes,
        ),
        height_px=28 * len(labels) + 66,
        min_width_px=290,
    )


def _dot(row: Row, label: str, colour: str, symbol: str) -> dict[str, Any]:
    score = float(row["best_layer_score"])
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [score],
        "y": [label],
        "customdata": [[row["best_layer"], row["ci_low"], row["ci_high"], row["model"]]],
        "marker": {"color": colour, "size": 9, "symbol": symbol},
        "error_x": error_bars([score], [float(row["ci_low"])], [float(row["ci_high"])], color=colour),
        "hovertemplate": "%{customdata[3]}, layer %{customdata[0]}<br>%{x:.3f} "
        "[%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>",
    }


def _open_dots(others: list[Row], label: str, colour: str) -> list[dict[str, Any]]:
    """Further seeds of a training or of twins, on the line of the one that has an interval; none of no others."""
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [row["best_layer_score"] for row in others],
        "y": [label] * len(others),
        "customdata": [[row["model"], row["best_layer"]] for row in others],
        "marker": {"color": colour, "size": 7, "symbol": "circle-open"},
        "hovertemplate": "%{customdata[0]}, layer %{customdata[1]}<br>%{x:.3f}<extra></extra>",
    }
    return [dots] if others else []


def _twins(seeds: list[Row], label: str) -> list[dict[str, Any]]:
    best = max(seeds, key=lambda row: row["best_layer_score"] if math.isfinite(row["best_layer_score"]) else -2)
    others = [row for row in seeds if row is not best]
    return [*_open_dots(others, label, TWIN_COLOUR), _dot(best, label, TWIN_COLOUR, "circle")]


def contrast_plot(view: View) -> Figure | None:
    """Model − reference per region with interval; filled where the interval leaves zero out and p is below .05."""
    names = list(dict.fromkeys(view.contrasts["contrast"]))
    if not names:
        return None
    ends = view.contrasts[["difference", "ci_low", "ci_high", "units_ci_low", "units_ci_high"]].to_numpy().ravel()
    finite = [float(value) for value in ends if math.isfinite(value)]
    reach = 1.08 * max([0.1, *finite])
    x_range = [min(-0.08 * reach, 1.08 * min([0.0, *finite])), reach]
    panels = [
        _forest(view, number, name, view.contrasts[view.contrasts["contrast"] == name], x_range)
        for number, name in enumerate(names)
    ]
    sides = [*view.contrasts["model"], *view.contrasts["reference"]]
    of_seeds = any(is_trained_group(str(name)) for name in sides)
    values = {"score": view.score_name, "seeds": SEEDS if of_seeds else "", "but": BUT_OF_SEEDS if of_seeds else ""}
    return Figure(f"{view.id}-contrasts", CONTRASTS, panels, values)


def _forest(view: View, number: int, name: str, table: pd.DataFrame, x_range: list[float]) -> Panel:
    rows = records(table)
    places = [str(row["place"]) for row in rows]
    difference, low, high = ([float(row[key]) for row in rows] for key in ("difference", "ci_low", "ci_high"))
    clear = [verdict_of(row) in ("above", "below") for row in rows]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": difference,
        "y": places,
        "customdata": [
            [row["ci_low"], row["ci_high"], row["model_score"], row["reference_score"], row["p"]] for row in rows
        ],
        "marker": {
            "color": NEUTRAL,
            "size": 9,
            "symbol": ["circle" if one else "circle-open" for one in clear],
            "line": {"width": 2, "color": NEUTRAL},
        },
        "error_x": error_bars(difference, low, high, color=NEUTRAL),
        "hovertemplate": "%{y}: %{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>model %{customdata[2]:.3f}, "
        "reference %{customdata[3]:.3f}<br>p %{customdata[4]:.3f}<extra></extra>",
    }
    traces = [*_of_these_alone(rows), trace, *_from_best_seed(rows)]
    y = axis(type="category", categoryarray=places[::-1], categoryorder="array", ticksuffix=" ", dtick=1)
    x = axis(f"difference in {view.axis_name}", range=x_range, zeroline=True)
    shown = layout(x, y, shapes=_margin(float(rows[0]["margin"])))
    return Panel(f"{view.id}-contrast-{number}", name, traces, shown, 28 * len(rows) + 70, 290)


def _of_these_alone(rows: list[Row]) -> list[dict[str, Any]]:
    """Intervals over units alone where few seeds allow none over seeds; none where there are enough."""
    few = [row for row in rows if verdict_of(row) == "none" and math.isfinite(row["units_ci_low"])]
    difference, low, high = (
        [float(row[one]) for row in few] for one in ("difference", "units_ci_low", "units_ci_high")
    )
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": difference,
        "y": [str(row["place"]) for row in few],
        "marker": {"color": TWIN_COLOUR, "size": 1},
        "error_x": error_bars(difference, low, high, color=TWIN_COLOUR),
        "hoverinfo": "skip",
    }
    return [trace] if few else []


def _margin(margin: float) -> list[dict[str, Any]]:
    """The band of differences that count as none; nothing where no margin is stated."""
    if not math.isfinite(margin):
        return []
    ends = {"x0": -margin, "x1": margin, "yref": "paper", "y0": 0, "y1": 1}
    return [{"type": "rect", **ends, "fillcolor": translucent(TWIN_COLOUR), "line": {"width": 0}, "layer": "below"}]


def _from_best_seed(rows: list[Row]) -> list[dict[str, Any]]:
    """The differences from the best of several seeds; none where there is one reference."""
    several = [row for row in rows if row["n_references"] > 1 and twin_of(str(row["reference"]))]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [float(row["model_score"] - row["best_reference_score"]) for row in several],
        "y": [str(row["place"]) for row in several],
        "marker": {"color": TWIN_COLOUR, "size": 7, "symbol": "x-thin", "line": {"width": 2, "color": TWIN_COLOUR}},
        "hovertemplate": "%{y}: %{x:.3f} from the best seed<extra></extra>",
    }
    return [trace] if several else []


def subject_spread(view: View) -> Figure | None:
    """Dots per subject: score of the first network, and each contrast; None for fewer than three subjects."""
    if view.subjects["subject"].nunique() < FEWEST_SUBJECTS:
        return None
    panels = []
    for model in view.networks:
        own = view.subjects[view.subjects["model"] == model]
        average = records(view.summary_of(model).reset_index())
        columns = ("best_layer_score", "ci_low", "ci_high")
        panels.append(_spread(view, f"score-{model}", f"{model}: score", own, average, columns, view.axis_name))
    for number, name in enumerate(dict.fromkeys(view.subject_contrasts["contrast"])):
        own = view.subject_contrasts[view.subject_contrasts["contrast"] == name]
        average = records(view.contrasts[view.contrasts["contrast"] == name])
        columns = ("difference", "ci_low", "ci_high")
        panels.append(
            _spread(view, f"contrast-{number}", name, own, average, columns, f"difference in {view.axis_name}")
        )
    n_subjects = str(view.subjects["subject"].nunique())
    return Figure(f"{view.id}-subjects", SUBJECTS, panels, {"n_subjects": n_subjects})


def _spread(
    view: View,
    part: str,
    title: str,
    single: pd.DataFrame,
    average: list[Row],
    columns: tuple[str, str, str],
    label: str,
) -> Panel:
    value, low, high = columns
    position = {place: number for number, place in enumerate(view.places)}
    subjects = list(dict.fromkeys(single["subject"]))
    offset = {name: 0.5 * (i + 0.5) / len(subjects) - 0.25 for i, name in enumerate(subjects)}  # no random jitter
    rows = [row for row in records(single) if row["place"] in position]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [position[row["place"]] + offset[row["subject"]] for row in rows],
        "y": [row[value] for row in rows],
        "customdata": [[row["subject"], row["place"]] for row in rows],
        "marker": {"color": "#56B4E9", "size": 5, "opacity": 0.8},
        "hovertemplate": "%{customdata[0]}, %{customdata[1]}: %{y:.3f}<extra></extra>",
    }
    score, lows, highs = ([float(row[name]) for row in average] for name in columns)
    mean = {
        "type": "scatter",
        "mode": "markers",
        "x": [position[row["place"]] + 0.36 for row in average],
        "y": score,
        "customdata": [[row["place"], row[low], row[high]] for row in average],
        "marker": {"color": "#000000", "size": 8, "symbol": "diamond"},
        "error_y": error_bars(score, lows, highs, color="#000000"),
        "hovertemplate": "average, %{customdata[0]}: %{y:.3f} "
        "[%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>",
    }
    x = axis(
        tickvals=list(position.values()),
        ticktext=list(position),
        range=[-0.5, len(position) - 0.4],
        tickangle=-45,
        showgrid=False,
        zeroline=False,
    )
    return Panel(f"{view.id}-subjects-{part}", title, [dots, mean], layout(x, axis(label)), 290, 300)
