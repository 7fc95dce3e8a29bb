"""Responses without any signal, through the whole fit: choosing among many layers gains nothing, tests find nothing."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter
from scipy.stats import kstest

from pipeline.encoding.mappings.ridge import RIDGE, RidgeOptions
from pipeline.encoding.options import NullOptions
from pipeline.encoding.stage import encode_group
from pipeline.inference.layer_choice import by_depth, choose_layers, held_out_r
from pipeline.inference.null_tests import null_tests
from pipeline.inference.places import list_places
from pipeline.inference.questions.units import score_units
from pipeline.inference.scores.fold_scores import block_sums, fold_scores
from pipeline.inference.scores.null_scores import null_of
from pipeline.inference.scores.shared_draws import target_table
from tests.encoding.test_encode_stage import ATTRS, write_activations, write_responses

pytestmark = pytest.mark.slow

N_LAYERS, N_FEATURES, N_SAMPLES, N_TARGETS, N_ORDERS = 8, 24, 300, 160, 99
OPTIONS = RidgeOptions.model_validate(
    {"splits": {"n_folds": 6, "n_inner_folds": 4, "gap_s": 10}, "delays_s": [2, 4], "penalties": {"n": 15}}
)


def coloured(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return lfilter([1.0], [1.0, -0.5], generator.standard_normal(shape), axis=-2)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Scores of responses that no layer knows anything of."""
    folder = tmp_path_factory.mktemp("noise")
    generator = np.random.default_rng(0)
    clock = 2.0 * np.arange(1, N_SAMPLES + 1)
    layers = {f"layer{i}": coloured(generator, (N_SAMPLES, N_FEATURES)) for i in range(N_LAYERS)}
    recording = write_responses(
        folder / "r.nc",
        coloured(generator, (1, N_SAMPLES, N_TARGETS)),
        clock,
        region=("target", np.array([f"R{number}" for number in range(N_TARGETS)], dtype=object)),
    )
    activations = write_activations(folder / "a.zarr", layers, clock)
    return encode_group(
        RIDGE,
        runs=[(recording, activations)],
        options=OPTIONS,
        layers=tuple(layers),
        attrs=ATTRS,
        shuffle_seed=None,
        null=NullOptions(N_ORDERS, seed=1),
    )


def test_the_nested_best_layer_of_noise_scores_zero(noise: xr.Dataset) -> None:
    scores, order = fold_scores(block_sums(noise)), by_depth(np.linspace(0, 1, N_LAYERS))
    own = np.arange(N_TARGETS)[:, None]
    nested = score_units(scores, own, order).score[0]
    error = nested.std() / np.sqrt(N_TARGETS)
    assert abs(nested.mean()) < 4 * error < 0.04
    # the other folds' scores come from models that were trained on the fold: a choice by them is no nested one
    leaky = []
    for target in range(N_TARGETS):
        one = scores.choice[..., target]
        layer, defined = choose_layers(one, order)
        leaky.append(held_out_r(scores.held_z, scores.weight[..., [target]], layer, defined, np.array([target]))[0, 0])
    assert np.mean(leaky) > nested.mean() + 4 * error


def test_tests_against_other_orders_are_not_liberal_on_noise(noise: xr.Dataset) -> None:
    """Each target is a region, and a family with the others."""
    places, null = list_places(target_table([noise]), []), null_of([noise])
    tests = null_tests(null, places, np.linspace(0, 1, N_LAYERS), {"": slice(None)})[""]
    assert len(tests) == N_TARGETS and {test.nested.n_orders for test in tests} == {N_ORDERS}
    p = np.array([test.nested.p[0] for test in tests])
    assert kstest(p, "uniform").pvalue > 0.01
    assert (p <= 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / N_TARGETS)
    assert (p <= 0.01).mean() < 0.01 + 3 * np.sqrt(0.01 * 0.99 / N_TARGETS)
    assert min(test.nested.p_family[0] for test in tests) >= 0.01
    assert min(test.nested.q[0] for test in tests) > 0.05
