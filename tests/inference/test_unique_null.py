"""p of unique contributions, through real joint fits: layers that add nothing, and one that does.

Each target is a region; a baseline predicts all of them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.signal import lfilter

from pipeline.artifacts.scores import write_scores
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.feature_space import FeatureSpace
from pipeline.encoding.mapping import OtherOrders, SpaceFiles
from pipeline.encoding.mappings.banded_null import FEWEST, MOST_COLUMNS, n_unique_orders
from pipeline.encoding.mappings.banded_ridge import BANDED_RIDGE, BandedRidgeOptions
from pipeline.encoding.mappings.banded_variance import JointFit
from pipeline.encoding.options import NullOptions
from pipeline.encoding.splits import Samples, make_splits
from pipeline.encoding.stage import encode_group
from pipeline.inference.scores.variance_scores import UNIQUE, variance_scores, variance_sums
from pipeline.inference.stage import AnalysisScores, build_map
from tests.encoding.test_encode_stage import ATTRS, write_activations, write_responses
from tests.inference_settings import Settings

pytestmark = pytest.mark.slow

N, N_TARGETS, N_ORDERS = 240, 100, 39
BASE_R2, ADDED = 0.4, 0.15
OPTIONS = BandedRidgeOptions.model_validate(
    {
        "spaces": ["sound:base"],
        "splits": {"n_folds": 4, "n_inner_folds": 3, "gap_s": 4},
        "penalties": {"n": 15},
        "n_weightings": 5,
    }
)


def coloured(generator: np.random.Generator, n: int) -> np.ndarray:
    """Unit variance, autoregressive."""
    return np.asarray(lfilter([np.sqrt(0.75)], [1.0, -0.5], generator.standard_normal((N, n)), axis=0))


def mixed(generator: np.random.Generator, features: np.ndarray, n: int) -> np.ndarray:
    """Signals of unit variance."""
    signal = features @ generator.standard_normal((features.shape[1], n))
    return np.asarray(signal / signal.std(axis=0))


@dataclasses.dataclass(frozen=True)
class Study:
    """Two layers, fitted jointly with a baseline that predicts every target; the first may be like the baseline."""

    scores: xr.Dataset
    table: pd.DataFrame

    @classmethod
    def make(cls, folder: Path, seed: int, *, like: bool = False, added: float = 0.0, n: int = N_TARGETS) -> Study:
        generator = np.random.default_rng(seed)
        clock = 2.0 * np.arange(1, N + 1)
        base, layer, other = (coloured(generator, k) for k in (8, 12, 12))
        responses = np.sqrt(BASE_R2) * mixed(generator, base, n) + np.sqrt(added) * mixed(generator, layer, n)
        responses += np.sqrt(1 - BASE_R2 - added) * coloured(generator, n)
        if like:
            layer = 0.7 * mixed(generator, base, 12) + 0.7 * layer
        region = ("target", np.array([f"R{number}" for number in range(n)], dtype=object))
        recording = write_responses(folder / "r.nc", responses[None], clock, region=region)
        net = write_activations(folder / "net.zarr", {"first": layer, "second": other}, clock)
        sound = write_activations(folder / "sound.zarr", {"base": base}, clock, model="sound")
        scores = encode_group(
            BANDED_RIDGE,
            runs=[(recording, net)],
            options=OPTIONS,
            layers=("first", "second"),
            attrs=ATTRS,
            shuffle_seed=None,
            spaces=[SpaceFiles("sound:base", ("base",), (sound,))],
            null=NullOptions(N_ORDERS, seed=1),
        )
        write_scores(scores, folder / "scores.nc")
        spaces = ("sound:base",)
        analysis = AnalysisScores("a", "banded_ridge", False, (), [], ["net"], [folder / "scores.nc"], spaces=spaces)
        table = build_map(study="s", analyses=[analysis], inference=Settings(n_bootstrap=60))["variance"]
        return cls(scores, table[table["space"] == "layer"])

    def p(self, layer: str = "") -> np.ndarray:
        """Of one layer in all regions, else of the nested best one."""
        own = self.table["nested"] == 1 if not layer else (self.table["nested"] == 0) & (self.table["layer"] == layer)
        return self.table[own]["p"].to_numpy()


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study.make(tmp_path_factory.mktemp("noise"), 0)


def at_most(level: float, n: int) -> float:
    return level + 3 * np.sqrt(level * (1 - level) / n)


def test_layers_of_noise_add_as_often_as_stated(noise: Study) -> None:
    for p in (noise.p(), noise.p("first"), noise.p("second")):
        assert p.size == N_TARGETS and (p <= 0.05).mean() <= at_most(0.05, N_TARGETS)
        assert 0.35 < np.mean(p) < 0.65
    assert (noise.table["p_family"] > 0.05).all() and (noise.table["n_permutations"] == N_ORDERS).all()
    assert (noise.table["untested"] == "").all()
    assert noise.scores.sizes["order"] == 1 + N_ORDERS


def test_the_data_go_through_the_same_sums(noise: Study) -> None:
    """The first order is the table's unique contribution, and the nested one is of the layers that are best inside."""
    sums = variance_sums(noise.scores)
    assert sums is not None
    np.testing.assert_allclose(noise.scores["null_unique"][0], variance_scores(sums).held[0, :, UNIQUE], atol=1e-5)
    np.testing.assert_allclose(noise.scores["null_inner"][0], noise.scores["inner_score"], atol=1e-6)
    weight = noise.scores["fold_weight"].values
    unique = np.tensordot(weight / weight.sum(), noise.scores["null_unique"].values, axes=(0, 1))  # order, layer, leaf
    p = (1 + (unique[1:, 0] >= unique[0, 0]).sum(axis=0)) / (1 + N_ORDERS)
    np.testing.assert_allclose(noise.p("first"), p)


def test_a_layer_that_is_like_the_baseline_adds_as_often_as_stated(tmp_path: Path) -> None:
    study = Study.make(tmp_path, 1, like=True)
    assert (study.p("first") <= 0.05).mean() <= at_most(0.05, N_TARGETS)
    assert (study.p() <= 0.05).mean() <= at_most(0.05, N_TARGETS)


def test_a_planted_contribution_is_found_in_its_layer_alone(tmp_path: Path) -> None:
    study = Study.make(tmp_path, 2, added=ADDED, n=12)
    assert (study.p("first") <= 0.05).all() and (study.p() <= 0.05).all()
    assert (study.p("second") <= 0.05).sum() <= 2
    nested = study.table[study.table["nested"] == 1]
    assert (nested["p_family"] < 0.05).sum() >= 10 and (nested["layer"] == "first").all()


def test_an_order_is_a_fit_to_what_the_baseline_predicts_and_the_rolled_remainder() -> None:
    """Against the same fits, made one by one."""
    generator = np.random.default_rng(3)
    base, layer = coloured(generator, 4), coloured(generator, 5)
    responses = (mixed(generator, base, 3) + coloured(generator, 3)).astype(np.float32)
    runs = np.full(N, "run")
    samples = Samples("time", runs, runs, interval_s=2.0, time_s=2.0 * np.arange(1, N + 1))
    folds = make_splits(OPTIONS.splits, samples, seed=0)
    design = Design.of_bins(N, folds)
    space = FeatureSpace(base, design.delays, design.runs, design.rows)
    targets = {name: np.array(["x", "y", "y"], object) for name in ("subject", "region", "compartment")}

    def joint() -> JointFit:
        return JointFit({"base": space}, OPTIONS, Scratch(Compute()), targets)

    def fit(one: JointFit, features: np.ndarray, y: np.ndarray) -> np.ndarray:
        where = np.zeros_like(y)
        return one(features, y, design, compute=Compute(), predictions=where, after_fold=lambda: None).predictions

    orders = [np.roll(np.arange(N), shift) for shift in (30, 77)]
    tested = joint()
    tested.test_in(OtherOrders(orders, np.array([False, False, True])))
    fit(tested, layer, responses)
    assert tested.null is not None
    found = tested.null.variables()["null_unique"][1]
    assert found.shape == (3, 4, 1, 2)  # the constant target is in no leaf

    alone = JointFit({}, OPTIONS, Scratch(Compute()), targets)
    kept = fit(alone, base, responses)
    for number, order in enumerate(orders):
        again = joint()
        fit(again, layer, kept + (responses - kept)[order])
        assert again.without is not None and again.null is None
        unique = again.layers[0].r2.values - again.without.r2.values
        np.testing.assert_allclose(found[1 + number, :, 0], unique[:, :2], atol=2e-4)


def test_there_are_fewer_orders_where_fits_are_dear() -> None:
    assert n_unique_orders(1000, 10, 13) == MOST_COLUMNS // 130 == 1000
    assert n_unique_orders(1000, 100, 13) == 100 and n_unique_orders(1000, 10_000, 60) == FEWEST
    assert n_unique_orders(25, 10_000, 60) == 25
