"""The compare stage, and the map made from its scores."""

import json

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.activations import ActivationWriter, LayerInfo
from pipeline.artifacts.geometry import write_geometry
from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.comparison.options import RsaOptions
from pipeline.comparison.similarity import compare, item_similarity, upper_triangle
from pipeline.comparison.stage import compare_group
from pipeline.core.errors import BadConfiguration, BrokenArtifact, LayermapError, SampleMismatch
from pipeline.inference.stage import AnalysisScores, build_map
from tests.inference_settings import Contrast, Settings

pytestmark = pytest.mark.slow

ITEMS = [f"scene{i:03d}" for i in range(40)]
ATTRS = {"study": "s", "analysis": "a", "group": "g", "created_by": "test", "config_sha": "c", "inputs_sha": "i"}


def activations(path, features, items=ITEMS, model="net", objective="supervised", content=None):
    attrs = {
        **standard_attrs("activations", "test", "c", "i"),
        "model": model,
        "modality": "images",
        "objective": objective,
        "sample_kind": "item",
        "weights_sha256": "abc",
        "preprocessing": "{}",
        "reduction": "{}",
        "stimulus": "scenes",
        "rate": "mean",
        "convolved": 0,
        **({} if content is None else {"content": content}),
    }
    layers = [LayerInfo(name, i, i / max(1, len(features) - 1)) for i, name in enumerate(features)]
    writer = ActivationWriter(path, layers, len(items), np.array(items), attrs)
    writer.write(0, {name: values.astype(np.float32) for name, values in features.items()})
    writer.close()
    return path


def geometry(path, matrices, items=ITEMS, ceiling=0.81):
    """matrices : (region, compartment) → (item, item)"""
    n = len(matrices)
    dataset = xr.Dataset(
        {
            "similarity": (("item", "item2", "target"), np.stack(list(matrices.values()), axis=2)),
            "ceiling": ("target", np.full(n, ceiling)),
        },
        coords={
            "item": np.array(items, object),
            "target": np.array(["-".join(key) for key in matrices], object),
            "region": ("target", np.array([key[0] for key in matrices], object)),
            "compartment": ("target", np.array([key[1] for key in matrices], object)),
            "subject": ("target", np.array(["pooled"] * n, object)),
        },
        attrs={
            **standard_attrs("geometry", "test", "c", "i"),
            "similarity": "pearson",
            "ceiling_kind": "split-half",
            "stimulus": "scenes",
            "units": "Pearson r",
            "n_subjects": 0,
        },
    )
    write_geometry(dataset, path)
    return path


def scores_of(tmp_path, features, matrices, options=None, shuffle_seed=None, **about):
    return compare_group(
        runs=[(geometry(tmp_path / "g.nc", matrices), activations(tmp_path / f"{len(about)}.zarr", features, **about))],
        options=options or RsaOptions(),
        layers=list(features),
        attrs=ATTRS,
        shuffle_seed=shuffle_seed,
    )


def measured(features, noise, seed):
    """Similarities of responses that are a noisy read-out of the features."""
    rng = np.random.default_rng(seed)
    return item_similarity(features + noise * rng.standard_normal(features.shape))


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    return {f"layer{i}": rng.standard_normal((40, 30)) for i in range(5)}


def test_items_are_matched_by_name(tmp_path, layers):
    matrices = {("V1", "4"): measured(layers["layer1"], 0.5, 1)}
    order = np.random.default_rng(1).permutation(40)
    straight = scores_of(tmp_path, layers, matrices)
    shuffled = scores_of(tmp_path, {n: f[order] for n, f in layers.items()}, matrices, items=[ITEMS[i] for i in order])
    assert np.allclose(straight["model_similarity"], shuffled["model_similarity"])
    # published as a number: the largest error that it can have over these items
    largest = (1 - 0.81**2) * np.sqrt(2 / straight.sizes["item"])
    assert straight["reliability_deviation"].values == pytest.approx(largest)
    assert straight.attrs["reliability_df"] == straight.sizes["item"] - 1
    assert straight["ceiling"].values == pytest.approx([0.9]) and straight.attrs["weights_sha256"] == "abc"
    assert json.loads(straight.attrs["split"])["n_splits"] == 20
    write_scores(straight, tmp_path / "scores.nc")
    assert open_scores(tmp_path / "scores.nc").attrs["kind"] == "geometry_scores"


def test_items_of_equal_content_are_one_with_their_mean_similarity(tmp_path, layers):
    """Every other scene is the one before it under another name."""
    features = {name: values[::2].repeat(2, axis=0) for name, values in layers.items()}
    matrix = measured(features["layer1"], 0.5, 1)
    separate = scores_of(tmp_path, features, {("V1", "4"): matrix})
    assert separate.sizes["item"] == 40 and separate.attrs["equal_contents"] == ""
    joined = scores_of(tmp_path, features, {("V1", "4"): matrix}, content=[str(i // 2) for i in range(40)])
    assert joined["item"].values.tolist() == ITEMS[::2]
    assert joined.attrs["equal_contents"].startswith("40 items hold 20 different ones (scene000 = scene001; ")
    expected = matrix.reshape(20, 2, 20, 2).mean(axis=(1, 3))
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(joined["similarity"].values[:, :, 0], expected, atol=1e-12)
    np.testing.assert_allclose(joined["model_similarity"], separate["model_similarity"][:, ::2, ::2], atol=1e-6)


def test_reference_similarity_between_targets(tmp_path, layers):
    matrices = {("V1", "4"): measured(layers["layer1"], 0.5, 1), ("V2", "4"): measured(layers["layer1"], 0.5, 2)}
    reference = scores_of(tmp_path, layers, matrices)["reference_similarity"].values
    expected = compare(*(upper_triangle(matrix) for matrix in matrices.values()), "spearman")
    assert reference[0, 1] == pytest.approx(expected) and np.allclose(np.diag(reference), 1)


def test_missing_item_is_named(tmp_path, layers):
    runs = [
        (
            geometry(tmp_path / "g.nc", {("V1", ""): np.eye(40)}),
            activations(tmp_path / "a.zarr", {"layer0": layers["layer0"][:39]}, items=ITEMS[:39]),
        )
    ]
    with pytest.raises(SampleMismatch, match=r"item 'scene039' of .*g\.nc .*is not in .*a\.zarr"):
        compare_group(runs=runs, options=RsaOptions(), layers=["layer0"], attrs=ATTRS, shuffle_seed=None)


@pytest.mark.parametrize(("name", "value"), [("block_s", 0.5), ("centred", True), ("nuisance", ("running_speed",))])
def test_what_needs_responses_is_refused_for_similarities(tmp_path, layers, name, value):
    matrices = {("V1", "4"): measured(layers["layer1"], 0.5, 1)}
    with pytest.raises(
        BadConfiguration, match=f"^{name} needs a recording of responses, but .*g.nc holds similarities"
    ):
        scores_of(tmp_path, layers, matrices, RsaOptions(**{name: value}))


def test_several_sets_of_similarities_and_a_broken_file_are_one_line(tmp_path, layers):
    runs = [(geometry(tmp_path / "g.nc", {("V1", ""): np.eye(40)}), activations(tmp_path / "a.zarr", layers))]
    with pytest.raises(LayermapError, match="group 'g' has 2 runs"):
        compare_group(runs=runs * 2, options=RsaOptions(), layers=None, attrs=ATTRS, shuffle_seed=None)
    (tmp_path / "g.nc").write_bytes(b"nothing")
    with pytest.raises(BrokenArtifact, match=r"g\.nc was altered"):
        compare_group(runs=runs, options=RsaOptions(), layers=None, attrs=ATTRS, shuffle_seed=None)


def test_similarities_are_drawn_item_by_item(tmp_path, layers):
    assert "stretch" not in scores_of(tmp_path, layers, {("V1", "4"): measured(layers["layer1"], 0.5, 1)}).variables


def test_map_finds_the_planted_layer_and_the_shuffled_one_finds_nothing(tmp_path, layers):
    matrices = {
        ("V1", "4"): measured(layers["layer1"], 0.6, 1),
        ("V1", "5"): measured(layers["layer1"], 0.6, 2),
        ("V2", "4"): measured(layers["layer4"], 0.6, 3),
    }
    rng = np.random.default_rng(9)
    models = {"net": layers} | {
        f"net@random-{seed}": {name: rng.standard_normal(values.shape) for name, values in layers.items()}
        for seed in range(5)
    }
    contrast = Contrast("trained", "net", "net@random")
    tables = {}
    for label, seed in (("real", None), ("shuffled", 3)):
        folder = tmp_path / label
        folder.mkdir()
        for number, (model, features) in enumerate(models.items()):
            objective = "random" if number else "supervised"
            scores = scores_of(folder, features, matrices, shuffle_seed=seed, model=model, objective=objective)
            write_scores(scores, folder / f"{number}.nc")
            (folder / f"{2}.zarr").rename(folder / f"done{number}")
        analysis = AnalysisScores(
            "scenes",
            "rsa",
            False,
            [contrast],
            ["V1", "V2"],
            list(models),
            [folder / f"{number}.nc" for number in range(len(models))],
        )
        tables[label] = build_map(study="s", analyses=[analysis], inference=Settings())
    rows, summary = tables["real"]["row"], tables["real"]["summary"]
    trained = rows[(rows["model"] == "net") & (rows["layer"] == "layer1")].set_index(["region", "compartment"])
    rho = compare(upper_triangle(item_similarity(layers["layer1"])), upper_triangle(matrices["V1", "4"]), "spearman")
    assert trained.loc[("V1", "4"), "score"] == pytest.approx(rho, abs=1e-6)
    assert trained.loc[("V1", "4"), "score_normalised"] == pytest.approx(rho / 0.9, abs=1e-6)
    both = trained.loc[("V1", "4"), "score"] + trained.loc[("V1", "5"), "score"]
    assert trained.loc[("V1", "all"), "score"] == pytest.approx(both / 2)
    best = summary[summary["model"] == "net"].set_index(["region", "compartment"])
    assert best.loc[("V1", "all"), "best_layer"] == "layer1" and best.loc[("V2", "all"), "best_layer"] == "layer4"
    assert len(best.loc[("V1", "4"), "best_layer_choices"].split(" | ")) == 40
    assert set(summary["ci_unit"]) == {"item"} and set(summary["n_subjects"]) == {0}
    contrasts = tables["real"]["contrast"]
    assert (contrasts[contrasts["contrast"] == "trained"]["ci_low"] > 0).all()
    order = contrasts[contrasts["contrast"] == "depth order: V1 before V2"]
    assert (order["p"] < 0.01).all()
    null = tables["shuffled"]["row"]
    assert null["score"].abs().max() < 0.2
    assert ((null["ci_low"] <= 0) & (null["ci_high"] >= 0)).mean() >= 0.85
