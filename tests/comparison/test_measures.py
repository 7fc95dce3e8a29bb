"""Every measure through stage `compare` and the map: a planted layer is found, and noise has the p that it should."""

import functools

import numpy as np
import pytest

from pipeline.artifacts.scores import write_scores
from pipeline.comparison.ceilings import KIND, NO_KIND, REPEATS_KIND
from pipeline.comparison.measures import MEASURES
from pipeline.comparison.options import CkaOptions, RsaOptions
from pipeline.comparison.similarity import compare, item_products, upper_triangle
from pipeline.comparison.stage import compare_group
from pipeline.core.errors import BadConfiguration, LayermapError
from pipeline.inference.stage import AnalysisScores, build_map
from tests.comparison.test_compare_stage import ITEMS, measured, scores_of
from tests.inference_settings import Settings

pytestmark = pytest.mark.slow

ATTRS = {"study": "s", "analysis": "a", "group": "g", "created_by": "test", "config_sha": "c", "inputs_sha": "i"}
NEW = ["cosine", "whitened_cosine", "whitened_pearson", "debiased_cka"]
scored = functools.partial(compare_group, layers=None, attrs=ATTRS, shuffle_seed=None)


def options_of(comparison, **more):
    return CkaOptions(**more) if comparison == "debiased_cka" else RsaOptions(comparison=comparison, **more)


def summary_of(study, scores, regions, **settings):
    path = study.folder / "scores.nc"
    write_scores(scores, path)
    analysis = AnalysisScores("a", str(scores.attrs["metric"]), False, [], regions, ["net"], [path])
    return build_map(study="s", analyses=[analysis], inference=Settings(**settings))["summary"]


@pytest.fixture
def pictures(make_layers):
    """Five layers' features of 40 pictures."""
    return {name: values[::5] for name, values in make_layers(np.random.default_rng(0)).items()}


@pytest.mark.parametrize("comparison", NEW)
def test_the_planted_layer_is_found_and_noise_is_not(study, pictures, make_cells, make_recording, comparison):
    """Three animals with cells that read out layer 1, cells that read out layer 4, and cells of noise."""
    rng = np.random.default_rng(1)
    regions = {"early": (pictures["layer1"], 0.5), "late": (pictures["layer4"], 0.5), "noise": (pictures["layer1"], 0)}
    herd = []
    for name in ("a", "b", "c"):
        cells = [make_cells(rng, features, n_cells=40, signal=signal) for features, signal in regions.values()]
        of = np.repeat(list(regions), 40).tolist()
        herd.append(make_recording(np.concatenate(cells, axis=2), subject=name, regions=of, member=name, items=ITEMS))
    scores = scored(runs=study.runs(herd, pictures, items=ITEMS), options=options_of(comparison))
    by_p_alone = comparison in ("cosine", "whitened_cosine")
    assert scores.attrs["comparison"] == comparison
    assert set(scores["ceiling_kind"].values) == {NO_KIND if by_p_alone else KIND}
    summary = summary_of(study, scores, list(regions), n_bootstrap=60)
    found = summary[summary["subject"] == "all"].set_index("region")
    assert found.loc[["early", "late"], "best_layer"].tolist() == ["layer1", "layer4"]
    assert (found.loc[["early", "late"], "p_family"] < 0.05).all() and found.loc["noise", "p_family"] > 0.05
    assert (found["n_permutations"] == 199).all() and (found["ci_low"] < found["best_layer_score"]).all()
    # cosines of distances are large whatever is compared: noise is told by its p, not by its interval
    assert (found.loc["noise", "ci_low"] > 0) == by_p_alone
    row = found.loc["early"]
    assert np.isnan(found.loc["noise", "ceiling"]) and np.isnan(row["ceiling"]) == by_p_alone
    assert by_p_alone or 0.5 < row["score_normalised"] < 1.1


@pytest.mark.parametrize("comparison", NEW)
def test_p_of_noise_is_uniform(study, pictures, make_cells, make_recording, comparison):
    """Sixty regions of noise in one animal."""
    rng, n = np.random.default_rng(2), 60
    cells = np.concatenate([make_cells(rng, pictures["layer0"], n_cells=8, signal=0) for _ in range(n)], axis=2)
    regions = [f"r{number:02d}" for number in range(n)]
    one = make_recording(cells, regions=np.repeat(regions, 8).tolist(), items=ITEMS)
    two = {name: pictures[name] for name in ("layer0", "layer1")}
    scores = scored(runs=study.runs([one], two, items=ITEMS), options=options_of(comparison, n_splits=4))
    summary = summary_of(study, scores, regions, n_bootstrap=20, permutations=99)
    p = summary[summary["subject"] == "m0"]["p"].to_numpy()
    assert p.size == n and (p <= 0.05).sum() <= 8 and 0.38 < p.mean() < 0.62
    assert set(scores["ceiling_kind"].values) <= {REPEATS_KIND, NO_KIND}


def test_kernels_are_products_of_features_less_their_means(study, pictures, make_cells, make_recording):
    cells = make_cells(np.random.default_rng(3), pictures["layer1"])
    scores = scored(runs=study.runs([make_recording(cells, items=ITEMS)], pictures, items=ITEMS), options=CkaOptions())
    features = pictures["layer2"].astype(np.float32).astype(np.float64)
    features -= features.mean(axis=0)
    kernel = features @ features.T
    np.testing.assert_allclose(scores["model_similarity"].values[2], kernel / np.diag(kernel).mean(), atol=1e-6)
    assert scores.attrs["similarity"] == "inner_product" and scores.attrs["metric"] == "cka"


def test_products_do_not_depend_on_parts_and_are_zero_where_nothing_varies(monkeypatch):
    features = (np.random.default_rng(4).standard_normal((7, 1000)) + 1e3).astype(np.float32)
    whole = item_products(features)
    assert np.diag(whole).mean() == pytest.approx(1)
    monkeypatch.setattr("pipeline.comparison.similarity.BYTES_AT_ONCE", 300 * 7 * 8)
    np.testing.assert_allclose(item_products(features), whole, atol=1e-12)
    constant = item_products(np.full((7, 5), 0.1, np.float32))
    assert not constant.any()
    assert compare(upper_triangle(constant), upper_triangle(whole), "debiased_cka") == 0


def test_published_correlations_have_no_kernel_and_no_reliability_of_cosines(tmp_path, pictures):
    matrices = {("V1", "4"): measured(pictures["layer1"], 0.5, 1)}
    with pytest.raises(BadConfiguration, match=r"^cka needs a recording of responses, .*g\.nc holds correlations"):
        scores_of(tmp_path, pictures, matrices, CkaOptions())
    for comparison, known in (("pearson", True), ("whitened_cosine", False)):
        folder = tmp_path / comparison
        folder.mkdir()
        scores = scores_of(folder, pictures, matrices, RsaOptions(comparison=comparison))
        assert np.isfinite(scores["ceiling"].values).all() == known
        assert scores["ceiling_kind"].values.tolist() == ["√(split-half)" if known else "none"]


def test_an_unknown_measure_in_scores_is_one_line(study, pictures, make_cells, make_recording):
    one = make_recording(make_cells(np.random.default_rng(5), pictures["layer1"]), items=ITEMS)
    scores = scored(runs=study.runs([one], pictures, items=ITEMS), options=RsaOptions())
    with pytest.raises(LayermapError, match=r"scores\.nc has comparison 'bures', which is none of: spearman, kendall"):
        summary_of(study, scores.assign_attrs(comparison="bures"), ["VISp"])


def test_what_is_zero_by_chance():
    assert {name for name, one in MEASURES.items() if not one.zero_is_chance} == {"cosine", "whitened_cosine"}
