"""Native and non-native language: do models of the language that listeners heard predict them better?

Every model is scored in every group of listeners. A model may be better than another, and a group more reliable than
another; neither says anything of language. What does is the interaction: the effect of a match of languages over the
cells (model × group) by least squares, beside main effects of model and of group, and beside a match of the acoustic
domain where that was stated and varies in another way. With complete cells, main effects are taken out by centring
rows and columns.

Reliability scales scores: among more reliable listeners all differences between models are larger, which the
interaction of unequal models would take for an effect of language. So each group's scores are first divided by their
mean over models and multiplied by the mean of all, in the estimate and in every draw, where every group's mean is
reliably above 0; else they stay as they are, and the row says so. (Simulated with no effect of language, 30 listeners
a group, reliabilities of 1 : .75 : .5 and models of .12, .10 and .08: without that, half of the intervals lay above 0.)

Models share the draws of a group, so they are paired; groups are other listeners who heard other recordings, so their
draws are put in an order of their own for each group.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import UnknownName
from pipeline.inference.places import ALL, MEAN
from pipeline.inference.questions.contrasts import NOT_ASKED, ModelOutcomes, Outcome, compared
from pipeline.inference.questions.region_order import ALL_REGIONS
from pipeline.inference.requests import InferenceSettings, LanguageSpec
from pipeline.inference.scores.bootstrap import SUBJECT, Sampled, generator, mean_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANGUAGE = "native over non-native language"
DOMAIN = "acoustic domain match"
MATCHED = {LANGUAGE: ("native language", "non-native language"), DOMAIN: ("same acoustic domain", "other domain")}
NO_EXPERIENCE = "each listener heard only one language: no claim about experience"
NOT_STATED = "the acoustic domain was not stated"
NOT_SEPARABLE = "not separable from a match of the acoustic domain"
LEVELLED = "scores of each group divided by their mean over models, as reliability scales differences between models"
UNLEVELLED = (
    "groups not brought to one mean score, as not all are predicted above 0: unequal reliability of groups times "
    "unequal quality of models can make or hide the effect"
)
LEAST_GAIN = 0.2
_COLLINEAR = 1e-9

Places = dict[tuple[str, str], Outcome]
"""(region, compartment) → outcome of a group's average listener."""
Cells = dict[str, dict[str, Places]]
"""Group → model → places."""


@dataclasses.dataclass(frozen=True)
class LanguageName:
    """``native over non-native language`` or ``acoustic domain match``, of all listeners or ``…: GROUP``.

    Parameters
    ----------
    effect : one of the two
    group : the listeners; empty for the effect over the whole design
    """

    effect: str
    group: str = ""

    @classmethod
    def read(cls, name: str) -> LanguageName | None:
        """None for the name of any other contrast."""
        effect, _, group = name.partition(": ")
        return cls(effect, group) if effect in (LANGUAGE, DOMAIN) else None


def cells_of(spec: LanguageSpec, outcomes: dict[str, ModelOutcomes]) -> Cells:
    """The scores that the effect is computed from, of one batch: ``all`` of each group, else ``mean``, else its one.

    Parameters
    ----------
    outcomes : model → its outcomes
    """
    cells: Cells = {}
    for model in spec.models:
        found: dict[str, dict[str, Places]] = {}
        for outcome in outcomes[model].places:
            place = outcome.place
            by_subject = found.setdefault(place.group, {}).setdefault(place.subject, {})
            by_subject[place.region, place.compartment] = outcome
        for group, of_subject in found.items():
            subject = next((name for name in (ALL, MEAN) if name in of_subject), next(iter(of_subject)))
            cells.setdefault(group, {})[model] = of_subject[subject]
    return cells


def language_rows(
    where: dict[str, Any], spec: LanguageSpec, cells: Cells, settings: InferenceSettings
) -> list[dict[str, Any]]:
    """Rows of the contrast table: the effect over the whole design, then own − other models of each group.

    Per region that all cells have, and for the mean over these, ``all regions``. Of the effect, ``model_score`` and
    ``reference_score`` are the fitted means over all cells with and without a match.

    Parameters
    ----------
    where : study, analysis and metric
    cells : of all groups

    Raises
    ------
    UnknownName
        A group of listeners that the analysis does not have.
    """
    for group in spec.listeners:
        if group not in cells:
            raise UnknownName("group of listeners in languages", group, list(cells))
    groups, models = list(spec.listeners), list(spec.models)
    scores = _tables(cells, models, groups, settings.seed)
    design = design_of(spec)
    rows = []
    if design is not None:
        for place, table in scores.items():
            level, said = _levelled(table, settings.confidence)
            effect = _effect(design, level, settings)
            units = _units(table, groups, f"{said}; {design.statement}")
            rows.append({**where, **_at(ALL, ALL, place), **effect, **units})
    for number, group in enumerate(groups):
        own = [model for model in models if spec.models[model] == spec.listeners[group]]
        others = [model for model in models if model not in own]
        if not own or not others:
            continue
        statement = _statement_of_group(spec, group)
        for place, table in scores.items():
            here = table[number]
            of = {model: here.of(operator.itemgetter((..., place_of))) for place_of, model in enumerate(models)}
            row = compared(mean_of([of[one] for one in own]), [of[one] for one in others], settings, seeds=False)
            names = {"contrast": f"{LANGUAGE}: {group}", "model": " | ".join(own), "reference": " | ".join(others)}
            subject = next(iter(cells[group][models[0]].values())).place.subject
            rows.append({**where, **_at(group, subject, place), **row, **names, **_units([here], [group], statement)})
    return rows


@dataclasses.dataclass(frozen=True)
class Design:
    """What is estimated from the cells.

    Parameters
    ----------
    name : `LANGUAGE`, or `DOMAIN` where only that varies
    match : (model, group), 1 where the two match
    weights : (model, group), the effect is their product with the scores, summed
    statement : what it is and is not a test of
    """

    name: str
    match: NDArray[np.float64]
    weights: NDArray[np.float64]
    statement: str


def design_of(spec: LanguageSpec) -> Design | None:
    """The effect that a study's languages and domains allow; None where every match is one of models or of groups."""
    language = _match(spec.models, spec.listeners)
    stated = bool(spec.models_domain)
    domain = (
        _match(
            {name: spec.models_domain[name] for name in spec.models},
            {name: spec.listeners_domain[name] for name in spec.listeners},
        )
        if stated
        else np.zeros_like(language)
    )
    of_language, of_domain = centre(language), centre(domain)
    cells = (
        f"interaction over {len(spec.models)} models × {len(spec.listeners)} groups of listeners, "
        "what is each model's or each group's own taken out"
    )
    if not of_language.any():
        if not of_domain.any():
            return None
        said = f"{cells}; language was not tested: no match of language is left to compare; {NO_EXPERIENCE}"
        return Design(DOMAIN, domain, _effect_weights(of_domain), said)
    weights = _effect_weights(of_language)
    if not stated:
        said = NOT_STATED
    elif not of_domain.any():
        said = "a match of the acoustic domain is taken out with these"
    elif _collinear(of_language, of_domain):
        said = NOT_SEPARABLE
    else:
        weights = _effect_weights(of_language, of_domain)
        said = "a match of the acoustic domain taken out as well"
    return Design(LANGUAGE, language, weights, f"{cells}; {said}; {NO_EXPERIENCE}")


def centre(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take out row and column means of ``(model, group)``; exactly 0 where nothing but rounding is left."""
    centred = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return np.where(np.abs(centred) < _COLLINEAR, 0.0, centred)


def _match(models: Mapping[str, str], listeners: Mapping[str, str]) -> NDArray[np.float64]:
    return np.array([[float(learned == heard) for heard in listeners.values()] for learned in models.values()])


def _collinear(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    cosine = (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())
    return bool(abs(cosine) > 1 - _COLLINEAR)


def _effect_weights(*regressors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the cells in the least-squares effect of the first of several centred regressors."""
    columns = np.stack([one.ravel() for one in regressors], axis=1)
    return np.asarray(np.linalg.pinv(columns)[0].reshape(regressors[0].shape))


def _tables(
    cells: Cells, models: Sequence[str], groups: Sequence[str], seed: int
) -> dict[tuple[str, str], list[Sampled]]:
    """Per place that all cells have a score of, and for the mean over regions, compartment by compartment.

    Returns
    -------
    scores of each group in turn, (model,)
    """
    every = [cells[group][model] for group in groups for model in models]
    shared = [
        place for place in every[0] if all(place in one and np.isfinite(one[place].nested.value) for one in every)
    ]
    if not shared:
        return {}
    n_draws = min(one[place].nested.draws.size for one in every for place in shared)
    rng = generator(seed, "group")
    orders = [rng.permutation(n_draws) for _ in groups]
    tables = {
        place: [
            _of_group([cells[group][model][place].nested for model in models], order)
            for group, order in zip(groups, orders, strict=True)
        ]
        for place in shared
    }
    for compartment in dict.fromkeys(compartment for _, compartment in shared):
        here = [tables[place] for place in shared if place[1] == compartment]
        tables[ALL_REGIONS, compartment] = [mean_of(regions) for regions in zip(*here, strict=True)]
    return tables


def _of_group(scores: Sequence[Sampled], order: NDArray[np.intp]) -> Sampled:
    """The models' scores in one group, its draws in an order of its own."""
    own = [one.own for one in scores if one.own is not None]
    return dataclasses.replace(
        scores[0],
        value=np.array([one.value for one in scores], dtype=np.float64),
        draws=np.stack([one.draws[order] for one in scores], axis=1).astype(np.float64),
        own=np.stack(own, axis=1) if len(own) == len(scores) else None,
        by_fold=None,  # of the first model alone
    )


def _levelled(table: Sequence[Sampled], confidence: float) -> tuple[list[Sampled], str]:
    """The scores with every group brought to one mean over models, and what was done, in words."""
    means = [one.of(lambda score: score.mean(axis=-1)) for one in table]
    if not all(float(one.interval(confidence)[0]) > 0 for one in means):
        return list(table), UNLEVELLED
    gain = np.array([one.value for one in means])
    # an interval above 0 leaves draws near it, which nothing may be divided by
    drawn = np.maximum(np.stack([one.draws for one in means], axis=1), LEAST_GAIN * gain)
    factor = drawn.mean(axis=1, keepdims=True) / drawn
    level = [
        dataclasses.replace(
            one, value=one.value * (gain.mean() / gain[number]), draws=one.draws * factor[:, [number]], own=None
        )
        for number, one in enumerate(table)
    ]
    return level, LEVELLED


def _weighted(score: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[Any]:
    return np.asarray(score @ weights)


def _effect(design: Design, table: Sequence[Sampled], settings: InferenceSettings) -> dict[str, Any]:
    """The effect over the whole design.

    Groups are different listeners, so no signs of single listeners can be flipped: interval and p are from the draws.
    """
    parts = [
        dataclasses.replace(one, own=None).of(functools.partial(_weighted, weights=len(table) * weights))
        for one, weights in zip(table, design.weights.T, strict=True)
    ]
    found = mean_of(parts)
    low, high = found.interval(settings.confidence)
    effect = float(found.value)
    mean, share = float(np.mean([one.value for one in table])), float(design.match.mean())
    model, reference = MATCHED[design.name]
    reference_score = mean - effect * share
    return {
        "contrast": design.name,
        "model": model,
        "reference": reference,
        "model_score": mean + effect * (1 - share),
        "reference_score": reference_score,
        "best_reference_score": reference_score,
        "n_references": 1,
        "difference": effect,
        "ci_low": float(low),
        "ci_high": float(high),
        "p": found.p(settings.seed),
        **NOT_ASKED,
    }


def _at(group: str, subject: str, place: tuple[str, str]) -> dict[str, Any]:
    return {"group": group, "subject": subject, "region": place[0], "compartment": place[1]}


def _units(table: Sequence[Sampled], groups: Iterable[str], statement: str) -> dict[str, Any]:
    """Unit of the interval, and a caution where not all groups were drawn alike."""
    units = sorted({one.unit for one in table}, key=lambda unit: unit != SUBJECT)
    if len(units) > 1:
        few = [group for group, one in zip(groups, table, strict=True) if one.unit != SUBJECT]
        statement += f"; the interval leaves out how listeners of {', '.join(few)} differ, of whom there are too few"
    return {
        "ci_unit": " and ".join(dict.fromkeys(" and ".join(units).split(" and "))),
        "n_units": min(one.n_units for one in table),
        "statement": statement,
    }


def _statement_of_group(spec: LanguageSpec, group: str) -> str:
    """What a comparison within one group leaves open."""
    if not spec.models_domain:
        domain = NOT_STATED
    else:
        heard = spec.listeners_domain[group]
        own, others = (
            {
                spec.models_domain[name] == heard
                for name in spec.models
                if (spec.models[name] == spec.listeners[group]) is is_own
            }
            for is_own in (True, False)
        )
        domain = (
            "all these models match the acoustic domain alike" if own == others and len(own) == 1 else NOT_SEPARABLE
        )
    return (
        "models of the listeners' language minus the mean of the others; includes differences between the models "
        f"themselves; {domain}; {NO_EXPERIENCE}"
    )
