"""What was found about differences: trained against twins and baselines, and regions in depth."""

from __future__ import annotations

import math

from pipeline.core.prose import counted, listed
from pipeline.inference.networks import OF_SEEDS, is_trained_group, twin_of
from pipeline.inference.questions.contrasts import FEWEST_SEEDS, VALUES, without_values
from pipeline.inference.questions.region_order import ShareOfOrders
from pipeline.inference.questions.seeds import MEAN_REGION
from pipeline.report.sections.findings import Finding, Row, is_equivalent, records, unpredicted, verdict_of
from pipeline.report.views import View
from pipeline.report.wording import NBSP, follows_order, interval, number, p_value, signed, with_interval


def contrast_findings(view: View) -> list[Finding]:
    """One finding per contrast of the study."""
    names = dict.fromkeys(view.contrasts["contrast"])
    return [contrast_finding(name, records(view.contrasts[view.contrasts["contrast"] == name])) for name in names]


def contrast_finding(name: str, rows: list[Row], *, statement: bool = True) -> Finding:
    """In which regions a contrast lies above, below, or not distinguishably from zero; and what it is a test of.

    With a margin, no difference is a finding: where both one-sided tests exclude a difference that large. The mean over
    regions, where there is one, comes first.
    """
    over_all = [_at(row) for row in rows if row["region"] == MEAN_REGION]
    rows = [row for row in rows if row["region"] != MEAN_REGION]
    found = {one: [row for row in rows if verdict_of(row) == one] for one in ("above", "below", "open", "none")}
    n_judged = len(rows) - len(found["none"])
    parts = []
    if found["above"]:
        where = listed([_at(row) for row in found["above"]])
        parts.append(f"above zero in {len(found['above'])} of {counted(n_judged, 'region')}: {where}")
    elif n_judged:
        parts.append(f"above zero in no region (of {n_judged})")
    if found["below"]:
        parts.append(f"below zero in {listed([_at(row) for row in found['below']])}")
    parts += _not_different(found["open"])
    if found["none"]:
        parts.append(f"no verdict in {listed([_at(row) for row in found['none']])}")
    n_tested = sum(math.isfinite(row["p"]) for row in rows)
    corrected = f" p is corrected for the {n_tested} regions (Holm)." if n_tested > 1 else ""
    read_as = f"{corrected} Read as: {without_values(str(rows[0]['statement']))}." if statement else corrected
    return Finding(f"{name}:", f"{'; '.join([*over_all, *parts])}.{read_as}")


def answer(view: View, name: str) -> str:
    """What a contrast says, in the sentence that a page begins with; empty where the view does not have it.

    It is that of the mean over regions where there is one, else of all regions.
    """
    rows = records(view.contrasts[view.contrasts["contrast"] == name])
    means = [row for row in rows if row["region"] == MEAN_REGION]
    regions = [row for row in rows if row["region"] != MEAN_REGION]
    if not regions:
        return ""
    if not means and len(regions) > 1:
        return _answer_of_regions(regions)
    row = (means or regions)[0]
    model, reference = (_side(row, one) for one in ("model", "reference"))
    where = f"mean {view.analysis.symbol} over {counted(len(regions), 'region')}" if means else f"{row['region']}"
    difference = f"a difference of {_fine(row['difference'], sign=True)}"
    over = view.analysis.ci_units(str(row["ci_unit"]).split(" and "))
    if _is_of_seeds(row):
        over = f"seeds and {over}"
    told = f"{difference} [{_fine(row['ci_low'])},{NBSP}{_fine(row['ci_high'])}], {p_value(float(row['p_family']))}"
    told = f"{told}; interval over {over}; {where}"
    verdict = verdict_of(row)
    if verdict == "none":
        return _unanswered(view, row, f"{difference} in {where}")
    if verdict == "open":
        alike = f"; equivalent {_within(row)}" if is_equivalent(row) else ""
        return f"These data do not tell {model} from {reference}: {told}{alike}."
    exceeds = "exceeds" if verdict == "above" else "falls below"
    return f"{model} {exceeds} {reference}: {told}."


def _side(row: Row, side: str) -> str:
    """``images-contrastive (5 seeds)``, or the name of a model."""
    name, n = str(row[side]), int(row["n_models" if side == "model" else "n_references"])
    if not is_trained_group(name):
        return name
    return f"{name.removesuffix(OF_SEEDS)} ({counted(n, 'seed')})"


def _unanswered(view: View, row: Row, difference: str) -> str:
    """What is left without interval and p: the difference of these networks, and its interval over units."""
    model, reference = (_side(row, one) for one in ("model", "reference"))
    text = f"Whether {model} exceeds {reference} cannot be told yet"
    if not math.isfinite(row["units_ci_low"]):
        return f"{text}: there is no interval; {difference}."
    units = view.analysis.ci_units(str(row["ci_unit"]).split(" and "))
    over = f"[{_fine(row['units_ci_low'])},{NBSP}{_fine(row['units_ci_high'])}] over {units} alone"
    values = str(row["statement"]).partition(VALUES)[2].partition(";")[0]
    return (
        f"{text}, as it takes {FEWEST_SEEDS} seeds of each for a p: these networks have {difference} ({over}; seed by "
        f"seed {values})."
    )


def _answer_of_regions(rows: list[Row]) -> str:
    """The same where regions are told one by one."""
    model, reference = (_side(rows[0], one) for one in ("model", "reference"))
    named = {one: [str(row["place"]) for row in rows if verdict_of(row) == one] for one in ("above", "below")}
    untold = len(rows) - len(named["above"]) - len(named["below"])
    parts = [f"{model} exceeds {reference} in {len(named['above'])} of {counted(len(rows), 'region')}"]
    parts[0] += f" ({listed(named['above'])})" if named["above"] else ""
    parts += [f"falls below it in {listed(named['below'])}"] if named["below"] else []
    parts += [f"cannot be told from it in {untold}"] if untold else []
    return f"{listed(parts)}."


def _fine(value: float, *, sign: bool = False) -> str:
    """A number with three decimals: means over seeds and regions differ by little."""
    return f"{'+' if sign and value > 0 else ''}{number(float(value), 3)}"


def _not_different(rows: list[Row]) -> list[str]:
    """Regions whose difference is not told from 0: surely smaller than the contrast's margin, or undecided."""
    if not rows:
        return []
    if not math.isfinite(rows[0]["margin"]):
        return [f"not distinguishable from zero in {listed([_at(row) for row in rows])}"]
    parts, within = [], _within(rows[0])
    alike = [_at(row, "p_equivalent_family") for row in rows if is_equivalent(row)]
    others = [_at(row) for row in rows if not is_equivalent(row)]
    if alike:
        parts.append(f"equivalent {within} (two one-sided tests) in {listed(alike)}")
    if others:
        parts.append(f"neither different nor equivalent {within} in {listed(others)}")
    return parts


def _within(row: Row) -> str:
    """``within ± 0.02``, as the study states it."""
    return f"within ±{NBSP}{row['margin']:g}"


def _at(row: Row, column: str = "p_family") -> str:
    """``STG +0.09 [0.02, 0.16], p = 0.01``; against several seeds with both sides behind it.

    A difference that is told from 0, but surely smaller than the margin, is said to be within it as well.
    """
    said = verdict_of(row)
    told = "" if said == "none" else f" {interval(row['ci_low'], row['ci_high'])}"
    p = p_value(float(row[column]))
    text = f"{row['place']} {signed(row['difference'])}{told}{f', {p}' if p else ''}"
    if said in ("above", "below") and is_equivalent(row):
        text += f", yet equivalent {_within(row)}, {p_value(float(row['p_equivalent_family']))}"
    model, mean, best = (number(row[one]) for one in ("model_score", "reference_score", "best_reference_score"))
    if _is_of_seeds(row):
        alone = f"; {interval(row['units_ci_low'], row['units_ci_high'])} for these networks alone"
        text += f" ({model} against {mean}{alone if said == 'none' and math.isfinite(row['units_ci_low']) else ''})"
    elif row["n_references"] > 1 and twin_of(str(row["reference"])):
        text += f" ({model} against a mean of {mean} of {int(row['n_references'])} twins, best {best})"
    return text


def _is_of_seeds(row: Row) -> bool:
    """Whether a side is all trainings of a recipe."""
    return is_trained_group(str(row["model"])) or is_trained_group(str(row["reference"]))


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
    deeper = [_pair(row) for row in told if verdict_of(row) == "above"]
    shallower = [_pair(row) for row in told if verdict_of(row) == "below"]
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
            p = p_value(float(row["p_family"]))
            return f" First to last, {_pair(row)}: difference in depth {difference}{f', {p}' if p else ''}."
    return ""


def _regions(row: Row) -> tuple[str, str]:
    first, _, second = _pair(row).partition(" before ")
    return first, second


def _pair(row: Row) -> str:
    return str(row["pair"])


def _named(pairs: list[str]) -> str:
    return f" ({', '.join(pairs)})" if pairs else ""
