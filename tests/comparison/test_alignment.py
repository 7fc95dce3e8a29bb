"""The check of the order of items on similarities: noise and right orders stay quiet, mistakes are found."""

import json

import numpy as np
import pytest

from pipeline.comparison.alignment import check_similarities
from pipeline.comparison.similarity import item_similarity
from tests.comparison.test_compare_stage import scores_of

NAMES = np.array([f"im{number}" for number in range(1, 61)])


def similarities(rng, signal):
    """Three targets' matrices of 60 items, and a layer's that shares features with them."""
    features = rng.standard_normal((60, 10))
    cells = [signal * features @ rng.standard_normal((10, 30)) / 3 + rng.standard_normal((60, 30)) for _ in range(3)]
    measured = np.stack([item_similarity(one) for one in cells], axis=-1)
    return measured, item_similarity(features + 0.5 * rng.standard_normal(features.shape))


def reordered(matrices, rows):
    return matrices[np.ix_(rows, rows)]


def test_hardly_ever_warns_without_a_mistake():
    """Of 240 studies one or two warn at one in two hundred, and twelve would at one in twenty."""
    studies = (similarities(np.random.default_rng([seed, 1]), signal) for signal in (0, 0.3, 1) for seed in range(80))
    assert sum(check_similarities(*study, NAMES, NAMES.tolist(), 0).warns for study in studies) <= 4


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.argsort(NAMES), "they are in the order of their names as text"),
        (np.arange(60)[::-1], "they stand in reverse"),
        (np.roll(np.arange(60), 1), "they stand one row too far down"),
    ],
)
def test_planted_mistakes_are_found_and_named(rows, said):
    found = []
    for seed in range(10):
        measured, modelled = similarities(np.random.default_rng([seed, 2]), 0.7)
        found.append(check_similarities(reordered(measured, rows), modelled, NAMES, NAMES.tolist(), 0))
    assert sum(one.warns and one.best.startswith(said) for one in found) >= 9


def test_compare_says_so_and_scores_keep_it(tmp_path, capsys):
    rng = np.random.default_rng(0)
    features = {f"layer{number}": rng.standard_normal((40, 30)) for number in range(3)}
    noisy = features["layer1"] + 0.5 * rng.standard_normal((40, 30))
    for name, order, seed in (
        ("right", np.arange(40), None),
        ("off", np.roll(np.arange(40), 1), None),
        ("rolled", np.arange(40), 1),
    ):
        (tmp_path / name).mkdir()
        scores = scores_of(tmp_path / name, features, {("A", ""): item_similarity(noisy[order])}, shuffle_seed=seed)
        warned = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
        assert len(warned) == (name == "off")
        if name == "rolled":
            assert "alignment" not in scores.attrs
            continue
        found = json.loads(scores.attrs["alignment"])
        assert found["warns"] == (name == "off")
        if warned:
            assert warned[0].startswith("layermap compare: warning: s, a/g, net: responses fit at r = ")
            assert "if they stand one row too far down" in warned[0]
            assert "check the order of the items" in warned[0]
