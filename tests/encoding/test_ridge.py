"""The ridge solver: against scikit-learn and himalaya, planted truths, nulls, and targets that do not vary."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error

from pipeline.core.errors import SampleMismatch
from pipeline.encoding.arithmetic.correlation import correlate, fisher_z, standardise
from pipeline.encoding.design import Design
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.options import Criterion, PenaltyGrid, Splits
from pipeline.encoding.ridge import cost
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold, Samples, make_splits

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, params=[0.0, np.inf], ids=["batched", "plain"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds for both solvers."""
    monkeypatch.setattr(cost, "SMALL_FLOPS", request.param)


EXACT = {"precision": "float64", "tolerance": 0.0}
PENALTIES = np.asarray(PenaltyGrid(lowest=1e-3, highest=1e4, n=15).values())


def folds_in_time(n_samples: int, n_folds: int = 4, gap_s: float = 4.0) -> list[Fold]:
    time_s = np.arange(1, n_samples + 1) * 1.0
    labels = np.full(n_samples, "run")
    samples = Samples("time", labels, labels, interval_s=1.0, time_s=time_s)
    return make_splits(Splits(n_folds=n_folds, n_inner_folds=3, gap_s=gap_s), samples, seed=0)


def simulate(
    n_samples: int, n_features: int, n_targets: int, noise: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((n_samples, n_features)) * generator.uniform(0.1, 10, n_features) + 3
    weights = generator.standard_normal((n_features, n_targets)) / generator.uniform(0.1, 10, n_features)[:, None]
    signal = features @ weights
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    return features, signal + noise * generator.standard_normal((n_samples, n_targets))


def scikit_learn_nested(
    features: np.ndarray, responses: np.ndarray, folds: list[Fold], choose_by: str
) -> tuple[np.ndarray, np.ndarray]:
    """The same nested choice as a plain loop over scikit-learn models."""
    predictions = np.full(responses.shape, np.nan)
    penalty = np.zeros((len(folds), responses.shape[1]))
    for number, fold in enumerate(folds):
        quality = np.zeros((PENALTIES.size, responses.shape[1]))
        for inner in fold.inner:
            for index, relative in enumerate(PENALTIES):
                predicted = scikit_learn_predict(features, responses, inner, relative)
                for target in range(responses.shape[1]):
                    measured = responses[inner.test, target]
                    if choose_by == "r":
                        own = np.arctanh(np.corrcoef(predicted[:, target], measured)[0, 1])
                    else:
                        own = -mean_squared_error(measured, predicted[:, target])
                    quality[index, target] += own / len(fold.inner)
        for target in range(responses.shape[1]):
            penalty[number, target] = PENALTIES[np.argmax(quality[:, target])]
            predicted = scikit_learn_predict(features, responses, fold, penalty[number, target])
            predictions[fold.test, target] = predicted[:, target]
    return predictions, penalty


def scikit_learn_predict(features: np.ndarray, responses: np.ndarray, fold: Fold, relative: float) -> np.ndarray:
    mean, sd = features[fold.train].mean(axis=0), features[fold.train].std(axis=0)
    x, x_test = (features[fold.train] - mean) / sd, (features[fold.test] - mean) / sd
    mean_eigenvalue = np.linalg.eigvalsh(x @ x.T).mean()
    model = Ridge(alpha=relative * mean_eigenvalue, solver="svd").fit(x, responses[fold.train])
    return np.asarray(model.predict(x_test)).reshape(fold.test.size, -1)


@pytest.mark.parametrize("choose_by", ["r2", "r"])
@pytest.mark.parametrize("n_features", [12, 200])  # primal and dual
def test_equals_nested_scikit_learn(n_features: int, choose_by: Criterion) -> None:
    features, responses = simulate(120, n_features, 5, noise=1.0)
    folds = folds_in_time(120)
    design = Design.of_bins(len(features), folds)
    fit = fit_ridge(features, responses, PENALTIES, design, choose_by=choose_by, **EXACT)
    predictions, penalty = scikit_learn_nested(features, responses, folds, choose_by)
    np.testing.assert_allclose(fit.penalty, penalty)
    np.testing.assert_allclose(fit.predictions, predictions, atol=1e-8)


@pytest.mark.parametrize("choose_by", ["r2", "r"])
def test_equals_himalaya_with_the_same_folds_and_penalties(choose_by: Criterion) -> None:
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import solve_kernel_ridge_cv_eigenvalues
    from himalaya.scoring import l2_neg_loss

    set_backend("numpy")
    features, responses = simulate(150, 300, 8, noise=2.0, seed=1)
    (fold, *_) = folds_in_time(150)
    # himalaya centres nothing and scales alphas by nothing: give it one inner fold, already standardised.
    inner = fold.inner[0]
    one = Fold(fold.train, fold.test, fold.block, (inner,))
    x, x_inner = standardise(features[inner.train], features[inner.test])
    everything = np.concatenate([x, x_inner])
    y = np.concatenate([responses[inner.train], responses[inner.test]]) - responses[inner.train].mean(axis=0)
    split = [(np.arange(inner.train.size), np.arange(inner.train.size, everything.shape[0]))]
    mean_eigenvalue = np.trace(x @ x.T) / inner.train.size
    best, _, scores = solve_kernel_ridge_cv_eigenvalues(
        everything @ everything.T,
        y,
        alphas=PENALTIES * mean_eigenvalue,
        cv=split,
        score_func=l2_neg_loss if choose_by == "r2" else lambda y, predicted: correlate_all(predicted, y),
        fit_intercept=False,
        local_alpha=True,
    )
    design = Design.of_bins(len(features), [one])
    ours = fit_ridge(features, responses, PENALTIES, design, choose_by=choose_by, **EXACT)
    np.testing.assert_allclose(best / mean_eigenvalue, ours.penalty[0], rtol=1e-6)
    if choose_by == "r":
        np.testing.assert_allclose(scores[0], ours.inner_score[0], atol=1e-5)
    assert np.unique(ours.penalty).size > 1


def correlate_all(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """himalaya hands over one batch of penalties, (n_penalties, n_samples, n_targets)."""
    return np.stack([correlate(one, measured) for one in np.asarray(predicted)])


def test_planted_weights_are_found() -> None:
    features, responses = simulate(400, 20, 10, noise=0.5)
    fit = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds_in_time(400)))
    expected = 1 / np.sqrt(1 + 0.5**2)  # r of the true signal with the noisy responses
    assert np.abs(fit.score.mean() - expected) < 0.03
    assert np.abs(fit.inner_score - fit.score).mean() < 0.05
    assert not np.isnan(fit.predictions).any()


def test_planted_delays_are_found() -> None:
    generator = np.random.default_rng(2)
    features = generator.standard_normal((300, 6))
    runs = np.repeat([0, 1], 150)
    response = Design.of_bins(300, (), delays=[3], runs=runs).delayed(features) @ generator.standard_normal((6, 4))
    responses = np.nan_to_num(response) + 0.3 * generator.standard_normal((300, 4))
    folds = folds_in_time(300, gap_s=8.0)
    delays = [1, 2, 3, 4]
    fit = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds, delays=delays, runs=runs))
    assert fit.score.mean() > 0.9
    assert fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds, runs=runs)).score.mean() < 0.2


def within_two_standard_errors(fit: LayerFit) -> bool:
    z = fisher_z(fit.score).mean(axis=0)
    return bool(abs(z.mean()) < 2 * z.std(ddof=1) / np.sqrt(z.size))


@pytest.mark.parametrize("n_features", [10, 400])
@pytest.mark.parametrize("autocorrelation", [0.0, 0.7])
def test_noise_targets_average_zero(n_features: int, autocorrelation: float) -> None:
    from scipy.signal import lfilter

    generator = np.random.default_rng(11)
    features, responses = (
        lfilter([1], [1, -autocorrelation], generator.standard_normal((250, width)), axis=0)
        for width in (n_features, 600)
    )
    fit = fit_ridge(
        features, responses, PENALTIES, Design.of_bins(len(features), folds_in_time(250, n_folds=5, gap_s=15.0))
    )
    assert within_two_standard_errors(fit)


def test_held_out_rows_change_nothing_in_training() -> None:
    features, responses = simulate(150, 30, 3, noise=1.0)
    folds = folds_in_time(150)
    before = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds[:1]))
    dirty = responses.copy()
    dirty[folds[0].test] = 1e3 * np.random.default_rng(0).standard_normal((folds[0].test.size, 3))
    dirty_features = features.copy()
    dirty_features[folds[0].test[1:]] *= 50
    after = fit_ridge(dirty_features, dirty, PENALTIES, Design.of_bins(len(dirty_features), folds[:1]))
    np.testing.assert_array_equal(before.penalty, after.penalty)
    np.testing.assert_array_equal(before.predictions[folds[0].test[0]], after.predictions[folds[0].test[0]])


def test_constant_target_predicts_its_mean_and_scores_zero() -> None:
    features, responses = simulate(120, 40, 3, noise=1.0)
    responses[:, 1] = 0.3
    fit = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds_in_time(120)))
    assert fit.constant.tolist() == [False, True, False]
    np.testing.assert_allclose(fit.predictions[:, 1], 0.3, rtol=1e-6)
    assert np.all(fit.score[:, 1] == 0) and np.all(fit.inner_score[:, 1] == 0)
    assert np.all(fit.penalty_edge[:, 1] == 0) and np.isfinite(fit.penalty).all()
    alone = fit_ridge(features, responses[:, [0]], PENALTIES, Design.of_bins(len(features), folds_in_time(120)))
    np.testing.assert_allclose(fit.predictions[:, [0]], alone.predictions, atol=1e-6)


def test_target_constant_in_training_only_gives_no_nan() -> None:
    features, responses = simulate(120, 10, 1, noise=1.0)
    folds = folds_in_time(120)
    responses[folds[0].train] = 1.0
    fit = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds))
    assert np.isfinite(fit.score).all() and fit.score[0, 0] == 0 and not fit.constant[0]


def test_constant_and_missing_features_add_nothing() -> None:
    features, responses = simulate(120, 15, 4, noise=1.0)
    folds = folds_in_time(120)
    plain = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds))
    padded = np.column_stack([features, np.full((120, 2), 7.0), np.full(120, np.nan)])
    with_padding = fit_ridge(padded, responses, PENALTIES, Design.of_bins(len(padded), folds))
    np.testing.assert_allclose(plain.predictions, with_padding.predictions, atol=1e-6)
    nothing = fit_ridge(np.full((120, 3), 7.0), responses, PENALTIES, Design.of_bins(120, folds))
    assert np.all(nothing.score == 0) and np.isfinite(nothing.predictions).all()


def test_missing_rows_take_the_training_mean() -> None:
    generator = np.random.default_rng(0)
    train, test = generator.standard_normal((50, 3)), generator.standard_normal((10, 3))
    train[4, 0] = test[2, 1] = np.nan
    scaled, scaled_test = standardise(train, test)
    assert scaled[4, 0] == 0 and scaled_test[2, 1] == 0
    np.testing.assert_allclose(scaled[:, 0].sum(), 0, atol=1e-12)
    np.testing.assert_allclose(scaled_test[:, 0], (test[:, 0] - np.nanmean(train[:, 0])) / np.nanstd(train[:, 0]))


def test_memory_budget_changes_nothing_but_the_batches() -> None:
    features, responses = simulate(100, 60, 23, noise=1.0)
    folds = folds_in_time(100)
    whole = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds))
    batched = fit_ridge(
        features, responses, PENALTIES, Design.of_bins(len(features), folds), memory_budget_mb=100 * 8 * 4 / 2**20
    )
    np.testing.assert_allclose(whole.predictions, batched.predictions, atol=1e-5)
    np.testing.assert_array_equal(whole.penalty, batched.penalty)


def test_single_feature_is_not_shrunk_to_nothing() -> None:
    generator = np.random.default_rng(0)
    feature = generator.standard_normal((200, 1))
    response = feature + 0.5 * generator.standard_normal((200, 1))
    fit = fit_ridge(feature, response, PENALTIES, Design.of_bins(len(feature), folds_in_time(200)))
    slope = np.polyfit(fit.predictions[:, 0], response[:, 0], 1)[0]
    assert abs(slope - 1) < 0.1


def test_penalties_at_the_ends_of_the_grid_are_flagged() -> None:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((200, 60))
    clean = features @ generator.standard_normal((60, 1))
    noisy = 0.05 * features.sum(axis=1, keepdims=True) + generator.standard_normal((200, 1))
    fit = fit_ridge(
        features,
        np.column_stack([clean, noisy]),
        np.geomspace(1e-2, 1e-1, 15),
        Design.of_bins(len(features), folds_in_time(200)),
    )
    assert np.all(fit.penalty_edge[:, 0] == -1) and np.all(fit.penalty_edge[:, 1] == 1)


@pytest.mark.parametrize("n_features", [60, 400])
def test_a_smallest_penalty_that_shrinks_nothing_is_no_end_of_the_grid(n_features: int) -> None:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((200, n_features))
    clean = features @ generator.standard_normal((n_features, 2))
    design = Design.of_bins(200, folds_in_time(200))
    fit = fit_ridge(features, clean, np.geomspace(1e-6, 1.0, 15), design)
    assert np.isclose(fit.penalty, 1e-6).mean() > 0.2 and np.all(fit.penalty_edge == 0)
    features = features[:, :60]
    difference = generator.standard_normal(
        (200, 1)
    )  # of two features that are alike: any penalty takes some of it away
    features[:, [1]] = features[:, [0]] + 0.01 * difference
    fit = fit_ridge(features, difference, np.geomspace(1e-6, 1.0, 15), design)
    assert np.all(fit.penalty_edge == -1)


def test_sample_counts_that_differ_are_named() -> None:
    features, responses = simulate(100, 5, 2, noise=1.0)
    with pytest.raises(SampleMismatch, match="100 samples and responses 99"):
        fit_ridge(features, responses[:99], PENALTIES, Design.of_bins(len(features), folds_in_time(99)))
