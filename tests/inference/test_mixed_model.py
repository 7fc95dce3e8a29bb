"""A mixed model of differences, with subjects and blocks both as samples."""

import warnings

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from pipeline.inference.estimates import estimate_places
from pipeline.inference.places import list_places
from pipeline.inference.scores.encoding_batches import encoding_batches
from pipeline.inference.scores.mixed_model import mean_and_error, mixed_p
from pipeline.inference.stage import AnalysisScores, build_map


def drawn(rng, n_subjects, n_folds, of_subjects, of_folds, mean=0.0):
    subjects, folds = of_subjects * rng.standard_normal((n_subjects, 1)), of_folds * rng.standard_normal((1, n_folds))
    return mean + subjects + folds + rng.standard_normal((n_subjects, n_folds))


def fitted_by_statsmodels(values):
    """Mean and standard error."""
    columns = [np.eye(n)[index.ravel()] for n, index in zip(values.shape, np.indices(values.shape), strict=True)]
    names = [[[f"{name}{i}" for i in range(n)]] for name, n in zip("sf", values.shape, strict=True)]
    parts = VCSpec(["subject", "fold"], names, [[one] for one in columns])
    model = MixedLM(values.ravel(), np.ones((values.size, 1)), groups=np.zeros(values.size), exog_vc=parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = model.fit(reml=True, method=["lbfgs", "powell"])
    return found.fe_params[0], found.bse_fe[0]


def fitted_by_likelihood(values):
    """The same by a search for the largest REML likelihood: at the edge MixedLM stops before it is there."""
    (n_subjects, n_folds), ones = values.shape, np.ones(values.size)
    of_subjects = np.kron(np.eye(n_subjects), np.ones((n_folds, n_folds)))
    of_folds = np.kron(np.ones((n_subjects, n_subjects)), np.eye(n_folds))

    def likelihood(logs):
        subjects, folds, rest = np.exp(logs)
        covariance = rest * np.eye(values.size) + subjects * of_subjects + folds * of_folds
        inverse = np.linalg.inv(covariance)
        information = ones @ inverse @ ones
        mean = ones @ inverse @ values.ravel() / information
        left = values.ravel() - mean
        lost = (np.linalg.slogdet(covariance)[1] + np.log(information) + left @ inverse @ left) / 2
        return lost, (mean, information**-0.5)

    starts = ([-5, 0, 0], [0, -5, 0], [-20, -1, 0])
    search = {"method": "Nelder-Mead", "options": {"maxiter": 4000, "xatol": 1e-8, "fatol": 1e-10}}
    found = [optimize.minimize(lambda logs: likelihood(logs)[0], start, **search) for start in starts]
    return likelihood(min(found, key=lambda one: one.fun).x)[1]


@pytest.mark.parametrize(("n_subjects", "n_folds"), [(8, 5), (12, 6)])
def test_the_closed_form_is_the_fit_of_statsmodels(n_subjects, n_folds):
    values = drawn(np.random.default_rng(0), n_subjects, n_folds, 0.9, 0.9, mean=0.4)
    mean, error, _ = mean_and_error(values)
    assert (mean, error) == pytest.approx(fitted_by_statsmodels(values), rel=1e-3)


def test_at_the_edge_variances_are_pooled():
    """Rows of one profile with the same mean: subjects vary less than the rest would have them do."""
    values = drawn(np.random.default_rng(1), 8, 5, 0.0, 1.0)
    values -= values.mean(axis=1, keepdims=True) - 0.3
    mean, error, _ = mean_and_error(values)
    assert (mean, error) == pytest.approx(fitted_by_likelihood(values), rel=1e-4)


@pytest.mark.parametrize("of_folds", [0.3, 1.0])
def test_effects_of_blocks_that_all_subjects_share_are_found_no_more_often_than_stated(of_folds):
    rng, n = np.random.default_rng(2), 1500
    sets = [drawn(rng, 8, 5, 0.5, of_folds) for _ in range(n)]
    level = 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
    assert np.mean([mixed_p(one, 8) < 0.05 for one in sets]) <= level
    over_subjects = stats.ttest_1samp(np.array(sets).mean(axis=2), 0, axis=1).pvalue
    assert (over_subjects < 0.05).mean() > level


def test_a_difference_in_all_blocks_is_found_and_one_in_a_single_block_is_not():
    rng = np.random.default_rng(3)
    everywhere = drawn(rng, 12, 5, 0.3, 0.3, mean=2.0)
    assert mixed_p(everywhere, 12) < 0.01
    one_block = 0.1 * rng.standard_normal((12, 5)) + 2.0 * (np.arange(5) == 0)
    assert mixed_p(one_block, 12) > 0.2 and stats.ttest_1samp(one_block.mean(axis=1), 0).pvalue < 1e-6


def test_it_is_made_of_each_subjects_own_folds(make_planted, make_blocks, save, settings):
    """One target each: the mean over equal folds, at layers of one's own choice, is one's own score."""
    subjects = [f"s{i}" for i in range(8)]
    heights = np.random.default_rng(5).uniform(0.1, 0.5, (3, 8))
    scores = make_planted(np.random.default_rng(6), heights, make_blocks(), subjects=subjects, n_subjects=8)
    [batch] = encoding_batches({"g": {"net": save(scores)}}, "ridge", False, settings())
    places = list_places(batch.targets, ["R"])
    together, alone, *_ = estimate_places(batch, batch.load("net"), places, settings(n_bootstrap=20))[""]
    nested, at_layers = together.by_fold
    assert nested.shape == (8, 5) and at_layers.shape == (8, 5, 3) and alone.by_fold is None
    np.testing.assert_allclose(np.tanh(nested.mean(axis=1)), together.own.nested, atol=1e-9)
    np.testing.assert_allclose(np.tanh(at_layers.mean(axis=1)), together.own.score, atol=1e-9)


def test_there_is_none_of_few_subjects_or_folds():
    values = drawn(np.random.default_rng(4), 8, 5, 1, 1)
    lacking = np.where(np.arange(8)[:, None] < 3, np.nan, values)
    for none in (mixed_p(None, 8), mixed_p(values[:5], 5), mixed_p(values[:, :2], 8), mixed_p(lacking, 5)):
        assert np.isnan(none)
    assert np.isnan(mixed_p(lacking, 8)) and np.isnan(mixed_p(np.zeros((8, 5)), 8))


def test_the_map_holds_it_for_contrasts_over_subjects(make_planted, make_blocks, save, settings, contrast):
    subjects = [f"s{i}" for i in range(8)]
    fold = make_blocks(samples_per_block=40)
    options = {"regions": ["A"] * 8, "subjects": subjects, "n_subjects": 8}
    paths = [
        save(make_planted(np.random.default_rng(seed), heights, fold, model=model, **options))
        for seed, (model, heights) in enumerate((("net", [[0.5] * 8, [0.3] * 8]), ("other", [[0.1] * 8, [0.3] * 8])))
    ]
    asked = contrast("nested", "net", "other"), contrast("fixed", "net", "other", layer="layer1")
    analysis = AnalysisScores("a", "ridge", False, asked, ("A",), ("net", "other"), paths)
    table = build_map(study="s", analyses=[analysis], inference=settings())["contrast"]
    table = table.set_index(["contrast", "subject"])
    nested = table.loc[("nested", "all")]
    assert nested["p_mixed"] < 0.05 and nested["p"] < 0.05
    assert np.isfinite(table.loc[("fixed", "all"), "p_mixed"])
    assert table.loc[("nested", "s0"), "p_mixed"] != table.loc[("nested", "s0"), "p_mixed"]  # NaN: blocks were drawn
