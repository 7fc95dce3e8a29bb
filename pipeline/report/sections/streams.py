"""What was found about two streams: every assignment of regions side by side, to show what hangs on it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.prose import counted, listed
from pipeline.inference.questions.contrasts import without_values
from pipeline.report.sections.findings import Finding, Row, records, verdict_of
from pipeline.report.study_facts import StreamFacts
from pipeline.report.views import View
from pipeline.report.wording import interval, number, p_value, signed

if TYPE_CHECKING:
    import pandas as pd

SIDES = "; ventral "
OPEN = "not distinguishable from 0"
VERDICTS = {
    "above": "distinguishable from 0, and above it",
    "below": "distinguishable from 0, and below it",
    "open": OPEN,
    "none": "without a verdict",
}


@dataclasses.dataclass(frozen=True)
class StreamLine:
    """One comparison under every assignment.

    Parameters
    ----------
    first, second : pathways of the network that are compared; empty for the network as a whole
    rows : assignment → its row of the contrast table
    twins : kind of twins → assignment → one row per seed; empty where the twins are in the comparison itself
    """

    model: str
    first: str
    second: str
    rows: dict[str, Row]
    twins: dict[str, dict[str, list[Row]]]

    @property
    def label(self) -> str:
        if self.first:
            return f"{self.model}, {self.first} − {self.second}"
        less = any(str(row["reference"]) != self.model for row in self.rows.values())
        return f"{self.model} less its random twins" if less else self.model


@dataclasses.dataclass(frozen=True)
class StreamTableRow:
    label: str
    cells: list[str]


@dataclasses.dataclass(frozen=True)
class StreamSection:
    """The streams of one view.

    Parameters
    ----------
    intro : the assignments and what they differ in
    header : (name, regions of either side) of each assignment
    note : what brackets are, and what is missing
    """

    intro: str
    findings: list[Finding]
    header: list[tuple[str, str]]
    rows: list[StreamTableRow]
    note: str


def stream_lines(view: View) -> list[StreamLine]:
    """The comparisons of the networks in a view, each network's pairs of pathways before the network as a whole."""
    lines = []
    for model in view.networks:
        own = view.streams[view.streams["model"] == model]
        pairs = own[["first", "second"]].drop_duplicates().itertuples(index=False, name=None)
        for first, second in ((str(one), str(other)) for one, other in pairs):
            twins = {
                kind: _by_assignment(_of(view.streams, [twin.name for twin in found], first, second))
                for kind, found in view.analysis.twins_of(model).items()
            }
            rows = {name: found[0] for name, found in _by_assignment(_of(own, [model], first, second)).items()}
            kept = {kind: found for kind, found in twins.items() if found}
            lines.append(StreamLine(model, first, second, rows, kept))
    return lines


def _of(table: pd.DataFrame, models: list[str], first: str, second: str) -> list[Row]:
    return records(table[table["model"].isin(models) & (table["first"] == first) & (table["second"] == second)])


def _by_assignment(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["assignment"]), []).append(row)
    return found


def sides_of(row: Row) -> str:
    """``ventral VISl; dorsal VISal, VISam``: the regions of an assignment that the data have."""
    _, found, sides = str(row["statement"]).partition(SIDES)
    return f"ventral {sides}" if found else ""


def assignments_of(view: View) -> list[str]:
    """Names of the assignments that a view has rows of, in the study's order."""
    return [str(name) for name in dict.fromkeys(view.streams["assignment"])]


def differing_regions(streams: Sequence[StreamFacts]) -> list[str]:
    """Regions that are not in the same stream under every assignment."""
    regions = dict.fromkeys(region for one in streams for region in (*one.ventral, *one.dorsal))
    places = {region: {(region in one.ventral, region in one.dorsal) for one in streams} for region in regions}
    return [region for region, found in places.items() if len(found) > 1]


def stream_section(view: View) -> StreamSection | None:
    """None where the study assigns no regions to streams."""
    if not view.analysis.streams:
        return None
    names, lines = assignments_of(view), stream_lines(view)
    sides = {name: sides_of(row) for line in lines for name, row in line.rows.items()}
    missing = [one.name for one in view.analysis.streams if one.name not in names]
    assigned = {region for one in view.analysis.streams for region in (*one.ventral, *one.dorsal)}
    units = view.summary.loc[view.summary["region"].isin(assigned), "ci_unit"]
    brackets = f"Brackets: intervals over {view.analysis.ci_units(units)}. " if names else ""
    lacking = f"No comparison under {listed(missing)}: a side has no region in these data." if missing else ""
    rows = [row for line in lines for row in _table_rows(line, names)]
    return StreamSection(
        intro=_intro(view.analysis.streams),
        findings=[Finding(f"{line.label}:", _sentence(line, view)) for line in lines],
        header=[(name, sides[name]) for name in names],
        rows=rows,
        note=f"{brackets}{lacking}".strip(),
    )


def _intro(streams: Sequence[StreamFacts]) -> str:
    text = "Which regions belong to the ventral and which to the dorsal stream is an assumption."
    if len(streams) == 1:
        return f"{text} The study makes one: {streams[0].name}."
    differ = differing_regions(streams)
    what = f"; they differ in {listed(differ)}" if differ else ""
    return f"{text} The study makes {len(streams)}, {listed([one.name for one in streams])}{what}."


def _sentence(line: StreamLine, view: View) -> str:
    """Whether the difference can be told from 0 under each assignment, and whether the answer depends on it."""
    told: dict[str, list[str]] = {}
    for name, row in line.rows.items():
        told.setdefault(verdict_of(row), []).append(f"{signed(row['difference'])}{_brackets(row)} ({name})")
    text = f"{_quantity(line)} is {'; '.join(f'{VERDICTS[one]}: {listed(found)}' for one, found in told.items())}."
    if len(line.rows) > 1 and "none" not in told:
        text += (
            " The answer is the same under every assignment."
            if len(told) == 1
            else f" The answer depends on the assignment{_of_regions(view.analysis.streams)}."
        )
    for kind, found in line.twins.items():
        text += f" {_twins_sentence(kind, found)}"
    statements = [without_values(str(row["statement"]).partition(SIDES)[0]) for row in line.rows.values()]
    return f"{text} Read as: {max(statements, key=len)}."  # an assignment's regions may call for a caution more


def _quantity(line: StreamLine) -> str:
    if line.first:
        return f"what {line.first} scores above {line.second}, ventral minus dorsal,"
    return "ventral minus dorsal"


def _of_regions(streams: Sequence[StreamFacts]) -> str:
    differ = differing_regions(streams)
    return f" of {listed(differ)}" if differ else ""


def _brackets(row: Row) -> str:
    """`` [0.02, 0.16], p = 0.01``; empty without an interval."""
    p = p_value(float(row["p_family"]))
    told = f" {interval(row['ci_low'], row['ci_high'])}{f', {p}' if p else ''}"
    return "" if verdict_of(row) == "none" else told


def _twins_sentence(kind: str, found: dict[str, list[Row]]) -> str:
    rows = [row for seeds in found.values() for row in seeds]
    n_seeds = max(len(seeds) for seeds in found.values())
    told = sum(verdict_of(row) in ("above", "below") for row in rows)
    untrained = " What untrained twins show as well does not come from training." if told else ""
    return (
        f"In its {counted(n_seeds, f'{kind} twin')} the same goes from {_range(rows)}, and {told} of "
        f"{len(rows)} {'is' if told == 1 else 'are'} distinguishable from 0.{untrained}"
    )


def _range(rows: list[Row]) -> str:
    values = [float(row["difference"]) for row in rows if math.isfinite(row["difference"])]
    return f"{signed(min(values))} to {signed(max(values))}" if values else "n/a"


def _table_rows(line: StreamLine, names: list[str]) -> list[StreamTableRow]:
    """The network's row, then one for all its twins of a kind."""
    cells = [_cell(line.rows[name]) if name in line.rows else "n/a" for name in names]
    rows = [StreamTableRow(line.label, cells)]
    for kind, found in line.twins.items():
        seeds = max(len(own) for own in found.values())
        label = f"its {kind} twins: mean (range) of {counted(seeds, 'seed')}"
        rows.append(StreamTableRow(label, [_twins_cell(found.get(name, [])) for name in names]))
    return rows


def _cell(row: Row) -> str:
    added = {"open": f", {OPEN}", "none": ", no interval"}.get(verdict_of(row), "")
    return f"{signed(row['difference'])}{_brackets(row)}{added}"


def _twins_cell(rows: list[Row]) -> str:
    values = [float(row["difference"]) for row in rows if math.isfinite(row["difference"])]
    return f"{signed(sum(values) / len(values))} ({number(min(values))} to {number(max(values))})" if values else "n/a"
