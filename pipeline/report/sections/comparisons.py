"""What was found about differences: trained against twins and baselines, regions in depth, planted against found."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from pipeline.inference.questions.region_order import ShareOfOrders
from pipeline.report.sections.findings import Finding, Row, is_distinguished, is_predicted, records, unpredicted
from pipeline.report.views import View
from pipeline.report.wording import counted, follows_order, interval, listed, number, signed, with_interval


@dataclasses.dataclass(frozen=True)
class PlantedRow:
    """One region of a simulation: what was planted and what was recovered."""

    region: str
    planted: str
    recovered: str
    depth_index: str
    hierarchy_index: str
    score: str


@dataclasses.dataclass(frozen=True)
class PlantedTable:
    """Planted against recovered layers of one view, and a sentence on how well they agree."""

    title: str
    sentence: str
    rows: list[PlantedRow]


def contrast_findings(view: View) -> list[Finding]:
    """One finding per contrast of the study."""
    names = dict.fromkeys(view.contrasts["contrast"])
    return [contrast_finding(name, records(view.contrasts[view.contrasts["contrast"] == name])) for name in names]


def contrast_finding(name: str, rows: list[Row], *, statement: bool = True) -> Finding:
    """In which regions a contrast lies above, below, or not distinguishably from zero; and what it is a test of."""
    above = [row for row in rows if row["ci_low"] > 0]
    below = [row for row in rows if row["ci_high"] < 0]
    open_ones = [row for row in rows if row not in above and row not in below]
    parts = []
    if above:
        parts.append(f"above zero in {len(above)} of {counted(len(rows), 'region')}: {listed([_at(r) for r in above])}")
    else:
        parts.append(f"above zero in no region (of {len(rows)})")
    if below:
        parts.append(f"below zero in {listed([_at(row) for row in below])}")
    if open_ones:
        parts.append(f"not distinguishable from zero in {listed([_at(row) for row in open_ones])}")
    read_as = f" Read as: {rows[0]['statement']}." if statement else ""
    return Finding(f"{name}:", f"{'; '.join(parts)}.{read_as}")


def _at(row: Row) -> str:
    return f"{row['place']} {signed(row['difference'])} {interval(row['ci_low'], row['ci_high'])}"


def order_findings(view: View) -> list[Finding]:
    """For each network or pathway, how many pairs of regions lie in the stated order of depth, and how surely."""
    return [
        _order(f"{model} {pathway}" if pathway else model, records(rows), view)
        for model, pathway, rows in view.orders()
    ]


def rank_findings(view: View) -> list[Finding]:
    """How strongly best layers follow the study's order of regions, network by network or pathway by pathway."""
    return [_rank(row, view) for row in records(view.ranks)]


def _rank(row: Row, view: View) -> Finding:
    where = f"{row['model']} {row['pathway']}" if row["pathway"] else str(row["model"])
    lead = f"Depth along the order of regions, {where}:"
    share = ShareOfOrders.read(str(row["statement"]))
    if share is None:
        return Finding(lead, f"no rank correlation is defined. Read as: {row['statement']}.")
    order = [name for name in view.analysis.region_order if name in view.places]
    ends = f", from {order[0]} to {order[-1]}," if order else ""
    verdict = follows_order(row["ci_low"], row["ci_high"], share.share)
    correlation = with_interval(row["difference"], row["ci_low"], row["ci_high"])
    return Finding(
        lead,
        f"along the study's order of regions{ends} {verdict} (rank correlation {correlation}; {share}). "
        f"Read as: {str(row['statement']).replace(f'; {share}', '')}.",
    )


def _order(model: str, rows: list[Row], view: View) -> Finding:
    told = [row for row in rows if not unpredicted(row)]
    deeper = [_pair(row) for row in told if row["ci_low"] > 0]
    shallower = [_pair(row) for row in told if row["ci_high"] < 0]
    undecided = len(told) - len(deeper) - len(shallower)
    text = (
        f"of {counted(len(told), 'pair')} of regions in the study's order, the later region's best layer lies reliably "
        f"deeper in {len(deeper)}{_named(deeper)}, reliably shallower in {len(shallower)}{_named(shallower)}, "
        f"and {undecided} {'is' if undecided == 1 else 'are'} undecided."
        if told
        else "nothing can be said, as no pair of regions has two scores that are reliably above zero."
    )
    left_out = len(rows) - len(told)
    if told and left_out:
        text += f" Left out: {counted(left_out, 'pair')} with a region whose score is not reliably above zero."
    return Finding(f"Depth order, {model}:", f"{text}{_first_and_last(told, view)}")


def _first_and_last(rows: list[Row], view: View) -> str:
    """The pair that lies farthest apart in the study's order, of the regions that are predicted."""
    order = [region for region in view.analysis.region_order if any(region in _regions(row) for row in rows)]
    for row in rows:
        if len(rows) > 1 and _regions(row) == (order[0], order[-1]):
            difference = with_interval(row["difference"], row["ci_low"], row["ci_high"])
            return (
                f" First to last, {_pair(row)}: probability {number(row['probability_above_zero'])}, difference in "
                f"depth {difference}."
            )
    return ""


def _regions(row: Row) -> tuple[str, str]:
    first, _, second = _pair(row).partition(" before ")
    return first, second


def _pair(row: Row) -> str:
    return str(row["pair"])


def _named(pairs: list[str]) -> str:
    return f" ({', '.join(pairs)})" if pairs else ""


def planted_table(view: View) -> PlantedTable | None:
    """Planted against recovered layers; None unless the data are simulated and the planted network was fitted."""
    analysis = view.analysis
    model = analysis.planted_model
    if not analysis.planted or model not in view.networks:
        return None
    by_place = {str(row["place"]): row for row in records(view.summary_of(model).reset_index())}
    layers = {layer.name: layer for layer in analysis.planted_layers}
    rows, pairs = [], []
    for place, row in by_place.items():
        layer = layers.get(analysis.planted.get(place, ""))
        rows.append(
            PlantedRow(
                region=place,
                planted=f"{layer.name} (depth {number(layer.relative_depth)})" if layer else "nothing (noise)",
                recovered=recovered(row, len(view.layers(model))),
                depth_index=depth_index(row),
                hierarchy_index=hierarchy_index(row),
                score=with_interval(row["best_layer_score"], row["ci_low"], row["ci_high"]),
            )
        )
        if layer and math.isfinite(row["best_layer_index"]):
            pairs.append((layer, row))
    return PlantedTable(f"{model}, {view.subject_in_words}", _agreement(pairs), rows)


def recovered(row: Row, n_layers: int) -> str:
    """The nested best layer, or why none is named."""
    if not is_predicted(row):
        return "score not reliably above zero"
    named = f"{row['best_layer']} (depth {number(row['best_layer_depth'])})"
    return named if is_distinguished(row, n_layers) else f"{named}, not distinguishable"


def depth_index(row: Row) -> str:
    """With its interval; undefined where the profile is flat."""
    if not math.isfinite(row["depth_index"]):
        return "undefined: flat profile"
    return with_interval(row["depth_index"], row["depth_ci_low"], row["depth_ci_high"])


def hierarchy_index(row: Row) -> str:
    """With its interval; a dash where the best layer means nothing, or lies in one of several pathways."""
    if not is_predicted(row) or not math.isfinite(row["hierarchy_index"]):
        return "–"
    return with_interval(row["hierarchy_index"], row["hierarchy_ci_low"], row["hierarchy_ci_high"])


def _agreement(pairs: list[tuple[Any, Row]]) -> str:
    from scipy.stats import spearmanr

    if not pairs:
        return "No planted region was scored."
    steps = sorted(abs(layer.index - row["best_layer_index"]) for layer, row in pairs)
    middle = (steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]) / 2
    text = f"Median distance between planted and recovered layer: {middle:g} layers in {counted(len(pairs), 'region')}"
    planted = [layer.relative_depth for layer, _ in pairs]
    recovered = [float(row["best_layer_depth"]) for _, row in pairs]
    if len(pairs) > 2 and len(set(planted)) > 1 and len(set(recovered)) > 1:
        text += f"; Spearman ρ of planted and recovered depth {number(float(spearmanr(planted, recovered).statistic))}"
    return f"{text}."
