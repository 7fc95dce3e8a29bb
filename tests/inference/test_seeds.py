"""Networks trained from several seeds against others: Welch's test, its null, what few seeds leave, and the rows."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from pipeline.core.errors import UnknownName
from pipeline.inference.questions.contrasts import VALUES, without_values
from pipeline.inference.questions.seeds import MEAN_REGION, between
from pipeline.inference.requests import AnalysisScores
from pipeline.inference.scores.bootstrap import Sampled, draw_counts
from pipeline.inference.stage import build_map
from tests.inference_settings import Contrast, Settings

SETTINGS = Settings()
BOTH = (True, True)
OF_SEEDS = Contrast("predicting over labelling", "a-pre@seed", "a-lab@seed", controlled=True)


def fixed(values):
    """Scores of seeds that no draw of items changes."""
    return [Sampled(np.float64(value), np.full(100, value), "item", 40) for value in values]


@pytest.mark.parametrize(("n", "other"), [(5, 5), (5, 8), (12, 6)])
def test_it_is_welchs_test_where_items_do_not_vary(n, other):
    generator = np.random.default_rng(n)
    a, b = generator.normal(0.3, 0.02, n), generator.normal(0.28, 0.05, other)
    found = between(fixed(a), fixed(b), SETTINGS, sampled=BOTH)
    expected = ttest_ind(a, b, equal_var=False)
    ends = expected.confidence_interval(0.95)
    assert found["p"] == pytest.approx(expected.pvalue)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((ends.low, ends.high))
    assert found["difference"] == pytest.approx(a.mean() - b.mean())
    assert (found["n_models"], found["n_references"]) == (n, other)


def test_a_single_network_against_seeds_is_students_test():
    seeds = np.random.default_rng(1).normal(0.3, 0.02, 7)
    from scipy.stats import ttest_1samp

    found = between(fixed([0.33]), fixed(seeds), SETTINGS, sampled=(False, True))
    assert found["p"] == pytest.approx(ttest_1samp(seeds, 0.33).pvalue)


def study(generator, *, shift, of_seeds, of_items, n_items=40, n=5):
    """Means over items of n seeds a side, each with the draws of one set of items."""
    items = generator.normal(0, of_items, n_items)
    common = generator.normal(0, of_items, (2, n_items))  # what each objective makes of an item
    drawn = draw_counts(n_items, 200, generator) / n_items
    sides = []
    for side in (0, 1):
        networks = shift * (side == 0) + generator.normal(0, of_seeds, (n, 1))
        values = 0.3 + networks + items + common[side] + generator.normal(0, of_items, (n, n_items))
        sides.append([Sampled(one.mean(), drawn @ one, "item", n_items) for one in values])
    return sides


@pytest.mark.parametrize(("of_seeds", "of_items"), [(0.02, 0.0), (0.02, 0.1), (0.0, 0.1), (0.05, 0.02)])
def test_seeds_and_items_of_one_distribution_are_rarely_told_apart(of_seeds, of_items):
    generator = np.random.default_rng(3)
    found = [
        between(*study(generator, shift=0, of_seeds=of_seeds, of_items=of_items), SETTINGS, sampled=BOTH)
        for _ in range(400)
    ]
    told = np.mean([one["p"] <= 0.05 for one in found])
    covered = np.mean([one["ci_low"] <= 0 <= one["ci_high"] for one in found])
    assert told <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
    assert covered == pytest.approx(1 - told)
    if of_seeds:  # items alone tell seeds apart that one recipe gave
        alone = np.mean([not one["units_ci_low"] <= 0 <= one["units_ci_high"] for one in found])
        assert alone >= told


def test_a_planted_difference_is_found():
    generator = np.random.default_rng(4)
    found = [
        between(*study(generator, shift=0.08, of_seeds=0.02, of_items=0.05), SETTINGS, sampled=BOTH) for _ in range(60)
    ]
    assert np.mean([one["p"] < 0.05 and one["difference"] > 0 for one in found]) > 0.9
    assert np.mean([one["ci_low"] <= 0.08 <= one["ci_high"] for one in found]) > 0.9


@pytest.mark.parametrize(("n", "other"), [(1, 1), (3, 5), (5, 4)])
def test_few_seeds_have_values_and_an_interval_over_items_alone(n, other):
    generator = np.random.default_rng(5)
    models, references = study(generator, shift=0.1, of_seeds=0.01, of_items=0.05, n=5)
    found = between(models[:n], references[:other], SETTINGS, sampled=BOTH, margin=0.01)
    assert all(np.isnan(found[name]) for name in ("ci_low", "ci_high", "p", "p_equivalent"))
    assert found["units_ci_low"] < found["difference"] < found["units_ci_high"]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory, make_planted, make_blocks):
    """The map's contrasts of n seeds a side in two regions and one of noise."""
    from pipeline.artifacts.scores import write_scores

    def contrasts(n, contrast=OF_SEEDS, more=(), n_twins=0):
        folder = tmp_path_factory.mktemp("seeds")
        generator, fold = np.random.default_rng(n), make_blocks()
        paths, names = [], []
        for network, strength in (("a-pre", 0.6), ("a-lab", 0.3)):
            twins = n_twins if network == "a-lab" else 0
            for seed in range(twins or n):
                r = np.clip(strength + generator.normal(0, 0.02, (2, 3)), 0, 1) * [1, 1, 0]
                name = f"{network}@{'random' if twins else 'seed'}-{seed}"
                scores = make_planted(generator, r, fold, model=name, regions=["early", "late", "noise"])
                write_scores(scores, folder / f"{name}.nc")
                paths.append(folder / f"{name}.nc")
                names.append(name)
        asked = AnalysisScores("story", "ridge", False, [contrast, *more], ["early", "late"], names, paths)
        table = build_map(study="s", analyses=[asked], inference=SETTINGS)["contrast"]
        return table[table["contrast"] == contrast.name].set_index("region")

    return contrasts


@pytest.mark.parametrize("n_twins", [2, 5])
def test_random_twins_on_the_other_side_are_a_sample_as_well(mapped, n_twins):
    contrast = Contrast("predicting over chance", "a-pre@seed", "a-lab@random")
    table = mapped(5, contrast, n_twins=n_twins)
    assert (table["n_references"] == n_twins).all()
    assert table["p"].isna().all() if n_twins < 5 else table.loc["early", "p"] < 0.05
    assert f"against the mean of {n_twins} random twins of a-lab" in table["statement"].iloc[0]
    assert ("fewer than 5 seeds" in table["statement"].iloc[0]) == (n_twins < 5)


def test_rows_of_regions_and_of_their_mean(mapped):
    table = mapped(5)
    assert list(table.index) == ["early", "late", "noise", MEAN_REGION]
    assert (table["n_models"] == 5).all() and (table["n_references"] == 5).all()
    assert table.loc[MEAN_REGION, "difference"] == pytest.approx(table["difference"].iloc[:3].mean(), abs=1e-6)
    assert table.loc[["early", "late", MEAN_REGION], "p_family"].max() < 0.05 < table.loc["noise", "p_family"]
    assert table.loc[MEAN_REGION, "p_family"] == table.loc[MEAN_REGION, "p"]  # one question, one test
    assert table.loc["early", "p_family"] > table.loc["early", "p"]
    said = table.loc[MEAN_REGION, "statement"]
    assert said == (
        "mean over early, late, noise; the mean of 5 seeds of a-pre against the mean of 5 seeds of a-lab, of one "
        "architecture and diet; interval and p over seeds and blocks"
    )


def test_rows_of_few_seeds_hold_the_seeds_own_values(mapped):
    table = mapped(2, Contrast("x", "a-pre@seed", "a-lab@seed"))
    early = table.loc["early"]
    assert np.isnan(early["p"]) and early["units_ci_low"] > 0
    before, _, values = early["statement"].partition(VALUES)
    assert "no p and no interval over seeds" in before and "architecture and diet may differ" in before
    models, references = (side.split(" | ") for side in values.split(" against "))
    assert np.mean([float(one) for one in models]) == pytest.approx(early["model_score"], abs=0.0006)
    assert len(models) == len(references) == 2
    assert without_values(early["statement"]) == without_values(table.loc["late", "statement"])


def test_a_name_without_seeds_is_one_line(mapped):
    with pytest.raises(UnknownName, match="unknown model in contrast 'x' 'a-lav@seed'"):
        mapped(1, Contrast("x", "a-pre@seed", "a-lav@seed"))
