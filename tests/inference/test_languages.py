"""Native and non-native language: planted effects come back, none where there is none, confounded ones are flagged."""

import numpy as np
import pytest

from pipeline.core.errors import UnknownName
from pipeline.inference.places import Place
from pipeline.inference.questions.contrasts import ModelOutcomes, Outcome
from pipeline.inference.questions.languages import LEVELLED, UNLEVELLED, cells_of, design_of, language_rows
from pipeline.inference.scores.bootstrap import Sampled
from pipeline.inference.scores.shared_draws import LayerAxis
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.study.study import Languages

pytestmark = pytest.mark.slow

CODES = ("en", "fr", "zh")
LISTENERS = {code.upper(): code for code in CODES}
MODELS = {f"net-{code}": code for code in CODES}
SPEC = Languages(listeners=LISTENERS, models=MODELS)
EFFECT = "native over non-native language"
NOT_STATED = "the acoustic domain was not stated"


def with_domains(listeners, models, spec=SPEC):
    return Languages(
        listeners=spec.listeners,
        models=spec.models,
        listeners_domain=dict(zip(spec.listeners, listeners, strict=True)),
        models_domain=dict(zip(spec.models, models, strict=True)),
    )


def outcome(group, region, scores, rng, n_draws, subject="all"):
    """Draws over the listeners' scores, as many listeners as there are scores."""
    n = scores.shape[0]
    counts = rng.multinomial(n, np.full(n, 1 / n), size=n_draws)
    place = Place(group, subject, region, "", np.zeros(1, int), np.zeros(1, int), 0, n)
    nested = Sampled(np.asarray(scores.mean()), counts @ scores / n, "subject", n, own=scores)
    return Outcome(place, nested, {}, nested, True)


def synthetic(spec, seed, *, effect=0.0, of_domain=0.0, n_listeners=12, regions=("A", "B"), n_draws=400):
    """Cells with models of unequal quality, groups of unequal reliability, listeners of their own level, and noise."""
    rng = np.random.default_rng(seed)
    of_model = dict(zip(spec.models, rng.permutation([0.26, 0.2, 0.14])[: len(spec.models)], strict=True))
    gains = rng.permutation([1.3, 1.0, 0.7])
    outcomes = []
    for (group, heard), gain in zip(spec.listeners.items(), gains, strict=False):
        listener = rng.normal(0, 0.02, n_listeners)
        by_model = {}
        for number, (model, learned) in enumerate(spec.models.items()):
            domain = bool(spec.models_domain) and spec.models_domain[model] == spec.listeners_domain[group]
            level = gain * (of_model[model] + effect * (learned == heard) + of_domain * domain)
            places = [
                # one generator of draws per group: models are paired
                outcome(group, region, level + listener + rng.normal(0, 0.04, n_listeners), pair, n_draws)
                for region in regions
                for pair in [np.random.default_rng([seed, 1])]
            ]
            layers = LayerAxis(model, "speech", ["l"], np.array([number]), np.zeros(1), ["main"])
            by_model[model] = ModelOutcomes(layers, places)
        outcomes.append(by_model)
    return outcomes


def rows_of(spec, outcomes, settings):
    cells = {}
    for one in outcomes:
        cells.update(cells_of(spec, one))
    return language_rows({"study": "s", "analysis": "a", "metric": "ridge"}, spec, cells, settings())


def effect_of(rows, region="A", contrast=EFFECT):
    [row] = [row for row in rows if row["contrast"] == contrast and row["region"] == region]
    return row


@pytest.mark.parametrize("effect", [0.0, 0.08])
def test_intervals_cover_the_planted_effect_and_nothing_is_found_where_there_is_none(settings, effect):
    found = [effect_of(rows_of(SPEC, synthetic(SPEC, seed, effect=effect), settings)) for seed in range(60)]
    assert np.mean([row["difference"] for row in found]) == pytest.approx(effect, abs=0.006)
    covered = np.mean([row["ci_low"] <= effect <= row["ci_high"] for row in found])
    assert covered >= 0.88  # of 60; the chance of fewer at .95 is below .03
    p = np.array([row["p"] for row in found])
    if effect:
        assert p.max() < 0.01
    else:
        assert 0.35 < p.mean() < 0.65 and np.std(p) > 0.2  # uniform, neither stuck at .5 nor at the ends


def test_rows_per_region_over_all_regions_and_per_group(settings):
    rows = rows_of(SPEC, synthetic(SPEC, 1, effect=0.1), settings)
    names = list(dict.fromkeys(row["contrast"] for row in rows))
    assert names == [EFFECT, *(f"{EFFECT}: {group}" for group in LISTENERS)]
    assert [row["region"] for row in rows if row["contrast"] == EFFECT] == ["A", "B", "all regions"]
    regions = [effect_of(rows, region)["difference"] for region in ("A", "B", "all regions")]
    # the mean over regions is levelled as a whole
    assert regions[2] == pytest.approx(np.mean(regions[:2]), rel=0.01)
    row = effect_of(rows)
    assert (row["group"], row["subject"], row["ci_unit"], row["n_units"]) == ("all", "all", "subject", 12)
    assert row["model_score"] - row["reference_score"] == pytest.approx(row["difference"])
    assert row["statement"].startswith(f"{LEVELLED}; interaction over 3 models × 3 groups of listeners")
    assert NOT_STATED in row["statement"]
    own = effect_of(rows, contrast=f"{EFFECT}: FR")
    assert (own["group"], own["model"], own["reference"]) == ("FR", "net-fr", "net-en | net-zh")
    assert "includes differences between the models themselves" in own["statement"]
    assert all(
        row["statement"].endswith("each listener heard only one language: no claim about experience") for row in rows
    )


def test_effects_of_models_and_of_groups_alone_are_no_effect_of_language(settings):
    """Row and column effects are taken out exactly, in the estimate and in every draw that both have alike."""
    design = design_of(SPEC)
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(3, 1)) + rng.normal(size=(1, 3))
    assert abs((design.weights * cells).sum()) < 1e-12
    rows = rows_of(SPEC, synthetic(SPEC, 3), settings)
    row, own = effect_of(rows), effect_of(rows, contrast=f"{EFFECT}: EN")
    assert row["ci_low"] < 0 < row["ci_high"]
    assert abs(own["difference"]) > 0.04  # the models themselves, which is why such rows say so


def test_groups_that_are_not_predicted_are_not_brought_to_one_mean(settings):
    outcomes = synthetic(SPEC, 4)
    for model in outcomes[0].values():
        for place in model.places:
            place.nested.draws[:] -= place.nested.value  # the first group's scores lie around 0
            place.nested.value[...] = 0
    row = effect_of(rows_of(SPEC, outcomes, settings))
    assert row["statement"].startswith(UNLEVELLED)


def test_two_languages_and_three_models_are_unbalanced(settings):
    spec = Languages(listeners={"EN": "en", "FR": "fr"}, models={"a": "en", "b": "fr", "c": "fr"})
    found = [effect_of(rows_of(spec, synthetic(spec, seed, effect=0.08), settings)) for seed in range(20)]
    assert np.mean([row["difference"] for row in found]) == pytest.approx(0.08, abs=0.01)
    cells = np.random.default_rng(0).normal(size=(3, 2))
    # least squares on dummies of the whole design
    design = np.array(
        [[*np.eye(3)[m], *np.eye(2)[g], (m == 0) == (g == 0)] for m in range(3) for g in range(2)], dtype=float
    )
    expected = np.linalg.lstsq(design, cells.ravel(), rcond=None)[0][-1]
    assert (design_of(spec).weights * cells).sum() == pytest.approx(expected)


def test_domains_that_coincide_with_languages_are_flagged(settings):
    spec = with_domains(("book", "talk", "news"), ("book", "talk", "news"))
    rows = rows_of(spec, synthetic(spec, 2, of_domain=0.1), settings)
    assert effect_of(rows)["difference"] == pytest.approx(0.1, abs=0.03)
    assert "not separable from a match of the acoustic domain" in effect_of(rows)["statement"]
    assert "not separable from a match" in effect_of(rows, contrast=f"{EFFECT}: EN")["statement"]


def test_a_domain_that_varies_by_itself_is_taken_out(settings):
    spec = with_domains(("book", "talk", "book"), ("book", "book", "talk"))
    found = [effect_of(rows_of(spec, synthetic(spec, seed, of_domain=0.2), settings)) for seed in range(20)]
    assert np.mean([row["difference"] for row in found]) == pytest.approx(0, abs=0.01)
    assert "a match of the acoustic domain taken out as well" in found[0]["statement"]
    assert NOT_STATED not in found[0]["statement"]
    alike = with_domains(("book",) * 3, ("book",) * 3)
    assert "not separable" not in design_of(alike).statement and NOT_STATED not in design_of(alike).statement


def test_where_only_the_domain_varies_language_is_not_claimed(settings):
    plain = Languages.model_construct(listeners={"EN1": "en", "EN2": "en"}, models={"a": "en", "b": "en"})
    spec = with_domains(("book", "talk"), ("book", "talk"), plain)
    rows = rows_of(spec, synthetic(spec, 4, of_domain=0.1), settings)
    assert {row["contrast"] for row in rows} == {"acoustic domain match"}
    assert "language was not tested" in effect_of(rows, contrast="acoustic domain match")["statement"]
    assert effect_of(rows, contrast="acoustic domain match")["difference"] == pytest.approx(0.1, abs=0.03)


def test_groups_drawn_alike_are_independent(settings):
    """All groups have the same draws by number; unless they are dealt anew, listeners' levels would cancel or add."""
    rng = np.random.default_rng(0)
    levels = rng.normal(0, 0.1, 12)
    spec = Languages(listeners={"EN": "en", "FR": "fr"}, models={"a": "en", "b": "fr"})
    outcomes = []
    for group, sign in (("EN", 1), ("FR", -1)):
        by_model = {}
        for model in spec.models:
            own = sign * levels * (1 if model == "a" else -1)
            places = [outcome(group, "A", own, np.random.default_rng(5), 4000)]
            by_model[model] = ModelOutcomes(LayerAxis(model, "", ["l"], np.zeros(1), np.zeros(1), [""]), places)
        outcomes.append(by_model)
    row = effect_of(rows_of(spec, outcomes, settings))
    # four terms of half a level each: two groups, in each of which both models move together
    width = 2 * 2.3 * np.sqrt(2) * levels.std() / np.sqrt(12)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(width, rel=0.1)


def test_an_unknown_group_is_one_line(settings):
    with pytest.raises(UnknownName, match="group of listeners in languages 'ZH'"):
        rows_of(SPEC, synthetic(SPEC, 0)[:2], settings)


@pytest.mark.parametrize(("n", "drawn"), [(3, ("block", 30)), (9, ("subject", 9))])
def test_from_scores_of_groups_that_share_their_blocks(make_planted, make_blocks, save, settings, n, drawn):
    """Groups stay apart, although the second and third heard as many blocks; few listeners are drawn over blocks."""
    paths = []
    for group, heard in LISTENERS.items():
        for number, (model, learned) in enumerate(MODELS.items()):
            strengths = np.array([[0.1, 0.1], [0.3, 0.3]]) + 0.1 * (number == 1) + 0.15 * (learned == heard)
            scores = make_planted(
                np.random.default_rng([number, ord(group[0])]),
                np.tile(strengths, n),
                make_blocks(samples_per_block=50),
                model=model,
                group=group,
                regions=["A", "B"] * n,
                subjects=[f"{group}{i // 2}" for i in range(2 * n)],
                n_subjects=n,
            )
            paths.append(save(scores))
    analysis = AnalysisScores("story", "ridge", False, (), ["A", "B"], list(MODELS), paths, languages=SPEC)
    tables = build_map(study="s", analyses=[analysis], inference=settings())
    table = tables["contrast"]
    row = table[(table["contrast"] == EFFECT) & (table["region"] == "all regions")].iloc[0]
    assert row["difference"] == pytest.approx(0.15, abs=0.03) and row["ci_low"] > 0.08
    assert (row["ci_unit"], row["n_units"]) == drawn
    groups = tables["summary"].loc[tables["summary"]["subject"] == "all", "group"]
    assert groups.unique().tolist() == list(LISTENERS)
