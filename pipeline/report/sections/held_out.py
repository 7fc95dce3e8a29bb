"""Held-out scores region by region: r and R², each beside its share of what can be explained, and penalties chosen."""

from __future__ import annotations

import dataclasses
import math

from pipeline.core.prose import counted, listed
from pipeline.report.sections.findings import Finding, Row, is_predicted, records
from pipeline.report.study_facts import BASELINE, StudyFacts
from pipeline.report.views import View
from pipeline.report.wording import NBSP, number, percent, quantity, with_interval

MANY_AT_SMALLEST = 0.1
"""Share of targets × folds at the smallest penalty from which a region is warned of."""
MOST_WARNED = 5
CHOSEN_BY = {
    "r2": " They are chosen by squared error, which the size of predictions is part of.",
    "r": " They are chosen by r, so that the size of predictions may be wrong, and R² low.",
}
MOST_ROWS_OPEN = 60


@dataclasses.dataclass(frozen=True)
class HeldOutSection:
    """The scores of one view.

    Parameters
    ----------
    header : of the columns after the region
    groups : (model, its rows); a row is the region and one cell per column
    note : what the columns are
    penalties : how many targets took a penalty at either end of the grid; None where there is no grid
    warning : where many took the smallest; empty if nowhere
    long : whether the table has more rows than fit a screen
    """

    header: list[str]
    groups: list[tuple[str, list[tuple[str, list[str]]]]]
    note: str
    penalties: Finding | None
    warning: str
    long: bool


def held_out_section(facts: StudyFacts, view: View) -> HeldOutSection | None:
    """Table and sentences of one view; None where nothing was predicted."""
    if not view.analysis.encodes:
        return None
    models = list(dict.fromkeys([*view.networks, *view.models(BASELINE)]))
    rows = {model: records(view.summary_of(model).reset_index()) for model in models}
    every = [row for own in rows.values() for row in own]
    known = _Known(
        ceiling=any(math.isfinite(row["r2_normalised"]) for row in every),
        grid=any(math.isfinite(row["penalty_edge_low"]) for row in every),
    )
    return HeldOutSection(
        header=_header(view.analysis.symbol, known),
        groups=[
            (model, [(str(row["place"]), _cells(row, len(view.layers(model)), known)) for row in own])
            for model, own in rows.items()
        ],
        note=_note(facts, view, known),
        penalties=_penalties(view, rows) if known.grid else None,
        warning=_warning(view, {model: rows[model] for model in view.networks}) if known.grid else "",
        long=len(every) > MOST_ROWS_OPEN,
    )


@dataclasses.dataclass(frozen=True)
class _Known:
    """Which columns there is something to show in."""

    ceiling: bool
    grid: bool


def _header(symbol: str, known: _Known) -> list[str]:
    r, r2 = [symbol], ["R²"]
    if known.ceiling:
        r, r2 = [symbol, f"{symbol} / ceiling"], ["R²", "R² / reliability", "Reliability"]
    ends = ["Smallest / largest penalty"] if known.grid else []
    return ["Layer", *r, *r2, "Targets", *ends]


def _cells(row: Row, n_layers: int, known: _Known) -> list[str]:
    constant = f" (and {int(row['n_constant'])} constant)" if row["n_constant"] else ""
    ends = [number(100 * row[f"penalty_edge_{end}"], 0) for end in ("low", "high")]
    return [
        (str(row["best_layer"]) or "–") if n_layers > 1 else "–",
        with_interval(row["best_layer_score"], row["ci_low"], row["ci_high"]),
        *([_interval(row, "score_normalised")] if known.ceiling else []),
        with_interval(row["r2"], row["r2_ci_low"], row["r2_ci_high"]),
        *([number(row["r2_normalised"]), _interval(row, "reliability")] if known.ceiling else []),
        f"{int(row['n_targets']):,}{constant}",
        *([f"{ends[0]}{NBSP}/{NBSP}{ends[1]}{NBSP}%"] if known.grid else []),
    ]


def _interval(row: Row, name: str) -> str:
    return with_interval(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])


def _note(facts: StudyFacts, view: View, known: _Known) -> str:
    symbol = view.analysis.symbol
    within = " Category means are taken off both sides first." if view.metric != view.analysis.metric else ""
    text = (
        "Layer: the nested best. R² is 1 − Σ(y − p)² / Σ(y − ȳ)² over the held-out samples of each outer fold, ȳ being "
        f"their mean, averaged over folds and targets.{within} Unlike {symbol} it takes size and offset of predictions "
        "into account, and lies below zero where they are worse than that mean. Constant targets are counted, not "
        "averaged."
    )
    if known.ceiling:
        text += (
            " Reliability is the mean over all targets, small and negative ones as they are, with a jackknife interval "
            "over blocks or items. Where that (at 97.5 %, one-sided) lies above "
            f"{facts.reliability_floor:g}, R² is divided by the reliability, and {symbol} by the ceiling, its square "
            f"root: an estimate, which a score may exceed. The interval of {symbol} / ceiling holds the errors of both."
        )
    if known.grid:
        text += (
            " Penalties: share of targets × folds at either end of the grid, each fold at the layer scored."
            f"{CHOSEN_BY.get(_criterion(view), '')}"
        )
    return text


def _criterion(view: View) -> str:
    """What penalties are chosen by; empty where the metric does not say."""
    return str(view.analysis.options.get("choose_by", ""))


def _end(view: View, end: str) -> str:
    """The ``lowest`` or ``highest`` penalty of the grid, in brackets."""
    grid = view.analysis.options.get("penalties") or {}
    return f" ({quantity(grid[end])})" if end in grid else ""


def _penalties(view: View, rows: dict[str, list[Row]]) -> Finding:
    """Shares over all regions of each model, every target the same."""
    told = []
    for model, own in rows.items():
        known = [row for row in own if math.isfinite(row["penalty_edge_low"])]
        n_targets = sum(row["n_targets"] for row in known)
        if n_targets:
            low, high = (
                sum(row[f"penalty_edge_{end}"] * row["n_targets"] for row in known) / n_targets
                for end in ("low", "high")
            )
            told.append(f"{model} {percent(low)} and {percent(high)}")
    flat = ", or where r hardly depends on it" if _criterion(view) == "r" else ""
    return Finding(
        "Ends of the penalty grid:",
        f"share of targets × folds at the smallest penalty{_end(view, 'lowest')} and at the largest"
        f"{_end(view, 'highest')}: {'; '.join(told)}. The largest is taken where nothing "
        f"is predicted{flat}.",
    )


def _warning(view: View, rows: dict[str, list[Row]]) -> str:
    """Regions that are predicted, and of which many targets sit at the smallest penalty."""
    found = [
        (float(row["penalty_edge_low"]), f"{row['place']}{f' ({model})' if len(rows) > 1 else ''}")
        for model, own in rows.items()
        for row in own
        if is_predicted(row) and row["penalty_edge_low"] >= MANY_AT_SMALLEST
    ]
    if not found:
        return ""
    ranked = sorted(found, key=lambda one: -one[0])
    named = [f"{place} {percent(share)}" for share, place in ranked[:MOST_WARNED]]
    left = len(found) - len(named)
    more = [counted(left, "other")] if left else []
    return (
        f"Many targets sit at the smallest penalty of the grid{_end(view, 'lowest')}: {listed([*named, *more])}. "
        "They may be fitted wrongly: a smaller penalty might predict them better, or noise decided in the inner folds, "
        "and then predictions are over-fitted and R² is low. Lower penalties.lowest and compare."
    )
