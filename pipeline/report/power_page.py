"""A page of its own on how much a study would have to record; see `pipeline.identifiability.power`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.report.figures.figure import (
    COLOURS,
    Caption,
    Figure,
    LegendEntry,
    Panel,
    axis,
    error_bars,
    layout,
    reference_line,
    slug,
)
from pipeline.report.page import element_id, whole_document

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("minutes", "items")
LAYERS = Caption(
    "How often the right layer would be named",
    "{analysis}. Share of simulated recordings in which the layer that responses were made from is the one that is "
    "named, over all layers of the network, ± a standard error. Dotted: by chance.",
    "exact, exact_se, chance",
)
TWINS = Caption(
    "How often a network would score higher than its random twin",
    "{analysis}. Share of simulated recordings, made from the network's layers, in which its nested score is the "
    "higher one. Dotted: by chance.",
    "twin",
)


def power_page(title: str, table: pd.DataFrame, assumed: str, table_name: str) -> str:
    """The page as one HTML document that needs no other file.

    Parameters
    ----------
    title : of the study
    table : rows of `pipeline.identifiability.power.recovery` with ``analysis`` and ``minutes`` or ``items``
    assumed : of signal and noise, in words
    table_name : of the file that holds the table
    """
    figures = [one for _, rows in table.groupby("analysis", sort=False) for one in _figures(rows)]
    return whole_document(
        "power.html.j2",
        title=title,
        assumed=assumed,
        table_name=table_name,
        figures=figures,
        tables=[_lines(rows) for _, rows in table.groupby("analysis", sort=False)],
        element_id=element_id,
    )


def _unit(rows: pd.DataFrame) -> str:
    """What sizes of one analysis are in."""
    return next(unit for unit in UNITS if unit in rows and rows[unit].notna().all())


def _figures(rows: pd.DataFrame) -> Iterator[Figure]:
    """Of one analysis: layers told apart, and networks from their twins where there are any."""
    analysis = str(rows["analysis"].iloc[0])
    designs = list(dict.fromkeys(zip(rows["repeats"], rows["subjects"], strict=True)))
    colours = {design: COLOURS[number % len(COLOURS)] for number, design in enumerate(designs)}
    legend = [LegendEntry(_design_in_words(*design), colour) for design, colour in colours.items()]
    for caption, name in ((LAYERS, "exact"), (TWINS, "twin")):
        shown = rows[rows[name].notna()]
        panels = [_panel(f"{analysis}-{name}", own, name, colours) for _, own in shown.groupby("model", sort=False)]
        if panels:
            yield Figure(f"{analysis}-{name}", caption, panels, {"analysis": analysis}, legend)


def _design_in_words(repeats: int, subjects: int) -> str:
    """``8 subjects, 5 repeats each``."""
    many = f"{subjects} subject{'' if subjects == 1 else 's'}"
    return f"{many}, {repeats} repeat{'' if repeats == 1 else 's'}{'' if subjects == 1 else ' each'}"


def _panel(name: str, rows: pd.DataFrame, column: str, colours: dict[tuple[int, int], str]) -> Panel:
    """Of one network, a line per design."""
    unit, model = _unit(rows), str(rows["model"].iloc[0])
    traces: list[dict[str, Any]] = []
    for design, colour in colours.items():
        own = rows[(rows["repeats"] == design[0]) & (rows["subjects"] == design[1])].sort_values(unit)
        value = own[column].tolist()
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines+markers",
            "x": own[unit].tolist(),
            "y": value,
            "line": {"color": colour, "width": 2},
            "marker": {"color": colour, "size": 8},
            "customdata": own[["score", "within_one", "bits"]].to_numpy(),
            "hovertemplate": f"%{{x:.4~g}} {unit}, {_design_in_words(*design)}: %{{y:.0%}}<br>mean score "
            "%{customdata[0]:.3f}, ± 1 layer %{customdata[1]:.0%}, %{customdata[2]:.2f} bits<extra></extra>",
        }
        if column == "exact":
            low, high = own["exact"] - own["exact_se"], own["exact"] + own["exact_se"]
            trace["error_y"] = error_bars(value, low.tolist(), high.tolist(), color=colour)
        traces.append(trace)
    chance = float(rows["chance"].iloc[0]) if column == "exact" else 0.5
    sizes = [float(rows[unit].min()), float(rows[unit].max())]
    traces.append(reference_line(sizes, [chance, chance], "dot"))
    y = axis("share of recordings", range=[0, 1.04], tickformat=".0%")
    return Panel(f"{name}-{slug(model)}", model, traces, layout(axis(unit, rangemode="tozero"), y), 300, 300)


def _lines(rows: pd.DataFrame) -> dict[str, Any]:
    """One analysis as a table of texts."""
    unit = _unit(rows)
    lines = []
    for row in rows.to_dict("records"):
        twin = "—" if row["twin"] != row["twin"] else f"{row['twin']:.0%}"
        exact = f"{row['exact']:.0%} ± {row['exact_se']:.0%}"
        numbers = [f"{row['score']:.3f}", exact, f"{row['within_one']:.0%}", f"{row['bits']:.2f}"]
        size = [f"{row[unit]:.4g}", str(row["repeats"]), str(row["subjects"])]
        lines.append((str(row["model"]), [*size, *numbers, f"{row['depth_error']:.2f}", twin]))
    head = [unit, "repeats", "subjects", "score", "layer named", "± 1 layer", "bits", "depth error", "above twin"]
    return {"analysis": str(rows["analysis"].iloc[0]), "head": head, "lines": lines}
