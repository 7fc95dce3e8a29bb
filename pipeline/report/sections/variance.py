"""What layers add to the feature spaces that they were fitted with: sentences and a table."""

from __future__ import annotations

import dataclasses

from pipeline.core.prose import counted, listed
from pipeline.encoding.mapping import LAYER
from pipeline.inference.scores.null_scores import SIGNIFICANT_BELOW
from pipeline.report.sections.findings import Finding, Row, is_tested, records
from pipeline.report.views import View
from pipeline.report.wording import NBSP, number, p_value

DECIMALS = 3  # of R², which is small where r is moderate


@dataclasses.dataclass(frozen=True)
class VarianceSection:
    """How explained variance divides in one view.

    Parameters
    ----------
    header : of the columns after the region
    groups : (network, its rows); a row is the region and one cell per column
    """

    heading: str
    intro: str
    findings: list[Finding]
    header: list[str]
    groups: list[tuple[str, list[tuple[str, list[str]]]]]


def variance_section(view: View) -> VarianceSection | None:
    """Sentences and table of one view; None where nothing was fitted jointly."""
    models = [model for model in view.networks if len(nested_rows(view, model))]
    if not models:
        return None
    named = listed(view.analysis.spaces)
    spaces = space_names(view)
    return VarianceSection(
        heading=f"What layers add to {named}",
        intro=(
            f"Every layer was fitted jointly with {named}, each weighted for itself. A layer's unique contribution is "
            f"the R² of the joint fit minus that of {named} alone on the same held-out samples. Shares are how the "
            "joint fit divides its R²: what spaces have in common goes to one or the other, so a share is not what "
            "would be lost without it. Layers are the nested best of each region, chosen by it in inner folds."
        ),
        findings=[_finding(view, model) for model in models],
        header=["R², joint fit", f"R², {named}", "Unique R² of the layer", *(_share(space) for space in spaces)],
        groups=[
            (model, [(place, _cells(rows, spaces)) for place, rows in by_place(view, model).items()])
            for model in models
        ],
    )


def space_names(view: View) -> list[str]:
    """The spaces of a view's joint fits, the layer first."""
    return list(dict.fromkeys(str(name) for name in view.variance["space"]))


def space_label(space: str) -> str:
    """``the layer``, or the name of another space."""
    return "the layer" if space == LAYER else space


def _share(space: str) -> str:
    return f"Share of {space_label(space)}"


def nested_rows(view: View, model: str) -> list[Row]:
    """One row per region and space, each fold at its nested best layer."""
    table = view.variance
    return records(table[(table["model"] == model) & (table["nested"] == 1)])


def by_place(view: View, model: str) -> dict[str, list[Row]]:
    """Region → one row per space."""
    found: dict[str, list[Row]] = {}
    for row in nested_rows(view, model):
        found.setdefault(str(row["place"]), []).append(row)
    return found


def r2_with_interval(row: Row, name: str) -> str:
    """``0.021 [0.014, 0.028]``."""
    value, low, high = (number(float(row[f"{name}{end}"]), DECIMALS) for end in ("", "_ci_low", "_ci_high"))
    return f"{value}{NBSP}[{low},{NBSP}{high}]"


def _cells(rows: list[Row], spaces: list[str]) -> list[str]:
    shares = {str(row["space"]): row for row in rows}
    return [
        *(number(float(rows[0][name]), DECIMALS) for name in ("joint_r2", "without_r2")),
        r2_with_interval(rows[0], "unique_r2"),
        *(r2_with_interval(shares[space], "share_r2") if space in shares else "" for space in spaces),
    ]


def adds(row: Row) -> bool:
    """Whether a layer adds to the spaces, by the largest of its family; untested, by its interval."""
    return bool(row["p_family"] < SIGNIFICANT_BELOW if is_tested(row) else row["unique_r2_ci_low"] > 0)


def _finding(view: View, model: str) -> Finding:
    """In which regions a network's nested best layer adds to the spaces, and in which it cannot be told."""
    rows = [of_place[0] for of_place in by_place(view, model).values()]
    above = [row for row in rows if adds(row)]
    below = [row for row in rows if row["unique_r2_ci_high"] < 0]
    below = [row for row in below if row not in above]
    open_ones = [row for row in rows if row not in above and row not in below]
    named = listed(view.analysis.spaces)
    regions = counted(len(rows), "region")
    tested = [row for row in rows if is_tested(row)]
    interval = "" if tested else ", by its interval,"
    if above:
        where = listed([_at(row) for row in above])
        parts = [f"adds{interval} to {named} in {len(above)} of {regions} ({_how(rows, named, '<')}): {where}"]
    else:
        parts = [f"adds{interval} to {named} in no region (of {len(rows)}; {_how(rows, named, '≥')})"]
    if open_ones:
        parts.append(f"what it adds cannot be told from zero in {listed([_at(row) for row in open_ones])}")
    if below:
        parts.append(
            f"the joint fit predicts reliably less than {named} alone in {listed([_at(row) for row in below])}"
        )
    return Finding(f"Unique contribution of {model}:", f"its nested best layer {'; '.join(parts)}.")


def _how(rows: list[Row], named: str, sign: str) -> str:
    """``p < .05 against the largest of the 3 in 99 other orders of what word-rate leaves``, or why there is no p."""
    n = sum(map(is_tested, rows))
    if not n:
        return f"no p: {rows[0]['untested']}"
    orders = max(int(row["n_permutations"]) for row in rows)
    largest = f"the largest of the {n} in" if n > 1 else "it in"
    return f"p{NBSP}{sign}{NBSP}.05 against {largest} {orders:,} other orders of what {named} leaves"


def _at(row: Row) -> str:
    p = p_value(float(row["p_family"]))
    return f"{row['place']} {r2_with_interval(row, 'unique_r2')}{f', {p}' if p else ''}"
