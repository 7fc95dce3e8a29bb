"""Probes against scikit-learn's ridge classifier, on planted classes, and on nothing."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from pipeline.training.probes import PENALTIES, probe


def classes(n, n_features, strength, seed, n_classes=4):
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(n_classes, n_features))
    labels = generator.integers(0, n_classes, n)
    return strength * centres[labels] + generator.normal(size=(n, n_features)), labels


def probed(train, test, **more):
    return probe(*train, *test, n_classes=4, **{"validation": 0.2, "seed": 0, **more})


@pytest.mark.parametrize("n_features", [10, 500])
def test_it_is_a_ridge_classifier(n_features):
    """More features than rows go another way to the same fit."""
    train, test = classes(200, n_features, 0.3, 1), classes(300, n_features, 0.3, 2)
    found = probed(train, test)
    scaler = StandardScaler().fit(train[0])
    # scikit-learn's penalty is absolute; here it is relative to the mean eigenvalue of n rows of SD 1
    unit = 200 if n_features < 200 else 200 * n_features / np.linalg.matrix_rank(scaler.transform(train[0]))
    model = RidgeClassifier(alpha=found.penalty * unit).fit(scaler.transform(train[0]), train[1])
    assert found.accuracy == pytest.approx(model.score(scaler.transform(test[0]), test[1]), abs=0.0101)


def test_planted_classes_are_found_and_the_interval_holds_the_share():
    found = probed(classes(400, 20, 1.0, 1), classes(500, 20, 1.0, 2))
    assert found.accuracy > 0.9 and found.low < found.accuracy < found.high
    assert found.high - found.low < 0.06 and (found.n_train, found.n_test) == (400, 500)


def test_without_classes_accuracy_is_chance():
    shares = []
    for seed in range(12):
        train, test = classes(200, 30, 0, 10 + seed), classes(400, 30, 0, 50 + seed)
        shares.append(probed(train, test).accuracy)
    assert np.mean(shares) == pytest.approx(0.25, abs=0.03)


def test_the_penalty_grows_with_noise():
    few = probed(classes(60, 50, 0.2, 1), classes(400, 50, 0.2, 2)).penalty
    many = probed(classes(4000, 50, 0.6, 1), classes(400, 50, 0.6, 2)).penalty
    assert few > PENALTIES[0] and many < few


def test_constant_features_change_nothing():
    train, test = classes(200, 10, 0.5, 1), classes(200, 10, 0.5, 2)

    def widened(part):
        return np.column_stack([part[0], np.full((len(part[0]), 3), 7.5)]), part[1]

    plain, wide = probed(train, test), probed(widened(train), widened(test))
    assert plain.accuracy == pytest.approx(wide.accuracy, abs=0.011)
    nothing = probed((np.ones((50, 3)), train[1][:50]), (np.ones((40, 3)), test[1][:40]))
    assert 0 <= nothing.accuracy <= 0.6
