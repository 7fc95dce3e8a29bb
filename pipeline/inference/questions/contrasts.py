"""Model − reference, per region, paired over the same bootstrap draws.

Both sides are the nested best layer's score, chosen among all layers or within one pathway, or that of one stated
layer. Against ``NAME@random`` or ``NAME@shuffled`` the reference is the mean of the twins' seeds, and what is asked is
whether the trained network exceeds one more seed: seeds are a sample, as units are. (The best of the seeds in every
draw is no such question: it has no power, and its rate of errors depends on the number of seeds.) Layer and pathway
hold for the twins as well, but not for a reference of another architecture, whose layer is chosen among all of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import UnknownName
from pipeline.inference.estimates import Estimate
from pipeline.inference.networks import is_trained_group, members_of, twin_of
from pipeline.inference.null_tests import PlaceTest
from pipeline.inference.places import ALL, MEAN, Place
from pipeline.inference.requests import ContrastSpec, InferenceSettings
from pipeline.inference.scores.bootstrap import DIFFERENCE, Sampled, mean_of, p_within
from pipeline.inference.scores.mixed_model import mixed_p

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.inference.scores.shared_draws import LayerAxis


NAN = float("nan")
NOT_ASKED = {
    "n_models": 1,
    **dict.fromkeys(("units_ci_low", "units_ci_high", "p_mixed", "margin", "p_equivalent"), NAN),
}
"""The columns of other tests, and of several networks on the model's side, where there are none."""
FEWEST_SEEDS = 5
"""Of twins; the SD of fewer is known too badly to say what one more would do."""
TOO_FEW = ": too few for an interval"
VALUES = "; values "


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What comparisons need of an estimate.

    Parameters
    ----------
    nested : score of the nested best layer
    fixed : layer → its score, for the layers that a contrast names
    depth : relative depth of the best layer, NaN where there is none
    predicted : whether the nested best layer's score is reliably above 0, see `PlaceTest.is_predicted`
    """

    place: Place
    nested: Sampled
    fixed: dict[str, Sampled]
    depth: Sampled
    predicted: bool

    @property
    def ci_unit(self) -> str:
        return self.nested.unit

    @property
    def n_units(self) -> int:
        return self.nested.n_units

    @property
    def widening(self) -> float:
        """Of the draws' variance."""
        return self.nested.widening


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
    estimates: dict[str, list[Estimate]],
    tests: dict[str, list[PlaceTest]],
    layers: LayerAxis,
    fixed_layers: Sequence[str],
    confidence: float,
) -> ModelOutcomes:
    """Keep of a model's estimates, pathway by pathway, what comparisons need; the whole network's come first.

    Parameters
    ----------
    tests : of the same places
    """
    whole, *pathways = estimates

    def kept(name: str, fixed: Sequence[str]) -> list[Outcome]:
        both = zip(estimates[name], tests[name], strict=True)
        return [outcome_of(one, test, fixed, confidence) for one, test in both]

    return ModelOutcomes(layers, kept(whole, fixed_layers), {name: kept(name, ()) for name in pathways})


def outcome_of(estimate: Estimate, test: PlaceTest, fixed_layers: Sequence[str], confidence: float) -> Outcome:
    """Keep of an estimate what comparisons need."""
    layers = estimate.layers
    depths = np.append(layers.relative_depth, np.nan)  # index −1: no choice
    index = {name: layers.name.index(name) for name in fixed_layers if name in layers.name}
    score, nested = (estimate.sampled(values) for values in (lambda one: one.score, lambda one: one.nested))
    if estimate.by_fold is not None:
        nested, score = (
            dataclasses.replace(one, by_fold=own) for one, own in zip((nested, score), estimate.by_fold, strict=True)
        )
    return Outcome(
        place=estimate.place,
        nested=nested,
        fixed={name: score.of(functools.partial(_layer, number=number)) for name, number in index.items()},
        depth=estimate.sampled(lambda profile: depths[profile.best], is_mean=False),
        predicted=test.is_predicted(float(nested.interval(confidence)[0])),
    )


def _layer(score: NDArray[Any], number: int) -> NDArray[Any]:
    return score[..., number].copy()  # the other layers' draws need not be kept


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
    settings: InferenceSettings,
    spaces: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Rows of the contrast table, contrast by contrast, in the order of the places.

    Parameters
    ----------
    where : study, analysis and metric
    outcomes : model → its outcomes
    spaces : models that all others were fitted jointly with

    Contrasts of trained seeds are left out here.
    """
    rows = []
    for contrast in contrasts:
        if is_of_seeds(contrast):
            continue
        references = members_of(contrast.reference, list(outcomes))
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
            of_twins = twin_of(contrast.reference) is not None
            (model,), others, _ = of_one_quantity([model], others)  # words and numbers are of the same values
            found = compared(model, others, settings, seeds=of_twins, margin=contrast.margin)
            rows.append(
                {
                    **where,
                    **row_of(outcome),
                    "contrast": contrast.name,
                    "model": contrast.model,
                    "reference": contrast.reference,
                    **found,
                    "statement": f"{statement}{seeds_in_words(contrast.reference, others)}",
                }
            )
    return rows


def of_one_quantity(
    models: Sequence[Sampled], references: Sequence[Sampled]
) -> tuple[list[Sampled], list[Sampled], Sampled]:
    """Both sides and the difference of their means, over subjects of each one's own values (`Sampled.of_subjects`)."""
    difference = (mean_of(models) - mean_of(references)).of_subjects()
    if difference.is_of_own:
        models, references = ([one.of_subjects() for one in side] for side in (models, references))
    return list(models), list(references), difference


def compared(
    model: Sampled,
    references: Sequence[Sampled],
    settings: InferenceSettings,
    *,
    seeds: bool,
    bounds: tuple[float, float] = DIFFERENCE,
    margin: float | None = None,
) -> dict[str, float]:
    """The columns of the contrast table that hold numbers: both sides, their difference, its interval and its p.

    With a margin also the p of equivalence, of two one-sided tests with the errors and degrees of freedom of p. Over
    subjects, ``p_mixed`` counts outer folds of blocks or items as a sample, too; it is not made against seeds.

    Of seeds, ``reference_score`` is their mean and the difference a prediction for one more seed, with the variance
    SD²·(1 + 1/n) of the n seeds, plus that of the trained network − mean of twins over subjects, blocks or items.
    Interval and p are Student's t, on Welch and Satterthwaite's degrees of freedom, as the two are independent
    estimates of variance (seeds on one set of units, units with the same seeds) on n − 1 and units − 1 degrees: n − 1
    where seeds make the difference, more where units do. Of fewer than five seeds both are NaN.

    Over subjects both sides, their difference, its interval and its p are means of each subject's own values, with
    layers of its own choice; so they may differ from the map's scores, whose layers are chosen for all in common.

    Parameters
    ----------
    references : one, or one per seed
    seeds : whether references are a sample of random twins
    margin : in units of the score; None: equivalence is not asked

    References
    ----------
    Satterthwaite 1946, Biometrics Bulletin 2:110–114; Welch 1947, Biometrika 34:28–35.
    """
    (model,), references, difference = of_one_quantity([model], references)
    scores = [float(one.value) for one in references]
    low, high, p, p_equivalent, p_mixed = NAN, NAN, NAN, NAN, NAN
    if not seeds:
        p_mixed = mixed_p(difference.by_fold, difference.n_units)
        low, high = (float(end) for end in difference.interval(settings.confidence, bounds))
        p = difference.p(settings.seed)
        p_equivalent = NAN if margin is None else difference.p_equivalent(margin, settings.seed)
    elif len(references) >= FEWEST_SEEDS:
        low, high, p, p_equivalent = _one_more_seed(difference, scores, settings.confidence, bounds, margin)
    return {
        **NOT_ASKED,
        "model_score": float(model.value),
        "reference_score": float(np.mean(scores)),
        "best_reference_score": float(np.max(scores)),
        "n_references": len(references),
        "difference": float(difference.value),
        "ci_low": low,
        "ci_high": high,
        "p": p,
        "p_mixed": p_mixed,
        "margin": NAN if margin is None else margin,
        "p_equivalent": p_equivalent,
    }


def _one_more_seed(
    difference: Sampled,
    scores: Sequence[float],
    confidence: float,
    bounds: tuple[float, float],
    margin: float | None,
) -> tuple[float, float, float, float]:
    """Interval, two-sided p and p of equivalence of a difference from the mean of seeds, for one more of them."""
    n = len(scores)
    of_seeds = float(np.var(scores, ddof=1)) * (1 + 1 / n)
    of_units = float(difference.standard_error()) ** 2
    parts = [(of_seeds, n - 1), (of_units, difference.n_units - 1)]
    return welch(float(difference.value), parts, confidence, bounds, margin)


def welch(
    value: float,
    parts: Sequence[tuple[float, int]],
    confidence: float,
    bounds: tuple[float, float],
    margin: float | None,
) -> tuple[float, float, float, float]:
    """Interval, two-sided p and p of equivalence of an estimate whose error has several independent parts.

    Parameters
    ----------
    parts : (variance, its degrees of freedom)
    bounds : what the quantity cannot exceed
    margin : None: equivalence is not asked

    Returns
    -------
    low, high, p, p of equivalence; NaN where there is no error, or it is not known

    References
    ----------
    Satterthwaite 1946, Biometrics Bulletin 2:110–114; Welch 1947, Biometrika 34:28–35.
    """
    from scipy.stats import t

    variance = sum(part for part, _ in parts)
    error = math.sqrt(variance) if math.isfinite(variance) else NAN
    if not error > 0:
        return NAN, NAN, NAN, NAN
    freedom = variance**2 / sum(part**2 / free for part, free in parts if part > 0)
    reach = t.ppf((1 + confidence) / 2, freedom) * error
    low, high = np.clip((value - reach, value + reach), *bounds)
    p_equivalent = NAN if margin is None else p_within(value, error, freedom, margin)
    return float(low), float(high), float(2 * t.sf(abs(value) / error, freedom)), p_equivalent


def seeds_in_words(reference: str, references: Sequence[Sampled]) -> str:
    """``; 3 seeds: too few for an interval; values .12 | .15 | .11``; empty of enough seeds, or of no twins."""
    if twin_of(reference) is None or len(references) >= FEWEST_SEEDS:
        return ""
    number = f"{len(references)} seed{'s' if len(references) > 1 else ''}"
    return f"; {number}{TOO_FEW}{VALUES}{values_in_words(references)}"


def values_in_words(several: Sequence[Sampled], decimals: int = 2) -> str:
    """``.12 | .15 | .11``."""
    return " | ".join(f"{float(one.value):.{decimals}f}".replace("0.", ".").replace("-", "−") for one in several)


def without_values(statement: str) -> str:
    """A statement without the values of too few seeds, which are those of one region."""
    before, found, after = statement.partition(VALUES)
    return before + after[len(after.partition(";")[0]) :] if found else statement


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


def scored(outcome: Outcome, layers: LayerAxis, layer: str | None, *, must_have: bool = False) -> Sampled:
    """Score of a stated layer, or of the nested best one.

    Raises
    ------
    UnknownName
        The contrast names a layer that the model was not scored with.
    """
    if layer is not None and layer in outcome.fixed:
        return outcome.fixed[layer]
    if layer is not None and must_have:
        raise UnknownName(f"layer of {layers.model}, which a contrast names", layer, layers.name)
    return outcome.nested


def is_of_seeds(contrast: ContrastSpec) -> bool:
    """Whether a side of it is all networks of a recipe; see `pipeline.inference.questions.seeds`."""
    return is_trained_group(contrast.model) or is_trained_group(contrast.reference)


def _is_twin_of(reference: str, model: str) -> bool:
    twin = twin_of(reference)
    return twin is not None and twin[0] == model


def statement_of(contrast: ContrastSpec, model: LayerAxis, references: Sequence[LayerAxis]) -> str:
    """What a contrast is a test of, and what it is not."""
    chosen = f"; layers of {contrast.model} chosen within {contrast.pathway}" if contrast.pathway else ""
    twin = twin_of(contrast.reference)
    if twin is not None and twin[0] == contrast.model:
        seeds = f"the mean of {len(references)} {twin[1]} twins" if len(references) > 1 else f"the {twin[1]} twin"
        state = "untrained" if model.objective == "random" else "trained"
        chosen = f"; layers of both chosen within {contrast.pathway}" if contrast.pathway else ""
        asked = ", for one more seed" if len(references) >= FEWEST_SEEDS else ""
        return f"{state} against {seeds} of the same architecture{asked}{chosen}"
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
