"""What was found about differences: trained against twins and baselines, and regions in depth."""

from __future__ import annotations

from pipeline.core.prose import counted, listed
from pipeline.inference.questions.region_order import ShareOfOrders
from pipeline.report.sections.findings import Finding, Row, records, unpredicted
from pipeline.report.views import View
from pipeline.report.wording import follows_order, interval, number, signed, with_interval


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
