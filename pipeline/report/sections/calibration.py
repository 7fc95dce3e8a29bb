"""What this study's own tests and intervals do on data sets of which the truth is known."""

from __future__ import annotations

import dataclasses
import math

from pipeline.artifacts.identifiability import NOTHING, PLANTED
from pipeline.core.prose import counted
from pipeline.inference.questions.calibration import AT_MOST
from pipeline.report.sections.findings import Row, records
from pipeline.report.views import View
from pipeline.report.wording import percent

STATEMENTS = {
    (NOTHING, "p"): "p below .05 (nested score of a region)",
    (NOTHING, "any"): "any region of a data set reliably above zero",
    (NOTHING, "above"): "interval of the score wholly above 0",
    (NOTHING, "zero"): "interval of the score covers 0",
    (NOTHING, "difference"): "interval of a difference of two layers covers the mean of the other data sets",
    (PLANTED, "found"): "region found (reliably above zero)",
    (PLANTED, "above"): "interval of the score wholly above 0",
    (PLANTED, "score"): "interval of the score covers the mean of the other data sets",
    (PLANTED, "difference"): "interval of a difference of two layers covers the mean of the other data sets",
    (PLANTED, "set"): "best-layer set holds the planted layer",
    (PLANTED, "credible"): "credible set of depth holds the planted layer",
}
KINDS = {NOTHING: "Nothing there", PLANTED: "Planted"}
BEYOND = {True: "too often", False: "too seldom"}
KEPT = "yes"
ONE_IN = 40
"""Shares whose promise is kept that are beyond it by more than two errors all the same, on one side."""


@dataclasses.dataclass(frozen=True)
class CalibrationSection:
    """A table of shares beside what is promised.

    Parameters
    ----------
    intro : what was counted, or why nothing was
    header : of the columns after the statement; empty without a table
    groups : (kind of data sets, its rows); a row is a statement, its cells, and whether its promise is kept
    verdict : all promises in one sentence
    """

    intro: str
    header: list[str]
    groups: list[tuple[str, list[tuple[str, list[str], bool]]]]
    verdict: str


def calibration_section(view: View) -> CalibrationSection | None:
    """Of one view; None where it was not asked for."""
    rows = records(view.calibration)
    counted_rows = [row for row in rows if row["of"]]
    if not counted_rows:
        why = next((str(row["untested"]) for row in rows if row["untested"]), "")
        return CalibrationSection(f"Not tried: {why}.", [], [], "") if why else None
    model = str(counted_rows[0]["model"])
    tried = [row for row in counted_rows if row["statistic"] != "credible"]
    n_sets = max((int(row["n_data_sets"]) for row in tried), default=0)
    return CalibrationSection(
        intro=(
            f"{counted(n_sets, 'data set')} of nothing (the measured responses in other orders) and as many of planted "
            f"responses (the same, with what the best layer of {model} says of each region, as strong as was measured: "
            "without noise where it never is, nothing where the measured score is not above 0) "
            "went through the same fits, other orders and draws as the measured ones. ± is one standard error; a share "
            "is marked where it is beyond its promise by more than two, which happens by chance to about one in 40. "
            "All data sets have the same stimuli, which intervals take for a sample: they may cover more than promised."
        ),
        header=["Share", "Promised", "Kept"],
        groups=[
            (KINDS[kind], [_row(row) for row in counted_rows if row["kind"] == kind])
            for kind in dict.fromkeys(str(row["kind"]) for row in counted_rows)
        ],
        verdict=_verdict(counted_rows),
    )


def _row(row: Row) -> tuple[str, list[str], bool]:
    share = f"{percent(row['share'])} ± {percent(row['se'])} ({int(row['n'])} of {int(row['of'])})"
    promised = f"{row['promise']} {percent(row['wanted'])}" if row["promise"] else "–"
    kept = bool(row["kept"])
    mark = "–" if not math.isfinite(row["wanted"]) else KEPT if kept else f"no: {BEYOND[row['promise'] == AT_MOST]}"
    return STATEMENTS[str(row["kind"]), str(row["statistic"])], [share, promised, mark], kept


def _verdict(rows: list[Row]) -> str:
    promised = [row for row in rows if row["promise"]]
    broken = [STATEMENTS[str(row["kind"]), str(row["statistic"])] for row in promised if not row["kept"]]
    n = len(promised)
    if not broken:
        return f"None of the {n} shares is beyond its promise by more than two errors."
    return (
        f"Beyond its promise by more than two errors: {'; '.join(broken)}. What this page says by it is less sure than "
        f"it says. By chance that happens to one share in {ONE_IN}, so to one of {n} in up to "
        f"{percent(min(1.0, n / ONE_IN))} of studies."
    )
