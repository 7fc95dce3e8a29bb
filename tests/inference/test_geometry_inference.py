"""Simulated geometries: what animals share is not found in a network unrelated to it, what is planted is.

A geometry that all animals share lies in every draw of animals as it is. Whether it resembles a network's on a few
items is chance of these items.
"""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.storage.store import standard_attrs
from pipeline.comparison.similarity import item_similarity
from pipeline.inference.estimates import estimate_places, over_both
from pipeline.inference.places import Place, list_places
from pipeline.inference.profile import estimate
from pipeline.inference.scores import geometry_batches as module
from pipeline.inference.scores.bootstrap import draw_counts, rescaled
from pipeline.inference.scores.fold_scores import FoldScores
from pipeline.inference.scores.null_scores import p_value

pytestmark = pytest.mark.slow

N_ITEMS, N_FEATURES = 24, 10
ALONE, BOTH = "subject", "subject and item"


def geometries(rng, n_animals, of_network=0.0, step=0.0, n_items=N_ITEMS, n_layers=1, noise=1.0):
    """Scores of animals that share a geometry, which partly is the first layer's; ``step`` makes neighbours alike."""

    def features():
        values = rng.standard_normal((n_items, N_FEATURES))
        for row in range(1, n_items):
            values[row] = step * values[row - 1] + np.sqrt(1 - step**2) * values[row]
        return values

    layers = [features() for _ in range(n_layers)]
    shared = of_network * layers[0] + np.sqrt(1 - of_network**2) * features()
    measured = [item_similarity(shared + noise * features()) for _ in range(n_animals)]
    names = [f"m{number}" for number in range(n_animals)]
    text = {"target": names, "region": ["V"] * n_animals, "compartment": [""] * n_animals, "subject": names}
    split = {"n_splits": 1, "seed": 1, "block_s": 0.5, "stretch_s": 3.0}
    return xr.Dataset(
        {
            "model_similarity": (("layer", "item", "item2"), np.stack([item_similarity(one) for one in layers])),
            "similarity": (("item", "item2", "target"), np.stack(measured, axis=2)),
            "reliability": ("target", np.full(n_animals, 0.5)),
            "ceiling": ("target", np.full(n_animals, np.sqrt(0.5))),
        },
        {
            "layer": ("layer", np.array([f"layer{number}" for number in range(n_layers)], object)),
            "layer_index": ("layer", np.arange(n_layers)),
            "relative_depth": ("layer", np.linspace(0, 1, n_layers) if n_layers > 1 else np.zeros(1)),
            "pathway": ("layer", np.array(["main"] * n_layers, object)),
            "item": ("item", np.array([f"i{number}" for number in range(n_items)], object)),
            **{name: ("target", np.array(values, object)) for name, values in text.items()},
            "ceiling_kind": ("target", np.array(["across_animals"] * n_animals, object)),
        },
        {
            **standard_attrs("geometry_scores", "test", "c", "i"),
            **{"study": "s", "analysis": "a", "group": "g", "model": "net", "objective": "supervised"},
            **{"metric": "rsa", "n_subjects": n_animals, "split": json.dumps(split), "seed": 0, "weights_sha256": ""},
            **{"ci_unit": "block" if step else "item", "comparison": "spearman"},
        },
    )


@pytest.fixture
def analysed(settings, monkeypatch):
    """Scores, and what is estimated of all animals: drawn over animals alone, and over items too if they are any."""

    monkeypatch.setattr(module, "open_scores", lambda scores: scores)  # writing files takes longer than all the rest

    def analyse(dataset, seed):
        inference = settings(n_bootstrap=100, permutations=39, seed=seed)
        [batch] = module.geometry_batches({"g": {"net": dataset}}, "rsa", inference)
        loaded = batch.load("net")
        [whole] = [place for place in list_places(batch.targets, ["V"]) if place.subject == "all"]
        alone, both = (
            estimate_places(dataclasses.replace(batch, stimuli_drawn=drawn), loaded, [whole], inference)[""][0]
            for drawn in (False, batch.stimuli_drawn)
        )
        return batch, loaded, alone, both

    return analyse


def bounds(estimate):
    low, high = estimate.sampled(lambda profile: profile.score).interval(0.95)
    return low[0], high[0]


def outside(estimate):
    low, high = bounds(estimate)
    return low > 0 or high < 0


def p_of_animals(null):
    """(target,) of the first layer's score over all pairs."""
    [orders] = null.orders
    return p_value(null.observed.score[0, 0], orders.score[:, 0])


@pytest.mark.parametrize("n_animals", [8, 12, 20])
def test_a_shared_geometry_unrelated_to_the_network_is_not_found(analysed, n_animals):
    n_studies = 24
    over_animals, over_both, by_order = [], [], []
    for seed in range(n_studies):
        dataset = geometries(np.random.default_rng([11, n_animals, seed]), n_animals, noise=0.6)
        _, loaded, alone, both = analysed(dataset, seed)
        assert (alone.ci_unit, alone.n_units, both.ci_unit, both.n_units) == (ALONE, n_animals, BOTH, n_animals)
        over_animals.append(outside(alone))
        over_both.append(outside(both))
        by_order.append(p_of_animals(loaded.null)[0] <= 0.05)
    at_most = 0.05 + 2 * np.sqrt(0.05 * 0.95 / n_studies)
    assert np.mean(over_animals) > 0.3
    assert np.mean(over_both) <= at_most
    assert np.mean(by_order) <= at_most


def test_a_planted_geometry_is_found(analysed):
    above, by_order = [], []
    for seed in range(12):
        _, loaded, _, both = analysed(geometries(np.random.default_rng([2, seed]), 8, of_network=0.8), seed)
        above.append(bounds(both)[0] > 0)
        by_order.append((p_of_animals(loaded.null) <= 0.05).mean())
    assert np.mean(above) >= 0.9 and np.mean(by_order) >= 0.9


def test_slow_features_have_no_p_on_a_short_film(analysed):
    above = []
    for seed in range(3):
        rng = np.random.default_rng([3, seed])
        batch, loaded, _, both = analysed(geometries(rng, 8, step=0.9, n_items=60), seed)
        assert loaded.null is None and batch.untested.startswith("60 blocks of 0.5 s, alike over ")
        assert both.ci_unit == ALONE  # one film is no sample of films
        above.append(bounds(both)[0] > 0)
    assert np.mean(above) == 1  # by slowness alone


@pytest.mark.parametrize("spread", [(1.0, 1.0, 1.0), (0.0, 0.0, 1.0), (0.2, 1.0, 1.0)])
def test_draws_of_both_have_the_spread_of_new_subjects_and_new_stimuli(spread):
    n_subjects, n_items, n_draws = 12, 15, 200
    subject_sd, item_sd, noise_sd = spread
    expected = subject_sd**2 / n_subjects + item_sd**2 / n_items + noise_sd**2 / (n_subjects * n_items)
    place = Place("g", "all", "V", "", np.arange(n_subjects), np.arange(n_subjects), 0, n_subjects)
    rng = np.random.default_rng(4)
    found, naive = [], []
    for _ in range(60):
        table = subject_sd * rng.standard_normal((n_subjects, 1)) + item_sd * rng.standard_normal(n_items)
        table = table + noise_sd * rng.standard_normal((n_subjects, n_items))
        items, subjects = draw_counts(n_items, n_draws, rng), draw_counts(n_subjects, n_draws, rng)
        drawn, point = fold_scores_of(items @ table.T / n_items), fold_scores_of(table.mean(axis=1)[None])
        alone = estimate(point, place.targets, place.weights(subjects), np.zeros(1))
        both, parts = over_both([alone], [drawn], place, subjects, np.zeros(1))
        found.append(rescaled(parts[0].score, parts[1].score, both.score).var())
        naive.append(estimate(drawn, place.targets, place.weights(subjects), np.zeros(1)).score.var())
    # the bounds hold for each data set, so where noise is all there is the mean is somewhat too large
    assert 0.8 * expected < np.mean(found) < 1.3 * expected
    if not subject_sd:
        assert np.mean(naive) > 2 * expected  # noise counts three times


def fold_scores_of(score):
    """Of one layer and one fold: (draw, target)."""
    layers = np.asarray(score, float)[:, None]
    return FoldScores(layers, layers[:, None], layers[:, None], np.ones((len(layers), 1, layers.shape[2])))
