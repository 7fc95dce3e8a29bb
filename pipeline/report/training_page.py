"""A page of its own on the trainings of one recipe; see `pipeline.training`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.core.prose import counted
from pipeline.report.figures.figure import (
    COLOURS,
    TWIN_COLOUR,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    error_bars,
    layout,
    reference_line,
)
from pipeline.report.page import element_id, whole_document
from pipeline.report.wording import duration
from pipeline.training.card import collapse_of
from pipeline.training.collapse import SMALLEST_RANK, SMALLEST_SD, is_collapsed
from pipeline.training.measuring.pathways import pathway_table
from pipeline.training.results import RAW, TRAINED, TWIN, Run

if TYPE_CHECKING:
    import pandas as pd

LOSS = Caption(
    "Loss in the course of training",
    "Mean over training {many} since the point before ({loss_is}, in {unit}), a line per seed.",
    "curve.csv: step, loss",
)
COLLAPSE = Caption(
    "Whether features still tell samples apart",
    "Of the encoder's features in a batch: SD of their directions (1: spread; 0: all {many} have one) and effective "
    "rank of their covariance (how many directions are used). Dotted: below this they count as collapsed.",
    "curve.csv: feature_sd, effective_rank",
)
PROBES = Caption(
    "Labels, read from each layer",
    "Share of test {many} whose class a ridge classifier names, from the layer's mean over {over}, with 95 % "
    "intervals over test {many} (Wilson), a line per seed. Dashed: the random twin. Dotted: {raw}. "
    "Grey, solid: chance.",
    "probes.csv: accuracy, low, high",
)


def training_page(runs: Sequence[Run]) -> str:
    """The page as one HTML document that needs no other file.

    Parameters
    ----------
    runs : trainings of one recipe, in order of their seeds
    """
    facts = runs[0].facts
    return whole_document(
        "training.html.j2",
        facts=facts,
        diet=facts.diet,
        many=facts.diet.form.modality,
        seeds=[run.facts.seed for run in runs],
        counted=counted,
        recipe=yaml.safe_dump(facts.options, sort_keys=False, allow_unicode=True),
        collapsed=[run.facts.seed for run in runs if is_collapsed(**collapse_of(run.facts.measures[TRAINED]))],
        summary=[_summary(run) for run in runs],
        held_out=[_held_out(run) for run in runs],
        probes=[{"seed": run.facts.seed, "lines": _probe_lines(run.probes)} for run in runs],
        pathways=[{"seed": run.facts.seed, "lines": _pathway_lines(run.probes)} for run in runs],
        figures=list(_figures(runs)),
        element_id=element_id,
    )


def _figures(runs: Sequence[Run]) -> Iterator[Figure]:
    facts = runs[0].facts
    colours = {run.facts.seed: COLOURS[number % len(COLOURS)] for number, run in enumerate(runs)}
    legend = [LegendEntry(f"seed {seed}", colour) for seed, colour in colours.items()]
    form = facts.diet.form
    over = {"pictures": "space", "clips": "space and time", "sounds": "time"}[form.modality]
    words = {"many": form.modality, "raw": RAW[form.modality], "over": over}
    if facts.steps:
        loss = _curves("loss", "loss", runs, colours, "loss")
        yield Figure("loss", LOSS, [loss], {**words, "loss_is": facts.loss_is, "unit": facts.unit}, legend)
        spread = _curves("feature-sd", "SD of directions", runs, colours, "feature_sd", SMALLEST_SD)
        rank = _curves("effective-rank", "effective rank", runs, colours, "effective_rank", SMALLEST_RANK)
        yield Figure("collapse", COLLAPSE, [spread, rank], words, legend)
    twin = [LegendEntry("random twin", TWIN_COLOUR, "dash"), LegendEntry(words["raw"], TWIN_COLOUR, "dot")]
    panels = [_probe_panel(runs, colours, label) for label in runs[0].probes["label"].unique()]
    yield Figure("probes", PROBES, panels, words, [*legend, *twin])


def _curves(
    name: str, title: str, runs: Sequence[Run], colours: dict[int, str], column: str, floor: float | None = None
) -> Panel:
    """A line per seed."""
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": run.curve["step"].tolist(),
            "y": run.curve[column].tolist(),
            "line": {"color": colours[run.facts.seed], "width": 2},
            "hovertemplate": f"seed {run.facts.seed}, step %{{x}}: %{{y:.4~g}}<extra></extra>",
        }
        for run in runs
    ]
    if floor is not None:
        traces.append(reference_line([0, float(runs[0].facts.steps)], [floor, floor], "dot"))
    y = axis(title, rangemode="tozero") if floor is not None else axis(title)
    return Panel(f"training-{name}", title, traces, layout(axis("step", rangemode="tozero"), y), 300, 300)


def _probe_panel(runs: Sequence[Run], colours: dict[int, str], label: str) -> Panel:
    layers, many = list(runs[0].facts.layers), runs[0].facts.diet.form.modality
    tables = {run.facts.seed: run.probes[run.probes["label"] == label] for run in runs}
    traces: list[dict[str, Any]] = []
    for run in runs:
        own, twin = (_of(tables[run.facts.seed], network, layers) for network in (TRAINED, TWIN))
        for pathway in own["pathway"].unique():  # a line each, so that none leads from one pathway to the next
            rows = own["pathway"] == pathway
            traces.append(_probe_trace(own[rows], run.facts.seed, colours[run.facts.seed]))
            traces.append(reference_line(own.index[rows].tolist(), twin.loc[rows, "accuracy"].tolist(), "dash"))
    first = tables[runs[0].facts.seed]
    raw = float(first.loc[first["network"] == RAW[runs[0].facts.diet.form.modality], "accuracy"].iloc[0])
    chance = 1 / float(first["n_classes"].iloc[0])
    traces.append(reference_line([layers[0], layers[-1]], [raw, raw], "dot"))
    traces.append(reference_line([layers[0], layers[-1]], [chance, chance], "solid"))
    y = axis(f"test {many} named", range=[0, 1.02], tickformat=".0%")
    return Panel(f"training-probes-{label}", label, traces, layout(axis("layer", type="category"), y), 340, 340)


def _probe_trace(own: pd.DataFrame, seed: int, colour: str) -> dict[str, Any]:
    """Layers of one network, with intervals."""
    bars = error_bars(own["accuracy"].tolist(), own["low"].tolist(), own["high"].tolist())
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": own.index.tolist(),
        "y": own["accuracy"].tolist(),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 8},
        "error_y": {**bars, "color": colour},
        "hovertemplate": f"seed {seed}, %{{x}}: %{{y:.1%}}<extra></extra>",
    }


def _of(probes: pd.DataFrame, network: str, layers: Sequence[str]) -> pd.DataFrame:
    return probes[probes["network"] == network].set_index("layer").loc[list(layers)]


def _summary(run: Run) -> list[str]:
    """Of one training: last loss, collapse, and what it took."""
    measures, cost = run.facts.measures[TRAINED], run.cost
    ratio = cost.get("samples_per_s", math.nan) / cost.get("bare_samples_per_s", math.nan)
    return [
        f"{run.curve['loss'].iloc[-1]:.4g}" if len(run.curve) else "—",
        f"{measures['feature_sd']:.3f}",
        f"{measures['effective_rank']:.1f} of {run.facts.n_features}",
        duration(cost["cpu_s"]) if "cpu_s" in cost else "not recorded" if run.facts.steps else "—",
        f"{cost['samples_per_s']:,.3g}" if "samples_per_s" in cost else "—",
        f"{ratio:.2f}" if math.isfinite(ratio) else "—",
        f"{cost.get('device', '—')}, {counted(cost['threads'], 'thread')}" if "threads" in cost else "—",
    ]


def _held_out(run: Run) -> dict[str, Any]:
    lines = [
        (row["network"], [f"{row['loss']:.4g}", f"{row['low']:.4g} to {row['high']:.4g}", f"{row['n_samples']:,}"])
        for row in run.held_out.to_dict("records")
    ]
    return {"seed": run.facts.seed, "lines": lines}


def _pathway_lines(probes: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """What each pathway tells; empty where there are none, or one."""
    table = pathway_table(probes)
    if table["pathway"].nunique() < 2:
        return []
    return [
        (
            row["network"],
            [
                row["label"],
                row["pathway"],
                f"{row['mean_accuracy']:.1%}",
                f"{row['accuracy']:.1%}",
                f"{row['low']:.1%} to {row['high']:.1%}",
                f"{row['chance']:.1%}",
            ],
        )
        for row in table.to_dict("records")
    ]


def _probe_lines(probes: pd.DataFrame) -> list[tuple[str, list[str]]]:
    return [
        (
            row["network"],
            [
                row["label"],
                row["layer"],
                f"{row['n_features']:,}",
                f"{row['accuracy']:.1%}",
                f"{row['low']:.1%} to {row['high']:.1%}",
                f"{row['penalty']:.1e}{' (end of the grid)' if row['at_end'] else ''}",
            ],
        )
        for row in probes.to_dict("records")
    ]
