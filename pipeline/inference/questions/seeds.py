"""All trainings of one recipe minus all of another, or a single model: what objectives give, not what two networks do.

Seeds are a sample of the networks that a recipe gives, and items (blocks, subjects) one of stimuli. Both sides are
means over their seeds; the error of their difference has the variance of either side's seeds, SD²/n, and that of the
difference over items. A seed's score holds its luck with these items as well, which is so counted in both: intervals
are rather too long. Besides single regions their mean is compared, paired over items, as one question has one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.core.errors import UnknownName
from pipeline.inference.networks import is_group, is_trained_group, members_of, twin_of
from pipeline.inference.questions.contrasts import (
    FEWEST_SEEDS,
    NAN,
    NOT_ASKED,
    VALUES,
    ModelOutcomes,
    Outcome,
    is_of_seeds,
    jointly,
    of_one_quantity,
    regions_by_subject,
    row_of,
    scored,
    units_of,
    values_in_words,
    welch,
)
from pipeline.inference.requests import ContrastSpec, InferenceSettings
from pipeline.inference.scores.bootstrap import DIFFERENCE, Sampled, mean_of

MEAN_REGION = "mean over regions"
"""The row of a contrast that stands for its regions together."""
DECIMALS = 3
"""Of seeds' values, whose means may differ by less than .01."""
NO_P = "no p and no interval over seeds, as"


def seed_rows(
    where: dict[str, Any],
    contrasts: Sequence[ContrastSpec],
    outcomes: dict[str, ModelOutcomes],
    settings: InferenceSettings,
    spaces: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Rows of the contrast table of contrasts with ``NAME@seed`` on a side: each place, then the mean over regions.

    Parameters
    ----------
    where : study, analysis and metric
    outcomes : model → its outcomes
    spaces : models that all others were fitted jointly with

    Raises
    ------
    UnknownName
        A contrast names a model, layer or pathway that the scores do not have.
    """
    return [
        {**where, **row}
        for contrast in contrasts
        if is_of_seeds(contrast)
        for row in _rows(contrast, outcomes, settings, spaces)
    ]


def _rows(
    contrast: ContrastSpec, outcomes: dict[str, ModelOutcomes], settings: InferenceSettings, spaces: Sequence[str]
) -> list[dict[str, Any]]:
    sides = []
    for name in (contrast.model, contrast.reference):
        sides.append(members_of(name, list(outcomes)))
        if not sides[-1]:
            raise UnknownName(f"model in contrast '{contrast.name}'", name, outcomes)
    places = [_places(contrast, names, outcomes, number) for number, names in enumerate(sides)]
    own = outcomes[sides[0][0]].within(contrast.pathway)
    sampled = (is_group(contrast.model), is_group(contrast.reference))
    named = {"contrast": contrast.name, "model": contrast.model, "reference": contrast.reference}

    def row(members: Sequence[int], place: dict[str, Any], note: str = "") -> dict[str, Any]:
        models, references = ([mean_of([one[number] for number in members]) for one in side] for side in places)
        models, references, _ = of_one_quantity(models, references)  # words and numbers are of the same values
        statement = jointly(f"{note}{_statement(contrast, models, references)}", contrast, spaces)
        found = between(models, references, settings, sampled=sampled, margin=contrast.margin)
        return {**place, **named, **found, "statement": statement}

    rows = [row([number], row_of(outcome)) for number, outcome in enumerate(own)]
    numbers = {id(outcome): number for number, outcome in enumerate(own)}
    for by_region in regions_by_subject(own):
        scored_in_all = {
            region: numbers[id(outcome)]
            for region, outcome in by_region.items()
            if all(np.isfinite(one[numbers[id(outcome)]].value) for side in places for one in side)
        }
        if len(scored_in_all) > 1:
            kept = [by_region[region] for region in scored_in_all]
            units, caution = units_of(kept)
            place = row_of(kept[0]) | units | {"region": MEAN_REGION}
            rows.append(row(list(scored_in_all.values()), place, f"mean over {', '.join(scored_in_all)}{caution}; "))
    return rows


def _places(
    contrast: ContrastSpec, names: Sequence[str], outcomes: dict[str, ModelOutcomes], side: int
) -> list[list[Sampled]]:
    """Network → place → score; a layer or pathway holds for both sides if both are of seeds."""
    asked = side == 0 or is_trained_group(contrast.reference)
    layer, pathway = (contrast.layer, contrast.pathway) if asked else (None, None)

    def of(name: str, place: Outcome) -> Sampled:
        return scored(place, outcomes[name].layers, layer, must_have=side == 0)

    return [[of(name, place) for place in outcomes[name].within(pathway)] for name in names]


def between(
    models: Sequence[Sampled],
    references: Sequence[Sampled],
    settings: InferenceSettings,
    *,
    sampled: tuple[bool, bool],
    margin: float | None = None,
) -> dict[str, float]:
    """The columns of the contrast table that hold numbers, of mean over models − mean over references.

    Interval and p are Student's t on Welch and Satterthwaite's degrees of freedom, of the variance of the means over
    seeds (SD²/n on n − 1) and that over units. Where a side that is a sample has fewer than five seeds both are NaN:
    what is left is the difference of these networks and ``units_ci_low/high``, its interval over units alone.

    Over subjects all are means of each one's own values, as of `pipeline.inference.questions.contrasts.compared`.

    Parameters
    ----------
    sampled : whether models, and references, are seeds; else a side is one given network
    margin : in units of the score; None: equivalence is not asked
    """
    models, references, difference = of_one_quantity(models, references)
    groups = [
        [float(one.value) for one in side]
        for side, of_seeds in zip((models, references), sampled, strict=True)
        if of_seeds
    ]
    low, high, p, p_equivalent = NAN, NAN, NAN, NAN
    if all(len(scores) >= FEWEST_SEEDS for scores in groups):
        parts = [(float(np.var(scores, ddof=1)) / len(scores), len(scores) - 1) for scores in groups]
        parts.append((float(difference.standard_error()) ** 2, difference.n_units - 1))
        low, high, p, p_equivalent = welch(float(difference.value), parts, settings.confidence, DIFFERENCE, margin)
    units_low, units_high = (float(end) for end in difference.interval(settings.confidence, DIFFERENCE))
    return {
        **NOT_ASKED,
        "model_score": float(np.mean([one.value for one in models])),
        "n_models": len(models),
        "reference_score": float(np.mean([one.value for one in references])),
        "best_reference_score": float(np.max([one.value for one in references])),
        "n_references": len(references),
        "difference": float(difference.value),
        "ci_low": low,
        "ci_high": high,
        "units_ci_low": units_low,
        "units_ci_high": units_high,
        "p": p,
        "margin": NAN if margin is None else margin,
        "p_equivalent": p_equivalent,
    }


def _statement(contrast: ContrastSpec, models: Sequence[Sampled], references: Sequence[Sampled]) -> str:
    """What the contrast is a test of; of too few seeds also their values, which are those of this row."""
    sides = [_side(contrast.model, models), _side(contrast.reference, references)]
    same = "of one architecture and diet" if contrast.controlled else "architecture and diet may differ"
    chosen = f"; layers chosen within {contrast.pathway}" if contrast.pathway else ""
    text = f"{sides[0]} against {sides[1]}, {same}{chosen}"
    of_seeds = [side for side, name in ((models, contrast.model), (references, contrast.reference)) if is_group(name)]
    if all(len(side) >= FEWEST_SEEDS for side in of_seeds):
        return f"{text}; interval and p over seeds and {_units(models)}"
    values = " against ".join(values_in_words(side, DECIMALS) for side in (models, references))
    return f"{text}; {NO_P} fewer than {FEWEST_SEEDS} seeds do not tell what others would do{VALUES}{values}"


def _side(name: str, several: Sequence[Sampled]) -> str:
    """``the mean of 5 seeds of images-contrastive``, ``5 random twins of it``, or the name of a single model."""
    twin = twin_of(name) if is_group(name) else None
    if twin is not None:
        twins = f"{twin[1]} twins of {twin[0]}"
        return f"the mean of {len(several)} {twins}" if len(several) > 1 else f"one of the {twins}"
    if not is_trained_group(name):
        return name
    network = name.rpartition("@")[0]
    return f"the mean of {len(several)} seeds of {network}" if len(several) > 1 else f"one seed of {network}"


def _units(several: Sequence[Sampled]) -> str:
    """``items``, ``subjects and items``."""
    return " and ".join(f"{unit}s" for unit in several[0].unit.split(" and "))
