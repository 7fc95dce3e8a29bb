"""What the name of a layer is worth: posterior, credible sets and bits of known confusion matrices."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.inference.questions.confusion import (
    best_width,
    bits,
    count_named,
    credible_set,
    identified,
    posterior,
    smoothed,
)

N_REPEATS = 20


def truth(n_layers: int, spread: float) -> np.ndarray:
    """P(named | planted): Gaussian over neighbours, ``spread`` layers wide."""
    place = np.arange(n_layers)
    weight = np.exp(-0.5 * ((place[:, None] - place) / spread) ** 2)
    return weight / weight.sum(axis=1, keepdims=True)


def draw(matrix: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """(repeat, layer) names."""
    return np.stack([rng.choice(len(matrix), n, p=row) for row in matrix], axis=1)


def test_the_name_is_sure_where_layers_never_change_places():
    named = np.tile(np.arange(6), (N_REPEATS, 1))
    found = identified(named, np.linspace(0, 1, 6))
    assert found.exact == found.within_one == 1 and found.depth_error == 0
    assert found.bits == pytest.approx(np.log2(6), abs=0.06) and found.width == 0
    assert np.flatnonzero(credible_set(posterior(count_named(named), 2, 0))).tolist() == [2]


def test_a_name_that_tells_nothing_leaves_every_layer_as_likely():
    rng = np.random.default_rng(0)
    found = [identified(rng.integers(0, 8, (N_REPEATS, 8)), np.linspace(0, 1, 8)) for _ in range(40)]
    assert np.mean([one.exact for one in found]) == pytest.approx(1 / 8, abs=0.01)
    assert np.mean([one.bits for one in found]) < 0.08  # cut at 0; uncorrected it would be .22
    assert posterior(count_named(rng.integers(0, 8, (N_REPEATS, 8))), -1, 0).tolist() == [1 / 8] * 8


def test_bits_are_those_of_the_matrix_they_were_drawn_from():
    rng, matrix = np.random.default_rng(1), truth(8, 1.0)
    margin = matrix.mean(axis=0)
    exact = -(margin * np.log2(margin)).sum() + (matrix * np.log2(np.maximum(matrix, 1e-300))).sum(axis=1).mean()
    found = [bits(count_named(draw(matrix, N_REPEATS, rng))) for _ in range(100)]
    assert np.mean(found) == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize(("n_layers", "spread"), [(7, 0.5), (12, 1.0), (32, 0.7), (32, 3.0), (32, 12.0)])
def test_credible_sets_hold_layers_that_the_matrix_was_not_made_from(n_layers, spread):
    """Narrow, wide and hopeless confusions; twenty repeats make the matrix, new ones are tried."""
    rng, matrix = np.random.default_rng(2), truth(n_layers, spread)
    held = []
    for _ in range(30):
        named = draw(matrix, N_REPEATS, rng)
        counts, width = count_named(named), best_width(named)
        sets = np.stack([credible_set(posterior(counts, name, width)) for name in range(n_layers)])
        new = draw(matrix, 5, rng)
        held.append(np.mean([sets[name, own] for one in new for own, name in enumerate(one)]))
    assert np.mean(held) > 0.93


def test_neighbours_share_their_counts_as_far_as_repeats_allow():
    rng = np.random.default_rng(3)
    wide = [best_width(draw(truth(32, 6.0), N_REPEATS, rng)) for _ in range(5)]
    sharp = [best_width(draw(truth(32, 0.2), N_REPEATS, rng)) for _ in range(5)]
    assert min(wide) >= 1.5 and max(sharp) == 0


def test_rows_of_the_matrix_sum_to_one_and_layers_that_were_never_named_are_possible():
    counts = count_named(np.array([[0, 1, -1], [0, 0, -1]]))
    for width in (0.0, 1.0):
        matrix = smoothed(counts, width)
        assert np.allclose(matrix.sum(axis=1), 1) and (matrix > 0).all()


def test_equally_probable_layers_are_in_the_set_together():
    assert credible_set(np.array([0.5, 0.2, 0.2, 0.1])).tolist() == [True] * 4
    assert credible_set(np.array([0.9, 0.06, 0.02, 0.02])).tolist() == [True, True, False, False]
