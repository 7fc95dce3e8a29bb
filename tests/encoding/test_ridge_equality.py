"""The ridge engine's shortcuts change nothing: delays, forms, blocks, batches, devices, shared targets."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from pipeline.encoding.design import Design
from pipeline.encoding.group.shuffle import Reordered
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.options import Splits
from pipeline.encoding.ridge import batched as batched_ridge
from pipeline.encoding.ridge import cost, gram
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold, Samples, held_out_stretches, make_splits

EXACT = {"precision": "float64", "tolerance": 0.0}
PENALTIES = np.geomspace(1e-2, 1e4, 15)
INTERVAL_S, PERIOD_S = 2.0, 60.0


@pytest.fixture(autouse=True)
def batched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small as they are, these fits go through the solver for many targets."""
    monkeypatch.setattr(cost, "SMALL_FLOPS", 0.0)


def two_runs(n_samples: int, n_folds: int = 3) -> tuple[list[Fold], np.ndarray]:
    """Folds of two runs in time, and the run of each sample."""
    run = np.repeat(["a", "b"], n_samples // 2)
    time_s = np.tile(np.arange(1, n_samples // 2 + 1) * INTERVAL_S, 2)
    samples = Samples("time", run, run, interval_s=INTERVAL_S, time_s=time_s)
    return make_splits(Splits(n_folds=n_folds, n_inner_folds=3, gap_s=8.0), samples, seed=0), run


def simulate(n_bins: int, n_features: int, n_targets: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Slow features of unequal size, and responses to the features two bins before."""
    generator = np.random.default_rng(seed)
    features = 0.3 * np.cumsum(generator.standard_normal((n_bins, n_features)), axis=0) * generator.uniform(
        0.1, 5, n_features
    ) + generator.standard_normal((n_bins, n_features))
    signal = np.roll(features, 2, axis=0) @ generator.standard_normal((n_features, n_targets))
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0)
    return features + 2.0, signal * generator.uniform(0, 2, n_targets) + generator.standard_normal(signal.shape)


def explicit_columns(features: np.ndarray, part: Fold, design: Design) -> np.ndarray:
    """The wide matrix: delayed, filtered, each feature scaled by its SD over the training rows, all delays alike."""
    wide = design.delayed(features)
    train = wide[part.train]
    mean, variance = np.nanmean(train, axis=0), np.nanvar(train, axis=0)
    sd = np.sqrt(variance.reshape(len(design.delays), -1).mean(axis=0))
    return np.nan_to_num((wide - mean) / np.tile(sd, len(design.delays)))


def scikit_learn(columns: np.ndarray, responses: np.ndarray, part: Fold, relative: float) -> np.ndarray:
    x = columns[part.train]
    centred = x - x.mean(axis=0)
    model = Ridge(alpha=relative * (centred**2).sum() / len(x), solver="svd").fit(x, responses[part.train])
    return np.asarray(model.predict(columns[part.test]))


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("n_features", [6, 90])  # primal and dual
def test_implicit_delays_equal_the_explicit_design(n_features: int, filtered: bool) -> None:
    folds, run = two_runs(160)
    features, responses = simulate(168, n_features, 5)
    # each run has four bins before its first sample; one bin in the second run has no features
    bin_runs, rows = np.repeat([0, 1], 84), np.concatenate([np.arange(4, 84), np.arange(88, 168)])
    features[100] = np.nan
    delays = [1, 2, 3, 5]
    high_pass = HighPass(held_out_stretches(folds, run), INTERVAL_S, PERIOD_S) if filtered else None
    responses = responses[rows] if high_pass is None else high_pass.apply(responses[rows])
    for relative in (0.01, 3.0):
        design = Design(folds, delays, bin_runs, rows, high_pass)
        fit = fit_ridge(features, responses, [relative], design, **EXACT)
        for fold in folds:
            columns = explicit_columns(features, fold, design)
            expected = scikit_learn(columns, responses, fold, relative)
            np.testing.assert_allclose(fit.predictions[fold.test], expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("scale", [True, False])
def test_primal_equals_dual(scale: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folds, run = two_runs(160, n_folds=2)
    features, responses = simulate(160, 8, 6)
    features[:2] = np.nan
    fits = []
    for form in ("primal", "dual"):
        monkeypatch.setattr(batched_ridge, "cheaper_form", lambda *_, form=form: form)
        for how in (EXACT, {}):
            fits.append(
                fit_ridge(
                    features,
                    responses,
                    PENALTIES,
                    Design.of_bins(len(features), folds, delays=[0, 2], runs=run),
                    scale=scale,
                    **how,
                )
            )
    exact_primal, primal, exact_dual, dual = fits
    assert_same(exact_primal, exact_dual, 1e-8)
    assert_same(primal, exact_dual, 1e-3)
    assert_same(dual, exact_dual, 1e-3)


def assert_same(fit: LayerFit, other: LayerFit, atol: float) -> None:
    np.testing.assert_allclose(fit.inner_score, other.inner_score, atol=atol)
    same = fit.penalty == other.penalty
    assert same.mean() > 0.9  # the others are ties to the tolerance
    np.testing.assert_allclose(fit.score[same], other.score[same], atol=atol)


def test_equals_himalaya_and_scikit_learn_at_a_fixed_penalty() -> None:
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidge

    set_backend("numpy")
    (fold, *_), _ = two_runs(120)
    features, responses = simulate(120, 150, 7)
    fit = fit_ridge(
        features,
        responses,
        [30.0],
        Design.of_bins(len(features), [fold]),
        scale=False,
        penalty_unit="absolute",
        **EXACT,
    )
    x, y = features[fold.train], responses[fold.train]
    theirs = KernelRidge(alpha=30.0, fit_intercept=True).fit(x - x.mean(axis=0), y)
    for expected in (
        theirs.predict(features[fold.test] - x.mean(axis=0)),
        Ridge(alpha=30.0, solver="svd").fit(x, y).predict(features[fold.test]),
    ):
        np.testing.assert_allclose(fit.predictions[fold.test], expected, rtol=1e-5)


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("n_features", [6, 90])
def test_plain_solver_gives_the_same(n_features: int, filtered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folds, run = two_runs(160)
    features, responses = simulate(160, n_features, 8)
    features[:, 3] = 7.0
    features[80:83] = np.nan
    responses[:, 1] = 0.5
    high_pass = HighPass(held_out_stretches(folds, run), INTERVAL_S, PERIOD_S) if filtered else None
    fits = []
    for small in (0.0, np.inf):
        monkeypatch.setattr(cost, "SMALL_FLOPS", small)
        fits.append(
            fit_ridge(
                features,
                responses,
                PENALTIES,
                Design.of_bins(len(features), folds, delays=[0, 2], runs=run, high_pass=high_pass),
                **EXACT,
            )
        )
    batched, plain = fits
    np.testing.assert_array_equal(batched.penalty, plain.penalty)
    np.testing.assert_array_equal(batched.penalty_edge, plain.penalty_edge)
    np.testing.assert_array_equal(batched.constant, plain.constant)
    for name in ("predictions", "inner_score", "score"):
        np.testing.assert_allclose(getattr(batched, name), getattr(plain, name), atol=1e-8)


def test_small_fits_do_not_wait_for_torch() -> None:
    script = (
        "import sys; import numpy as np; from pipeline.encoding import stage; "
        "from pipeline.encoding.design import Design; from pipeline.encoding.ridge.fit import fit_ridge; "
        "from pipeline.encoding.splits import Fold; rows = np.arange(40); "
        "inner = Fold(rows[:20], rows[20:30], rows[:10]); fold = Fold(rows[:30], rows[30:], rows[:10], (inner,)); "
        "x = np.random.default_rng(0).standard_normal((40, 5)); "
        "fit_ridge(x, x, [1.0, 2.0], Design.of_bins(40, [fold])); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_approximate_search_is_within_its_tolerance() -> None:
    folds, run = two_runs(200)
    features, responses = simulate(200, 300, 60)
    exact = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds, runs=run), **EXACT)
    fit = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds, runs=run))
    error = np.abs(fit.inner_score - exact.inner_score)
    assert error.max() < 5e-4 and np.median(error) < 1e-5
    assert (fit.penalty == exact.penalty).mean() >= 0.98


def test_blocks_and_batches_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folds, run = two_runs(120)
    features, responses = (values.astype(np.float32) for values in simulate(120, 150, 9))
    whole = fit_ridge(
        features, responses, PENALTIES, Design.of_bins(len(features), folds, delays=[1, 2], runs=run), **EXACT
    )
    mapped = np.memmap(tmp_path / "features", np.float32, "w+", shape=features.shape)
    mapped[:] = features
    predictions = np.memmap(tmp_path / "predictions", np.float64, "w+", shape=responses.shape)
    reads = []

    class Counted:
        shape = features.shape

        def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
            reads.append(key[1])
            return np.asarray(mapped[key])

    monkeypatch.setattr(gram, "BLOCK_MB", 40 * 120 * 8 / 2**20)
    with h5py.File(tmp_path / "responses.h5", "w") as file:
        stored = file.create_dataset("responses", data=responses)
        design = Design.of_bins(120, folds, delays=[1, 2], runs=run)
        streamed = fit_ridge(Counted(), stored, PENALTIES, design, memory_budget_mb=8, predictions=predictions, **EXACT)
        assert [(read.start, read.stop) for read in reads[1:]] == [(0, 40), (40, 80), (80, 120), (120, 160)]
        # a matrix at a time
        fit_ridge(Counted(), stored, PENALTIES, Design.of_bins(120, folds), memory_budget_mb=0.01)
    assert_same(streamed, whole, 1e-10)
    np.testing.assert_allclose(predictions, whole.predictions, atol=1e-8)


def test_listeners_and_permutations_share_a_fit() -> None:
    folds, run = two_runs(120)
    features, responses = simulate(120, 40, 8)
    generator = np.random.default_rng(3)
    orders = [np.arange(120), generator.permutation(120)]
    together = fit_ridge(
        features, Reordered(responses, orders), PENALTIES, Design.of_bins(len(features), folds, runs=run)
    )
    for number, order in enumerate(orders):
        for listener in (slice(0, 3), slice(3, 8)):
            own = fit_ridge(
                features, responses[order][:, listener], PENALTIES, Design.of_bins(len(features), folds, runs=run)
            )
            columns = slice(8 * number + listener.start, 8 * number + listener.stop)
            np.testing.assert_array_equal(together.penalty[:, columns], own.penalty)
            np.testing.assert_allclose(together.predictions[:, columns], own.predictions, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_equals_cpu() -> None:
    folds, run = two_runs(160)
    for n_features in (8, 300):
        features, responses = simulate(160, n_features, 50)
        here = fit_ridge(features, responses, PENALTIES, Design.of_bins(len(features), folds, delays=[1, 2], runs=run))
        there = fit_ridge(
            features, responses, PENALTIES, Design.of_bins(len(features), folds, delays=[1, 2], runs=run), device="cuda"
        )
        assert_same(there, here, 1e-5)
