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
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import UnknownName
from pipeline.inference.places import ALL, MEAN
from pipeline.inference.questions.contrasts import ModelOutcomes, Outcome
from pipeline.inference.questions.region_order import ALL_REGIONS
from pipeline.inference.requests import InferenceSettings, LanguageSpec
from pipeline.inference.scores.bootstrap import generator, interval, share_above_zero

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
            effect = _effect(design, level, settings.confidence)
            units = _units(table, groups, f"{said}; {design.statement}")
            rows.append({**where, **_at(ALL, ALL, place), **effect, **units})
    for number, group in enumerate(groups):
        own = [model for model in models if spec.models[model] == spec.listeners[group]]
        others = [model for model in models if model not in own]
        if not own or not others:
            continue
        statement = _statement_of_group(spec, group)
        for place, table in scores.items():
            weights = np.array([1 / len(own) if model in own else 0.0 for model in models])
            reference = np.array([1 / len(others) if model in others else 0.0 for model in models])
            here = table.of_group(number)
            row = _difference(here, weights[:, None], reference[:, None], settings.confidence)
            names = {"contrast": f"{LANGUAGE}: {group}", "model": " | ".join(own), "reference": " | ".join(others)}
            subject = next(iter(cells[group][models[0]].values())).place.subject
            rows.append({**where, **_at(group, subject, place), **row, **names, **_units(here, [group], statement)})
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


@dataclasses.dataclass(frozen=True)
class _Table:
    """Scores of one place.

    Parameters
    ----------
    score : (model, group); draws : (draw, model, group)
    ci_unit, n_units : (group,)
    """

    score: NDArray[np.float64]
    draws: NDArray[np.float64]
    ci_unit: list[str]
    n_units: list[int]

    def of_group(self, number: int) -> _Table:
        part = slice(number, number + 1)
        return _Table(self.score[:, part], self.draws[:, :, part], self.ci_unit[part], self.n_units[part])


def _tables(cells: Cells, models: Sequence[str], groups: Sequence[str], seed: int) -> dict[tuple[str, str], _Table]:
    """One table per place that all cells have a score of, and the mean over regions, compartment by compartment."""
    every = [cells[group][model] for group in groups for model in models]
    shared = [place for place in every[0] if all(place in one and np.isfinite(one[place].nested) for one in every)]
    if not shared:
        return {}
    n_draws = min(one[place].nested_draws.size for one in every for place in shared)
    rng = generator(seed, "group")
    orders = [rng.permutation(n_draws) for _ in groups]
    tables = {place: _table(cells, models, groups, place, orders) for place in shared}
    for compartment in dict.fromkeys(compartment for _, compartment in shared):
        tables[ALL_REGIONS, compartment] = _mean([tables[place] for place in shared if place[1] == compartment])
    return tables


def _table(
    cells: Cells,
    models: Sequence[str],
    groups: Sequence[str],
    place: tuple[str, str],
    orders: Sequence[NDArray[np.intp]],
) -> _Table:
    outcomes = [[cells[group][model][place] for group in groups] for model in models]
    draws = [[one.nested_draws[order] for one, order in zip(row, orders, strict=True)] for row in outcomes]
    return _Table(
        score=np.array([[one.nested for one in row] for row in outcomes]),
        draws=np.moveaxis(np.array(draws, dtype=np.float64), 2, 0),
        ci_unit=[one.ci_unit for one in outcomes[0]],
        n_units=[one.n_units for one in outcomes[0]],
    )


def _mean(tables: Sequence[_Table]) -> _Table:
    """The mean over regions; a group's fewest units count, and blocks if any region of it was drawn over them."""
    units = [list(dict.fromkeys(names)) for names in zip(*(table.ci_unit for table in tables), strict=True)]
    return _Table(
        np.mean([table.score for table in tables], axis=0),
        np.mean([table.draws for table in tables], axis=0),
        [" and ".join(names) for names in units],
        [min(numbers) for numbers in zip(*(table.n_units for table in tables), strict=True)],
    )


def _levelled(table: _Table, confidence: float) -> tuple[_Table, str]:
    """The scores with every group brought to one mean over models, and what was done, in words."""
    gain, drawn = table.score.mean(axis=0), table.draws.mean(axis=1)
    low = [float(interval(drawn[:, number], confidence, n)[0]) for number, n in enumerate(table.n_units)]
    if min(low) <= 0:
        return table, UNLEVELLED
    # an interval above 0 leaves draws near it, which nothing may be divided by
    drawn = np.maximum(drawn, LEAST_GAIN * gain)
    level = dataclasses.replace(
        table,
        score=table.score * (gain.mean() / gain),
        draws=table.draws * (drawn.mean(axis=1, keepdims=True) / drawn)[:, None],
    )
    return level, LEVELLED


def _effect(design: Design, table: _Table, confidence: float) -> dict[str, Any]:
    effect = float((design.weights * table.score).sum())
    draws = np.einsum("nmg,mg->n", table.draws, design.weights)
    mean, share = float(table.score.mean()), float(design.match.mean())
    model, reference = MATCHED[design.name]
    return {
        "contrast": design.name,
        "model": model,
        "reference": reference,
        "model_score": mean + effect * (1 - share),
        "reference_score": mean - effect * share,
        **_interval(effect, draws, table, confidence),
    }


def _difference(
    table: _Table, weights: NDArray[np.float64], reference: NDArray[np.float64], confidence: float
) -> dict[str, Any]:
    scores = [float((one * table.score).sum()) for one in (weights, reference)]
    draws = np.einsum("nmg,mg->n", table.draws, weights - reference)
    compared = {"model_score": scores[0], "reference_score": scores[1]}
    return {**compared, **_interval(scores[0] - scores[1], draws, table, confidence)}


def _interval(difference: float, draws: NDArray[np.float64], table: _Table, confidence: float) -> dict[str, Any]:
    low, high = interval(draws, confidence, min(table.n_units))
    return {
        "difference": difference,
        "ci_low": float(low),
        "ci_high": float(high),
        "probability_above_zero": share_above_zero(draws),
    }


def _at(group: str, subject: str, place: tuple[str, str]) -> dict[str, Any]:
    return {"group": group, "subject": subject, "region": place[0], "compartment": place[1]}


def _units(table: _Table, groups: Iterable[str], statement: str) -> dict[str, Any]:
    """Unit of the interval, and a caution where not all groups were drawn alike."""
    units = sorted(set(table.ci_unit), key=lambda unit: unit != "subject")
    if len(units) > 1:
        few = [group for group, unit in zip(groups, table.ci_unit, strict=True) if unit != "subject"]
        statement += f"; the interval leaves out how listeners of {', '.join(few)} differ, of whom there are too few"
    return {
        "ci_unit": " and ".join(dict.fromkeys(" and ".join(units).split(" and "))),
        "n_units": min(table.n_units),
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
