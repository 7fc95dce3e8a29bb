"""Scores of the same fits to other orders of the responses: what is repeated, what is shared, and that p is uniform."""

import numpy as np
import pytest
from scipy.stats import kstest

from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.shuffle import MIN_SHIFT_S, Reordered, null_orders
from pipeline.encoding.null_tables import FEWEST, MOST_COLUMNS, NullTables, n_orders
from pipeline.encoding.options import NullOptions, Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Samples, make_splits
from pipeline.inference.scores.null_scores import p_of_largest, p_value

GRID = np.geomspace(1e-2, 1e4, 15)


def items(n):
    return Samples("item", np.full(n, "r"), np.full(n, "s"), item=np.array([f"i{k}" for k in range(n)]))


def seconds(*n, interval_s=1.0):
    run = np.concatenate([np.full(one, f"r{k}") for k, one in enumerate(n)])
    clock = np.concatenate([interval_s * np.arange(1, one + 1) for one in n])
    return Samples("time", run, run, interval_s=interval_s, time_s=clock)


def test_orders_of_items_are_different_permutations_and_none_is_the_given_one():
    orders = null_orders(items(30), 50, seed=1)
    assert len({order.tobytes() for order in orders}) == 50
    assert all(sorted(order) == list(range(30)) and (order != np.arange(30)).any() for order in orders)


def test_three_items_have_five_other_orders():
    assert len(null_orders(items(3), 100, seed=1)) == 5


def test_a_single_run_has_as_many_orders_as_offsets_of_twenty_seconds_or_more():
    orders = null_orders(seconds(362, interval_s=2.0), 1000, seed=1)
    offsets = sorted(int(order[0]) for order in orders)
    shortest = int(MIN_SHIFT_S / 2.0)
    assert offsets == list(range(shortest, 362 - shortest + 1))
    assert all((np.diff(order) % 362 == 1).all() for order in orders)


def test_runs_are_rolled_by_offsets_of_their_own():
    orders = null_orders(seconds(60, 80), 40, seed=1)
    assert len({order.tobytes() for order in orders}) == 40
    assert all(set(order[:60]) == set(range(60)) for order in orders)
    assert len({(int(order[0]), int(order[60])) for order in orders}) == 40


def test_orders_depend_on_samples_and_seed_alone():
    first, again, other = (null_orders(items(30), 5, seed=seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_many_targets_have_fewer_orders_but_never_fewer_than_ninety_nine():
    asked = NullOptions(1000)
    assert n_orders(asked, 100) == 1000
    assert n_orders(asked, MOST_COLUMNS // 500) == 500
    assert n_orders(asked, MOST_COLUMNS) == FEWEST
    assert n_orders(NullOptions(19), MOST_COLUMNS) == 19


TARGETS = {
    "subject": np.array(["a", "a", "a", "b", "b", "mean"]),
    "region": np.array(["V1", "V1", "V2", "V1", "V1", "V1"]),
    "compartment": np.full(6, "all"),
    "unit": np.array(["1", "2", "3", "1", "2", "1"]),
}


def tables(orders, layers, responses, design, constant=None):
    constant = np.zeros(6, bool) if constant is None else constant
    found = NullTables(
        lambda some: Reordered(responses, some), orders, design, TARGETS, constant, len(layers), Scratch()
    )

    def fit(features, columns, design, *, compute, predictions, after_fold):
        return fit_ridge(features, columns, GRID, design, predictions=predictions, after_fold=after_fold)

    for number, features in enumerate(layers):
        found.add(number, fit_ridge(features, responses, GRID, design), features, fit)
    return found


@pytest.fixture
def fitted():
    rng = np.random.default_rng(3)
    samples = items(60)
    design = Design.of_bins(60, make_splits(Splits(kind="random_items", n_inner_folds=3), samples, seed=0))
    layers = [rng.standard_normal((60, 8)) for _ in range(3)]
    responses = rng.standard_normal((60, 6)) + layers[1][:, :1]
    return layers, responses, design, null_orders(samples, 20, seed=0)


def test_each_order_is_the_fit_of_responses_put_in_that_order(fitted):
    layers, responses, design, orders = fitted
    found = tables(orders, layers, responses, design)
    assert found.leaf.tolist() == [0, 0, 1, 2, 2, 3]
    for number in (0, 7, 20):
        order = np.arange(60) if number == 0 else orders[number - 1]
        own = fit_ridge(layers[2], responses[order], GRID, design)
        z = fisher_z(own.score)
        by_leaf = np.stack([z[:, found.leaf == leaf].mean(axis=1) for leaf in range(4)], axis=1)
        np.testing.assert_allclose(found.z[number, :, 2], by_leaf, atol=1e-5)
        inner = np.stack([own.inner_score[:, found.leaf == leaf].mean(axis=1) for leaf in range(4)], axis=1)
        np.testing.assert_allclose(found.inner[number, :, 2], inner, atol=1e-4)


def test_units_take_the_best_layer_of_each_fold_over_their_listeners(fitted):
    layers, responses, design, orders = fitted
    found = tables(orders, layers, responses, design)
    units = found.variables()
    names = list(zip(units["null_unit_subject"][1], units["null_unit_name"][1], strict=True))
    assert names == [("all", "1"), ("all", "2"), ("all", "3"), ("mean", "1")]
    fits = [fit_ridge(features, responses[orders[4]], GRID, design) for features in layers]
    inner = np.stack([fit.inner_score[:, [0, 3]].mean(axis=1) for fit in fits])
    z = np.stack([fisher_z(fit.score[:, [0, 3]]).mean(axis=1) for fit in fits])
    chosen = z[inner.argmax(axis=0), np.arange(5)]
    expected = np.tanh(np.average(chosen, weights=found.weight))
    assert units["null_unit"][1][5, 0] == pytest.approx(expected, abs=1e-4)


def test_constant_targets_are_in_no_leaf(fitted):
    layers, responses, design, orders = fitted
    found = tables(orders, layers, responses, design, constant=np.array([0, 0, 1, 0, 1, 0], bool))
    assert found.leaf.tolist() == [0, 0, -1, 1, -1, 2]


def test_p_counts_the_given_order_and_is_never_zero():
    null = np.arange(99.0)[:, None]
    assert p_value(np.array([200.0]), null)[0] == pytest.approx(0.01)
    assert p_value(np.array([-1.0]), null)[0] == 1.0
    assert p_value(np.array([97.5]), null)[0] == pytest.approx(0.02)
    assert np.isnan(p_value(np.array([np.nan]), null)[0])


def test_the_largest_of_a_family_is_judged_in_units_of_each_score():
    rng = np.random.default_rng(0)
    null = rng.standard_normal((999, 20)) * np.r_[100.0, np.ones(19)]
    observed = np.r_[0.0, 6.0, np.zeros(17), np.nan]
    p = p_of_largest(observed, null)
    assert p[1] == pytest.approx(0.001)
    assert p[0] > 0.5
    assert np.isnan(p[-1])


def test_a_large_effect_makes_no_other_score_of_its_family_reliable():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(300):
        null = rng.standard_normal((99, 6))
        found.append(p_of_largest(np.r_[np.full(5, 100.0), rng.standard_normal()], null)[5] < 0.05)
    assert np.mean(found) < 0.04  # of a sixth of a family in which nothing else is by chance


def test_the_largest_of_many_scores_of_noise_is_rarely_called_reliable():
    rng = np.random.default_rng(1)
    rejected = [(p_of_largest(rng.standard_normal(30), rng.standard_normal((99, 30))) < 0.05).any() for _ in range(400)]
    assert 0.02 < np.mean(rejected) < 0.08


def test_p_of_slow_noise_through_real_fits_is_uniform():
    """Responses and features with AR .8, in two runs: each study's largest nested score over three layers."""
    samples = seconds(90, 90)
    splits = Splits(n_folds=4, n_inner_folds=3, gap_s=5.0)
    design = Design.of_bins(180, make_splits(splits, samples, seed=0), runs=np.repeat([0, 1], 90))
    orders = null_orders(samples, 39, seed=0)
    p = []
    for seed in range(40):
        rng = np.random.default_rng([9, seed])
        courses = rng.standard_normal((230, 3 * 5 + 6))
        for row in range(1, 230):
            courses[row] += 0.8 * courses[row - 1]
        courses = courses[50:]
        layers = [courses[:, 5 * layer : 5 * layer + 5] for layer in range(3)]
        found = tables(orders, layers, courses[:, 15:], design)
        score = np.einsum("oklf,k->olf", found.z, found.weight / found.weight.sum())
        p.extend(p_value(score[0, 0], score[1:, 0])[[0, 2]])
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 80)
