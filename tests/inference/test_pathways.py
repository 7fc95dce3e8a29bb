"""Networks of several pathways: planted layers found again in each, and what a single pathway's map has unchanged."""

import functools

import numpy as np
import pytest

from pipeline.artifacts.scores import write_scores
from pipeline.core.errors import UnknownName
from pipeline.inference.networks import in_one_pathway, in_order, members_of, pathways_of, twin_of
from pipeline.inference.questions.contrasts import without_values
from pipeline.inference.questions.region_order import OrderName
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.study.study import Contrast as StudyContrast

pytestmark = pytest.mark.slow

N = 7
PATHWAYS = ["stem", *["path1"] * N, *["path2"] * N]
DEPTHS = np.array([0.0, *np.linspace(0, 1, N), *np.linspace(0, 1, N)])
NAMES = ["stem", *(f"{path}.res{k}" for path in ("path1", "path2") for k in range(N))]
REGIONS = ["early", "late", "other", "noise"]
PEAKS = {"early": ("path1", 1), "late": ("path1", 5), "other": ("path2", 3), "noise": None}
WITHIN = {"path1": slice(1, 1 + N), "path2": slice(1 + N, 1 + 2 * N)}


def strengths(height=0.7):
    """(layer, region): each region's peak lies in one pathway; the other one predicts a third as well, at its end."""
    found = np.zeros((len(NAMES), len(REGIONS)))
    for column, region in enumerate(REGIONS):
        if PEAKS[region] is not None:
            path, peak = PEAKS[region]
            for name, layers in WITHIN.items():
                at, top = (peak, height) if name == path else (N - 1, height / 3)
                found[layers, column] = top * np.exp(-(((np.arange(N) - at) / 0.8) ** 2))
    return found


def branched(scores):
    """Scores with the layers' names, depths and pathways of a network of two."""
    index = np.array([0, *range(1, N + 1), *range(1, N + 1)])
    return scores.assign_coords(
        layer=("layer", np.array(NAMES, object)),
        layer_index=("layer", index),
        relative_depth=("layer", DEPTHS),
        pathway=("layer", np.array(PATHWAYS, object)),
    )


def within(scores, pathway):
    """The same scores of one pathway and the stem, as of a network that has no other."""
    own = scores.isel(layer=[i for i, name in enumerate(PATHWAYS) if name in ("stem", pathway)])
    return own.assign_coords(pathway=("layer", np.array(["main"] * own.sizes["layer"], object)))


def make(make_planted, fold, height=0.7, seed=0, **options):
    return branched(make_planted(np.random.default_rng(seed), strengths(height), fold, regions=REGIONS, **options))


def mapped(paths, models, settings, contrasts=()):
    analysis = AnalysisScores("scenes", "ridge", False, contrasts, REGIONS, models, paths)
    return build_map(study="s", analyses=[analysis], inference=settings())


def pick(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    return frame


@pytest.fixture(scope="module")
def found(make_planted, make_blocks, settings, tmp_path_factory):
    path = tmp_path_factory.mktemp("found") / "net.nc"
    write_scores(make(make_planted, make_blocks(samples_per_block=60)), path)
    return mapped([path], ["net"], settings)


def test_planted_layers_are_found_again_in_each_pathway(found):
    summary = found["summary"].set_index(["region", "pathway"])
    assert list(found["summary"]["pathway"]) == ["all", "path1", "path2"] * len(REGIONS)
    for region, path, layer in (("early", "path1", 1), ("late", "path1", 5), ("other", "path2", 3)):
        whole, own = summary.loc[region, "all"], summary.loc[region, path]
        assert whole["best_layer"] == own["best_layer"] == f"{path}.res{layer}"
        assert own["depth_index"] == pytest.approx(layer / (N - 1), abs=0.12)
        assert own["depth_ci_low"] <= own["depth_index"] <= own["depth_ci_high"]
        assert own["hierarchy_index"] == (layer + 2) / (N + 1)  # the stem is the first of each pathway
        assert own["hierarchy_ci_low"] <= own["hierarchy_index"] <= own["hierarchy_ci_high"]
        assert whole["distinguishable"] == own["distinguishable"] == 1
        other = summary.loc[region, "path2" if path == "path1" else "path1"]
        assert other["best_layer_score"] < own["best_layer_score"] - 0.3
        assert other["best_layer"].startswith("path2" if path == "path1" else "path1")
    assert summary.loc["other", "path1"]["best_layer"] == f"path1.res{N - 1}"


def test_depths_of_different_pathways_are_not_averaged(found):
    columns = ["depth_index", "hierarchy_index", "hierarchy_ci_low", "hierarchy_ci_high"]
    assert pick(found["summary"], pathway="all")[columns].isna().all(axis=None)


def test_noise_is_found_in_no_pathway(found):
    noise = pick(found["summary"], region="noise")
    assert len(noise) == 3
    assert (noise["ci_low"] < 0).all() and (noise["ci_high"] > 0).all()
    assert noise["depth_index"].isna().all()


def test_nested_score_within_a_pathway_is_unbiased_on_noise(make_planted, make_blocks, save, settings):
    """Choosing among layers of one pathway, or of all, gains nothing where there is nothing."""
    n = 40
    fold = make_blocks(samples_per_block=10)
    names = [f"r{i}" for i in range(n)]
    noise = make_planted(np.random.default_rng(1), np.zeros((len(NAMES), n)), fold, regions=names)
    summary = mapped([save(branched(noise))], ["net"], settings)["summary"]
    for pathway in ("all", "path1", "path2"):
        nested = pick(summary, pathway=pathway)["best_layer_score"]
        assert abs(nested.mean()) < 3 * nested.std() / np.sqrt(n)


@pytest.mark.parametrize("n_subjects", [1, 8])
@pytest.mark.parametrize("pathway", ["path1", "path2"])
def test_a_pathway_is_what_a_network_of_it_alone_would_be(
    pathway, n_subjects, make_planted, make_blocks, save, settings, tmp_path
):
    """Intervals over blocks, and over eight subjects."""
    values = np.tile(strengths(), n_subjects)
    subjects = [f"s{i}" for i in range(n_subjects) for _ in REGIONS]
    rng = np.random.default_rng(2)
    scores = branched(
        make_planted(rng, values, make_blocks(), regions=REGIONS * n_subjects, subjects=subjects, n_subjects=n_subjects)
    )
    few = functools.partial(settings, n_bootstrap=100)
    several = mapped([save(scores)], ["net"], few)
    alone = mapped([save(within(scores, pathway), tmp_path / "alone")], ["net"], few)
    part = pick(several["summary"], pathway=pathway).reset_index(drop=True)
    for column in alone["summary"].columns.drop("pathway"):
        expected = alone["summary"][column]
        if expected.dtype == float:
            assert np.allclose(part[column], expected, atol=1e-6, equal_nan=True), column
        else:
            assert part[column].tolist() == expected.tolist(), column
    order = several["contrast"]["contrast"].str.contains(f" in {pathway}: ")
    assert several["contrast"][order]["difference"].tolist() == alone["contrast"]["difference"].tolist()
    assert set(alone["summary"]["pathway"]) == {"main"}
    assert not alone["contrast"]["contrast"].str.contains(" in path").any()


def test_rows_of_layers_do_not_depend_on_pathways(found, make_planted, make_blocks, save, settings, tmp_path):
    """The same layers as one chain have the same scores, whole-network choice and interval."""
    scores = make(make_planted, make_blocks(samples_per_block=60))
    chain = scores.assign_coords(pathway=("layer", np.array(["main"] * len(NAMES), object)))
    tables = mapped([save(chain, tmp_path / "chain")], ["net"], settings)
    columns = ["layer", "region", "score", "ci_low", "ci_high", "best_layer", "best_layer_score"]
    assert tables["row"][columns].equals(found["row"][columns])
    whole = pick(found["summary"], pathway="all").reset_index(drop=True)
    columns = ["region", "best_layer", "best_layer_choices", "best_layer_score", "ci_low", "ci_high"]
    assert tables["summary"][columns].equals(whole[columns])
    assert len(tables["summary"]) == len(REGIONS)


def test_order_of_regions_is_taken_within_pathways(found):
    table = found["contrast"].set_index("contrast")
    row = table.loc["depth order in path1: early before late"]
    assert row["difference"] == pytest.approx(4 / (N - 1)) and row["p"] < 0.01
    assert row["region"] == "early before late"
    assert "depth order in path2: early before late" in table.index
    assert all(OrderName.read(name).pathway for name in table.index)


def test_a_contrast_within_a_pathway_takes_the_twins_layers_from_it_as_well(
    make_planted, make_blocks, save, settings, contrast
):
    fold = make_blocks(samples_per_block=60)
    paths = [
        save(make(make_planted, fold, 0.7, model="net", objective="self-supervised")),
        save(make(make_planted, fold, 0.2, 1, model="net@shuffled-0", objective="shuffled")),
        save(make(make_planted, fold, 0.45, 2, model="net@shuffled-1", objective="shuffled")),
        save(make(make_planted, fold, 0.6, 3, model="own", objective="random")),
        save(make(make_planted, fold, 0.6, 4, model="other", objective="supervised")),
    ]
    models = ["net", "net@shuffled-0", "net@shuffled-1", "own", "other"]
    contrasts = [
        contrast("whole", "net", "net@shuffled"),
        contrast("path1", "net", "net@shuffled", pathway="path1"),
        contrast("path2", "net", "net@shuffled", pathway="path2"),
        contrast("other", "net", "other", pathway="path2"),
        contrast("own", "net", "own"),
    ]
    tables = mapped(paths, models, functools.partial(settings, n_bootstrap=100), contrasts)
    is_order = tables["contrast"]["contrast"].str.startswith("depth order")
    table = tables["contrast"][~is_order].set_index(["contrast", "region"]).sort_index()
    for name, expected in (("whole", 0.375), ("path2", 0.375), ("path1", 0.375 / 3)):
        assert table.loc[(name, "other"), "difference"] == pytest.approx(expected, abs=0.06)
    assert table.loc[("path1", "other"), "reference_score"] == pytest.approx(0.325 / 3, abs=0.06)
    assert table.loc[("other", "early"), "reference_score"] == pytest.approx(0.6, abs=0.05)  # among all its layers
    statements = {name: table.loc[(name, "early"), "statement"] for name in ("whole", "path2", "other", "own")}
    said = "trained against the mean of 2 shuffled twins of the same architecture"
    few = "; 2 seeds: too few for an interval"
    assert without_values(statements["whole"]) == said + few
    assert without_values(statements["path2"]) == f"{said}; layers of both chosen within path2{few}"
    assert statements["other"] == "not a test of the learning objective; layers of net chosen within path2"
    assert statements["own"] == "not a test of the learning objective"
    assert set(tables["contrast"][is_order]["model"]) == {
        "net",
        "own",
        "other",
    }  # an untrained network of one's own is no twin


def test_a_pathway_that_does_not_exist_is_named(make_planted, make_blocks, save, settings, contrast):
    path = save(make(make_planted, make_blocks()))
    with pytest.raises(UnknownName, match=r"pathway of net, which a contrast names 'path3'.*path"):
        mapped([path], ["net"], settings, [contrast("c", "net", "net", pathway="path3")])


def test_a_contrast_fixes_a_layer_or_chooses_one_within_a_pathway():
    names = {"name": "c", "model": "net", "reference": "net@random"}
    assert StudyContrast(**names, pathway="path2").pathway == "path2"
    with pytest.raises(ValueError, match="contrast 'c': give layer or pathway, not both"):
        StudyContrast(**names, layer="path2.res1", pathway="path2")


def test_sets_over_two_pathways_are_not_distinguishable():
    members = np.isin(NAMES, ["path1.res2", "path2.res2"])
    assert not in_one_pathway(members, PATHWAYS)
    assert in_one_pathway(np.isin(NAMES, ["stem", "path2.res0"]), PATHWAYS)
    assert in_one_pathway(members, ["main"] * len(NAMES))


def test_a_stem_before_one_pathway_is_its_beginning():
    assert pathways_of(["stem", "main", "main"]) == {}
    assert pathways_of(["main"] * 3) == {}
    assert {name: own.tolist() for name, own in pathways_of(["stem", "b", "a", "b"]).items()} == {
        "b": [0, 1, 3],
        "a": [0, 2],
    }
    assert in_order(["stem", "b", "a", "b"], [0.0, 1.0, 0.0, 0.5]) == [0, 3, 1, 2]
    assert in_order(["main"] * 3, [0.5, 0.0, 1.0]) == [1, 0, 2]


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("net@random-3", ("net", "random")),
        ("net@shuffled-0", ("net", "shuffled")),
        ("net@shuffled", ("net", "shuffled")),
        ("net", None),
        ("net@randomly", None),
    ],
)
def test_twins_are_known_by_their_names(name, twin):
    assert twin_of(name) == twin


def test_a_reference_stands_for_the_twins_of_its_kind():
    models = ["net", "net@random-0", "net@random-1", "net@shuffled-0", "net2@random-0"]
    assert members_of("net@random", models) == ["net@random-0", "net@random-1"]
    assert members_of("net@shuffled", models) == ["net@shuffled-0"]
    assert members_of("net@random-1", models) == ["net@random-1"]


@pytest.mark.parametrize("pathway", ["", "path1"])
def test_names_of_order_are_read_as_they_are_written(pathway):
    name = OrderName("VISp", "VISl", pathway)
    assert OrderName.read(str(name)) == name
    assert OrderName.read("trained over random twins") is None
