"""Similarity structures of recorded cells: planted layers found again, runs and blocks averaged as they should be."""

import functools

import numpy as np
import pytest

from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.comparison.options import RsaOptions
from pipeline.comparison.similarity import compare, item_similarity, upper_triangle
from pipeline.comparison.stage import compare_group
from pipeline.core.errors import BadConfiguration, LayermapError, SampleMismatch, UnknownName
from pipeline.inference.stage import AnalysisScores, build_map

pytestmark = pytest.mark.slow

ATTRS = {"study": "s", "analysis": "a", "group": "g", "created_by": "test", "config_sha": "c", "inputs_sha": "i"}
OPTIONS = RsaOptions(block_s=0.5, stretch_s=1.5)
scored = functools.partial(compare_group, options=OPTIONS, layers=None, attrs=ATTRS, shuffle_seed=None)


class Settings:
    n_bootstrap = 100
    confidence = 0.95
    reliability_floor = 0.05
    min_subjects = 8
    permutations = 199
    seed = 0


@pytest.fixture
def layers(make_layers):
    return make_layers(np.random.default_rng(0))


@pytest.fixture
def herd(layers, make_cells, make_recording):
    """Animals with cells in VISp that project from layer 1 and in VISam that project from layer 4."""

    def make(n_animals, **options):
        rng = np.random.default_rng(options.pop("seed", 1))
        found = []
        for number in range(n_animals):
            cells = np.concatenate([make_cells(rng, layers[name], **options) for name in ("layer1", "layer4")], axis=2)
            regions = np.repeat(["VISp", "VISam"], cells.shape[2] // 2).tolist()
            found.append(make_recording(cells, subject=f"m{number}", regions=regions, member=f"m{number}"))
        return found

    return make


def by_hand(responses, n_blocks, cells=slice(None), centred=False):
    """Matrix of one run: mean over repeats, z-scored, averaged in blocks of five samples, correlated over cells."""
    mean = responses.astype(np.float32).astype(np.float64).mean(axis=0)
    z = (mean - mean.mean(axis=0)) / mean.std(axis=0)
    blocks = z[: 5 * n_blocks].reshape(n_blocks, 5, -1).mean(axis=1)[:, cells]
    return np.corrcoef(blocks - blocks.mean(axis=0) if centred else blocks)


def test_matrices_are_those_made_by_hand(study, layers, make_cells, make_recording):
    cells = make_cells(np.random.default_rng(3), layers["layer1"][:198], n_cells=12)
    runs = study.runs([make_recording(cells, regions=["VISp"] * 7 + ["VISl"] * 5)], layers)
    scores = scored(runs=runs)
    assert scores["item"].values[[0, 7]].tolist() == ["movie_one block 000", "movie_one block 007"]
    assert scores.sizes["item"] == 39  # the last block has three samples
    assert scores["target"].values.tolist() == ["m0 VISp", "m0 VISl"]
    for target, part in enumerate((slice(0, 7), slice(7, 12))):
        assert np.allclose(scores["similarity"].values[:, :, target], by_hand(cells, 39, part), atol=1e-6)
    features = layers["layer3"].astype(np.float32)[:195].reshape(39, 5, -1).mean(axis=1)
    assert np.allclose(scores["model_similarity"].values[3], np.corrcoef(features), atol=1e-6)
    assert scores["stretch"].values.tolist() == np.repeat(np.arange(13), 3).tolist()
    assert (scores.attrs["ci_unit"], scores.attrs["n_subjects"]) == ("block", 1)
    assert set(scores["ceiling_kind"].values) == {"split_half_repeats"} and scores["leave_one_out"].isnull().all()


@pytest.mark.parametrize("centred", [False, True])
def test_an_animal_alone_has_the_reliability_of_its_repeats(study, layers, make_cells, make_recording, centred):
    """Two repeats, whose matrices are made by hand; one repeat gives no reliability."""
    cells = make_cells(np.random.default_rng(3), layers["layer1"][:198], n_cells=12, signal=0.5)
    runs = study.runs([make_recording(cells, regions=["VISp"] * 7 + ["VISl"] * 5)], layers)
    options = OPTIONS.model_copy(update={"comparison": "kendall", "centred": centred})
    scores = scored(runs=runs, options=options)
    for target, part in enumerate((slice(0, 7), slice(7, 12))):
        halves = [by_hand(one[None], 39, part, centred) for one in cells]
        r = np.sin(np.pi / 2 * compare(*(upper_triangle(half) for half in halves), "kendall"))
        reliability = 2 * r / (1 + r)
        assert scores["reliability"].values[target] == pytest.approx(reliability, abs=1e-6)
        assert scores["ceiling"].values[target] == pytest.approx(2 / np.pi * np.arcsin(np.sqrt(reliability)), abs=1e-6)
    write_scores(scores, study.folder / "net.nc")
    stored = open_scores(study.folder / "net.nc")["repeat_reliability"]
    assert stored.dtype == np.float64 and stored.values.tolist() == scores["reliability"].values.tolist()
    single = scored(runs=study.runs([make_recording(cells[:1])], layers), options=options)
    write_scores(single, study.folder / "net.nc")
    stored = open_scores(study.folder / "net.nc")
    assert set(stored["ceiling_kind"].values) == {"none"} and stored["repeat_reliability"].isnull().all()
    assert stored["ceiling"].isnull().all() and stored["reliability"].isnull().all()


def test_repeats_of_several_runs_and_of_cleaned_responses_count(study, layers, make_cells, make_recording):
    rng = np.random.default_rng(13)
    cells = make_cells(rng, layers["layer1"], n_repeats=4)
    speed = rng.standard_normal((4, 200))
    driven = cells + 3 * speed[:, :, None] * rng.standard_normal(20)
    dataset = make_recording(driven).assign(running_speed_cm_s=(("repeat", "sample"), speed))

    def repeat_reliability(recording, *nuisance):
        options = OPTIONS.model_copy(update={"nuisance": nuisance})
        return scored(runs=study.runs([recording], layers), options=options)["repeat_reliability"].item()

    left, cleaned = repeat_reliability(dataset), repeat_reliability(dataset, "running_speed")
    quiet = repeat_reliability(make_recording(cells))
    assert left < quiet - 0.2 and cleaned == pytest.approx(quiet, abs=0.05)
    again = [make_recording(make_cells(rng, layers["layer1"], n_cells=3, n_repeats=1), run="r0", member="x")]
    again.append(make_recording(again[0]["responses"].values + 0.1, run="r1", member="x"))
    scores = scored(runs=study.runs(again, layers), options=OPTIONS.model_copy(update={"min_cells": 3}))
    assert set(scores["ceiling_kind"].values) == {"none"}  # two runs are no repeats of each other


def test_only_an_animal_alone_in_its_region_is_held_to_its_own_repeats(study, layers, herd, make_cells, make_recording):
    alone = make_recording(make_cells(np.random.default_rng(14), layers["layer2"]), subject="z", regions=["VISl"] * 20)
    scores = scored(runs=study.runs([*herd(2), alone.assign_attrs(member="z")], layers))
    kinds = dict(zip(scores["target"].values.tolist(), scores["ceiling_kind"].values.tolist(), strict=True))
    assert kinds == {f"m{n} {region}": "across_animals" for n in (0, 1) for region in ("VISp", "VISam")} | {
        "z VISl": "split_half_repeats"
    }
    over_repeats = scores["repeat_reliability"].values.astype(float)
    assert np.isnan(over_repeats[:4]).all()
    assert over_repeats[4] == scores["reliability"].values[4]


def test_centring_removes_what_all_blocks_share_on_both_sides(study, layers, make_cells, make_recording):
    cells = make_cells(np.random.default_rng(3), layers["layer1"])
    cells[:, 195:] += 5  # outside the complete blocks, so that these do not average to 0
    shifted = {name: values + 3 * np.arange(values.shape[1]) for name, values in layers.items()}
    runs = study.runs([make_recording(cells[:, :199])], shifted)
    plain, centred = (scored(runs=runs, options=OPTIONS.model_copy(update={"centred": on})) for on in (False, True))
    features = shifted["layer3"][:195].reshape(39, 5, -1).mean(axis=1)
    off = ~np.eye(39, dtype=bool)
    assert plain["model_similarity"].values[:, off].min() > 0.9
    assert np.allclose(centred["model_similarity"][3], np.corrcoef(features - features.mean(axis=0)), atol=1e-4)
    mean = cells[:, :199].astype(np.float32).astype(np.float64).mean(axis=0)
    blocks = ((mean - mean.mean(axis=0)) / mean.std(axis=0))[:195].reshape(39, 5, -1).mean(axis=1)
    assert np.allclose(plain["similarity"][:, :, 0], np.corrcoef(blocks), atol=1e-6)
    assert np.allclose(centred["similarity"][:, :, 0], np.corrcoef(blocks - blocks.mean(axis=0)), atol=1e-6)
    assert not np.allclose(plain["similarity"], centred["similarity"], atol=1e-3)


def test_runs_of_one_movie_are_averaged_cell_by_cell(study, layers, make_cells, make_recording):
    """Three sessions of one field of view; the second has other cells as well, in another order."""
    rng = np.random.default_rng(4)
    shared = make_cells(rng, layers["layer1"], n_cells=10, n_repeats=1)
    sessions = [shared + 0.3 * rng.standard_normal((2, *shared.shape[1:])) for _ in range(3)]
    names = [f"c{i}" for i in range(10)]
    parts = [make_recording(cells, names=names, member="x", run=f"r{i}") for i, cells in enumerate(sessions)]
    order = rng.permutation(11)
    more = np.concatenate([sessions[1], rng.standard_normal((2, 200, 1))], axis=2)[:, :, order]
    parts[1] = make_recording(more, names=[[*names, "other"][i] for i in order], member="x", run="r1")
    scores = scored(runs=study.runs(parts, layers))
    z = []
    for cells in sessions:
        mean = cells.astype(np.float32).astype(np.float64).mean(axis=0)
        z.append((mean - mean.mean(axis=0)) / mean.std(axis=0))
    expected = np.corrcoef(np.mean(z, axis=0).reshape(40, 5, -1).mean(axis=1))
    assert scores.sizes["item"] == 40 and np.allclose(scores["similarity"].values[:, :, 0], expected, atol=1e-6)


def test_items_are_compared_as_they_are(study, layers, make_cells, make_recording):
    features = {name: values[::5] for name, values in layers.items()}
    names = [f"scene{i:02d}" for i in range(40)]
    cells = make_cells(np.random.default_rng(5), features["layer1"])
    order = np.random.default_rng(6).permutation(40)
    dataset = make_recording(cells[:, order], items=[names[i] for i in order], member="m")
    scores = scored(runs=study.runs([dataset], features, items=names), options=RsaOptions())
    mean = cells.astype(np.float32).astype(np.float64).mean(axis=0)[order]
    assert scores["item"].values.tolist() == [names[i] for i in order]
    assert np.allclose(
        scores["similarity"].values[:, :, 0], np.corrcoef((mean - mean.mean(0)) / mean.std(0)), atol=1e-6
    )
    assert np.allclose(scores["model_similarity"].values[1], item_similarity(features["layer1"][order]), atol=1e-6)
    assert scores["stretch"].values.tolist() == list(range(40)) and scores.attrs["ci_unit"] == "item"


def test_regions_with_too_few_cells_are_left_out(study, layers, make_cells, make_recording):
    cells = make_cells(np.random.default_rng(7), layers["layer1"], n_cells=12)
    cells[:, :, 4] = 1.0  # does not respond, and does not count
    one = make_recording(cells, regions=["VISp"] * 5 + ["VISl"] * 7, compartment=["4"] * 5 + ["4"] * 6 + ["5"])
    runs = study.runs([one], layers)
    kept = scored(runs=runs)
    assert (kept["region"].values.tolist(), kept["compartment"].values.tolist()) == (["VISl"], [""])
    few = scored(runs=runs, options=OPTIONS.model_copy(update={"min_cells": 4}))
    assert few["compartment"].values.tolist() == ["4", ""]
    with pytest.raises(
        BadConfiguration, match=r"r0\.nc .* 8 responding cells.*\(most: 7 in VISl of m0\); lower"
    ) as caught:
        scored(runs=runs, options=OPTIONS.model_copy(update={"min_cells": 8}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("n_animals", "comparison"), [(6, "spearman"), (12, "kendall")])
def test_planted_layers_are_found_and_the_ceiling_is_reached(study, layers, herd, n_animals, comparison):
    runs = study.runs(herd(n_animals), layers)
    scores = scored(runs=runs, options=OPTIONS.model_copy(update={"comparison": comparison}))
    assert scores.attrs["n_subjects"] == n_animals and scores.sizes["target"] == 2 * n_animals
    write_scores(scores, study.folder / "net.nc")
    assert open_scores(study.folder / "net.nc")["stretch"].values.tolist() == scores["stretch"].values.tolist()
    analysis = AnalysisScores("a", "rsa", False, [], ["VISp", "VISam"], ["net"], [study.folder / "net.nc"])
    tables = build_map(study="s", analyses=[analysis], inference=Settings())
    summary = tables["summary"][tables["summary"]["subject"] == "all"].set_index("region")
    assert summary["best_layer"].to_dict() == {"VISp": "layer1", "VISam": "layer4"}
    assert summary["hierarchy_index"].to_dict() == {"VISp": 2 / 5, "VISam": 1.0}
    assert set(summary["ci_unit"]) == {"subject" if n_animals == 12 else "block"}
    assert (summary["ci_low"] > 0.05).all() and set(summary["ceiling_kind"]) == {"across_animals"}
    row = tables["row"].set_index(["subject", "region", "layer"]).loc[("all", "VISp", "layer1")]
    assert row["score_normalised"] == pytest.approx(1, abs=0.12)
    alone = tables["summary"][tables["summary"]["subject"] == "m1"]
    assert set(alone["ci_unit"]) == {"block"}


def agreement_of(scores):
    """(layer, target)"""
    pairs = upper_triangle(np.moveaxis(scores["similarity"].values, 2, 0))
    models = upper_triangle(scores["model_similarity"].values)
    return np.array([[compare(layer, one, "spearman") for one in pairs] for layer in models])


def test_rolled_responses_agree_with_no_layer(study, make_layers, make_cells, make_recording):
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        layers = make_layers(rng, n_layers=2)
        parts = [make_recording(make_cells(rng, layers["layer1"]), subject=name, member=name) for name in "ab"]
        runs = study.runs(parts, layers, model=f"net{seed}")
        rolled, real = (scored(runs=runs, shuffle_seed=shuffle) for shuffle in (seed, None))
        found.append(agreement_of(rolled).mean())
        assert agreement_of(real)[1].min() > 0.15 and np.abs(agreement_of(rolled)).max() < 0.15
        assert rolled["ceiling"].values == pytest.approx(real["ceiling"].values)  # animals are rolled alike
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def test_slow_features_agree_with_rolled_slow_responses(study, make_cells, make_recording):
    """The band of similar neighbours is left by a roll: such a study's null is what slowness explains."""
    rng = np.random.default_rng(8)
    slow = np.cumsum(rng.standard_normal((2, 40, 30)), axis=1).repeat(5, axis=1)
    cells = make_cells(rng, slow[1] / slow[1].std(), signal=0.5)
    scores = scored(runs=study.runs([make_recording(cells)], {"layer0": slow[0]}), shuffle_seed=1)
    pairs = [upper_triangle(scores[name].values.squeeze()) for name in ("model_similarity", "similarity")]
    assert compare(*pairs, "spearman") > 0.2


def test_features_go_through_the_responses_high_pass_filter(study, layers, make_cells, make_recording):
    from pipeline.stimuli.temporal_filter import cosine_high_pass

    drift = 20 * np.linspace(0, 1, 200)[:, None]
    drifting = {name: values + drift * np.arange(1, 31) for name, values in layers.items()}
    cells = make_cells(np.random.default_rng(9), layers["layer1"])
    filtered = np.stack([cosine_high_pass(one, 0.1, 10.0) for one in cells])
    scores = scored(runs=study.runs([make_recording(filtered, high_pass_s=10.0)], drifting))
    expected = cosine_high_pass(drifting["layer1"].astype(np.float32).astype(float), 0.1, 10.0)
    blocks = item_similarity(expected.reshape(40, 5, -1).mean(axis=1))
    assert np.allclose(scores["model_similarity"].values[1], blocks, atol=1e-5)


def test_a_network_slower_than_the_recording_is_averaged_over_what_it_has(study, layers, make_cells, make_recording):
    slow = {name: values[4::5] for name, values in layers.items()}
    cells = make_cells(np.random.default_rng(10), layers["layer1"])
    runs = study.runs([make_recording(cells)], slow, clock=0.5 * np.arange(1, 41))
    assert np.allclose(scored(runs=runs)["model_similarity"].values[2], item_similarity(slow["layer2"]), atol=1e-6)
    late = study.runs(
        [make_recording(cells)], {n: v[4:] for n, v in slow.items()}, clock=0.5 * np.arange(5, 41), model="x"
    )
    with pytest.raises(SampleMismatch, match=r"'movie_one block 000' has no activations \(4 of 40 have none\)"):
        scored(runs=late)


def test_running_is_taken_out_before_blocks_are_compared(study, layers, make_cells, make_recording):
    rng = np.random.default_rng(11)
    cells = make_cells(rng, layers["layer1"], n_repeats=4)
    speed = rng.standard_normal((4, 200)) + np.repeat(rng.standard_normal((1, 40)), 5, axis=1)
    driven = cells + 2 * speed[:, :, None] * rng.standard_normal(20)
    plain = scored(runs=study.runs([make_recording(cells)], layers))["similarity"].values
    dataset = make_recording(driven).assign(running_speed_cm_s=(("repeat", "sample"), speed))
    runs = study.runs([dataset], layers)
    left, cleaned = (
        scored(runs=runs, options=OPTIONS.model_copy(update={"nuisance": names})) for names in ((), ("running_speed",))
    )
    error = [np.abs(one["similarity"].values - plain).mean() for one in (left, cleaned)]
    assert error[1] < error[0] / 4
    assert '"nuisance": ["running_speed"]' in cleaned.attrs["split"]


def test_what_cannot_be_compared_is_one_line(study, layers, make_cells, make_recording):
    cells = make_cells(np.random.default_rng(12), layers["layer1"])
    runs = study.runs([make_recording(cells)], layers)
    cases = [
        ({"options": RsaOptions()}, BadConfiguration, "its similarities need block_s"),
        ({"options": OPTIONS.model_copy(update={"block_s": 0.25})}, BadConfiguration, "no whole multiple"),
        ({"options": OPTIONS.model_copy(update={"nuisance": ("pupil_area",)})}, BadConfiguration, "pupil_area"),
        ({"layers": ["layer9"]}, UnknownName, "layer9"),
    ]
    for changes, error, message in cases:
        with pytest.raises(error, match=message) as caught:
            scored(runs=runs, **changes)
        assert isinstance(caught.value, LayermapError) and "\n" not in str(caught.value)


def test_items_of_equal_content_are_one_entry(study, make_layers, make_cells, make_recording):
    """Each picture under two names: their pairs, of similarity 1, and their halves would tell of each other."""
    rng = np.random.default_rng(3)
    features = {name: values[:24] for name, values in make_layers(rng, n_layers=2, n_blocks=24, per_block=1).items()}
    twice = {name: np.concatenate([values, values]) for name, values in features.items()}
    responses = make_cells(rng, features["layer1"], n_cells=12)
    both = np.concatenate([responses, responses + 0.1 * rng.standard_normal(responses.shape)], axis=1)
    names, again = [f"a{i}" for i in range(24)], [f"b{i}" for i in range(24)]
    both_names = names + again
    runs = study.runs([make_recording(both, items=both_names)], twice, items=both_names)
    of_items = functools.partial(scored, options=RsaOptions())
    separate = of_items(runs=runs)
    assert separate.sizes["item"] == 48 and separate.attrs["equal_contents"] == ""
    contents = [str(i % 24) for i in range(48)]
    about = {"items": both_names, "content": contents, "model": "known"}
    joined = of_items(runs=study.runs([make_recording(both, items=both_names)], twice, **about))
    assert joined["item"].values.tolist() == names and joined["stretch"].values.tolist() == list(range(24))
    assert joined.attrs["equal_contents"].startswith("48 items hold 24 different ones (a0 = b0; a1 = b1; ")
    mean = (both[:, :24] + both[:, 24:]) / 2
    expected = of_items(runs=study.runs([make_recording(mean, items=names)], features, items=names, model="mean"))
    np.testing.assert_allclose(joined["model_similarity"], expected["model_similarity"], atol=1e-6)
    assert np.corrcoef(joined["similarity"].values.ravel(), expected["similarity"].values.ravel())[0, 1] > 0.999
