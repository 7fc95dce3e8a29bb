"""Inputs that break careless solvers: the right answer, or an error that names the place."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.encoding.design import Design
from pipeline.encoding.ridge import cost
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold


@pytest.fixture(autouse=True, params=[0.0, np.inf], ids=["batched", "plain"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for both solvers."""
    monkeypatch.setattr(cost, "SMALL_FLOPS", request.param)


GRID = np.geomspace(1e-4, 1e6, 21)


def fold_of(n_samples: int, n_test: int, n_inner: int = 3) -> Fold:
    """The last samples held out, the others in inner folds."""
    train, test = np.arange(n_samples - n_test), np.arange(n_samples - n_test, n_samples)
    block = np.zeros(test.size, int)
    inner = [Fold(np.setdiff1d(train, part), part, np.zeros(part.size, int)) for part in np.array_split(train, n_inner)]
    return Fold(train, test, block, tuple(inner))


def badly_made(kind: str, generator: np.random.Generator, n: int, p: int) -> np.ndarray:
    features = generator.standard_normal((n, p))
    if kind == "rank 1":
        return np.outer(features[:, 0], generator.standard_normal(p))
    if kind == "duplicated":
        return np.concatenate([features, features, features[:, :1]], axis=1)
    if kind == "constant":
        return np.concatenate([features, np.full((n, 3), 1e5)], axis=1)
    if kind == "scales":
        return (features + 20) * np.geomspace(1e-3, 1e3, p)
    return features


@pytest.mark.parametrize("kind", ["rank 1", "duplicated", "constant", "scales"])
@pytest.mark.parametrize("n_features", [12, 150])  # primal and dual
def test_predictions_equal_scikit_learn(kind: str, n_features: int) -> None:
    generator = np.random.default_rng(1)
    features = badly_made(kind, generator, 110, n_features)
    signal = features[:, :4] - features[:, :4].mean(axis=0)
    responses = signal / signal.std(axis=0) + generator.standard_normal((110, 4))
    fold = fold_of(110, 20)
    mean, sd = features[fold.train].mean(axis=0), features[fold.train].std(axis=0)
    x = np.divide(features - mean, sd, out=np.zeros_like(features), where=sd > 1e-9 * np.abs(mean))
    fit = fit_ridge(features, responses, GRID, Design.of_bins(len(features), [fold]))
    assert all(np.isfinite(found).all() for found in (fit.score, fit.inner_score, fit.penalty))
    for target in range(4):
        alpha = fit.penalty[0, target] * (x[fold.train] ** 2).sum() / fold.train.size
        expected = Ridge(alpha=alpha, solver="svd").fit(x[fold.train], responses[fold.train, target])
        np.testing.assert_allclose(fit.predictions[fold.test, target], expected.predict(x[fold.test]), atol=2e-4)
    # float32 products lose little beside float64 ones, even at the smallest penalty of the grid
    smallest = [
        fit_ridge(features, responses, GRID[:1], Design.of_bins(len(features), [fold]), precision=p)
        for p in ("float32", "float64")
    ]
    np.testing.assert_allclose(smallest[0].score, smallest[1].score, atol=1e-3)


@pytest.mark.parametrize("n_samples", [8, 12, 19])
def test_few_samples(n_samples: int) -> None:
    generator = np.random.default_rng(n_samples)
    features, responses = generator.standard_normal((n_samples, 30)), generator.standard_normal((n_samples, 6))
    responses[:, 0] = features[:, 0]
    exact, fit = (
        fit_ridge(
            features,
            responses,
            GRID,
            Design.of_bins(len(features), [fold_of(n_samples, 3, n_inner=2)]),
            precision=p,
            tolerance=t,
        )
        for p, t in (("float64", 0.0), ("float32", 5e-4))
    )
    assert np.isfinite(fit.predictions[-3:]).all() and np.isfinite(fit.score).all() and (np.abs(fit.score) <= 1).all()
    np.testing.assert_allclose(fit.inner_score, exact.inner_score, atol=1e-3)


def test_feature_that_varies_only_where_it_is_left_out() -> None:
    generator = np.random.default_rng(5)
    features, responses = generator.standard_normal((120, 5)), generator.standard_normal((120, 8))
    fold = fold_of(120, 20)
    features[:, 4] = 1e-4 * generator.standard_normal(120)
    features[fold.inner[0].test, 4] = 1e3 * generator.standard_normal(fold.inner[0].test.size)
    exact, fit = (
        fit_ridge(features, responses, GRID, Design.of_bins(len(features), [fold]), precision=p, tolerance=t)
        for p, t in (("float64", 0.0), ("float32", 5e-4))
    )
    np.testing.assert_allclose(fit.inner_score, exact.inner_score, atol=1e-3)


def test_a_single_test_row_scores_zero() -> None:
    generator = np.random.default_rng(2)
    features, responses = generator.standard_normal((40, 6)), generator.standard_normal((40, 3))
    fit = fit_ridge(features, responses, GRID, Design.of_bins(len(features), [fold_of(40, 1)]))
    assert np.all(fit.score == 0) and np.isfinite(fit.predictions[-1]).all()


def test_what_is_not_finite_is_named() -> None:
    generator = np.random.default_rng(3)
    features, responses = generator.standard_normal((60, 7)), generator.standard_normal((60, 5))
    broken = responses.copy()
    broken[7, 3] = np.nan
    with pytest.raises(SampleMismatch, match=r"target 3 \(1 of 5\) are not finite"):
        fit_ridge(features, broken, GRID, Design.of_bins(len(features), [fold_of(60, 10)]))
    for value in (np.inf, np.nan):
        odd = features.copy()
        odd[11, 5] = value
        with pytest.raises(SampleMismatch, match=f"feature 5 is {value} in bin 11"):
            fit_ridge(odd, responses, GRID, Design.of_bins(len(odd), [fold_of(60, 10)]))


def test_folds_and_grids_that_cannot_be_fitted_are_refused() -> None:
    features, responses = np.ones((10, 2)), np.ones((10, 2))
    fold = fold_of(10, 3)
    for penalties in ([1.0, 1.0], [0.0, 1.0], [np.nan], []):
        with pytest.raises(BadConfiguration, match="positive, finite and ascending"):
            fit_ridge(features, responses, penalties, Design.of_bins(len(features), [fold]))
    with pytest.raises(BadConfiguration, match="no inner folds"):
        fit_ridge(features, responses, GRID, Design.of_bins(len(features), [Fold(fold.train, fold.test, fold.block)]))
    with pytest.raises(BadConfiguration, match="1 training and 3 test rows"):
        fit_ridge(
            features,
            responses,
            GRID,
            Design.of_bins(len(features), [Fold(fold.train[:1], fold.test, fold.block, fold.inner)]),
        )
