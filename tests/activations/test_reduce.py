"""Reductions: distances kept, norms kept in expectation, nothing but the named arguments matters."""

import numpy as np
import pytest

from pipeline.activations.options import NoReduction, SparseProjection, SpatialMean
from pipeline.activations.reduce import make_reducer, projection_matrix


@pytest.fixture(scope="module")
def maps():
    return np.random.default_rng(0).standard_normal((40, 16, 20, 20)).astype(np.float32)


def squared_distances(values):
    flat = values.reshape(len(values), -1).astype(np.float64)
    return ((flat[:, None] - flat[None]) ** 2).sum(axis=2)[np.triu_indices(len(flat), 1)]


def test_projection_keeps_distances(maps):
    projected = make_reducer(SparseProjection(n_features=1000))("layer", maps)
    ratio = squared_distances(projected) / squared_distances(maps)
    assert projected.dtype == np.float32
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / 1000)
    assert abs(ratio.mean() - 1) < 0.02


def test_projection_is_that_of_scikit_learn_in_distribution():
    from sklearn.random_projection import SparseRandomProjection

    n_units, n_features = 2500, 400
    ours = projection_matrix("layer", n_units, n_features, 0)
    theirs = SparseRandomProjection(n_features, density="auto", random_state=0).fit(np.zeros((1, n_units))).components_
    np.testing.assert_allclose(np.unique(ours.data), np.unique(theirs.data), rtol=1e-6)
    assert ours.nnz == pytest.approx(theirs.nnz, rel=0.05)
    assert ours.data.mean() == pytest.approx(0, abs=5 * ours.data.std() / np.sqrt(ours.nnz))
    per_unit = np.asarray((ours.multiply(ours)).sum(axis=0)).ravel()
    assert per_unit.mean() == pytest.approx(1, abs=0.02)


def test_squared_lengths_are_kept_in_expectation():
    vector = np.random.default_rng(1).standard_normal((1, 900)).astype(np.float32)
    lengths = [
        (make_reducer(SparseProjection(n_features=50, seed=seed))("layer", vector) ** 2).sum() for seed in range(200)
    ]
    expected = (vector**2).sum()
    assert np.mean(lengths) == pytest.approx(expected, abs=4 * np.std(lengths) / np.sqrt(200))


def test_projection_depends_on_seed_layer_and_sizes_only(maps):
    reduce = make_reducer(SparseProjection(n_features=50, seed=3))
    whole = reduce("layer", maps)
    again = make_reducer(SparseProjection(n_features=50, seed=3))
    again("another layer", maps[:2])
    np.testing.assert_array_equal(whole, np.concatenate([again("layer", maps[:7]), again("layer", maps[7:])]))
    assert np.abs(whole - reduce("another layer", maps)).max() > 1
    assert np.abs(whole - make_reducer(SparseProjection(n_features=50, seed=4))("layer", maps)).max() > 1


def test_narrow_layers_get_the_same_number_of_features():
    values = np.random.default_rng(0).standard_normal((5, 20)).astype(np.float32)
    assert make_reducer(SparseProjection(n_features=100))("layer", values).shape == (5, 100)


def test_spatial_mean_and_no_reduction(maps):
    np.testing.assert_allclose(make_reducer(SpatialMean())("layer", maps), maps.mean(axis=(2, 3)), atol=1e-6)
    vectors = maps[:, :, 0, 0]
    np.testing.assert_array_equal(make_reducer(SpatialMean())("layer", vectors), vectors)
    np.testing.assert_array_equal(make_reducer(NoReduction())("layer", maps), maps.reshape(40, -1))
