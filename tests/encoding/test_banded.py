"""The joint fit of several feature spaces: against himalaya, planted shares, and a space that adds nothing."""

import numpy as np
import pytest

from pipeline.core.errors import SampleMismatch
from pipeline.encoding.design import Design
from pipeline.encoding.group.feature_space import FeatureSpace
from pipeline.encoding.mappings.banded_fit import fit_banded, weightings
from pipeline.encoding.options import Criterion, Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold, Samples, make_splits

PENALTIES = np.geomspace(1e-3, 1e4, 15)


def folds_in_time(n_samples: int, n_folds: int = 3) -> list[Fold]:
    labels = np.full(n_samples, "run")
    samples = Samples("time", labels, labels, interval_s=1.0, time_s=np.arange(1.0, n_samples + 1))
    return make_splits(Splits(n_folds=n_folds, n_inner_folds=3, gap_s=4.0), samples, seed=0)


def space(features: np.ndarray, delays: tuple[int, ...] = (0,)) -> FeatureSpace:
    n = len(features)
    return FeatureSpace(features, delays, np.zeros(n, int), np.arange(n))


def planted(n_samples: int = 240, n_targets: int = 6, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two spaces of 40 and 8 features; the first targets follow the first space, the last the second."""
    generator = np.random.default_rng(3)
    first, second = (generator.standard_normal((n_samples, n)) for n in (40, 8))
    signals = [x @ generator.standard_normal((x.shape[1], n_targets)) for x in (first, second)]
    share = np.linspace(0, 1, n_targets)
    responses = np.sqrt(1 - share) * signals[0] / np.sqrt(40) + np.sqrt(share) * signals[1] / np.sqrt(8)
    return first, second, responses + noise * generator.standard_normal(responses.shape)


def scaled_kernels(features: list[np.ndarray], train: np.ndarray) -> np.ndarray:
    """Linear kernels over all samples of features standardised on the training rows, of mean eigenvalue 1 there."""
    kernels = []
    for x in features:
        x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
        kernels.append(x @ x.T / (np.square(x[train]).sum() / train.size))
    return np.stack(kernels)


class Parts:
    """Keeps each space's part of the held-out predictions: ``(n_spaces, n_samples, n_targets)``."""

    def __init__(self, folds: list[Fold], shape: tuple[int, int, int]) -> None:
        self.folds = folds
        self.values = np.full(shape, np.nan)

    def __call__(
        self, number: int, targets: np.ndarray, parts: np.ndarray, predicted: np.ndarray, measured: np.ndarray
    ) -> None:
        self.values[:, self.folds[number].test[:, None], targets] = parts


@pytest.mark.parametrize("choose_by", ["r", "r2"])
def test_equals_the_random_search_of_himalaya(choose_by: str) -> None:
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
    from himalaya.scoring import correlation_score, l2_neg_loss

    set_backend("numpy")
    first, second, responses = planted()
    rows = np.arange(240)
    inner = Fold(rows[:120], rows[120:180], np.zeros(60, int))
    outer = Fold(rows[:180], rows[180:], np.zeros(60, int), (inner,))
    candidates = weightings(2, 9, largest_ratio=100.0, seed=0)
    parts = Parts([outer], (2, 240, 6))
    spaces = [space(first), space(second)]
    exact = {"precision": "float64", "tolerance": 0.0, "splits": [outer], "collect": parts, "choose_by": choose_by}
    fit = fit_banded(spaces, responses, PENALTIES, candidates, **exact)
    deltas, _, scores, alphas = solve_multiple_kernel_ridge_random_search(
        scaled_kernels([first, second], inner.train),
        responses - responses[inner.train].mean(axis=0),
        n_iter=candidates,
        alphas=PENALTIES,
        score_func=correlation_score if choose_by == "r" else l2_neg_loss,
        cv=[(inner.train, inner.test)],
        progress_bar=False,
        return_alphas=True,
    )
    if choose_by == "r":
        np.testing.assert_allclose(fit.inner_score[0], scores.max(axis=0), atol=1e-8)
    np.testing.assert_allclose(fit.penalty[0], alphas)
    np.testing.assert_allclose(fit.weight[0] / alphas, np.exp(deltas), atol=1e-12)  # deltas: log(weight / penalty)

    # the refit: himalaya's would be on all samples, so here the same equations on the outer training rows
    kernels = scaled_kernels([first, second], outer.train)
    mean = responses[outer.train].mean(axis=0)
    for target in range(6):
        weighted = fit.weight[0, :, target, None, None] * kernels
        joint = weighted.sum(axis=0)[np.ix_(outer.train, outer.train)]
        dual = np.linalg.solve(joint + alphas[target] * np.eye(180), (responses[outer.train] - mean)[:, target])
        expected = weighted[:, outer.test][:, :, outer.train] @ dual
        np.testing.assert_allclose(parts.values[:, outer.test, target], expected, atol=1e-8)
        np.testing.assert_allclose(fit.predictions[outer.test, target], mean[target] + expected.sum(axis=0), atol=1e-8)
    # single precision and few filters change no choice here, and predictions by rounding
    quick = fit_banded(spaces, responses, PENALTIES, candidates, splits=[outer], choose_by=choose_by)
    np.testing.assert_array_equal(quick.weight, fit.weight)
    np.testing.assert_allclose(quick.predictions[outer.test], fit.predictions[outer.test], atol=1e-4)


@pytest.mark.parametrize("choose_by", ["r2", "r"])
@pytest.mark.parametrize("delays", [(0,), (1, 2)])
def test_one_space_is_ridge(delays: tuple[int, ...], choose_by: Criterion) -> None:
    first, _, responses = planted()
    first[:3] = np.nan
    folds = folds_in_time(240)
    how = {"choose_by": choose_by, "precision": "float64"}
    ridge = fit_ridge(first, responses, PENALTIES, Design.of_bins(len(first), folds, delays=delays), **how)
    banded = fit_banded([space(first, delays)], responses, PENALTIES, np.ones((1, 1)), splits=folds, **how)
    np.testing.assert_allclose(banded.penalty, ridge.penalty)
    np.testing.assert_allclose(banded.inner_score, ridge.inner_score, atol=1e-4)
    np.testing.assert_allclose(banded.predictions, ridge.predictions, atol=1e-4)
    assert (banded.weight == 1).all()


@pytest.mark.parametrize(("n_spaces", "n"), [(2, 13), (3, 20), (4, 5)])
def test_weightings_hold_each_space_alone_and_all_equal(n_spaces: int, n: int) -> None:
    candidates = weightings(n_spaces, n, largest_ratio=1000.0, seed=5)
    assert candidates.shape == (n, n_spaces)
    np.testing.assert_allclose(candidates.sum(axis=1), 1)
    for wanted in [*np.eye(n_spaces), np.full(n_spaces, 1 / n_spaces)]:
        assert np.isclose(candidates, wanted).all(axis=1).sum() == 1
    if n_spaces == 2:
        ratio = candidates[2:, 0] / candidates[2:, 1]
        np.testing.assert_allclose([ratio.min(), ratio.max()], [1e-3, 1e3])
    np.testing.assert_array_equal(candidates, weightings(n_spaces, n, largest_ratio=1000.0, seed=5))


def test_spaces_of_other_samples_are_refused() -> None:
    first, second, responses = planted()
    with pytest.raises(SampleMismatch, match="239 samples and responses 240"):
        fit_banded([space(first), space(second[:-1])], responses, PENALTIES, np.eye(2), splits=folds_in_time(240))
