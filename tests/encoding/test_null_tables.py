"""Scores of the same fits to other orders of the responses: what is repeated, what is shared, and that p is uniform."""

import numpy as np
import pytest
from scipy.stats import kstest

from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.shuffle import MIN_SHIFT_S, Reordered, alike_over, null_orders, shuffled_rows
from pipeline.encoding.null_tables import FEWEST, MOST_COLUMNS, NullTables, n_orders_of
from pipeline.encoding.options import NullOptions, Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Samples, make_splits
from pipeline.inference.scores.null_scores import false_discovery_rate, p_of_largest, p_pooled, p_value

pytestmark = pytest.mark.slow

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
    assert n_orders_of(asked, 100) == 1000
    assert n_orders_of(asked, MOST_COLUMNS // 500) == 500
    assert n_orders_of(asked, MOST_COLUMNS) == FEWEST
    assert n_orders_of(NullOptions(19), MOST_COLUMNS) == 19


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


@pytest.mark.parametrize(("n_orders", "n_scores"), [(20, 5), (27, 50), (99, 5), (99, 400), (340, 50)])
def test_the_largest_of_many_scores_of_noise_is_rarely_called_reliable(n_orders, n_scores):
    rng = np.random.default_rng(1)
    n = 300
    rejected = [
        (p_of_largest(rng.standard_normal(n_scores), rng.standard_normal((n_orders, n_scores))) < 0.05).any()
        for _ in range(n)
    ]
    assert np.mean(rejected) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)


def test_pooled_p_is_uniform_and_can_be_as_small_as_many_units_need():
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.5, 2, 400)  # units need not be equally noisy
    null = scale * rng.standard_normal((99, 400))
    assert kstest(p_pooled(scale * rng.standard_normal(400), null), "uniform").pvalue > 0.01
    observed = np.r_[np.full(5, 8.0) * scale[:5], scale[5:] * rng.standard_normal(395)]
    assert (false_discovery_rate(p_pooled(observed, null))[:5] < 0.05).all()
    assert (false_discovery_rate(p_value(observed, null)) > 0.05).all()


def test_runs_are_rolled_by_offsets_as_far_apart_as_responses_are_alike():
    samples = seconds(300)
    fine, coarse = (null_orders(samples, 1000, seed=1, alike=alike) for alike in (1, 3))
    offsets = sorted(int(order[0]) for order in coarse)
    assert offsets == list(range(20, 281, 4))
    assert {order.tobytes() for order in coarse} < {order.tobytes() for order in fine}
    assert null_orders(samples, 1000, seed=1, alike=14) == []  # 18 rolls
    assert len(null_orders(seconds(60, 60, 60), 50, seed=1, alike=6)) == 50  # 3 rolls each, 27 together


def test_fewer_orders_are_the_first_of_more():
    for samples in (items(30), seconds(200), seconds(80, 90)):
        few, many = (null_orders(samples, n, seed=3) for n in (20, 60))
        assert all((a == b).all() for a, b in zip(few, many, strict=False))


def test_a_shuffled_study_is_not_held_against_the_truth():
    samples = seconds(200)
    shuffled = shuffled_rows(samples, 5)
    for order in null_orders(samples, 1000, seed=1, shuffled=shuffled):
        offset = int(shuffled[order[0]]) % 200
        assert min(offset, 200 - offset) >= 20


@pytest.mark.parametrize(("ar", "expected"), [(0.0, 1), (0.5, 2), (0.9, 10)])
def test_responses_are_alike_over_the_lag_of_their_autocorrelation(ar, expected):
    rng = np.random.default_rng(0)
    courses = rng.standard_normal((2000, 40))
    for row in range(1, 2000):
        courses[row] += ar * courses[row - 1]
    assert abs(alike_over(courses, seconds(900, 1100)) - expected) <= 1
    assert alike_over(np.zeros((200, 3)), seconds(200)) == 1
    assert alike_over(courses, items(2000)) == 1


def test_rolls_of_a_short_slow_series_give_no_p_and_of_a_longer_one_uniform_ps():
    p = []
    for seed in range(150):
        rng = np.random.default_rng([4, seed])
        courses = rng.standard_normal((1250, 2))
        for row in range(1, 1250):
            courses[row] += np.exp(-1 / 10) * courses[row - 1]
        course, other = courses[50:].T
        samples = seconds(1200, interval_s=0.1)
        assert null_orders(seconds(450, interval_s=0.1), 999, seed=seed, alike=10) == []
        orders = null_orders(samples, 999, seed=seed, alike=alike_over(course[:, None], samples))
        null = np.array([np.corrcoef(course[order], other)[0, 1] for order in orders])
        p.append(p_value(np.array([np.corrcoef(course, other)[0, 1]]), null[:, None])[0])
    assert np.mean(np.array(p) < 0.05) < 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 150)


def rolled_by(order, rows):
    offset = int(order[rows[0]] - rows[0]) % rows.size
    return min(offset, rows.size - offset)


def test_of_several_runs_some_stay_near_but_never_all():
    samples = seconds(120, 160)
    offsets = np.array([[rolled_by(o, r) for r in samples.runs] for o in null_orders(samples, 500, seed=2)])
    assert (offsets.max(axis=1) >= MIN_SHIFT_S).all()
    # of offsets within 20 s either way there are 39 in 120 and in 160
    assert (offsets[:, 0] < MIN_SHIFT_S).mean() == pytest.approx(39 / 120, abs=0.07)
    assert (offsets[:, 1] < MIN_SHIFT_S).mean() == pytest.approx(39 / 160, abs=0.07)
    for order in null_orders(samples, 100, seed=2, all_far=True):  # noise: nothing is left where it was
        assert all(rolled_by(order, rows) >= MIN_SHIFT_S for rows in samples.runs)


def test_the_largest_of_many_slow_series_in_two_runs_is_no_more_often_above_chance():
    """12 series of AR .9 and a course that owes nothing to them: with every run rolled by 20 s, p < .05 in 30 %."""
    samples, p = seconds(120, 120), []
    orders = [np.arange(240), *null_orders(samples, 199, seed=0)]
    for seed in range(200):
        rng = np.random.default_rng([7, seed])
        courses = rng.standard_normal((2, 220, 13))
        for row in range(1, 220):
            courses[:, row] += 0.9 * courses[:, row - 1]
        courses = courses[:, 100:] - courses[:, 100:].mean(axis=1, keepdims=True)
        course, others = courses[..., 0].reshape(-1), courses[..., 1:].reshape(240, -1)
        scores = np.stack([course[order] @ others for order in orders])
        largest = (scores / np.sqrt((scores**2).mean(axis=0))).max(axis=1)
        p.append(np.mean(largest >= largest[0]))
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


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
