"""What penalties are chosen by: squared error as scikit-learn and himalaya have it, in both solvers, or Pearson r."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.correlation import correlate, fisher_z, standardise
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.mapping import MappingInputs
from pipeline.encoding.mappings.banded_ridge import BandedRidgeOptions
from pipeline.encoding.mappings.ridge import RIDGE, RidgeOptions
from pipeline.encoding.options import Criterion, PenaltyGrid, Splits
from pipeline.encoding.ridge import batched as batched_ridge
from pipeline.encoding.ridge import cost
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold, Samples, held_out_stretches, make_splits

pytestmark = pytest.mark.slow

EXACT = {"precision": "float64", "tolerance": 0.0}
GRID = np.asarray(PenaltyGrid().values())
INTERVAL_S, PERIOD_S = 2.0, 80.0
TALL, WIDE = (400, 12), (150, 300)
"""Samples and features."""


@pytest.fixture(params=[0.0, np.inf], ids=["batched", "plain"])
def solver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks for it holds for both solvers."""
    monkeypatch.setattr(cost, "SMALL_FLOPS", request.param)


def simulate(n_samples: int, n_features: int, n_targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of unequal size and spectrum, and targets from noise alone to nearly none."""
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.standard_normal((n_features, n_features)))[0]
    spectrum = 1 / np.sqrt(np.arange(1, n_features + 1))
    features = generator.standard_normal((n_samples, n_features)) * spectrum @ rotation
    features = features * generator.uniform(0.5, 5, n_features) + 2
    signal = (features - features.mean(axis=0)) @ generator.standard_normal((n_features, n_targets))
    signal *= np.linspace(0, 3, n_targets) / signal.std(axis=0)
    return features, signal + generator.standard_normal(signal.shape)


def outer_fold(n_samples: int, n_test: int, inner: Sequence[tuple[np.ndarray, np.ndarray]]) -> Fold:
    """The last rows held out, and inner folds as scikit-learn gives them."""
    rows = np.arange(n_samples)
    parts = tuple(Fold(train, test, np.zeros(test.size, int)) for train, test in inner)
    return Fold(rows[:-n_test], rows[-n_test:], np.zeros(n_test, int), parts)


def unequal_folds(n_train: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three inner folds of a half, a third and a sixth of the training rows, which are dealt at random."""
    group = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [n_train // 2, n_train // 3, n_train // 6 + 3]))
    return list(GroupKFold(3).split(np.zeros(n_train), groups=group[:n_train]))


def absolute(features: np.ndarray, responses: np.ndarray, fold: Fold, penalties: np.ndarray) -> LayerFit:
    """Features centred only and penalties as they are: what the peers do."""
    design = Design.of_bins(len(features), [fold])
    return fit_ridge(features, responses, penalties, design, scale=False, penalty_unit="absolute", **EXACT)


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("size", [TALL, WIDE])
def test_penalties_are_those_of_grid_search(size: tuple[int, int]) -> None:
    features, responses = simulate(*size, n_targets=8)
    n_test = size[0] // 6
    inner = unequal_folds(size[0] - n_test)
    assert len({test.size for _, test in inner}) == 3
    fold = outer_fold(size[0], n_test, inner)
    penalties = np.geomspace(1e-1, 1e6, 15)
    fit = absolute(features, responses, fold, penalties)
    for target in range(8):
        search = GridSearchCV(Ridge(solver="svd"), {"alpha": penalties}, cv=inner, scoring="neg_mean_squared_error")
        search.fit(features[fold.train], responses[fold.train, target])
        assert fit.penalty[0, target] == search.best_params_["alpha"]
        np.testing.assert_allclose(fit.predictions[fold.test, target], search.predict(features[fold.test]), rtol=1e-6)
    assert np.unique(fit.penalty).size > 3  # were they all the same, agreement would prove nothing


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("size", [TALL, WIDE])
def test_penalties_are_those_of_himalaya(size: tuple[int, int]) -> None:
    from himalaya.backend import set_backend
    from himalaya.ridge import RidgeCV

    set_backend("numpy")
    features, responses = simulate(*size, n_targets=40, seed=3)
    n_test = size[0] // 6
    inner = unequal_folds(size[0] - n_test)
    fold = outer_fold(size[0], n_test, inner)
    penalties = np.geomspace(1e-1, 1e6, 15)
    fit = absolute(features, responses, fold, penalties)
    theirs = RidgeCV(alphas=penalties, cv=inner, fit_intercept=True, solver_params={"warn": False})
    theirs.fit(features[fold.train], responses[fold.train])
    np.testing.assert_allclose(fit.penalty[0], theirs.best_alphas_)
    np.testing.assert_allclose(fit.predictions[fold.test], theirs.predict(features[fold.test]), rtol=1e-6)


def in_time(n_samples: int) -> tuple[list[Fold], np.ndarray]:
    """Folds of two runs in time, and the run of each sample."""
    run = np.repeat(["a", "b"], n_samples // 2)
    time_s = np.tile(np.arange(1, n_samples // 2 + 1) * INTERVAL_S, 2)
    samples = Samples("time", run, run, interval_s=INTERVAL_S, time_s=time_s)
    return make_splits(Splits(n_folds=3, n_inner_folds=4, gap_s=8.0), samples, seed=0), run


def searched(features: np.ndarray, responses: np.ndarray, design: Design, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared error and Fisher z, ``(n_penalties, n_targets)``, averaged over inner folds, by a plain loop."""
    columns, error, z = design.delayed(features), 0.0, 0.0
    for part in fold.inner:
        x, x_test = standardise(columns[part.train], columns[part.test], n_delays=len(design.delays))
        mean, measured = responses[part.train].mean(axis=0), responses[part.test]
        left, singular, right = np.linalg.svd(x, full_matrices=False)
        projected, evaluate = left.T @ (responses[part.train] - mean), x_test @ right.T
        mean_eigenvalue = np.square(x).sum() / len(x)
        shrunk = [singular / (singular**2 + relative * mean_eigenvalue) for relative in GRID]
        predicted = [mean + evaluate @ (weights[:, None] * projected) for weights in shrunk]
        error = error + np.stack([np.square(measured - one).mean(axis=0) for one in predicted])
        z = z + np.stack([fisher_z(correlate(one, measured)) for one in predicted])
    return np.asarray(error) / len(fold.inner), np.asarray(z) / len(fold.inner)


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("delays", [[0], [1, 2, 4]])
@pytest.mark.parametrize(("form", "size"), [("primal", TALL), ("dual", TALL), ("dual", WIDE)])
def test_both_solvers_choose_the_smallest_error(
    form: str, size: tuple[int, int], delays: list[int], filtered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched_ridge, "cheaper_form", lambda *_: form)
    features, responses = simulate(*size, n_targets=30, seed=5)
    folds, run = in_time(size[0])
    high_pass = HighPass(held_out_stretches(folds, run), INTERVAL_S, PERIOD_S) if filtered else None
    design = Design.of_bins(len(features), folds, delays=delays, runs=run, high_pass=high_pass)
    fits = {}
    for name, small in (("batched", 0.0), ("plain", np.inf)):
        monkeypatch.setattr(cost, "SMALL_FLOPS", small)
        fits[name] = fit_ridge(features, responses, GRID, design)  # as studies do: single precision, few filters
    for number, fold in enumerate(folds):
        error, z = searched(features, responses, design, fold)
        for name, fit in fits.items():
            chosen = np.abs(np.log(fit.penalty[number] / GRID[:, None])).argmin(axis=0)
            reached = np.take_along_axis(error, chosen[None], axis=0)[0]
            np.testing.assert_allclose(reached, error.min(axis=0), rtol=1e-4 if name == "batched" else 1e-9)
            expected = np.tanh(np.take_along_axis(z, chosen[None], axis=0)[0])
            np.testing.assert_allclose(fit.inner_score[number], expected, atol=5e-4 if name == "batched" else 1e-9)
    assert (fits["batched"].penalty == fits["plain"].penalty).mean() > 0.97
    assert np.unique(fits["plain"].penalty).size > 4


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("size", [TALL, WIDE])
def test_noise_alone_is_shrunk_to_nothing(size: tuple[int, int]) -> None:
    """Chosen by r, a prediction of noise has any size: R² is far below zero. The largest penalty costs nothing."""
    generator = np.random.default_rng(7)
    features, responses = generator.standard_normal(size), generator.standard_normal((size[0], 200))
    folds, run = in_time(size[0])
    design = Design.of_bins(len(features), folds, runs=run)
    r2 = {}
    by: Criterion
    for by in ("r2", "r"):
        fit = fit_ridge(features, responses, GRID, design, choose_by=by)
        r2[by] = held_out_r2(fit, responses, folds)
        if by == "r2":
            assert (fit.penalty_edge == 1).mean() > 0.4 and (fit.penalty < 0.01).mean() < 0.01
    assert -0.06 < r2["r2"] < 0 and r2["r"] < r2["r2"] - 0.02


@pytest.mark.usefixtures("solver")
def test_labels_of_categories_predict_in_the_right_size() -> None:
    """Where r hardly depends on the penalty, choosing by r may take a large one, which shrinks predictions."""
    generator = np.random.default_rng(4)
    category = np.arange(165) % 11
    one_hot = np.eye(11)[category]
    mean = generator.standard_normal((11, 60))
    responses = mean[category] + 1.0 * generator.standard_normal((165, 60))
    items = np.array([f"item {number}" for number in range(165)])
    labels = np.full(165, "items")
    samples = Samples("item", labels, labels, item=items, category=category.astype(str))
    folds = make_splits(Splits(kind="random_items"), samples, seed=0)
    design = Design.of_bins(165, folds)
    by_error, by_r = (fit_ridge(one_hot, responses, GRID, design, choose_by=by) for by in ("r2", "r"))
    # the best that can be had is that of the categories' means over the 132 training items
    best = np.full(responses.shape, np.nan)
    for fold in folds:
        own = category[fold.train]
        means = np.stack([responses[fold.train][own == one].mean(axis=0) for one in range(11)])
        best[fold.test] = means[category[fold.test]]
    of_means = r2_of(best, responses, folds)
    assert abs(held_out_r2(by_error, responses, folds) - of_means) < 0.02
    assert held_out_r2(by_r, responses, folds) < of_means - 0.1
    assert abs(by_error.score.mean() - by_r.score.mean()) < 0.03


def held_out_r2(fit: LayerFit, responses: np.ndarray, folds: list[Fold]) -> float:
    return r2_of(fit.predictions, responses, folds)


def r2_of(predictions: np.ndarray, responses: np.ndarray, folds: list[Fold]) -> float:
    """Mean over folds and targets."""
    by_fold = []
    for fold in folds:
        measured = responses[fold.test]
        left = np.square(measured - predictions[fold.test]).sum(axis=0)
        by_fold.append(1 - left / np.square(measured - measured.mean(axis=0)).sum(axis=0))
    return float(np.mean(by_fold))


@pytest.mark.usefixtures("solver")
def test_equal_errors_take_the_largest_penalty() -> None:
    features, responses = simulate(*WIDE, n_targets=5)
    folds, run = in_time(WIDE[0])
    still = fit_ridge(np.ones_like(features), responses, GRID, Design.of_bins(WIDE[0], folds, runs=run))
    assert np.all(still.penalty == GRID[-1]) and np.all(still.penalty_edge == 1)


@pytest.mark.usefixtures("solver")
def test_what_is_predicted_without_an_error_has_a_penalty() -> None:
    """Single precision leaves errors of either sign where there are none."""
    features, _ = simulate(*TALL, n_targets=1)
    responses = (features - features.mean(axis=0)) @ np.random.default_rng(2).standard_normal((12, 50))
    folds, run = in_time(TALL[0])
    fit = fit_ridge(features, responses / responses.std(axis=0), GRID, Design.of_bins(TALL[0], folds, runs=run))
    assert fit.score.min() > 0.9999 and fit.penalty.max() < 1e-2


def test_a_study_chooses_by_squared_error_unless_it_says_r() -> None:
    features, responses = simulate(*WIDE, n_targets=9)
    folds, run = in_time(WIDE[0])
    design = Design.of_bins(WIDE[0], folds, runs=run)
    assert RidgeOptions().choose_by == BandedRidgeOptions(spaces=("a",)).choose_by == "r2"
    penalties = {}
    by: Criterion
    for by in ("r2", "r"):
        inputs = MappingInputs({}, {}, Scratch(Compute()))
        mapping = RIDGE.make(RidgeOptions() if by == "r2" else RidgeOptions(choose_by=by), inputs)
        predictions = np.empty(responses.shape, np.float32)
        told = {"compute": Compute(), "predictions": predictions, "after_fold": lambda: None}
        penalties[by] = mapping.fit(features, responses, design, **told).penalty
        expected = fit_ridge(features, responses, GRID, design, choose_by=by)
        np.testing.assert_array_equal(penalties[by], expected.penalty)
    assert (penalties["r2"] != penalties["r"]).mean() > 0.2


class Sink:
    """Takes predictions as they are written, and keeps none."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int]] = []

    def __setitem__(self, key: tuple[np.ndarray, slice], values: np.ndarray) -> None:
        rows, targets = key
        assert values.shape == (rows.size, targets.stop - targets.start)
        self.written.append(values.shape)


@pytest.mark.usefixtures("solver")
def test_predictions_are_written_and_never_read() -> None:
    """Scores of thousands of orders of the responses need no room for their predictions."""
    features, responses = simulate(*WIDE, n_targets=9)
    folds, run = in_time(WIDE[0])
    design = Design.of_bins(WIDE[0], folds, runs=run)
    kept, sink = fit_ridge(features, responses, GRID, design), Sink()
    dropped = fit_ridge(features, responses, GRID, design, predictions=sink)
    assert sum(rows * targets for rows, targets in sink.written) == responses.size
    for name in ("score", "inner_score", "penalty", "penalty_edge", "constant"):
        np.testing.assert_array_equal(getattr(dropped, name), getattr(kept, name))
