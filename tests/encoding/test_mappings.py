"""PLS, ridge with one penalty and the one best unit: against scikit-learn and plain loops, fold by fold."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.core.code_version import modules_behind
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.correlation import correlate, fisher_z, standardise
from pipeline.encoding.design import Design
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.mapping import MappingEntry
from pipeline.encoding.mappings.best_unit_fit import fit_best_unit
from pipeline.encoding.mappings.pls import fitted_together
from pipeline.encoding.mappings.pls_fit import Pls
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold
from pipeline.encoding.stage import encode_group
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.study.metrics import METRICS
from tests.encoding.test_encode_stage import ATTRS, LAYERS, story
from tests.inference_settings import Settings

pytestmark = pytest.mark.slow

N_SAMPLES, N_TARGETS = 60, 9


def folds_of(n: int = N_SAMPLES, n_folds: int = 3) -> list[Fold]:
    """Every third sample, with inner folds of two halves."""
    found = []
    for fold in range(n_folds):
        test = np.arange(fold, n, n_folds)
        train = np.setdiff1d(np.arange(n), test)
        halves = [(train[: train.size // 2], train[train.size // 2 :])]
        inner = tuple(Fold(one, other, np.zeros(other.size, int)) for a, b in halves for one, other in ((a, b), (b, a)))
        found.append(Fold(train, test, np.zeros(test.size, int), inner))
    return found


def planted(n_features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of which the third is constant, and responses of which the last is."""
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((N_SAMPLES, n_features)) * np.geomspace(1, 30, n_features) + 5
    features[:, 2] = 7.0
    weights = generator.standard_normal((n_features, N_TARGETS)) / np.geomspace(1, 30, n_features)[:, None]
    responses = features @ weights / np.sqrt(n_features) + generator.standard_normal((N_SAMPLES, N_TARGETS))
    responses[:, -1] = 3.0
    return features, responses


def common(responses: np.ndarray, **more: Any) -> dict[str, Any]:
    design = Design.of_bins(N_SAMPLES, more.pop("splits", folds_of()), **more)
    predictions = np.full(responses.shape, np.nan)
    return {"design": design, "compute": Compute(), "predictions": predictions, "after_fold": lambda: None}


def check_scores(fit: LayerFit, responses: np.ndarray, predict: Any) -> None:
    """Predictions and scores are those of ``predict(fold)``; inner scores those of inner folds; nothing is NaN."""
    for number, fold in enumerate(folds_of()):
        expected = predict(fold)
        np.testing.assert_allclose(fit.predictions[fold.test], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(fit.score[number], correlate(expected, responses[fold.test]), atol=1e-6)
        inner = np.mean([fisher_z(correlate(predict(part), responses[part.test])) for part in fold.inner], axis=0)
        np.testing.assert_allclose(fit.inner_score[number], np.tanh(inner), atol=1e-6)
    assert fit.constant.tolist() == [False] * (N_TARGETS - 1) + [True]
    assert np.all(fit.score[:, -1] == 0) and np.allclose(fit.predictions[:, -1], 3)
    assert all(np.isfinite(values).all() for values in (fit.predictions, fit.score, fit.inner_score))


@pytest.mark.parametrize("n_features", [5, 90])
@pytest.mark.parametrize("n_copies", [1, 8])
def test_pls_is_that_of_scikit_learn(n_features: int, n_copies: int) -> None:
    """More features than rows, fewer; more targets than rows, fewer: rotating either side changes nothing."""
    from sklearn.cross_decomposition import PLSRegression

    features, responses = planted(n_features)
    copies = [responses[:, :-1] + np.random.default_rng(one).standard_normal((N_SAMPLES, 1)) for one in range(n_copies)]
    wide = np.concatenate([*copies, responses[:, -1:]], axis=1)
    pls = Pls(8)
    fit = pls(features, wide, **common(wide))
    assert pls.fewest == min(8, n_features - 1)  # one feature does not vary
    for number, fold in enumerate(folds_of()):
        train, test = standardise(features[fold.train], features[fold.test])
        n_components = min(8, n_features - 1)
        model = PLSRegression(n_components, scale=False).fit(train, wide[fold.train])
        np.testing.assert_allclose(fit.predictions[fold.test], model.predict(test), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(fit.score[number], correlate(model.predict(test), wide[fold.test]), atol=1e-6)


def test_pls_of_features_or_of_samples_is_the_same() -> None:
    """Copies of all features change nothing, but are more than there are rows: at two delays, over runs and gaps."""
    features, responses = planted(5)
    features[[13, 14]] = np.nan
    how = {"delays": [0, 1], "runs": np.repeat([0, 1], N_SAMPLES // 2)}
    few, many = (Pls(4)(one, responses, **common(responses, **how)) for one in (features, np.tile(features, 12)))
    np.testing.assert_allclose(few.predictions, many.predictions, rtol=1e-6)


def test_pls_of_targets_fitted_together_knows_no_others() -> None:
    features, responses = planted(40)
    targets = {"subject": np.array(["s1"] * 5 + ["s2"] * 4), "region": np.array(list("AABBB") + list("BBAA"))}
    labels = fitted_together(targets, "region")
    assert labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert fitted_together(targets, "subject").tolist() == [0] * 5 + [1] * 4
    assert fitted_together(targets, "group").tolist() == [0] * 9
    fit = Pls(4, labels)(features, responses, **common(responses))

    def alone(fold: Fold) -> np.ndarray:
        predicted = np.empty((fold.test.size, N_TARGETS))
        for label in range(4):
            own = responses[:, labels == label]
            one = common(own, splits=[Fold(fold.train, fold.test, fold.block)])
            predicted[:, labels == label] = Pls(4)(features, own, **one).predictions[fold.test]
        return predicted

    check_scores(fit, responses, alone)


def test_best_unit_is_that_of_a_plain_loop() -> None:
    """At two delays over two runs, with bins that have no features."""
    features, responses = planted(20)
    features[[13, 14]] = np.nan
    runs = np.repeat([0, 1], N_SAMPLES // 2)
    design = np.full((N_SAMPLES, 2, 20), np.nan)
    design[:, 0] = features
    design[1:, 1] = features[:-1]
    design[30, 1] = np.nan  # the second run's first bin
    unit = np.nan_to_num(design[:, 1, 6], nan=np.nanmean(design[:, 1, 6]))
    responses[:, 0], responses[:, 1] = -unit, unit + 0.1 * responses[:, 1]
    fit = fit_best_unit(features, responses, **common(responses, delays=[0, 1], runs=runs))

    def loop(fold: Fold) -> np.ndarray:
        predicted = np.tile(responses[fold.train].mean(axis=0), (fold.test.size, 1))
        units, held_out = standardise(design[fold.train].reshape(-1, 40), design[fold.test].reshape(-1, 40))
        for target in range(N_TARGETS):
            r = correlate(units, np.repeat(responses[fold.train, target][:, None], 40, axis=1))
            r[(units == 0).all(axis=0)] = -2
            best = units[:, int(np.argmax(r))]
            slope = best @ (responses[fold.train, target] - responses[fold.train, target].mean()) / (best @ best)
            predicted[:, target] += slope * held_out[:, int(np.argmax(r))]
        return predicted

    check_scores(fit, responses, loop)
    # r keeps its sign: the unit that runs against a target is not taken
    assert fit.score[:, 1].min() > 0.95 and fit.score[:, 0].max() < 0.6
    small = fit_best_unit(
        features,
        responses,
        **{**common(responses, delays=[0, 1], runs=runs), "compute": Compute(memory_budget_mb=0.001)},
    )
    np.testing.assert_allclose(small.predictions, fit.predictions)


def test_features_that_do_not_vary_predict_the_mean() -> None:
    _, responses = planted(20)
    still = np.ones((N_SAMPLES, 4))
    for fit in (fit_best_unit(still, responses, **common(responses)), Pls(3)(still, responses, **common(responses))):
        for fold in folds_of():
            expected = np.tile(responses[fold.train].mean(axis=0), (fold.test.size, 1))
            np.testing.assert_allclose(fit.predictions[fold.test], expected)
        assert np.all(fit.score == 0) and np.all(fit.inner_score == 0)


@pytest.mark.parametrize("n_features", [20, 90])
def test_fixed_ridge_is_that_of_scikit_learn(n_features: int) -> None:
    from sklearn.linear_model import Ridge

    features, responses = planted(n_features)
    how = {name: value for name, value in common(responses).items() if name != "compute"}
    fit = fit_ridge(features, responses, [2.5], penalty_unit="absolute", precision="float64", **how)

    def ridge(fold: Fold) -> np.ndarray:
        train, test = standardise(features[fold.train], features[fold.test])
        return np.asarray(Ridge(2.5).fit(train, responses[fold.train]).predict(test))

    check_scores(fit, responses, ridge)
    assert np.all(fit.penalty == 2.5) and np.all(fit.penalty_edge == 0)


def test_scores_depend_on_the_runner_and_on_the_code_of_their_own_mapping() -> None:
    """Another mapping's code may change without these scores being made again."""
    own = {
        **{
            "ridge": {"ridge"},
            "fixed_ridge": {"ridge"},
            "pls": {"pls", "pls_fit"},
            "mapping": {"own"},
        },
        "best_unit": {"best_unit", "best_unit_fit"},
        "banded_ridge": {"banded_ridge", "banded_fit", "banded_null", "banded_variance"},
    }
    assert own.keys() | {"rsa", "cka"} == set(METRICS.names())
    room = "pipeline.encoding.mappings."
    for kind, modules in own.items():
        behind = modules_behind(address.partition(":")[0] for address in (METRICS.get(kind).run, METRICS.address(kind)))
        assert {name.removeprefix(room) for name in behind if name.startswith(room)} == modules
        assert "pipeline.encoding.stage" in behind


def test_listing_metrics_imports_nothing_heavy() -> None:
    script = (
        "import sys; from pipeline.study.metrics import METRICS; [METRICS.get(kind) for kind in METRICS]; "
        "print([name for name in ('numpy', 'torch', 'xarray', 'scipy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


OWN_MAPPING = """
import numpy as np


def predict(train, responses, test):
    mean = responses.mean(axis=0)
    return mean + test @ np.linalg.lstsq(train, responses - mean, rcond=None)[0]
"""


def test_every_kind_leaves_scores_that_the_map_takes(tmp_path: Path) -> None:
    """Each finds the planted layer by its inner folds; ends of a grid are known only where there is a grid."""
    (tmp_path / "own.py").write_text(OWN_MAPPING)
    run = story(tmp_path, n_samples=100)
    kinds: dict[str, dict[str, Any]] = {
        **{"ridge": {"penalties": {"n": 15}}, "fixed_ridge": {"penalty": 0.1}, "pls": {"n_components": 30}},
        **{"best_unit": {}, "mapping": {"predict": f"{tmp_path}/own.py:predict"}},
    }
    common = {"splits": {"n_folds": 4, "n_inner_folds": 2, "gap_s": 6}, "delays_s": [2, 4], "n_examples": 1}
    for kind, options in kinds.items():
        entry = METRICS.get(kind)
        assert isinstance(entry, MappingEntry)
        scores = encode_group(
            entry,
            runs=[run],
            options=entry.options.model_validate({"kind": kind, **common, **options}),
            layers=LAYERS,
            attrs=ATTRS,
            shuffle_seed=None,
            compute=Compute(),
        )
        path = tmp_path / "net.nc"
        write_scores(scores, path)
        inner = open_scores(path)["inner_score"].values
        assert (inner.mean(axis=2).argmax(axis=1) == 1).all() and (inner[:, :, 5] == 0).all(), kind
        analysis = AnalysisScores("a", kind, False, (), (), ["net"], [path])
        tables = build_map(study="s", analyses=[analysis], inference=Settings(n_bootstrap=10))
        summary = tables["summary"].set_index("region")
        assert summary["best_layer_score"].mean() > (0.15 if kind == "best_unit" else 0.8), kind
        assert summary.loc["C", "n_constant"] == 1
        numbers = summary[["best_layer_score", "r2", "r2_ci_low", "r2_ci_high", "r2_normalised"]]
        assert np.isfinite(numbers.to_numpy()).all(), kind
        assert summary["penalty_edge_low"].notna().all() == (kind == "ridge")
        if kind == "pls":
            assert (scores.attrs["n_components"], scores.attrs["n_components_fewest"]) == (30, 16)
