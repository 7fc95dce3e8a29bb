"""Two one-sided tests: that two scores differ by less than a margin, with the errors that a difference's p has."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from pipeline.inference.questions.contrasts import compared
from pipeline.inference.scores.bootstrap import Sampled, p_within, sign_flip_p, widening_of
from pipeline.inference.stage import AnalysisScores, build_map
from tests.inference.fitted_noise import N_FOLDS, items, scores_of
from tests.inference_settings import Settings


def of_subjects(own):
    return Sampled(np.asarray(own.mean()), np.zeros(99_999), "subject", own.size, own=own)


@pytest.mark.parametrize(("shift", "margin"), [(0.0, 0.1), (0.06, 0.1), (-0.09, 0.1), (0.2, 0.1), (0.02, 0.4)])
def test_of_few_subjects_it_is_that_of_statsmodels(shift, margin):
    """Fewer than six, whose signs are not flipped: Student's t over their own differences."""
    first, second = np.random.default_rng(0).normal(0.3, 0.06, (2, 5))
    expected = ttost_paired(first + shift, second, -margin, margin)[0]
    found = of_subjects(first + shift) - of_subjects(second)
    assert found.p_equivalent(margin, 0) == pytest.approx(expected, abs=1e-6)


def test_of_six_or_more_subjects_signs_about_each_margin_are_flipped():
    own = np.random.default_rng(1).normal(0.01, 0.03, 9)
    found = of_subjects(own).p_equivalent(0.05, 0)
    assert (
        found
        == sign_flip_p(0.05 - own, 0, two_sided=False)
        == pytest.approx(
            stats.permutation_test(
                (0.05 - own, np.zeros(9)),
                lambda a, b: (a - b).mean(),
                permutation_type="samples",
                alternative="greater",
            ).pvalue
        )
    )
    assert of_subjects(own).p_equivalent(0.005, 0) > 0.5


def test_of_blocks_the_error_is_the_widened_one_of_p():
    draws = np.random.default_rng(2).normal(0.03, 0.02, (4_999, 1))
    one = Sampled(np.asarray(0.03), draws[:, 0], "block", 20, widening_of(5))
    error = float(one.standard_error())
    assert error == pytest.approx(0.02 * np.sqrt(2.25 * 20 / 19), rel=0.05)
    assert one.p_equivalent(0.1, 0) == pytest.approx(stats.t.sf(0.07 / error, 19))
    assert one.p_equivalent(0.02, 0) > 0.5
    assert np.isnan(Sampled(np.asarray(0.03), draws[:, 0], "block", 1).p_equivalent(0.1, 0))


def test_against_twins_it_is_about_one_more_seed():
    seeds = [0.22, 0.25, 0.19, 0.2, 0.24]
    model, *twins = (Sampled(np.asarray(one), np.full(99, one), "block", 30) for one in (0.23, *seeds))
    found = compared(model, twins, Settings(), seeds=True, margin=0.1)
    error = np.std(seeds, ddof=1) * np.sqrt(1 + 1 / 5)
    assert found["p_equivalent"] == pytest.approx(p_within(0.01, error, 4, 0.1)) == stats.t.sf(0.09 / error, 4)
    assert found["margin"] == 0.1
    few = compared(model, twins[:3], Settings(), seeds=True, margin=0.1)
    unasked = compared(model, twins, Settings(), seeds=True)
    assert np.isnan([few["p_equivalent"], unasked["p_equivalent"], unasked["margin"]]).all()


@pytest.mark.parametrize("n_subjects", [8, 15])
def test_a_difference_as_large_as_the_margin_is_called_equivalent_in_no_more_than_five_percent(n_subjects):
    rng, n, margin = np.random.default_rng(3), 800, 0.02
    p = [
        of_subjects(rng.normal(sign * margin, 0.02, n_subjects)).p_equivalent(margin, 0) for sign in (1, -1) * (n // 2)
    ]
    assert (np.array(p) < 0.05).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
    none = [of_subjects(rng.normal(0, 0.02, n_subjects)).p_equivalent(margin, 0) for _ in range(200)]
    assert (np.array(none) < 0.05).mean() > 0.5


def test_networks_of_one_signal_are_equivalent_and_one_of_less_is_not():
    """Through real fits, of a region of 30 targets; each network has features of noise of its own."""
    rng = np.random.default_rng(4)
    folds, block = items(200)
    signal = rng.standard_normal((200, 8))
    networks = [np.hstack([signal[:, :n], rng.standard_normal((200, 14 - n))]) for n in (8, 8, 5)]
    responses = signal @ rng.standard_normal((8, 30)) / np.sqrt(8) + rng.standard_normal((200, 30))
    point, draws, n_blocks = scores_of(networks, responses.astype(np.float32), folds, block)
    one, equal, less = (
        Sampled(point.score[0, k].mean(), draws.score[:, k].mean(axis=-1), "item", n_blocks, widening_of(N_FOLDS))
        for k in range(3)
    )
    assert (one - equal).p_equivalent(0.05, 0) < 0.01 and (one - equal).p(0) > 0.05
    assert (one - less).p_equivalent(0.05, 0) > 0.5 and (one - less).p(0) < 0.05


def test_the_map_holds_margins_and_corrects_over_regions(make_planted, make_blocks, save, settings, contrast):
    fold = make_blocks(samples_per_block=60)
    options = {"regions": ["A", "B"], "subjects": ["s1"] * 2}
    paths = [
        save(make_planted(np.random.default_rng(seed), [heights], fold, model=model, **options))
        for seed, (model, heights) in enumerate((("net", (0.5, 0.5)), ("other", (0.5, 0.1))))
    ]
    asked = contrast("within", "net", "other", margin=0.2), contrast("unasked", "net", "other")
    analysis = AnalysisScores("a", "ridge", False, asked, ("A", "B"), ("net", "other"), paths)
    table = build_map(study="s", analyses=[analysis], inference=settings())["contrast"].set_index(
        ["contrast", "region"]
    )
    within = table.loc["within"]
    assert within["margin"].tolist() == [0.2, 0.2]
    p = within["p_equivalent"]
    assert p["A"] < 0.025 and p["B"] > 0.9
    assert within["p_equivalent_family"]["A"] == pytest.approx(2 * p["A"])
    assert table.loc["unasked", ["margin", "p_equivalent", "p_equivalent_family"]].isna().all(axis=None)
