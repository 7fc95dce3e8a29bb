"""Other orders of items and blocks: which there are, and that blocks alike to their neighbours allow few."""

import numpy as np
import pytest

from pipeline.comparison.similarity import item_similarity
from pipeline.inference.scores.item_orders import blocks_alike, permuted_items, rolled_blocks
from pipeline.inference.scores.null_scores import p_value
from pipeline.inference.scores.pair_scores import PairVectors, scores_in_orders


def autoregressive(rng, n, n_columns, step):
    values = rng.standard_normal((n, n_columns))
    for row in range(1, n):
        values[row] = step * values[row - 1] + np.sqrt(1 - step**2) * values[row]
    return values


def measured(n, step, seed=0, n_cells=40):
    return item_similarity(autoregressive(np.random.default_rng(seed), n, n_cells, step))[:, :, None]


def rolls(similarity, stimulus=None, block_s=0.5, stretch_s=3.0, n_orders=1000):
    stimulus = np.full(len(similarity), "film") if stimulus is None else stimulus
    return rolled_blocks(similarity, stimulus, block_s, stretch_s, n_orders, np.random.default_rng(0))


def test_items_are_permuted_by_name():
    names = np.array(["b", "d", "a", "c"])
    orders = permuted_items(names, 30, np.random.default_rng(1)).rows
    listed = np.array([2, 0, 3, 1])
    again = permuted_items(names[listed], 30, np.random.default_rng(1)).rows
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(4), (30, 1)))
    assert np.array_equal(names[orders][:, listed], names[listed][again])


def test_rolls_are_at_least_20_s_and_as_far_apart_as_blocks_are_alike():
    orders = rolls(measured(240, 0.0), stretch_s=3.0).rows
    assert orders[:, 0].tolist() == list(range(40, 201, 6))
    assert all(np.array_equal(order, np.roll(np.arange(240), -order[0])) for order in orders)
    assert len(rolls(measured(240, 0.0), stretch_s=3.0, n_orders=20).rows) == 20
    assert rolls(measured(600, 0.0), stretch_s=25.0, n_orders=1000).untested  # 250 s of stretches of 25 s


@pytest.mark.parametrize(("n", "block_s", "step"), [(60, 0.5, 0.9), (240, 0.5, 0.9), (240, 0.5, 0.98)])
def test_a_stimulus_short_for_its_own_autocorrelation_allows_too_few(n, block_s, step):
    found = rolls(measured(n, step), block_s=block_s)
    assert found.rows.shape == (0, n)
    assert found.untested.startswith(f"{n} blocks of 0.5 s, alike over ") and found.untested.endswith("autocorrelation")


def test_each_stimulus_is_rolled_within_itself_and_one_too_short_stays():
    stimulus = np.repeat(["b", "a", "clip"], [100, 120, 20])
    order = rolls(measured(240, 0.0), stimulus, stretch_s=2.0, n_orders=500).rows
    assert np.unique(order, axis=0).shape == order.shape == (6 * 11, 240)  # 40, 44, … of 100 and of 120 blocks
    assert (stimulus[order] == stimulus).all()
    assert np.array_equal(order[:, 220:], np.tile(np.arange(220, 240), (66, 1)))
    offsets = np.stack([order[:, 0], order[:, 100] - 100], axis=1)
    far = np.minimum(offsets, [100, 120] - offsets) >= 40  # 20 s
    assert far.any(axis=1).all() and not far.all(axis=0).any()  # near ones of either belong to them, as of any sample
    some = rolls(measured(240, 0.0), stimulus, stretch_s=2.0, n_orders=30).rows
    assert some.shape == (30, 240) and {row.tobytes() for row in some} < {row.tobytes() for row in order}


@pytest.mark.parametrize(("step", "expected"), [(0.0, (1, 3)), (0.8, (3, 7)), (0.9, (7, 14))])
def test_blocks_are_alike_as_long_as_their_autocorrelation_says(step, expected):
    lengths = [blocks_alike(measured(300, step, seed), [np.arange(300)]) for seed in range(8)]
    assert expected[0] <= np.median(lengths) <= expected[1]  # 1/e of AR .8 is 4.5 blocks, of AR .9 it is 9.5


def p_of_rolls(measured, features):
    found = rolls(measured)
    assert len(found.rows) >= 19
    orders = np.concatenate([np.arange(len(measured))[None], found.rows])
    models, targets = PairVectors.of(item_similarity(features)[None]), PairVectors.of(np.moveaxis(measured, 2, 0))
    score = scores_in_orders(models, targets, orders, np.empty((0, len(measured)), bool), "spearman").score[:, 0, 0]
    return p_value(score[0], score[1:])


@pytest.mark.parametrize("step", [0.0, 0.7])
def test_unrelated_blocks_that_are_slow_are_rarely_found_and_related_ones_are(step):
    n_films, p, p_related = 60, [], []
    for seed in range(n_films):
        features = autoregressive(np.random.default_rng([5, seed]), 240, 20, step)
        p.append(p_of_rolls(measured(240, step, [6, seed]), features))
        if seed < 10:
            rng = np.random.default_rng([7, seed])
            cells = features @ rng.standard_normal((20, 40)) / 9 + autoregressive(rng, 240, 40, step)
            p_related.append(p_of_rolls(item_similarity(cells)[:, :, None], features))
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n_films)
    assert np.mean(np.array(p_related) <= 0.05) >= 0.9
