"""Readouts are linear in the planted layer, predictable from it, and not from the others."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from pipeline.core.errors import LayermapError
from pipeline.simulated.readouts import choose_readouts, layer_smoothers

LAYERS = ["a", "b", "c", "d", "e"]
N = 240


@pytest.fixture(scope="module")
def features() -> dict[str, np.ndarray]:
    """A chain of five layers, each a nonlinear function of the one before."""
    generator = np.random.default_rng(1)
    values = generator.standard_normal((N, 60)) @ generator.standard_normal((60, 150))
    layers = {}
    for name in LAYERS:
        layers[name] = values.astype(np.float32)
        centred = (values - values.mean(axis=0)) / values.std(axis=0)
        values = np.maximum(centred @ generator.standard_normal((150, 150)) / np.sqrt(150), 0)
    return layers


@pytest.fixture(scope="module")
def smoothers(features):
    return layer_smoothers(features, n_folds=4, gap_samples=3)


def test_a_smoother_gives_the_held_out_predictions_of_ridge(features):
    penalty, gap = 0.7, 3
    smoothers = layer_smoothers(features, delays=(0, 1), n_folds=4, gap_samples=gap, penalties=(penalty,))
    signal = np.random.default_rng(0).standard_normal((N, 2))
    design = np.concatenate([features["c"], features["c"][np.clip(np.arange(N) - 1, 0, None)]], axis=1).astype(float)
    predicted = smoothers.matrices[2, 0] @ signal
    for first in range(0, N, N // 4):
        test = np.arange(first, first + N // 4)
        train = np.setdiff1d(np.arange(N), np.arange(first - gap, first + N // 4 + gap))
        scaler = StandardScaler().fit(design[train])
        x = scaler.transform(design[train])
        ridge = Ridge(alpha=penalty * np.trace(x @ x.T) / train.size).fit(x, signal[train])
        expected = ridge.predict(scaler.transform(design[test])) - signal[train].mean(axis=0)
        np.testing.assert_allclose(predicted[test], expected, atol=1e-8)


def test_a_score_is_the_mean_of_pearson_r_within_folds(smoothers):
    signal = np.random.default_rng(2).standard_normal((N, 3))
    score = smoothers.score(signal)
    predicted = smoothers.matrices[1, 2] @ signal
    expected = [
        np.mean([np.corrcoef(predicted[rows, cell], signal[rows, cell])[0, 1] for rows in smoothers.test_rows])
        for cell in range(3)
    ]
    np.testing.assert_allclose(score[1, 2], expected, atol=1e-10)


@pytest.mark.parametrize("planted", LAYERS)
def test_only_the_planted_layer_and_its_neighbours_predict_a_readout(features, smoothers, planted):
    own = LAYERS.index(planted)
    chosen = choose_readouts(smoothers, features[planted], planted, 6, n_components=60, neighbour_r=0.2)
    fitted = smoothers.score(chosen.signals)
    for layer in range(len(LAYERS)):
        distance = abs(layer - own)
        if distance == 0:
            assert fitted[layer, :3].mean() > 0.5
        else:
            np.testing.assert_allclose(fitted[layer], 0.2 if distance == 1 else 0.0, atol=0.05)
    np.testing.assert_allclose(chosen.profile, fitted.mean(axis=2))


def test_an_arbitrary_readout_is_predicted_by_the_neighbours_too(features, smoothers):
    arbitrary = features["c"] @ np.random.default_rng(0).standard_normal((150, 6))
    assert smoothers.score(arbitrary - arbitrary.mean(axis=0))[1, 1].mean() > 0.6


def test_readouts_are_linear_in_the_drive_with_unit_variance(features, smoothers):
    chosen = choose_readouts(smoothers, features["b"], "b", 9)
    drive = features["b"].astype(float)
    np.testing.assert_allclose((drive - drive.mean(axis=0)) @ chosen.weights, chosen.signals, atol=1e-8)
    np.testing.assert_allclose(chosen.signals.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(chosen.signals.std(axis=0), 1, atol=1e-10)


def test_readouts_depend_on_the_seed_and_on_nothing_else(features, smoothers):
    first, again, other = (choose_readouts(smoothers, features["b"], "b", 4, seed=seed).weights for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_an_unknown_layer_names_the_closest(features, smoothers):
    smoothers = layer_smoothers({f"stage{i}": features["a"] for i in range(3)}, n_folds=2)
    with pytest.raises(LayermapError, match=r"unknown planted layer 'stage9' \(closest: 'stage"):
        choose_readouts(smoothers, features["a"], "stage9", 2)


def test_sample_counts_that_differ_are_named(features, smoothers):
    with pytest.raises(LayermapError, match="has 200 samples, the layers have 240"):
        choose_readouts(smoothers, features["a"][:200], "a", 2)
    with pytest.raises(LayermapError, match="differ in their number of samples"):
        layer_smoothers({"a": features["a"], "b": features["b"][:10]})
