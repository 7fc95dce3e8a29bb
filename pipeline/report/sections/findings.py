"""What was found, in sentences written from the summary table: region by region, and in short."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping
from typing import Any

from pipeline.artifacts.identifiability import FITTED
from pipeline.core.prose import counted, listed
from pipeline.inference.questions.region_order import STATEMENT
from pipeline.inference.scores.null_scores import SIGNIFICANT_BELOW
from pipeline.report.study_facts import ModelFacts, StudyFacts
from pipeline.report.views import View
from pipeline.report.wording import NBSP, ceiling_limit, ceilings, layer_set, number, percent, verdict, with_interval

NO_BEST_LAYER = " In none of them can a best layer be told from layers far from it{or_elsewhere}."
Row = Mapping[Hashable, Any]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One sentence with the name it is about.

    Parameters
    ----------
    lead : set in bold before the text
    """

    lead: str
    text: str


@dataclasses.dataclass(frozen=True)
class ModelFindings:
    """One model's findings in one view, or those within one of its pathways: a sentence in short, one per region."""

    model: str
    title: str
    in_short: str
    regions: list[Finding]


def records(table: Any) -> list[Row]:
    """The rows of a table as mappings."""
    rows: list[Row] = table.to_dict("records")
    return rows


def is_tested(row: Row) -> bool:
    """Whether the score was held against other orders of the responses."""
    return math.isfinite(row["p_family"])


def is_predicted(row: Row) -> bool:
    """Whether the score exceeds the largest that its family has by chance; untested, whether its interval exceeds 0.

    Where chance is not 0, a score that was not tested is never said to exceed it.
    """
    if is_tested(row):
        return bool(row["p_family"] < SIGNIFICANT_BELOW)
    return bool(row.get("zero_is_chance", True) and row["ci_low"] > 0)


def verdict_of(row: Row) -> str:
    """``above``, ``below``, ``open`` or ``none``: what a row of the contrast table says of its difference."""
    return verdict(float(row["ci_low"]), float(row["ci_high"]), float(row["p_family"]))


def is_equivalent(row: Row) -> bool:
    """Whether a true difference as large as the margin that the study states is ruled out; False without a margin."""
    return bool(row["p_equivalent_family"] < SIGNIFICANT_BELOW)


def is_distinguished(row: Row, n_layers: int) -> bool:
    """Whether a best layer can be named: predicted, several layers, and sets that span little of the depth.

    Both the set of layers that are not reliably below the best, and the credible set of the simulations.
    """
    return is_predicted(row) and n_layers > 1 and bool(row["distinguishable"] and row["identified"])


def is_pathway_told(row: Row) -> bool:
    """False where simulations do not tell which of a network's pathways responses come from: no layer is named then."""
    return bool(row["identified"] or math.isfinite(row["credible_low"]))


def unpredicted(row: Row) -> str:
    """Which of a depth-order row's two regions have a score not reliably above zero; their best layer means nothing."""
    return str(row["statement"]).removeprefix(STATEMENT).removeprefix("; ")


def model_findings(view: View, model: str, pathway: str = "") -> ModelFindings:
    """Findings of one network in one view, over all its layers or within one of its pathways."""
    rows = records(view.summary_of(model, pathway).reset_index())
    parts = parts_of(view, model, pathway)
    title = _title(view.analysis.model(model))
    if view.pathways_of(model):
        title = f"{view.analysis.model(model).title}, within {pathway}" if pathway else f"{title}, all pathways"
    if view.analysis.jointly_with(model):
        title = f"{title}, fitted jointly with {listed(view.analysis.spaces)}"
    return ModelFindings(
        model=model,
        title=title,
        in_short=" ".join(filter(None, [untold_layers(view, model, pathway), in_short(view, rows, parts)])),
        regions=[Finding(f"{row['place']}:", region_sentence(view, row, parts)) for row in rows],
    )


def untold_layers(view: View, model: str, pathway: str = "") -> str:
    """Where the layer of a network cannot be told, of regions that are predicted; empty where it can be."""
    if pathway:
        return ""
    predicted = {str(row["region"]) for row in records(view.summary_of(model).reset_index()) if is_predicted(row)}
    rows = [row for row in records(view.identified(model, FITTED)) if str(row["region"]) in predicted]
    wide = [row for row in rows if not row["distinguishable"]]
    if not wide:
        return ""
    names = listed([str(row["region"]) for row in wide])
    where = f"cannot be told in {names}" if len(wide) < len(rows) or len(rows) == 1 else "cannot be told in any region"
    exact = sorted(float(row["exact"]) for row in wide)
    share = percent(exact[0]) if exact[0] == exact[-1] else f"{percent(exact[0])} to {percent(exact[-1])}"
    elsewhere = " or several pathways" if view.pathways_of(model) else ""
    return (
        f"Which layer responses come from {where}: of responses simulated from each layer with read-outs as fitted, "
        f"{share} were given their own layer (chance {percent(float(wide[0]['chance']))}), and the 95{NBSP}% credible "
        f"set of depth spans more than a third of the network{elsewhere}."
    )


Parts = Mapping[str, list[str]]
"""Pathway → its layers from shallow to deep; ``""`` where there is no more than one."""


def parts_of(view: View, model: str, pathway: str = "") -> Parts:
    """The layers that a best one is chosen among; a stem that pathways share stands by itself."""
    if pathway:
        return {"": view.layers(model, pathway)}
    pathways = view.pathways_of(model)
    layers = view.layers(model)
    if not pathways:
        return {"": layers}
    of = {name: view.layers(model, name) for name in pathways}
    shared = [layer for layer in layers if all(layer in own for own in of.values())]
    return {"": shared} | {name: [layer for layer in own if layer not in shared] for name, own in of.items()}


def n_layers_of(parts: Parts) -> int:
    return sum(len(layers) for layers in parts.values())


def _title(model: ModelFacts) -> str:
    title = f"{model.name} ({model.title})" if model.trained_as else model.title
    title = f"{title}, each layer reduced by {model.reduction}" if model.reduction else title
    untrained = model.objective_in_words == "untrained" and "untrained" not in title
    return f"{title} (untrained)" if untrained else title


def in_short(view: View, rows: list[Row], parts: Parts) -> str:
    """How many regions are predicted, which best, and in how many a best layer can be named."""
    if not rows:
        return "Nothing was scored."
    predicted = [row for row in rows if is_predicted(row)]
    tested = any(map(is_tested, rows))
    regions = counted(len(rows), "region")
    if not predicted:
        highest = max(rows, key=lambda row: row["best_layer_score"] if math.isfinite(row["best_layer_score"]) else -2)
        none = f"is the score reliably above {view.analysis.chance}"
        if not tested:
            by_interval = "does the interval of the score lie above zero"
            none = by_interval if view.analysis.zero_is_chance else "can the score be told from chance, which is not 0"
        how = f"p{NBSP}≥{NBSP}.05 {_against(rows)}" if tested else f"no p: {rows[0]['untested']}"
        return f"In none of {regions} {none} ({how}); highest in {highest['place']}, {scored(view, highest)}."
    best = max(predicted, key=lambda row: row["best_layer_score"])
    above = f"The score is reliably above {view.analysis.chance}"
    some = above if tested else "The interval of the score lies above zero"
    how = f"p{NBSP}<{NBSP}.05 {_against(rows)}" if tested else f"no p: {rows[0]['untested']}"
    text = f"{some} in {len(predicted)} of {regions} ({how}), highest in {best['place']} ({scored(view, best)})."
    n_layers = n_layers_of(parts)
    if n_layers > 1:
        named = [str(row["place"]) for row in predicted if is_distinguished(row, n_layers)]
        if len(named) == len(predicted):
            return f"{text} A best layer can be named in {'each of these' if len(named) > 1 else 'it'}."
        elsewhere = " or in another pathway" if len(parts) > 1 else ""
        nowhere = NO_BEST_LAYER.format(or_elsewhere=elsewhere)
        text += f" A best layer can be named in {len(named)}: {listed(named)}." if named else nowhere
    return text


def _against(rows: list[Row]) -> str:
    """What the score of a region was held against."""
    orders = max(int(row["n_permutations"]) for row in rows)
    n = sum(map(is_tested, rows))
    largest = f"the largest of the {n} in" if n > 1 else "it in"
    return f"against {largest} {orders:,} other orders of the responses"


def scored(view: View, row: Row) -> str:
    """``r = 0.41 [0.35, 0.47]``."""
    return f"{view.analysis.symbol}{NBSP}={NBSP}{with_interval(row['best_layer_score'], row['ci_low'], row['ci_high'])}"


def region_sentence(view: View, row: Row, parts: Parts) -> str:
    """One region: whether it is predicted, from which layer, how well, and how close to the ceiling."""
    constant = f" {counted(int(row['n_constant']), 'constant target')} left out." if row["n_constant"] else ""
    if not math.isfinite(row["best_layer_score"]):
        return f"no score could be computed.{constant}"
    if not is_predicted(row):
        where = "below zero" if row["ci_high"] < 0 else f"not reliably above {view.analysis.chance}"
        return f"{where}: {scored(view, row)}.{_ceiling(row, relative=False)}{constant}"
    return f"{_layer(view, row, parts)}{scored(view, row)}.{_ceiling(row, relative=True)}{constant}"


def _layer(view: View, row: Row, parts: Parts) -> str:
    if n_layers_of(parts) == 1:
        return ""
    members = str(row["best_layer_set"]).split(" | ")
    if not is_pathway_told(row):
        return "layers not distinguishable: simulations do not tell pathways apart; "
    if row["distinguishable"] and not row["identified"]:
        depths = f"layers at depths of {number(row['credible_low'])} to {number(row['credible_high'])}"
        others = "others of the whole network" if row["pathway"] in view.pathways_of(str(row["model"])) else depths
        return f"highest at {row['best_layer']}, which simulations do not tell from {others}; "
    if not is_distinguished(row, n_layers_of(parts)):
        return f"layers not distinguishable: {_set(members, parts)} are not reliably below the best; "
    choices = str(row["best_layer_choices"]).split(" | ")
    splits = "folds" if view.analysis.encodes else "halves"
    chosen = f"chosen in {choices.count(str(row['best_layer']))} of {len(choices)} {splits}"
    others = f"; {_set(members, parts)} are not reliably below it" if len(members) > 1 else ""
    return f"best layer {row['best_layer']} (depth {number(row['best_layer_depth'])}, {chosen}{others}); "


def _set(members: list[str], parts: Parts) -> str:
    """A set of layers, pathway by pathway: layers of two pathways are no neighbours."""
    own = {pathway: [name for name in layers if name in members] for pathway, layers in parts.items()}
    if len(parts) == 1:
        return layer_set(members, next(iter(parts.values())))
    shared = own.pop("")
    return listed([*shared, *(layer_set(found, parts[pathway]) for pathway, found in own.items() if found)])


def _ceiling(row: Row, *, relative: bool) -> str:
    if not math.isfinite(row["ceiling"]):
        if not math.isfinite(row["reliability_ci_low"]):
            return ""
        reliability = with_interval(row["reliability"], row["reliability_ci_low"], row["reliability_ci_high"])
        return f" No ceiling: a reliability of {reliability} is not surely above the floor."
    ceiling = f"ceiling {number(row['ceiling'])}"
    if relative and math.isfinite(row["score_normalised"]):
        limit = ceiling_limit(row["ceiling_kind"])
        share = with_interval(row["score_normalised"], row["score_normalised_ci_low"], row["score_normalised_ci_high"])
        return f" That is {share} of {limit} ({ceiling})."
    return f" {ceiling[0].upper()}{ceiling[1:]}."


def unit_sentence(facts: StudyFacts, view: View) -> str:
    """What the brackets of a view are."""
    units = view.analysis.ci_units(view.summary["ci_unit"])
    text = f"Brackets: {facts.percent} intervals over {units}"
    kinds = ceilings(view.summary.loc[view.summary["ceiling"].notna(), "ceiling_kind"])
    known = f"Ceilings: {kinds}; estimates, which a score may exceed." if kinds else "No ceiling is known."
    return f"{text}, not corrected for the number of regions. {known}"


def shuffled_sentence(facts: StudyFacts, views: list[View]) -> str:
    """How near to nothing a study with shuffled responses came."""
    parts = []
    for view in views:
        rows = [row for model in view.networks for row in records(view.summary_of(model).reset_index())]
        scores = [float(row["best_layer_score"]) for row in rows if math.isfinite(row["best_layer_score"])]
        above = sum(is_predicted(row) for row in rows)
        how = "reliably above zero" if any(map(is_tested, rows)) else "with an interval above zero"
        if scores:
            parts.append(
                f"{view.analysis.name} ({view.subject_in_words}): mean {view.score_name} over "
                f"{counted(len(scores), 'region')} {number(sum(scores) / len(scores))} "
                f"(from {number(min(scores))} to {number(max(scores))}), {above} {how}"
            )
    return "; ".join(parts) + "."
