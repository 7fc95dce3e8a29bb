"""Reductions: distances kept, norms kept in expectation, nothing but the named arguments matters."""

import numpy as np
import pytest
import torch
from sklearn.random_projection import johnson_lindenstrauss_min_dim

from pipeline.activations.options import ClassToken, NoReduction, SparseProjection, SpatialMean
from pipeline.activations.reduce import Projector, make_reducer, n_features_of, projection_matrix
from pipeline.core.errors import BadConfiguration, LayermapError
from pipeline.models.calibration import calibration_photographs
from tests.activations.own_study import OWN

pytestmark = pytest.mark.slow


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


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("n_units", [12, 700, 20_000])
def test_projection_is_the_product_with_its_sparse_matrix(n_units):
    values = np.random.default_rng(2).standard_normal((9, n_units)).astype(np.float32)
    expected = (projection_matrix("layer", n_units, 64, 5) @ values.T.astype(np.float64)).T
    assert relative(Projector(64, 5)("layer", values), expected) < 1e-5


def test_projection_of_numpy_and_torch_and_of_any_batch_is_the_same(maps):
    project = Projector(64, 0)
    whole = project("layer", maps)
    for values in (torch.from_numpy(maps), torch.from_numpy(maps.transpose(0, 2, 3, 1).copy()).permute(0, 3, 1, 2)):
        found = Projector(64, 0)("layer", values)
        assert isinstance(found, np.ndarray) and found.dtype == np.float32
        np.testing.assert_array_equal(found, whole)
    for size in (1, 3, 17):
        parts = [Projector(64, 0)("layer", maps[start : start + size]) for start in range(0, len(maps), size)]
        assert relative(np.concatenate(parts), whole) < 1e-5


def test_a_projection_does_not_keep_what_it_was_given(maps):
    values = torch.from_numpy(maps.copy())
    for reduction in (NoReduction(), SpatialMean(), SparseProjection(n_features=8)):
        found = make_reducer(reduction)("layer", values)
        before = found.copy()
        values += 1  # as a module does that works in place
        np.testing.assert_array_equal(found, before)


@pytest.mark.parametrize(("n_samples", "distortion"), [(2, 0.9), (100, 0.3), (1000, 0.1), (5000, 0.05)])
def test_features_of_a_distortion_are_those_of_scikit_learn(n_samples, distortion):
    found = n_features_of(SparseProjection(n_samples=n_samples, distortion=distortion))
    assert found == johnson_lindenstrauss_min_dim(n_samples, eps=distortion)
    values = np.ones((2, 40), dtype=np.float32)
    assert make_reducer(SparseProjection(n_samples=100, distortion=0.3))("layer", values).shape == (2, 511)


@pytest.mark.parametrize("seed", range(3))
def test_distances_of_photographs_stay_within_the_distortion(seed):
    crops = np.stack(calibration_photographs(64, 12)).astype(np.float32).transpose(0, 3, 1, 2)
    reduction = SparseProjection(n_samples=len(crops), distortion=0.3, seed=seed)
    ratio = squared_distances(make_reducer(reduction)("layer", crops)) / squared_distances(crops)
    assert len(crops) == 108 and np.abs(ratio - 1).max() < 0.3
    assert np.abs(ratio - 1).max() > 0.05  # it is a projection, not the identity


def test_positions_before_the_patches_are_left_out_of_the_mean():
    tokens = np.random.default_rng(0).standard_normal((4, 6, 11)).astype(np.float32)
    for values in (tokens, torch.from_numpy(tokens)):
        found = make_reducer(SpatialMean())("layer", values, 2)
        np.testing.assert_allclose(found, tokens[:, :, 2:].astype(np.float64).mean(axis=2), rtol=1e-6)


def test_the_class_token_is_the_first_position_and_layers_without_one_are_refused():
    tokens = np.random.default_rng(0).standard_normal((4, 6, 11)).astype(np.float32)
    for values in (tokens, torch.from_numpy(tokens)):
        np.testing.assert_array_equal(make_reducer(ClassToken())("norm", values, 1), tokens[:, :, 0])
    for values, n_prefix in ((tokens, 0), (tokens[:, :, 0], 1), (tokens[..., None], 1)):
        with pytest.raises(LayermapError, match=r"layer 'stem' has no class token .*spatial_mean"):
            make_reducer(ClassToken())("stem", values, n_prefix)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "sparse_projection", "n_features": 10, "distortion": 0.1}, "n_features or distortion, not both"),
        ({"kind": "sparse_projection", "distortion": 1.0}, "less than 1"),
        ({"kind": "sparse_projection", "seed": -1}, "greater than or equal to 0"),
        ({"kind": "pca", "n_features": 501}, "less than or equal to 500"),
        ({"kind": "pca", "whiten": True}, "whiten"),
        ({"kind": "mean"}, "kind"),
    ],
)
def test_options_that_make_no_sense_are_one_line(lab, options, message):
    lab.write({"own": OWN}, {"name": "own", "reduction": options})
    with pytest.raises(BadConfiguration, match=message) as caught:
        lab.plan()
    assert "mine.yaml" in str(caught.value) and "reduction" in str(caught.value) and "\n" not in str(caught.value)
