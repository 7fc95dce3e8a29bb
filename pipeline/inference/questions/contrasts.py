"""Model − reference, per region, paired over the same bootstrap draws.

Both sides are the nested best layer's score, chosen among all layers or within one pathway, or that of one stated
layer. Against ``NAME@random`` or ``NAME@shuffled`` the reference is the best of the twins' seeds, in the estimate and
in every draw, which is conservative: the trained network must exceed all of them at once. Layer and pathway hold for
the twins as well, but not for a reference of another architecture, whose layer is chosen among all of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import UnknownName
from pipeline.inference.estimates import Estimate
from pipeline.inference.networks import twin_of, twins_of
from pipeline.inference.places import ALL, MEAN, Place
from pipeline.inference.requests import ContrastSpec
from pipeline.inference.scores.bootstrap import interval, share_above_zero

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.inference.scores.shared_draws import LayerAxis


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What comparisons need of an estimate.

    Parameters
    ----------
    nested, nested_draws : score of the nested best layer
    fixed : layer → (score, draws), for the layers that a contrast names
    depth, depth_draws : relative depth of the nested best layer, NaN where there is none
    predicted : whether the interval of the nested best layer's score lies above 0
    """

    place: Place
    ci_unit: str
    n_units: int
    nested: float
    nested_draws: NDArray[Any]
    fixed: dict[str, tuple[float, NDArray[Any]]]
    depth: float
    depth_draws: NDArray[Any]
    predicted: bool


@dataclasses.dataclass(frozen=True)
class ModelOutcomes:
    """One model's outcomes, in the order of the batch's places.

    Parameters
    ----------
    places : over the whole network
    pathways : within each pathway; empty for a network of a single one
    """

    layers: LayerAxis
    places: list[Outcome]
    pathways: dict[str, list[Outcome]] = dataclasses.field(default_factory=dict)

    def within(self, pathway: str | None) -> list[Outcome]:
        """Outcomes of one pathway; None for the whole network.

        Raises
        ------
        UnknownName
            A contrast names a pathway that the model does not have.
        """
        if pathway is None:
            return self.places
        if pathway not in self.pathways:
            known = list(self.pathways) or list(dict.fromkeys(self.layers.pathway))
            raise UnknownName(f"pathway of {self.layers.model}, which a contrast names", pathway, known)
        return self.pathways[pathway]


def outcomes_of(
    estimates: dict[str, list[Estimate]], layers: LayerAxis, fixed_layers: Sequence[str], confidence: float
) -> ModelOutcomes:
    """Keep of a model's estimates, pathway by pathway, what comparisons need; the whole network's come first."""
    whole, *pathways = estimates
    return ModelOutcomes(
        layers,
        [outcome_of(one, fixed_layers, confidence) for one in estimates[whole]],
        {name: [outcome_of(one, (), confidence) for one in estimates[name]] for name in pathways},
    )


def outcome_of(estimate: Estimate, fixed_layers: Sequence[str], confidence: float) -> Outcome:
    """Keep of an estimate what comparisons need."""
    layers = estimate.layers
    depths = np.append(layers.relative_depth, np.nan)  # index −1: no choice
    index = {name: layers.name.index(name) for name in fixed_layers if name in layers.name}
    return Outcome(
        place=estimate.place,
        ci_unit=estimate.ci_unit,
        n_units=estimate.n_units,
        nested=float(estimate.point.nested[0]),
        nested_draws=estimate.draws.nested,
        fixed={
            name: (float(estimate.point.score[0, one]), estimate.draws.score[:, one].copy())
            for name, one in index.items()
        },
        depth=float(depths[estimate.point.best[0]]),
        depth_draws=depths[estimate.draws.best],
        predicted=bool(interval(estimate.draws.nested, confidence, estimate.n_units)[0] > 0),
    )


def regions_by_subject(outcomes: Sequence[Outcome]) -> list[dict[str, Outcome]]:
    """Region → whole-region outcome, of ``all`` and ``mean`` where they exist, else of each subject."""
    averages = [outcome for outcome in outcomes if outcome.place.subject in (ALL, MEAN)]
    found: dict[tuple[str, str], dict[str, Outcome]] = {}
    for outcome in averages or outcomes:
        place = outcome.place
        by_region = found.setdefault((place.group, place.subject), {})
        by_region.setdefault(place.region, outcome)  # the mean over compartments comes first
    return list(found.values())


def contrast_rows(
    where: dict[str, Any],
    contrasts: Sequence[ContrastSpec],
    outcomes: dict[str, ModelOutcomes],
    confidence: float,
    spaces: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Rows of the contrast table, contrast by contrast, in the order of the places.

    Parameters
    ----------
    where : study, analysis and metric
    outcomes : model → its outcomes
    spaces : models that all others were fitted jointly with
    """
    rows = []
    for contrast in contrasts:
        references = twins_of(contrast.reference, list(outcomes))
        if contrast.model not in outcomes or not references:
            missing = contrast.reference if contrast.model in outcomes else contrast.model
            raise UnknownName(f"model in contrast '{contrast.name}'", missing, outcomes)
        statement = statement_of(contrast, outcomes[contrast.model].layers, [outcomes[n].layers for n in references])
        statement = jointly(statement, contrast, spaces)
        is_twin = _is_twin_of(contrast.reference, contrast.model)
        layer, pathway = (contrast.layer, contrast.pathway) if is_twin else (None, None)
        for number, outcome in enumerate(outcomes[contrast.model].within(contrast.pathway)):
            model = scored(outcome, outcomes[contrast.model].layers, contrast.layer, must_have=True)
            others = [scored(outcomes[n].within(pathway)[number], outcomes[n].layers, layer) for n in references]
            reference = max(one[0] for one in others), np.max([one[1] for one in others], axis=0)
            difference = model[1] - reference[1]
            low, high = interval(difference, confidence, outcome.n_units)
            rows.append(
                {
                    **where,
                    **row_of(outcome),
                    "contrast": contrast.name,
                    "model": contrast.model,
                    "reference": contrast.reference,
                    "model_score": model[0],
                    "reference_score": reference[0],
                    "difference": model[0] - reference[0],
                    "ci_low": float(low),
                    "ci_high": float(high),
                    "probability_above_zero": share_above_zero(difference),
                    "statement": statement,
                }
            )
    return rows


def difference_of(first: tuple[float, NDArray[Any]], second: tuple[float, NDArray[Any]]) -> tuple[float, NDArray[Any]]:
    """First − second, each a score with its draws: paired where the same units were drawn, else by their number."""
    n_draws = min(first[1].size, second[1].size)
    return first[0] - second[0], first[1][:n_draws] - second[1][:n_draws]


def units_of(outcomes: Sequence[Outcome]) -> tuple[dict[str, Any], str]:
    """Unit and number of units of an interval over several regions, and a caution where they were not drawn alike.

    A region of few animals is drawn over blocks, with its animals as they are, and one of many over animals.
    """
    units = list(dict.fromkeys(outcome.ci_unit for outcome in outcomes))
    few = min(outcomes, key=lambda outcome: outcome.n_units)  # the fewer the units, the wider the interval is made
    if len(units) == 1:
        return {"ci_unit": few.ci_unit, "n_units": few.n_units}, ""
    others = sorted({outcome.place.region for outcome in outcomes if not outcome.ci_unit.startswith("subject")})
    caution = f"; the interval leaves out how animals of {', '.join(others)} differ, of whom there are too few"
    return {"ci_unit": " and ".join(dict.fromkeys(" and ".join(units).split(" and "))), "n_units": few.n_units}, caution


def row_of(outcome: Outcome) -> dict[str, Any]:
    """The columns that say where a row of the contrast table is from."""
    place = outcome.place
    return {
        "group": place.group,
        "subject": place.subject,
        "region": place.region,
        "compartment": place.compartment,
        "ci_unit": outcome.ci_unit,
        "n_units": outcome.n_units,
    }


def scored(
    outcome: Outcome, layers: LayerAxis, layer: str | None, *, must_have: bool = False
) -> tuple[float, NDArray[Any]]:
    """Score and draws of a stated layer, or of the nested best one.

    Raises
    ------
    UnknownName
        The contrast names a layer that the model was not scored with.
    """
    if layer is not None and layer in outcome.fixed:
        return outcome.fixed[layer]
    if layer is not None and must_have:
        raise UnknownName(f"layer of {layers.model}, which a contrast names", layer, layers.name)
    return outcome.nested, outcome.nested_draws


def _is_twin_of(reference: str, model: str) -> bool:
    twin = twin_of(reference)
    return twin is not None and twin[0] == model


def statement_of(contrast: ContrastSpec, model: LayerAxis, references: Sequence[LayerAxis]) -> str:
    """What a contrast is a test of, and what it is not."""
    chosen = f"; layers of {contrast.model} chosen within {contrast.pathway}" if contrast.pathway else ""
    twin = twin_of(contrast.reference)
    if twin is not None and twin[0] == contrast.model:
        seeds = f"the best of {len(references)} {twin[1]} twins" if len(references) > 1 else f"the {twin[1]} twin"
        state = "untrained" if model.objective == "random" else "trained"
        chosen = f"; layers of both chosen within {contrast.pathway}" if contrast.pathway else ""
        return f"{state} against {seeds} of the same architecture{chosen}"
    if "baseline" in (model.objective, references[0].objective):
        return (
            "separate fits: which of the two predicts better, "
            f"not what {contrast.model} adds to {contrast.reference} in a joint fit{chosen}"
        )
    return f"not a test of the learning objective{chosen}"


def jointly(statement: str, contrast: ContrastSpec, spaces: Sequence[str]) -> str:
    """What a contrast is a test of where models were fitted jointly with spaces; unchanged where they were not."""
    named = " and ".join(spaces)
    model, reference = contrast.model in spaces, contrast.reference in spaces
    if not spaces or (model and reference):
        return statement
    if not model and not reference:
        return f"{statement}; both fitted jointly with {named}"
    joint, alone = (contrast.reference, contrast.model) if model else (contrast.model, contrast.reference)
    read = f"a joint fit of {joint} and {named} against {alone} alone"
    if list(spaces) == [alone]:
        read = f"what {joint} adds to {alone}: {read}"
    sign = ", with the sign turned" if model else ""
    chosen = f"; layers of {contrast.model} chosen within {contrast.pathway}" if contrast.pathway else ""
    return f"{read}{sign}{chosen}"
