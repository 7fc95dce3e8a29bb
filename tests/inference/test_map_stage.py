"""Whole maps from synthetic scores of known truth."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from pipeline.artifacts.map import TABLES, open_map, write_map
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact, SampleMismatch, UnknownName
from pipeline.inference import stage
from pipeline.inference.questions.region_order import ShareOfOrders, orders_as_strong, rank_correlation
from pipeline.inference.stage import AnalysisScores, build_map

pytestmark = pytest.mark.slow

REGIONS = ["early", "late", "noise"]


def analysis(paths, models, contrasts=(), within=False):
    return AnalysisScores("story", "ridge", within, contrasts, REGIONS, models, paths)


def profile(peak, height, n_layers=7):
    return height * np.exp(-(((np.arange(n_layers) - peak) / 0.8) ** 2))


def listeners(make_planted, fold, n_subjects=10, model="net", height=0.7, seed=0, objective="supervised"):
    """Regions early (layer 1), late (layer 5) and noise for each subject and their mean, which is less noisy."""
    columns, regions, subjects = [], [], []
    for subject in [*(f"s{i:02d}" for i in range(n_subjects)), "mean"]:
        for region, peak, scale in zip(REGIONS, (1, 5, 0), (1, 1, 0), strict=True):
            columns.append(profile(peak, height * scale * (1.2 if subject == "mean" else 1)))
            regions.append(region)
            subjects.append(subject)
    return make_planted(
        np.random.default_rng(seed),
        np.stack(columns, axis=1),
        fold,
        regions=regions,
        subjects=subjects,
        model=model,
        objective=objective,
        n_subjects=n_subjects,
    )


def pick(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame


def test_planted_depths_come_back_for_all_mean_and_each_subject(make_planted, make_blocks, save, settings):
    scores = listeners(make_planted, make_blocks(samples_per_block=40))
    tables = build_map(study="s", analyses=[analysis([save(scores)], ["net"])], inference=settings())
    for table, columns in TABLES.items():
        assert list(tables[table].columns) == list(columns)
    summary = tables["summary"]
    assert summary["subject"].unique().tolist() == ["all", "mean", *(f"s{i:02d}" for i in range(10))]
    for subject in ("all", "mean", "s03"):
        for region, layer, depth in (("early", "layer1", 1 / 6), ("late", "layer5", 5 / 6)):
            row = pick(summary, subject=subject, region=region).iloc[0]
            assert row["best_layer"] == layer and layer in row["best_layer_set"].split(" | ")
            assert row["depth_index"] == pytest.approx(depth, abs=0.12)
            assert row["ci_low"] < row["best_layer_score"] < row["ci_high"]
            assert row["distinguishable"] == 1
            assert row["hierarchy_index"] == (1 + int(layer[-1])) / 7
            assert row["hierarchy_ci_low"] <= row["hierarchy_index"] <= row["hierarchy_ci_high"]
    noise = pick(summary, subject="all", region="noise").iloc[0]
    assert noise["ci_low"] < 0 < noise["ci_high"] and np.isnan(noise["depth_index"])
    assert noise["hierarchy_ci_high"] - noise["hierarchy_ci_low"] > 0.5  # chosen by chance, and shown to be
    assert pick(summary, subject="all")["ci_unit"].unique().tolist() == ["subject"]
    assert pick(summary, subject="all")["n_subjects"].tolist() == [10] * 3
    assert pick(summary, subject="mean")["n_subjects"].tolist() == [10] * 3
    assert pick(summary, subject="s01")["ci_unit"].unique().tolist() == ["block"]


def test_all_is_the_mean_of_the_subjects_scores(make_planted, make_blocks, save, settings):
    scores = listeners(make_planted, make_blocks())
    rows = build_map(study="s", analyses=[analysis([save(scores)], ["net"])], inference=settings())["row"]
    late = pick(rows, region="late", layer="layer5")
    single = late[late["subject"].str.startswith("s")]
    together = pick(late, subject="all").iloc[0]
    assert together["score"] == pytest.approx(single["score"].mean(), abs=1e-12)
    assert together["reliability"] == 0.5  # of subjects that all deviate alike: an error of .01 √20 with 19 df
    assert together["reliability_ci_low"] == pytest.approx(1 - 0.5 * np.exp(2.093 * 0.01 * np.sqrt(20) / 0.5), abs=1e-4)
    assert together["score_normalised"] == pytest.approx(single["score"].mean() / np.sqrt(0.5), abs=1e-9)
    spread = single["score"].std(ddof=0) / np.sqrt(10)
    assert together["ci_high"] - together["ci_low"] == pytest.approx(2 * 1.96 * spread, rel=0.25)
    assert together["r2"] == pytest.approx(single["r2"].mean(), abs=1e-12)
    assert together["r2_normalised"] == pytest.approx(single["r2"].mean() / 0.5, abs=1e-9)
    assert together["r2_ci_low"] < together["r2"] < together["r2_ci_high"]


def test_ends_of_the_grid_and_constant_targets_are_counted(make_planted, make_blocks, save, settings):
    """Three targets, the last constant: its penalties count nowhere; in the summary only the layers scored do."""
    fold = make_blocks()
    scores = make_planted(np.random.default_rng(0), np.tile(profile(3, 0.6)[:, None], 3), fold, reliability=[0.5] * 3)
    scores["sum_y"][:, 2], scores["sum_y2"][:, 2], scores["constant"][2] = 0.0, 0.0, 1
    scores["penalty_edge"][:, 3, 0] = -1
    scores["penalty_edge"][0, 3, 1] = 1
    scores["penalty_edge"][:, 0] = 1
    path = save(scores)
    tables = build_map(study="s", analyses=[analysis([path], ["net"])], inference=settings())
    rows, summary = tables["row"].set_index("layer"), tables["summary"].iloc[0]
    edges = ["penalty_edge_low", "penalty_edge_high"]
    assert rows.loc["layer3", edges].tolist() == summary[edges].tolist() == [0.5, 0.1]
    assert rows.loc["layer0", edges].tolist() == [0, 1]
    assert (summary["n_targets"], summary["n_constant"]) == (2, 1)
    assert summary["best_layer"] == "layer3" and set(summary["best_layer_choices"].split(" | ")) == {"layer3"}
    assert summary["r2"] == pytest.approx(rows.loc["layer3", "r2"], abs=1e-9)
    assert summary["r2_normalised"] == pytest.approx(summary["r2"] / 0.5, abs=1e-9)
    assert summary["r2_ci_low"] < summary["r2"] < summary["r2_ci_high"]
    # predictions of the right size: 2 · r · SD(p) − SD(p)² of the variance
    assert summary["r2"] == pytest.approx(2 * 0.6 - 1, abs=0.1)
    save(scores.assign_attrs(penalties="none"))
    tables = build_map(study="s", analyses=[analysis([path], ["net"])], inference=settings())
    assert tables["row"][edges].isna().all(axis=None) and tables["summary"][edges].isna().all(axis=None)


def test_few_subjects_take_blocks_and_groups_that_agree_are_combined(make_planted, make_blocks, save, settings):
    rng = np.random.default_rng(1)
    strengths = profile(3, 0.6)[:, None]
    groups = [
        make_planted(rng, strengths, make_blocks(), group=f"mouse{i}", subjects=[f"m{i}"], regions=["V"])
        for i in range(3)
    ]
    other = make_planted(rng, strengths, make_blocks(n_folds=4), group="mouse3", subjects=["m3"], regions=["V"])
    paths = [save(group) for group in [*groups, other]]
    summary = build_map(study="s", analyses=[analysis(paths, ["net"])], inference=settings())["summary"]
    assert summary[["group", "subject", "n_subjects", "ci_unit"]].to_numpy().tolist() == [
        ["all", "all", 3, "block"],
        *([f"mouse{i}", f"m{i}", 1, "block"] for i in range(4)),
    ]


def test_blocks_of_other_stimuli_are_never_the_same(make_planted, make_blocks, save, settings):
    """Two stories of one length are divided alike; scores that do not say their stimulus are of any."""
    rng = np.random.default_rng(1)

    def story(group, stimulus):
        scores = make_planted(
            rng, profile(3, 0.6)[:, None], make_blocks(), group=group, subjects=[group], regions=["V"]
        )
        return save(scores.assign_coords(block_stimulus=("block", np.array([stimulus] * 30, object))))

    same, other = [story("a", "pieman"), story("b", "pieman")], story("c", "tunnel")
    unsaid = save(make_planted(rng, profile(3, 0.6)[:, None], make_blocks(), group="d", subjects=["d"], regions=["V"]))
    for paths, subjects in (
        (same, ["all", "a", "b"]),
        ([same[0], other], ["a", "c"]),
        ([other, unsaid], ["all", "c", "d"]),
    ):
        summary = build_map(study="s", analyses=[analysis(paths, ["net"])], inference=settings())["summary"]
        assert summary["subject"].tolist() == subjects


def test_contrast_recovers_a_known_difference(make_planted, make_blocks, save, settings, contrast):
    fold = make_blocks(samples_per_block=60)
    random, shuffled = ([f"net@{kind}-{seed}" for seed in range(n)] for kind, n in (("random", 5), ("shuffled", 2)))
    paths = [
        save(listeners(make_planted, fold, model="net", height=0.7)),
        *(
            save(listeners(make_planted, fold, model=name, height=0.2 + 0.05 * i, seed=1 + i, objective="random"))
            for i, name in enumerate(random)
        ),
        *(
            save(listeners(make_planted, fold, model=name, height=0.2 + 0.2 * i, seed=11 + i, objective="shuffled"))
            for i, name in enumerate(shuffled)
        ),
        save(listeners(make_planted, fold, model="rate", height=0.7, seed=3, objective="baseline")),
    ]
    contrasts = [
        contrast("over twins", "net", "net@random"),
        contrast("over few twins", "net", "net@shuffled"),
        contrast("over rate", "net", "rate"),
        contrast("layer 5 over twins", "net", "net@random", "layer5"),
    ]
    models = ["net", *random, *shuffled, "rate"]
    table = build_map(study="s", analyses=[analysis(paths, models, contrasts)], inference=settings())["contrast"]
    twins = pick(table, contrast="over twins", subject="all", region="late").iloc[0]
    assert twins["difference"] == pytest.approx(0.7 - 0.3, abs=0.04)
    assert (twins["n_references"], twins["best_reference_score"]) == (5, pytest.approx(0.4, abs=0.04))
    # one more seed: the seeds' SD of .079 times √(1 + 1/5), on four degrees of freedom or a little more
    assert 0.15 < twins["ci_low"] < 0.25 and 0.55 < twins["ci_high"] < 0.65 and 0 < twins["p"] < 0.02
    assert (twins["ci_unit"], twins["n_units"]) == ("subject", 10)
    said = "trained against the mean of 5 random twins of the same architecture"
    assert twins["statement"] == f"{said}, for one more seed"
    few = pick(table, contrast="over few twins", subject="all", region="late").iloc[0]
    assert few["difference"] == pytest.approx(0.7 - 0.3, abs=0.04) and few["n_references"] == 2
    assert np.isnan(few[["ci_low", "ci_high", "p"]].astype(float)).all()
    said = said.replace("5 random", "2 shuffled")
    values = few["statement"].removeprefix(f"{said}; 2 seeds: too few for an interval; values ")
    assert [float(one) for one in values.split(" | ")] == pytest.approx([0.2, 0.4], abs=0.04)
    own = pick(table, contrast="over rate", region="late")
    average, single = own[own["subject"] == "all"].iloc[0], own[~own["subject"].isin(["all", "mean"])]["difference"]
    expected = stats.ttest_1samp(single, 0).confidence_interval()
    assert average["difference"] == pytest.approx(single.mean()) and len(single) == 10
    assert average[["ci_low", "ci_high"]].tolist() == pytest.approx([expected.low, expected.high])
    assert average["model_score"] - average["reference_score"] == pytest.approx(average["difference"])
    rate = pick(table, contrast="over rate", subject="mean", region="late").iloc[0]
    assert rate["ci_low"] < 0 < rate["ci_high"] and rate["ci_unit"] == "block" and rate["n_units"] == 30
    assert "separate fits" in rate["statement"] and rate["p"] > 0.05
    assert (rate["n_references"], rate["best_reference_score"]) == (1, rate["reference_score"])
    fixed = pick(table, contrast="layer 5 over twins", subject="all").set_index("region")
    assert fixed.loc["early", "difference"] == pytest.approx(0, abs=0.05)
    assert fixed.loc["late", "difference"] == pytest.approx(0.4, abs=0.04)


def test_order_of_regions(make_planted, make_blocks, save, settings):
    scores = listeners(make_planted, make_blocks(samples_per_block=40))
    table = build_map(study="s", analyses=[analysis([save(scores)], ["net"])], inference=settings())["contrast"]
    assert set(table["subject"]) == {"all", "mean"}
    row = pick(table, contrast="depth order: early before late", subject="all").iloc[0]
    assert row["difference"] == pytest.approx(4 / 6) and row["p"] < 0.01
    assert "noise not predicted above 0" in pick(table, contrast="depth order: late before noise").iloc[0]["statement"]


def ranked(make_planted, make_blocks, save, settings, peaks, heights, order):
    names = [f"r{i}" for i in range(len(peaks))]
    scores = make_planted(
        np.random.default_rng(7),
        np.tile(np.stack([profile(peak, height) for peak, height in zip(peaks, heights, strict=True)], axis=1), 2),
        make_blocks(samples_per_block=40),
        regions=names * 2,
        subjects=["s0"] * len(names) + ["s1"] * len(names),
        n_subjects=2,
    )
    story = AnalysisScores("story", "ridge", False, (), order, ["net"], [save(scores)])
    table = build_map(study="s", analyses=[story], inference=settings())["contrast"]
    return table[table["contrast"].str.contains("rank correlation")]


def test_order_of_all_regions_by_rank(make_planted, make_blocks, save, settings):
    order = [f"r{i}" for i in range(6)]
    peaks, heights = (0, 2, 1, 4, 6, 3), (0.6, 0.6, 0.6, 0.6, 0.6, 0)
    rows = ranked(make_planted, make_blocks, save, settings, peaks, heights, order)
    assert rows["subject"].tolist() == ["all"]
    row = rows.iloc[0]
    assert row["contrast"] == "depth order: rank correlation of 5 regions" and row["region"] == "all regions"
    assert row["difference"] == pytest.approx(stats.spearmanr(range(5), peaks[:5])[0])
    assert row["ci_low"] <= row["difference"] <= row["ci_high"] and np.isnan(row["p"])
    assert "r5 not predicted above 0 and left out" in row["statement"]
    # places 0 2 1 3 4 are one step from the perfect order: ρ = .9 in 4 of 120 orders and 1 in one, and so reversed
    assert "; 10 of the 120 orders of these regions (8.3 %) would correlate as strongly" in row["statement"]
    reversed_order = ranked(make_planted, make_blocks, save, settings, peaks, heights, order[::-1]).iloc[0]
    assert reversed_order["difference"] == pytest.approx(-row["difference"])
    assert ranked(make_planted, make_blocks, save, settings, peaks[:3], heights[:3], order).empty
    flat = ranked(make_planted, make_blocks, save, settings, (2,) * 4, (0.6,) * 4, order).iloc[0]
    assert np.isnan(flat["difference"])
    assert ShareOfOrders.read(flat["statement"]) is None


def test_rank_correlation_is_spearmans():
    depths = np.random.default_rng(0).integers(0, 4, (50, 6)) / 3
    depths[0] = 1.0
    found = rank_correlation(depths)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [stats.spearmanr(range(6), row)[0] for row in depths[1:]])
    depths[1, 2] = np.nan
    assert np.isnan(rank_correlation(depths)[1])


def test_share_of_orders_counts_every_order():
    depths = np.random.default_rng(1).integers(0, 4, (5, 6)) / 3
    for depth in depths:
        strength = abs(stats.spearmanr(range(6), depth)[0]) - 1e-9
        others = [abs(stats.spearmanr(order, depth)[0]) for order in itertools.permutations(range(6))]
        assert orders_as_strong(depth) == ShareOfOrders(int((np.array(others) >= strength).sum()), 720)
    assert orders_as_strong(np.arange(4.0)) == ShareOfOrders(2, 24)
    assert orders_as_strong(np.arange(8.0)[::-1]) == ShareOfOrders(2, 40_320)


def test_share_of_orders_of_many_regions_is_drawn():
    found = orders_as_strong(np.arange(12.0))
    assert found == ShareOfOrders(1, 10_000, drawn=True) == orders_as_strong(np.arange(12.0))
    depth = np.array([0, 4, 1, 7, 2, 8, 3, 5, 6.0])
    expected = stats.spearmanr(range(9), depth).pvalue  # by Student's t, near the exact share
    assert orders_as_strong(depth).share == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("share", [ShareOfOrders(2, 24), ShareOfOrders(10_000, 40_320), ShareOfOrders(1, 10_000, True)])
def test_share_of_orders_is_read_from_its_row(share):
    assert ShareOfOrders.read(f"an order; {share}; r5 left out") == share


def test_constant_target_is_left_out_and_counted(make_scores, make_blocks, save, settings):
    rng = np.random.default_rng(2)
    fold, block = make_blocks()
    y = rng.standard_normal((fold.size, 3))
    p = 0.6 * y[:, None] + rng.standard_normal((fold.size, 4, 3))
    y[:, 1] = 0
    scores = make_scores(p, y, fold, block, regions=["V", "V", "V"], reliability=[0.5, np.nan, 0.01])
    tables = build_map(study="s", analyses=[analysis([save(scores)], ["net"])], inference=settings())
    row = tables["summary"].iloc[0]
    assert (row["n_targets"], row["n_constant"]) == (2, 1)
    # both targets that vary count, the one below the floor too: a ratio of means
    assert row["ceiling"] == pytest.approx(np.sqrt(0.255)) and row["n_below_floor"] == 1
    rows = tables["row"]
    assert rows["score_normalised"].tolist() == pytest.approx((rows["score"] / np.sqrt(0.255)).tolist())
    assert rows["r2_normalised"].tolist() == pytest.approx((rows["r2"] / 0.255).tolist())
    assert row["score_normalised"] == pytest.approx(row["best_layer_score"] / np.sqrt(0.255), rel=1e-5)
    # the errors of score and ceiling, added as squares
    own = (row["best_layer_score"] - row["ci_low"]) / row["ceiling"]
    of_ceiling = (np.sqrt(row["reliability_ci_high"]) - np.sqrt(row["reliability_ci_low"])) / 2 / row["ceiling"]
    low = row["score_normalised"] - np.hypot(own, row["score_normalised"] * of_ceiling)
    assert row["score_normalised_ci_low"] == pytest.approx(low, rel=1e-4)
    assert row["reliability_ci_low"] < 0.255 < row["reliability_ci_high"]


@pytest.mark.parametrize(("mean", "reliable"), [(0.12, False), (0.2, True)])
def test_a_region_has_a_ceiling_only_where_the_interval_lies_above_the_floor(
    make_scores, make_blocks, save, settings, mean, reliable
):
    """The error of the mean is .045 of 19 degrees of freedom; .12 exceeds the floor of .05, its interval does not."""
    rng = np.random.default_rng(4)
    fold, block = make_blocks()
    y = rng.standard_normal((fold.size, 2))
    p = 0.6 * y[:, None] + rng.standard_normal((fold.size, 4, 2))
    scores = make_scores(p, y, fold, block, reliability=[mean - 0.3, mean + 0.3])
    row = build_map(study="s", analyses=[analysis([save(scores)], ["net"])], inference=settings())["summary"].iloc[0]
    assert row["reliability"] == pytest.approx(mean) and (row["reliability_ci_low"] > 0.05) == reliable
    for name in ("ceiling", "score_normalised", "score_normalised_ci_low", "score_normalised_ci_high", "r2_normalised"):
        assert np.isfinite(row[name]) == reliable
    unsure = scores.drop_vars("reliability_deviation")
    again = build_map(study="s", analyses=[analysis([save(unsure)], ["net"])], inference=settings())["summary"].iloc[0]
    assert (
        again["reliability"] == row["reliability"] and np.isnan(again[["reliability_ci_low", "ceiling"]].tolist()).all()
    )


def test_region_of_constant_targets_only_is_undefined_but_there(make_scores, make_blocks, save, settings, tmp_path):
    rng = np.random.default_rng(3)
    fold, block = make_blocks()
    y = rng.standard_normal((fold.size, 2))
    y[:, 1] = 1
    p = rng.standard_normal((fold.size, 4, 2))
    tables = build_map(
        study="s",
        analyses=[analysis([save(make_scores(p, y, fold, block, regions=["A", "B"]))], ["net"])],
        inference=settings(),
    )
    row = pick(tables["summary"], region="B").iloc[0]
    assert (row["n_targets"], row["n_constant"], row["best_layer"], row["distinguishable"]) == (0, 1, "", 0)
    assert np.isnan([row["hierarchy_index"], row["hierarchy_ci_low"], row["hierarchy_ci_high"]]).all()
    assert np.isnan(row["best_layer_score"])
    write_map(tables, {**standard_attrs("map", "test", "c", "i"), "study": "s"}, tmp_path / "s.nc")
    assert len(open_map(tmp_path / "s.nc")[0]["row"]) == 8


@pytest.mark.parametrize("other", ["a", "A ", "\uff21"])
def test_regions_that_look_alike_are_one_line_whoever_names_them(make_planted, make_blocks, save, settings, other):
    fold = make_blocks(n_folds=5)
    strengths = np.stack([profile(1, 0.6)] * 2, axis=1)
    recorded = make_planted(np.random.default_rng(4), strengths, fold, regions=["A", other])
    with pytest.raises(BrokenArtifact, match=r"regions of recordings and study file 'A' and .* differ only in case"):
        build_map(study="s", analyses=[analysis([save(recorded)], ["net"])], inference=settings())
    one = make_planted(np.random.default_rng(4), strengths, fold, regions=["A", "B"])
    named = dataclasses.replace(analysis([save(one)], ["net"]), region_order=["B", other])
    with pytest.raises(BrokenArtifact, match="differ only in case"):
        build_map(study="s", analyses=[named], inference=settings())


def test_compartments_and_their_mean(make_planted, make_blocks, save, settings):
    strengths = np.stack([profile(1, 0.6), profile(5, 0.6), profile(3, 0.6)], axis=1)
    scores = make_planted(
        np.random.default_rng(4),
        strengths,
        make_blocks(),
        regions=["V1", "V1", "V2"],
        compartments=["4", "5", "4"],
    )
    rows = build_map(study="s", analyses=[analysis([save(scores)], ["net"])], inference=settings())["row"]
    found = rows[["region", "compartment"]].drop_duplicates().to_numpy().tolist()
    assert found == [["V1", "all"], ["V1", "4"], ["V1", "5"], ["V2", "all"], ["V2", "4"]]
    first = pick(rows, region="V1", layer="layer2").set_index("compartment")["score"]
    assert first["all"] == pytest.approx((first["4"] + first["5"]) / 2)


def test_within_category_is_a_metric_of_its_own(make_scores, save, settings):
    rng = np.random.default_rng(5)
    category = np.array(["a", "b", "c"])[np.arange(90) % 3]
    offset = 5.0 * (np.arange(90) % 3)[:, None]
    y = offset + rng.standard_normal((90, 1))
    p = offset[:, None] + rng.standard_normal((90, 4, 1))
    scores = make_scores(p, y, np.arange(90) // 18, np.arange(90), categories=category, ci_unit="item")
    rows = build_map(study="s", analyses=[analysis([save(scores)], ["net"], within=True)], inference=settings())["row"]
    assert pick(rows, metric="ridge")["score"].min() > 0.8
    within = pick(rows, metric="ridge-within-category")
    assert within["score"].abs().max() < 0.4 and within["score_normalised"].isna().all()
    assert within["ci_unit"].unique().tolist() == ["item"]


def test_same_inputs_give_the_same_numbers(make_planted, make_blocks, save, settings):
    path = save(listeners(make_planted, make_blocks(), n_subjects=3))
    first, second = (build_map(study="s", analyses=[analysis([path], ["net"])], inference=settings()) for _ in range(2))
    for table in TABLES:
        assert first[table].equals(second[table])


def test_a_value_without_a_column_and_a_column_without_values_are_missed(
    make_planted, make_blocks, save, settings, monkeypatch
):
    planted = make_planted(np.random.default_rng(6), np.full((4, 1), 0.3), make_blocks())
    given = stage.rows_of

    def otherwise(*asked):
        return [{**{name: row[name] for name in row if name != "r2"}, "median": 0.0} for row in given(*asked)]

    monkeypatch.setattr(stage, "rows_of", otherwise)
    with pytest.raises(ValueError, match=r"^rows and columns of the map's table 'row' differ in: median, r2$"):
        build_map(study="s", analyses=[analysis([save(planted)], ["net"])], inference=settings())


def test_faults_are_named(make_planted, make_blocks, save, settings, contrast):
    rng = np.random.default_rng(6)
    net = save(make_planted(rng, np.full((4, 1), 0.3), make_blocks()))
    other = save(make_planted(rng, np.full((4, 1), 0.3), make_blocks(blocks_per_fold=7), model="other"))
    with pytest.raises(SampleMismatch, match=r"other\.nc \(35 blocks\).*net\.nc \(30 blocks\)"):
        build_map(study="s", analyses=[analysis([net, other], ["net", "other"])], inference=settings())
    with pytest.raises(BrokenArtifact, match="model 'third' has no scores of group 'g'"):
        build_map(study="s", analyses=[analysis([net], ["net", "third"])], inference=settings())
    contrasts = [contrast("c", "net", "net", "layer 9")]
    with pytest.raises(UnknownName, match="layer 9"):
        build_map(study="s", analyses=[analysis([net], ["net"], contrasts)], inference=settings())
