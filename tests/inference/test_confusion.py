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
    layers_apart,
    posterior,
    smoothed,
)

N_REPEATS = 20


def chain(n_layers: int) -> np.ndarray:
    """A network of one pathway, layers in order of depth."""
    return layers_apart(np.linspace(0, 1, n_layers), ["main"] * n_layers)


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
    found = identified(named, np.linspace(0, 1, 6), ["main"] * 6)
    assert found.exact == found.within_one == 1 and found.depth_error == 0
    assert found.bits == pytest.approx(np.log2(6), abs=0.06) and found.width == 0
    assert np.flatnonzero(credible_set(posterior(count_named(named), 2, 0, chain(6)))).tolist() == [2]


def test_a_name_that_tells_nothing_leaves_every_layer_as_likely():
    rng = np.random.default_rng(0)
    found = [identified(rng.integers(0, 8, (N_REPEATS, 8)), np.linspace(0, 1, 8), ["main"] * 8) for _ in range(40)]
    assert np.mean([one.exact for one in found]) == pytest.approx(1 / 8, abs=0.01)
    assert np.mean([one.bits for one in found]) < 0.08  # cut at 0; uncorrected it would be .22
    assert posterior(count_named(rng.integers(0, 8, (N_REPEATS, 8))), -1, 0, chain(8)).tolist() == [1 / 8] * 8


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
        counts, width = count_named(named), best_width(named, chain(n_layers))
        sets = np.stack([credible_set(posterior(counts, name, width, chain(n_layers))) for name in range(n_layers)])
        new = draw(matrix, 5, rng)
        held.append(np.mean([sets[name, own] for one in new for own, name in enumerate(one)]))
    assert np.mean(held) > 0.93


def test_neighbours_share_their_counts_as_far_as_repeats_allow():
    rng = np.random.default_rng(3)
    wide = [best_width(draw(truth(32, 6.0), N_REPEATS, rng), chain(32)) for _ in range(5)]
    sharp = [best_width(draw(truth(32, 0.2), N_REPEATS, rng), chain(32)) for _ in range(5)]
    assert min(wide) >= 1.5 and max(sharp) == 0


def test_rows_of_the_matrix_sum_to_one_and_layers_that_were_never_named_are_possible():
    counts = count_named(np.array([[0, 1, -1], [0, 0, -1]]))
    for width in (0.0, 1.0):
        matrix = smoothed(counts, width, chain(3))
        assert np.allclose(matrix.sum(axis=1), 1) and (matrix > 0).all()


def test_equally_probable_layers_are_in_the_set_together():
    assert credible_set(np.array([0.5, 0.2, 0.2, 0.1])).tolist() == [True] * 4
    assert credible_set(np.array([0.9, 0.06, 0.02, 0.02])).tolist() == [True, True, False, False]


PATHWAYS = ["stem", *["a"] * 3, *["b"] * 3]
PATHWAY_DEPTHS = np.array([0, 1 / 3, 2 / 3, 1, 1 / 3, 2 / 3, 1])


def test_layers_of_two_pathways_are_no_neighbours_at_whatever_depth():
    """Each layer is called as its like in the other pathway in every second data set."""
    other = np.array([0, 4, 5, 6, 1, 2, 3])
    named = np.stack([np.arange(7), other] * (N_REPEATS // 2))
    found = identified(named, PATHWAY_DEPTHS, PATHWAYS)
    assert found.within_one == found.exact == pytest.approx((1 + 6 / 2) / 7)
    assert found.depth_error == 0  # of the data sets whose pathway was named
    apart = layers_apart(PATHWAY_DEPTHS, PATHWAYS)
    members = credible_set(posterior(count_named(named), 2, found.width, apart))
    assert members[[2, 5]].all()
    assert np.isnan(
        identified(np.tile(np.where(other, other, -1), (N_REPEATS, 1)), PATHWAY_DEPTHS, PATHWAYS).depth_error
    )


def test_the_stem_is_the_first_layer_of_every_pathway():
    apart = layers_apart(PATHWAY_DEPTHS, PATHWAYS)
    assert apart[0].tolist() == [0, 1, 2, 3, 1, 2, 3]
    assert apart[1].tolist() == [1, 0, 1, 2, np.inf, np.inf, np.inf]
    shuffled = np.array([3, 5, 0, 1, 6, 4, 2])
    again = layers_apart(PATHWAY_DEPTHS[shuffled], [PATHWAYS[one] for one in shuffled])
    np.testing.assert_array_equal(again, apart[np.ix_(shuffled, shuffled)])


def test_counts_are_not_shared_across_pathways():
    """A wide smoothing leaves what was never named in the other pathway as it was."""
    counts = count_named(np.array([[0, 1, 1, 1, 4, 4, 4]] * N_REPEATS))
    matrix = smoothed(counts, 3.0, layers_apart(PATHWAY_DEPTHS, PATHWAYS))
    assert matrix[2, 3] > 0.1 and matrix[2, 5] < 0.05


def test_repeats_that_go_together_have_a_larger_error():
    """Layers of one repeat share their noise: all right or all wrong."""
    named = np.tile(np.arange(6), (N_REPEATS, 1))
    named[::2] = 5 - named[::2]
    together = identified(named, np.linspace(0, 1, 6), ["main"] * 6)
    assert together.exact == 0.5
    assert together.exact_se == pytest.approx(np.std([0, 1] * 10, ddof=1) / np.sqrt(N_REPEATS))
