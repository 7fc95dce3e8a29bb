"""Ventral against dorsal: planted differences found again, none where there is none, and what is left out."""

import dataclasses

import numpy as np
import pytest

from pipeline.inference.questions.region_order import OrderName
from pipeline.inference.questions.streams import REGION, StreamName
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.study.study import StreamAssignment

pytestmark = pytest.mark.slow

REGIONS = ["VISp", "VISl", "VISpm", "VISal", "VISam"]
PUBLISHED = StreamAssignment(name="published", ventral=("VISl", "VISpm"), dorsal=("VISal", "VISam"))
ANATOMICAL = StreamAssignment(name="anatomical", ventral=("VISl",), dorsal=("VISal", "VISam", "VISpm", "VISrl"))
N = 4
PATHWAYS = ["stem", *["path1"] * N, *["path2"] * N]


def strengths(ventral, dorsal):
    """(layer, region): (path1, path2) of either stream's regions; the second layer of a pathway is its best."""
    profile = np.array([0.3, 1, 0.5, 0.2])
    found = np.zeros((1 + 2 * N, len(REGIONS)))
    for column, region in enumerate(REGIONS):
        heights = ventral if region in PUBLISHED.ventral else dorsal if region in PUBLISHED.dorsal else (0.4, 0.4)
        found[1:, column] = np.concatenate([height * profile for height in heights])
    return found


def branched(scores):
    index = np.array([0, *range(1, N + 1), *range(1, N + 1)])
    return scores.assign_coords(
        layer_index=("layer", index),
        relative_depth=("layer", np.array([0.0, *np.linspace(0, 1, N), *np.linspace(0, 1, N)])),
        pathway=("layer", np.array(PATHWAYS, object)),
    )


@pytest.fixture
def network(make_planted, make_blocks, save):
    def make(model, ventral, dorsal, n_subjects=1, seed=0, objective="self-supervised", regions=REGIONS, several=True):
        values = np.tile(strengths(ventral, dorsal), n_subjects)
        scores = make_planted(
            np.random.default_rng(seed),
            values,
            make_blocks(samples_per_block=60),
            regions=REGIONS * n_subjects,
            subjects=[f"s{i}" for i in range(n_subjects) for _ in REGIONS],
            n_subjects=n_subjects,
            model=model,
            objective=objective,
        )
        kept = scores.isel(target=np.isin(scores["region"].values, regions))
        return save(branched(kept) if several else kept)

    return make


def contrasts(paths, models, settings, streams=(PUBLISHED,)):
    analysis = AnalysisScores("movie", "ridge", False, [], REGIONS, models, paths, streams)
    table = build_map(study="s", analyses=[analysis], inference=settings(n_bootstrap=100))["contrast"]
    return table[[StreamName.read(name) is not None for name in table["contrast"]]]


@pytest.mark.parametrize(("n_subjects", "unit", "n_units"), [(1, "block", 30), (9, "subject", 9)])
def test_a_planted_difference_of_pathways_is_found(network, settings, n_subjects, unit, n_units):
    table = contrasts([network("net", (0.6, 0.3), (0.3, 0.5), n_subjects)], ["net"], settings).set_index("contrast")
    row = table.loc["streams (published): path1 − path2, ventral − dorsal"]
    assert row["model_score"] == pytest.approx(0.3, abs=0.05) and row["reference_score"] == pytest.approx(
        -0.2, abs=0.05
    )
    assert row["difference"] == pytest.approx(0.5, abs=0.07) and row["ci_low"] > 0.3
    assert (row["region"], row["ci_unit"], row["n_units"]) == (REGION, unit, n_units)
    assert row["p"] < 0.01 and (row["model"], row["reference"]) == ("net", "net")
    assert row["statement"].endswith("ventral VISl, VISpm; dorsal VISal, VISam")
    plain = table.loc["streams (published): ventral − dorsal"]
    assert (
        plain["difference"] == pytest.approx(0.1, abs=0.04)
        and "differences in the areas' reliability" in plain["statement"]
    )
    assert plain["subject"] == ("all" if n_subjects > 1 else "s0")


def test_what_all_twins_share_is_taken_off(network, settings):
    """Ventral areas are predicted better by untrained networks as well, because they are more reliable."""
    paths = [
        network("net", (0.6, 0.5), (0.4, 0.3)),
        network("net@random-0", (0.3, 0.2), (0.2, 0.1), seed=1, objective="random"),
        network("net@random-1", (0.5, 0.2), (0.2, 0.1), seed=2, objective="random"),
        network("chain", (0.6, 0.5), (0.4, 0.3), seed=3, several=False),
        network("pixels", (0.5, 0.2), (0.2, 0.1), seed=4, objective="baseline", several=False),
    ]
    models = ["net", "net@random-0", "net@random-1", "chain", "pixels"]
    table = contrasts(paths, models, settings)
    network_rows = table[table["contrast"] == "streams (published): ventral − dorsal"].set_index("model")
    assert network_rows.index.tolist() == ["net", "chain"]
    row = network_rows.loc["net"]
    assert row["reference"] == "net@random" and row["model_score"] == pytest.approx(0.2, abs=0.05)
    assert row["reference_score"] == pytest.approx((0.1 + 0.3) / 2, abs=0.05)
    assert np.isnan(row[["ci_low", "ci_high", "p"]].astype(float)).all()  # two seeds
    assert row["best_reference_score"] == pytest.approx(0.3, abs=0.05) and row["n_references"] == 2
    said = "less the mean of 2 random twins of the same architecture; 2 seeds: too few for an interval; values "
    assert row["statement"].startswith(said)
    assert network_rows.loc["chain", "reference"] == "chain" and network_rows.loc["chain", "ci_low"] > 0
    pathways = table[table["contrast"].str.contains("path1 − path2")]
    assert pathways["model"].tolist() == models[:3]


def test_no_difference_is_found_where_none_is_planted(network, settings):
    """Pathways differ, and areas differ, but not one by the other: of 20 networks about one interval leaves 0 out."""
    paths = [network(f"net{seed}", (0.5, 0.3), (0.5, 0.3), seed=seed) for seed in range(20)]
    table = contrasts(paths, [f"net{seed}" for seed in range(20)], settings)
    rows = table[table["contrast"].str.contains("path1 − path2")]
    assert abs(rows["difference"].mean()) < 3 * rows["difference"].std() / np.sqrt(20)
    assert ((rows["ci_low"] <= 0) & (rows["ci_high"] >= 0)).sum() >= 17


def test_missing_regions_are_left_out_and_empty_sides_give_no_row(network, settings):
    path = network("net", (0.6, 0.3), (0.3, 0.5), regions=["VISp", "VISl", "VISpm", "VISam"])
    other = StreamAssignment(name="none", ventral=("VISl",), dorsal=("VISal", "VISrl"))
    table = contrasts([path], ["net"], settings, [PUBLISHED, ANATOMICAL, other])
    names = [StreamName.read(name).assignment for name in table["contrast"]]
    assert names == ["published"] * 2 + ["anatomical"] * 2
    assert table["statement"].iloc[0].endswith("ventral VISl, VISpm; dorsal VISam")
    assert table["statement"].iloc[2].endswith("ventral VISl; dorsal VISam, VISpm")


def test_regions_of_a_stream_are_averaged(network, settings):
    path = network("net", (0.6, 0.3), (0.3, 0.5), n_subjects=2)
    analysis = AnalysisScores("movie", "ridge", False, [], REGIONS, ["net"], [path], [PUBLISHED])
    tables = build_map(study="s", analyses=[analysis], inference=settings(n_bootstrap=100))
    summary = tables["summary"]
    nested = summary[summary["subject"] == "all"].set_index(["pathway", "region"])["best_layer_score"]
    within = nested["path1"] - nested["path2"]
    expected = within[["VISl", "VISpm"]].mean() - within[["VISal", "VISam"]].mean()
    rows = tables["contrast"].set_index("contrast")
    assert rows.loc["streams (published): path1 − path2, ventral − dorsal", "difference"] == pytest.approx(expected)


@pytest.mark.parametrize("name", [StreamName("published"), StreamName("VISpm omitted", "path1", "path2")])
def test_names_of_streams_are_read_as_they_are_written(name):
    assert StreamName.read(str(name)) == name and OrderName.read(str(name)) is None
    assert StreamName.read("trained over random twins") is None
    assert StreamName.read(str(OrderName("VISp", "VISl", "path1"))) is None
    assert dataclasses.astuple(name)[0] in str(name)
