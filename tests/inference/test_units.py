"""Maps of single units: as regions are scored, with p-values that hold, and the mesh they are painted on."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.artifacts.map import TABLES, open_map, write_map
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import SampleMismatch
from pipeline.inference.layer_choice import by_depth, most_frequent
from pipeline.inference.profile import estimate
from pipeline.inference.questions.units import UNITS_AT_ONCE, false_discovery_rate, score_units
from pipeline.inference.scores.bootstrap import draw_counts, generator
from pipeline.inference.scores.fold_scores import block_sums, fold_scores
from pipeline.inference.stage import AnalysisScores, build_map

pytestmark = pytest.mark.slow

DEPTHS = np.linspace(0, 1, 4)


def painted(scores, names, n_subjects, mesh="fsaverage5"):
    """Targets are ``names`` for each subject in turn; each unit is painted on two vertices, the first is bare."""
    vertices = ["", *(name for name in names for _ in range(2)), ""]
    vertices += [""] * (len(vertices) % 2)
    return (
        with_orders(scores, names, n_subjects)
        .assign_coords(
            unit=("target", np.array(list(names) * n_subjects, object)),
            hemisphere=(
                "target",
                np.array([{"l": "left", "r": "right"}[name[0]] for name in names] * n_subjects, object),
            ),
            vertex=("target", np.full(len(names) * n_subjects, -1)),
            surface_unit=("surface_vertex", np.array(vertices, object)),
        )
        .assign_attrs(surface_mesh=mesh)
    )


def with_orders(scores, names, n_subjects, n_orders=199):
    """Each unit's score in other orders of the responses, 0 ± .05, behind that in the given one."""
    sums, rng = block_sums(scores), np.random.default_rng(5)
    subjects = scores["subject"].values[:: len(names)]
    found = {}
    for subject, rows in (("all", np.flatnonzero(subjects != "mean")), ("mean", np.flatnonzero(subjects == "mean"))):
        for unit, name in enumerate(names):
            kept = [row * len(names) + unit for row in rows if not scores["constant"].values[row * len(names) + unit]]
            if kept:
                own = score_units(fold_scores(sums), np.array([kept]), by_depth(DEPTHS)).score[0, 0]
                found[subject, name] = np.r_[own, 0.05 * rng.standard_normal(n_orders)]
    n_folds, by_leaf = scores.sizes["fold_id"], ("order", "fold_id", "layer", "leaf")
    leaves = np.zeros((1 + n_orders, n_folds, scores.sizes["layer"], 1), np.float32)
    assert n_subjects == len(subjects)
    return scores.assign(
        null_z=(by_leaf, leaves),
        null_inner=(by_leaf, leaves),
        leaf_of=("target", np.zeros(scores.sizes["target"], int)),
        fold_weight=("fold_id", np.ones(n_folds)),
        order_code=("order", np.arange(1 + n_orders)),
        null_unit=(("order", "null_unit_name"), np.stack(list(found.values()), axis=1)),
        null_unit_subject=("null_unit_name", np.array([subject for subject, _ in found], object)),
        null_unit_name=("null_unit_name", np.array([name for _, name in found], object)),
    )


def planted_units(make_planted, fold, strengths, n_subjects, *, mean=False, seed=0, **options):
    """``strengths`` (layer, unit), the same in every listener."""
    names = [f"{'lr'[i % 2]}h-{i}" for i in range(strengths.shape[1])]
    subjects = [*(f"s{i:02d}" for i in range(n_subjects)), *(["mean"] if mean else [])]
    scores = make_planted(
        np.random.default_rng(seed),
        np.tile(strengths, len(subjects)),
        fold,
        regions=[f"R{i % 3}" for i in range(len(names))] * len(subjects),
        subjects=[subject for subject in subjects for _ in names],
        n_subjects=n_subjects,
        **options,
    )
    return painted(scores, names, len(subjects))


def peaked(peak, height, n_layers=4):
    return height * np.exp(-(((np.arange(n_layers) - peak) / 0.7) ** 2))


def tables_of(scores, save, settings, models=("net",), **changes):
    paths = [save(one) for one in (scores if isinstance(scores, list) else [scores])]
    analysis = AnalysisScores("story", "ridge", False, (), ["R0", "R1", "R2"], list(models), paths)
    return build_map(study="s", analyses=[analysis], inference=settings(**changes))


@pytest.mark.parametrize("missing", [False, True])
def test_a_unit_is_scored_as_a_region_of_the_same_targets(make_planted, make_blocks, missing):
    rng = np.random.default_rng(0)
    scores = make_planted(rng, rng.uniform(0, 0.5, (4, 15)), make_blocks())
    sums, counts = block_sums(scores), draw_counts(30, 7, generator(0, "unit"))
    columns = np.arange(15).reshape(3, 5).T.copy()  # five units of three listeners
    if missing:
        columns[1, 2], columns[3, :2], columns[4] = -1, -1, -1
    for drawn in (fold_scores(sums), fold_scores(sums, counts)):
        found = score_units(drawn, columns, by_depth(DEPTHS))
        for unit, targets in enumerate(columns):
            there = targets[targets >= 0]
            if not there.size:
                assert np.isnan(found.score[:, unit]).all() and not found.is_named[..., unit].any()
                continue
            expected = estimate(drawn, there, np.ones((1, there.size)), DEPTHS)
            np.testing.assert_allclose(found.score[:, unit], expected.nested, atol=1e-6)
            np.testing.assert_array_equal(
                most_frequent(found.named[..., unit], found.is_named[..., unit], by_depth(DEPTHS)), expected.best
            )


def test_planted_units_come_back_for_all_listeners_and_their_mean(make_planted, make_blocks, save, settings):
    strengths = np.stack([peaked(1, 0.5), peaked(3, 0.5), np.zeros(4)], axis=1)
    scores = planted_units(make_planted, make_blocks(samples_per_block=40), strengths, 3, mean=True)
    twin = planted_units(make_planted, make_blocks(samples_per_block=40), strengths, 3, mean=True, model="net@random-0")
    tables = tables_of([scores, twin], save, settings, ("net", "net@random-0"))
    table = tables["unit"]
    assert list(table.columns) == list(TABLES["unit"]) and set(table["model"]) == {"net"}
    assert table[["subject", "unit", "hemisphere", "region", "vertex", "n_subjects"]].to_numpy().tolist() == [
        [subject, f"{hemisphere[0]}h-{i}", hemisphere, f"R{i}", -1, 3]
        for subject in ("all", "mean")
        for i, hemisphere in enumerate(("left", "right", "left"))
    ]
    for subject in ("all", "mean"):
        own = table[table["subject"] == subject]
        assert own["significant"].tolist()[:2] == [1, 1] and own["q"].iloc[2] > 0.05
        assert own["p_family"].tolist()[:2] == [0.005] * 2 and (own["p"].iloc[:2] < 0.002).all()
        assert own["n_permutations"].tolist() == [199] * 3
        assert own["best_layer"].tolist()[:2] == ["layer1", "layer3"]
        assert own["best_layer_depth"].tolist()[:2] == pytest.approx([1 / 3, 1])
        assert own["ci_unit"].unique().tolist() == ["block"]
        assert (own["ci_low"] < own["score"]).all() and (own["score"] < own["ci_high"]).all()
    # the same targets make up a region here, so its summary has the same numbers
    region = tables["summary"].query("model == 'net' and subject == 'all' and region == 'R0'").iloc[0]
    unit = table.iloc[0]
    for column, other in (("score", "best_layer_score"), ("ci_low", "ci_low"), ("ci_high", "ci_high")):
        assert unit[column] == pytest.approx(region[other], abs=1e-6)


def test_eight_listeners_or_more_are_tested_over_listeners(make_planted, make_blocks, save, settings):
    strengths = np.stack([peaked(1, 0.4), np.zeros(4)], axis=1)
    scores = planted_units(make_planted, make_blocks(), strengths, 9)
    tables = tables_of(scores, save, settings)
    table = tables["unit"]
    assert table["ci_unit"].unique().tolist() == ["subject"] and table["n_subjects"].tolist() == [9, 9]
    point = fold_scores(block_sums(scores))
    for unit, row in enumerate(table.itertuples()):
        own = [estimate(point, np.array([target]), np.ones((1, 1)), DEPTHS).nested[0] for target in range(unit, 18, 2)]
        assert row.p == pytest.approx(stats.ttest_1samp(np.arctanh(own), 0, alternative="greater").pvalue)
        region = tables["summary"].query(f"subject == 'all' and region == 'R{unit}'").iloc[0]
        expected = region[["best_layer_score", "ci_low", "ci_high"]].tolist()
        assert [row.score, row.ci_low, row.ci_high] == pytest.approx(expected, abs=1e-6)
    assert table["p"].iloc[0] < 1e-5 and table["significant"].tolist() == [1, 0]


def test_p_values_of_noise_over_listeners_are_uniform(make_planted, make_blocks, save, settings):
    scores = planted_units(make_planted, make_blocks(samples_per_block=10), np.zeros((4, 400)), 10)
    table = tables_of(scores, save, settings)["unit"]
    for level in (0.05, 0.2, 0.5):
        slack = 3.5 * np.sqrt(level * (1 - level) / 400) + 0.01
        assert abs((table["p"] < level).mean() - level) < slack
    assert table["significant"].sum() <= 2 and (table["n_permutations"] == 0).all()


def test_units_without_other_orders_have_no_p(make_planted, make_blocks, save, settings):
    scores = planted_units(make_planted, make_blocks(), np.full((4, 2), 0.4), 2)
    without = scores.drop_vars([name for name in scores.variables if name.startswith("null_")])
    table = tables_of(without, save, settings)["unit"]
    assert table[["p", "p_family", "q"]].isna().all(axis=None) and (table[["n_permutations", "significant"]] == 0).all(
        axis=None
    )


def test_false_discovery_rate_steps_up_and_passes_undefined_units():
    q = false_discovery_rate(np.array([0.01, 0.04, np.nan, 0.03, 0.5]))
    assert q.tolist() == pytest.approx([0.04, 0.16 / 3, np.nan, 0.16 / 3, 0.5], nan_ok=True)
    assert np.isnan(false_discovery_rate(np.array([np.nan]))).all()


def test_chunks_of_units_change_nothing(make_planted, make_blocks, save, settings, monkeypatch):
    assert UNITS_AT_ONCE > 7
    rng = np.random.default_rng(1)
    scores = planted_units(make_planted, make_blocks(), rng.uniform(0, 0.4, (4, 7)), 2)
    whole = tables_of(scores, save, settings)["unit"]
    monkeypatch.setattr("pipeline.inference.questions.units.UNITS_AT_ONCE", 3)
    # matrix products of another size may be rounded otherwise
    pd.testing.assert_frame_equal(tables_of(scores, save, settings)["unit"], whole, check_exact=False, rtol=1e-12)


def test_a_constant_target_drops_from_its_unit(make_scores, make_blocks, save, settings):
    rng = np.random.default_rng(2)
    fold, block = make_blocks()
    y = rng.standard_normal((fold.size, 4))
    p = 0.6 * y[:, None] + rng.standard_normal((fold.size, 4, 4))
    y[:, 1] = y[:, 3] = y[:, 2] = 1.0
    scores = make_scores(p, y, fold, block, regions=["R0", "R1"] * 2, subjects=["a", "a", "b", "b"], n_subjects=2)
    table = tables_of(painted(scores, ["lh-0", "rh-1"], 2), save, settings)["unit"]
    assert table["n_subjects"].tolist() == [1, 0] and table["best_layer"].iloc[1] == ""
    assert table["score"].iloc[0] > 0.3 and table[["score", "p", "q", "best_layer_depth"]].iloc[1].isna().all()
    assert table["significant"].tolist() == [1, 0]


def test_the_mesh_is_kept_and_the_tables_come_back(make_planted, make_blocks, save, settings, tmp_path):
    scores = planted_units(make_planted, make_blocks(), np.full((4, 2), 0.3), 1)
    tables = tables_of(scores, save, settings)
    assert tables["surface"].to_numpy().tolist() == [
        ["s", "story", "fsaverage5", "left", 1, "lh-0"],
        ["s", "story", "fsaverage5", "left", 2, "lh-0"],
        ["s", "story", "fsaverage5", "right", 0, "rh-1"],
        ["s", "story", "fsaverage5", "right", 1, "rh-1"],
    ]
    assert tables["unit"]["subject"].unique().tolist() == ["s00"]
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "s"}, tmp_path / "s.nc")
    opened, _ = open_map(tmp_path / "s.nc")
    assert opened["surface"].equals(tables["surface"]) and len(opened["unit"]) == 2
    for name in ("s-units.csv", "s-surface.csv"):
        assert (tmp_path / name).read_text().startswith("study,analysis,")


def test_without_a_surface_both_tables_are_empty(make_planted, make_blocks, save, settings, tmp_path):
    scores = planted_units(make_planted, make_blocks(), np.full((4, 2), 0.3), 1).drop_vars("surface_unit")
    tables = tables_of(scores, save, settings)
    assert len(tables["unit"]) == len(tables["surface"]) == 0
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "s"}, tmp_path / "s.nc")
    assert (tmp_path / "s-units.csv").read_text().strip() == ",".join(TABLES["unit"])
    assert len(open_map(tmp_path / "s.nc")[0]["unit"]) == 0


def test_groups_that_show_other_units_on_a_vertex_are_refused(make_planted, make_blocks, save, settings):
    one = planted_units(make_planted, make_blocks(), np.full((4, 2), 0.3), 1)
    other = planted_units(make_planted, make_blocks(), np.full((4, 2), 0.3), 1, group="other", seed=1)
    lacking = other.assign_coords(surface_unit=other["surface_unit"].where(other["surface_unit"] != "rh-1", ""))
    assert len(tables_of([one, lacking], save, settings)["surface"]) == 4
    swapped = other.assign_coords(surface_unit=("surface_vertex", other["surface_unit"].values[::-1]))
    with pytest.raises(SampleMismatch, match=r"other/net\.nc .* show different units on one vertex"):
        tables_of([one, swapped], save, settings)
