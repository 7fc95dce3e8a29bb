"""What could have been found: whether layers, and networks, can be told apart in this study at all."""

from __future__ import annotations

import dataclasses
import math

from pipeline.artifacts.identifiability import FITTED, GENERIC
from pipeline.core.prose import counted, listed
from pipeline.report.sections.depth_tables import NO_PATHWAY
from pipeline.report.sections.findings import Row, records
from pipeline.report.views import View
from pipeline.report.wording import number, percent, with_interval

READOUT_WORDS = {
    FITTED: "Fitted read-outs weigh features as the layer's model of the measured responses does.",
    GENERIC: "Generic ones weigh all features at random, so that layers differ in them as much as they can.",
}


@dataclasses.dataclass(frozen=True)
class IdentifiabilitySection:
    """A table per network: region by region, by read-outs as fitted and by generic ones.

    Parameters
    ----------
    intro : what was simulated
    header : of the columns after the region
    groups : (network, its rows); a row is the region and one cell per column
    networks : sentences on which networks are taken for each other
    """

    intro: str
    header: list[str]
    groups: list[tuple[str, list[tuple[str, list[str]]]]]
    networks: list[str]


def identifiability_section(view: View) -> IdentifiabilitySection | None:
    """Of one view; None where no responses were simulated."""
    models = [model for model in view.networks if len(view.identified(model, FITTED))]
    if not models:
        return None
    first = records(view.identified(models[0], FITTED))[0]
    return IdentifiabilitySection(
        intro=(
            f"From every layer {counted(int(first['n_repeats']), 'data set')} of each kind were simulated, with this "
            "study's stimuli and samples, and as much noise (its responses in other orders) as makes the layer score "
            "what the network scores on the measured responses (none for layers that never do; where that score is not "
            "above 0, nothing was planted); they were fitted and scored in the same way. "
            f"{READOUT_WORDS[FITTED]} {READOUT_WORDS[GENERIC]} Depth is the mean of the posterior over layers, given "
            "the layer that was named and how often each layer is given that name; brackets are its 95 % credible set."
        ),
        header=[
            "Depth, fitted read-outs",
            "Own layer named (± 1), fitted",
            "Bits, fitted",
            "Depth, generic read-outs",
            "Own layer named (± 1), generic",
        ],
        groups=[(model, _rows(view, model)) for model in models],
        networks=_networks(view),
    )


def _rows(view: View, model: str) -> list[tuple[str, list[str]]]:
    fitted = {str(row["region"]): row for row in records(view.identified(model, FITTED))}
    generic = {str(row["region"]): row for row in records(view.identified(model, GENERIC))}
    return [
        (
            region,
            [_depth(row), _named(row), number(row["bits"]), _depth(generic[region]), _named(generic[region])],
        )
        for region, row in fitted.items()
    ]


def _depth(row: Row) -> str:
    """Of pathways that cannot be told apart there is none."""
    if not math.isfinite(row["depth"]):
        return NO_PATHWAY
    return with_interval(row["depth"], row["depth_low"], row["depth_high"])


def _named(row: Row) -> str:
    return f"{percent(row['exact'])} ({percent(row['within_one'])})"


def _networks(view: View) -> list[str]:
    """Which networks' responses go to another network most often, by fitted read-outs, where something was planted."""
    rows = view.recovery[view.recovery["readout"] == FITTED]
    if rows.empty or view.rows["model"].nunique() < 2:
        return []
    found = []
    for planted, own in rows.groupby("planted_model", sort=False):
        of_regions = own.drop_duplicates("region")
        total = float(of_regions["n_repeats"].sum())
        shares = (own.groupby("named_model", sort=False)["n"].sum() / total).sort_values(ascending=False, kind="stable")
        right = float(shares.get(planted, 0.0))
        others = [f"{name} {percent(float(share))}" for name, share in shares.items() if name != planted][:3]
        beside = f"; else {listed(others)}" if others else ""
        where = regions_left(len(of_regions), view)
        found.append(
            f"responses from {planted} are best predicted by it in {percent(right)} of data sets{where}{beside}"
        )
    return found


def regions_left(n: int, view: View) -> str:
    """How many of a view's regions something was planted in; empty if in all."""
    n_regions = view.summary["region"].nunique()
    return f" ({n} of {counted(n_regions, 'region')}; nothing was planted in the others)" if n < n_regions else ""
