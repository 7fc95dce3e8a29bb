"""Batches of geometry scores: shared draws of items or stretches, and what is computed only where it is needed."""

import json

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.storage.store import standard_attrs
from pipeline.comparison.similarity import item_similarity
from pipeline.core.errors import SampleMismatch
from pipeline.inference.estimates import estimate_places
from pipeline.inference.places import list_places
from pipeline.inference.scores import geometry_batches as module
from pipeline.inference.scores import pair_scores
from pipeline.inference.scores.geometry_batches import geometry_batches

pytestmark = pytest.mark.slow

N_ITEMS = 24


def scores(
    model="net", n_layers=3, stretch=None, subjects=("m0",), comparison="spearman", ci_unit="item", block_s=None
):
    """Every subject's region follows layer 1 of ``net``."""
    split = {"n_splits": 4, "seed": 1} | ({} if block_s is None else {"block_s": block_s, "stretch_s": block_s})
    rng = np.random.default_rng(0)
    features = rng.standard_normal((n_layers, N_ITEMS, 10))
    measured = [item_similarity(features[1] + rng.standard_normal((N_ITEMS, 10))) for _ in subjects]
    if model != "net":
        features = np.random.default_rng(len(model)).standard_normal(features.shape)
    text = {
        "target": [f"{subject} V" for subject in subjects],
        "region": ["V"] * len(subjects),
        "compartment": [""] * len(subjects),
        "subject": list(subjects),
        "ceiling_kind": ["across_animals"] * len(subjects),
    }
    dataset = xr.Dataset(
        {
            "model_similarity": (("layer", "item", "item2"), np.stack([item_similarity(one) for one in features])),
            "similarity": (("item", "item2", "target"), np.stack(measured, axis=2)),
            "reliability": ("target", np.full(len(subjects), 0.5)),
            "ceiling": ("target", np.full(len(subjects), np.sqrt(0.5))),
            "reliability_deviation": (("part", "target"), np.full((20, len(subjects)), 0.01)),
        },
        {
            "layer": ("layer", np.array([f"layer{i}" for i in range(n_layers)], object)),
            "layer_index": ("layer", np.arange(n_layers)),
            "relative_depth": ("layer", np.linspace(0, 1, n_layers)),
            "pathway": ("layer", np.array(["main"] * n_layers, object)),
            "item": ("item", np.array([f"i{i}" for i in range(N_ITEMS)], object)),
            **{name: ("target", np.array(values, object)) for name, values in text.items()},
        },
        {
            **standard_attrs("geometry_scores", "test", "c", "i"),
            **{"study": "s", "analysis": "a", "group": "g", "model": model, "objective": "supervised", "metric": "rsa"},
            **{"n_subjects": len(subjects), "split": json.dumps(split), "seed": 0},
            **{"reliability_df": 19, "ci_unit": ci_unit, "weights_sha256": "", "comparison": comparison},
        },
    )
    return dataset if stretch is None else dataset.assign_coords(stretch=("item", np.asarray(stretch)))


@pytest.fixture
def batch_of(save, settings, tmp_path):
    def make(*datasets, folder="one", **changes):
        paths = {str(one.attrs["model"]): save(one, tmp_path / folder) for one in datasets}
        [batch] = geometry_batches({"g": paths}, "rsa", settings(n_bootstrap=60, **changes))
        return batch

    return make


def arrays(loaded):
    parts = [loaded.point, *loaded.draws]
    return [getattr(part, name) for part in parts for name in ("score", "choice", "held_z", "weight")]


def test_items_that_are_their_own_stretches_are_drawn_as_without_any(batch_of):
    plain, own = batch_of(scores()), batch_of(scores(stretch=10 + np.arange(N_ITEMS)), folder="own")
    assert plain.n_units == own.n_units == N_ITEMS
    for one, other in zip(arrays(plain.load("net")), arrays(own.load("net")), strict=True):
        assert one.tobytes() == other.tobytes()


def test_stretches_are_the_units(batch_of):
    batch = batch_of(scores(stretch=np.arange(N_ITEMS) // 4, ci_unit="block"))
    assert (batch.n_units, batch.ci_unit) == (6, "block")
    point, [draws] = batch.load("net").point, batch.load("net").draws
    assert point.score.shape == (1, 3, 1) and draws.score.shape == (60, 3, 1)
    assert draws.score.std(axis=0).min() > 0


def test_models_that_do_not_fit_together_have_the_same_draws(batch_of, monkeypatch):
    models = [scores(), scores("other"), scores("third")]
    together = [arrays(batch_of(*models).load(name)) for name in ("net", "other", "third")]
    monkeypatch.setattr(module, "BYTES_AT_ONCE", 1)
    batch = batch_of(*models)
    for name, expected in zip(("net", "other", "third"), together, strict=True):
        for one, other in zip(arrays(batch.load(name)), expected, strict=True):
            assert np.allclose(one, other, atol=1e-6, equal_nan=True)


def test_places_with_enough_subjects_do_without_draws_of_blocks(batch_of, settings, monkeypatch):
    stretch = np.arange(N_ITEMS) // 2
    batch = batch_of(scores(subjects=[f"m{i}" for i in range(9)], stretch=stretch, ci_unit="block", block_s=1.0))
    n_draws = []
    original = pair_scores.pair_scores
    monkeypatch.setattr(module, "pair_scores", lambda *args: n_draws.append(len(args[2])) or original(*args))
    places = list_places(batch.targets, ["V"])
    whole = [place for place in places if place.subject == "all"]
    [estimate] = estimate_places(batch, batch.load("net"), whole, settings(n_bootstrap=60))[""]
    assert (estimate.ci_unit, estimate.n_units, n_draws) == ("subject", 9, [1])
    assert estimate.own.score.shape == (9, 3) and batch.widening == 1  # nothing was trained
    assert estimate.draws.score.shape == (60, 3) and estimate.draws.score.std(axis=0).min() > 0
    single = estimate_places(batch, batch.load("net"), places, settings(n_bootstrap=60))[""][1]
    assert (single.ci_unit, n_draws) == ("block", [1, 60])

    pictures = batch_of(scores(subjects=[f"m{i}" for i in range(9)]), folder="pictures")
    [estimate] = estimate_places(pictures, pictures.load("net"), whole, settings(n_bootstrap=60))[""]
    assert (estimate.ci_unit, estimate.n_units, n_draws[2:]) == ("subject and item", 9, [1, 60])
    assert estimate.draws.score.shape == (60, 3)


@pytest.mark.parametrize(("most_entries", "n_draws"), [(4000, 60), (50, 20)])
def test_kendall_of_large_matrices_takes_fewer_draws(batch_of, monkeypatch, most_entries, n_draws):
    monkeypatch.setattr(module, "MOST_ENTRIES", most_entries)
    monkeypatch.setattr(module, "MOST_SLOW_DRAWS", 20)
    [draws] = batch_of(scores(comparison="kendall")).load("net").draws
    assert draws.score.shape[0] == n_draws


def test_other_stretches_of_one_group_are_refused(batch_of):
    other = scores("other", stretch=np.arange(N_ITEMS) // 3)
    with pytest.raises(SampleMismatch, match=r"other\.nc has other items or stretches .*--forcerun compare_group"):
        batch_of(scores(stretch=np.arange(N_ITEMS) // 4), other)


def test_orders_of_items_go_by_their_names_and_are_those_of_all_models(save, settings, tmp_path, batch_of):
    plain = scores()
    mixed = np.random.default_rng(3).permutation(N_ITEMS)
    listed = plain.isel(item=mixed, item2=mixed).assign_attrs(group="h")
    paths = {one.attrs["group"]: {"net": save(one, tmp_path / "groups")} for one in (plain, listed)}
    first, second = (batch.load("net").null for batch in geometry_batches(paths, "rsa", settings(permutations=20)))
    [one], [other] = first.orders, second.orders
    assert first.n_orders == 20 and first.leaf_of.tolist() == [0] and one.held_z.shape == (20, 8, 3, 1)
    assert np.allclose(one.score, other.score, atol=1e-6)  # halves are of rows, so those differ
    assert np.unique(one.score[:, 0, 0]).size == 20
    batch = batch_of(scores(), scores("other"), scores("net2"), permutations=20)
    [again] = batch.load("net").null.orders
    assert np.array_equal(again.score, one.score)
    assert np.allclose(first.observed.score, batch.load("net").point.score, atol=1e-6)
    assert batch.untested == "" and batch_of(scores(), permutations=0).load("net").null is None


def test_every_order_goes_through_all_that_the_data_do(batch_of):
    loaded = batch_of(scores(), permutations=3).load("net")
    point, observed = loaded.point, loaded.null.observed
    for name in ("choice", "held_z", "weight"):
        assert np.allclose(getattr(observed, name), getattr(point, name), atol=1e-6), name


def test_blocks_are_rolled_and_short_stimuli_are_not_tested(batch_of):
    stretch = np.arange(N_ITEMS) // 4
    short = batch_of(scores(stretch=stretch, ci_unit="block", block_s=0.5), permutations=50)
    assert short.load("net").null is None
    assert short.untested.startswith("24 blocks of 0.5 s, alike over ") and "allow 0 rolls" in short.untested
    assert "do not say" in batch_of(scores(stretch=stretch, ci_unit="block"), permutations=50).untested
    half = np.array(["one", "two"], object)[np.arange(N_ITEMS) // 12]
    films = scores(stretch=stretch, ci_unit="block", block_s=20.0).assign_coords(stimulus=("item", half))
    lag = np.abs(np.subtract.outer(np.arange(N_ITEMS), np.arange(N_ITEMS)))
    films["similarity"] = films["similarity"] * 0 + np.exp(-2.0 * lag)[:, :, None]  # alike over two blocks
    long = batch_of(films, permutations=50)
    null = long.load("net").null
    [orders] = null.orders
    assert long.untested == "" and orders.score.shape[0] == null.n_orders == 5 * 5


@pytest.mark.parametrize(("most_entries", "n_orders"), [(4000, 199), (50, 99)])
def test_kendall_of_large_matrices_takes_fewer_orders(batch_of, monkeypatch, most_entries, n_orders):
    monkeypatch.setattr(module, "MOST_ENTRIES", most_entries)
    assert batch_of(scores(comparison="kendall")).load("net").null.n_orders == n_orders
