"""Agreement of similarity matrices, for the data and for bootstrap draws of the items.

A draw of items with replacement takes pair {i, j} as often as item i times item j; pairs of the same item,
whose similarity is 1 by definition, are dropped. Ranks are taken anew in every draw: the midrank of a value among pairs
with multiplicities, exactly as if the pairs were written out. Spearman's ρ is then a weighted correlation of
ranks, computed for all layers and targets by one matrix product, as every measure but Kendall's τ is (see
`pipeline.comparison.measures`); the ranked measured matrices are shared by all models.

Neighbouring blocks of a stimulus' time are not independent: stretches of them are drawn, all blocks of a stretch as
often as it is, and pairs of two copies of one stretch are dropped. (With them, the similar neighbours would weigh twice
as much as in the data: on autoregressive blocks, draws were .05 too high, and 95 % intervals covered .82.) Every item
of a set of images or clips is its own stretch.

For the nested choice of a layer, the distinct stretches of a draw are halved at random, the layer is chosen on the
pairs within one half and scored on those within the other, in both directions.

References
----------
Schütt, Kipnis, Diedrichsen & Kriegeskorte 2023, eLife 12:e82566 (bootstrap over items, dropping same-item pairs).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.comparison.kendall import MOST_ENTRIES, dense_ranks, kendall_tau
from pipeline.comparison.measures import MEASURES, Measure
from pipeline.comparison.similarity import compare, upper_triangle
from pipeline.comparison.vectors import ComparedPairs, cosines
from pipeline.inference.scores.fold_scores import LARGEST_R, FoldScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALVINGS_PER_DRAW = 5  # the interval needs fewer than the estimate: draws average over them as well
FEWEST_PAIRS = 3


@dataclasses.dataclass(frozen=True)
class PairVectors:
    """Upper triangles of several matrices over the same items.

    Parameters
    ----------
    values : (matrix, pair)
    dense_rank : (matrix, pair), 0 for a matrix' smallest value, equal values sharing a rank
    first, second : (pair,), the items of each pair
    """

    values: NDArray[np.float64]
    dense_rank: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]

    @classmethod
    def of(cls, matrices: NDArray[Any]) -> PairVectors:
        """From (matrix, item, item2)."""
        values = upper_triangle(matrices)
        return cls(values, dense_ranks(values), *np.triu_indices(matrices.shape[-1], 1))

    def entering(self, compared: ComparedPairs, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Values of some pairs, or their ranks among these with multiplicities: (matrix, pair)."""
        if compared.measure.ranked:
            return weighted_midranks(self.dense_rank[:, pairs], compared.weight)
        return self.values[:, pairs]


def weighted_midranks(dense_rank: NDArray[np.intp], weight: NDArray[Any]) -> NDArray[np.float64]:
    """Midranks (from 1) of values that occur ``weight`` times each: (matrix, pair).

    Parameters
    ----------
    dense_rank : (matrix, pair)
    weight : (pair,), positive multiplicities
    """
    ranks = np.empty(dense_rank.shape)
    for row, place in zip(ranks, dense_rank, strict=True):
        occurs = np.bincount(place, weights=weight)
        row[:] = (np.cumsum(occurs) - (occurs - 1) / 2)[place]
    return ranks


def pair_weights(pairs: PairVectors, drawn: NDArray[Any], stretch: NDArray[np.intp]) -> NDArray[Any]:
    """How often a draw takes each pair: once per copy of a stretch within it, else as often as both are combined.

    Parameters
    ----------
    drawn : (stretch,) multiplicities
    stretch : (item,), the stretch that each item belongs to
    """
    first, second = stretch[pairs.first], stretch[pairs.second]
    return np.where(first == second, drawn[first], drawn[first] * drawn[second])


def agreement(
    models: PairVectors, targets: PairVectors, drawn: NDArray[Any], stretch: NDArray[np.intp], comparison: str
) -> NDArray[np.float64]:
    """How each layer's matrix agrees with each target's, (layer, target), with every stretch as often as drawn.

    Parameters
    ----------
    drawn : (stretch,) multiplicities; stretches with 0 are left out
    stretch : (item,), the stretch that each item belongs to
    comparison : one of `MEASURES`

    Returns
    -------
    NaN throughout where fewer than three distinct pairs are left.
    """
    weight = pair_weights(models, drawn, stretch)
    pairs = np.flatnonzero(weight)
    if pairs.size < FEWEST_PAIRS:
        return np.full((models.values.shape[0], targets.values.shape[0]), np.nan)
    weight = weight[pairs].astype(np.float64)
    measure = MEASURES[comparison]
    if measure.kendall:
        return _kendall(models, targets, pairs, weight)
    times = drawn[stretch].astype(np.float64)
    compared = ComparedPairs(measure, models.first[pairs], models.second[pairs], weight, times)
    rows, columns = (compared.unit_vectors(one.entering(compared, pairs)) for one in (models, targets))
    return cosines(rows, columns)


def _kendall(
    models: PairVectors,
    targets: PairVectors,
    pairs: NDArray[np.intp],
    weight: NDArray[np.float64],
    measured: NDArray[np.intp] | None = None,
) -> NDArray[np.float64]:
    """τ-b over some pairs; ``measured`` are those of the targets' matrices, if they are other ones."""
    measured = pairs if measured is None else measured
    if pairs.size <= MOST_ENTRIES:
        return kendall_tau(models.dense_rank[:, pairs], targets.dense_rank[:, measured], weight)
    times = weight.astype(np.intp)
    rows, columns = (
        np.repeat(one.values[:, own], times, axis=1) for one, own in ((models, pairs), (targets, measured))
    )
    return np.array([[compare(row, column, "kendall") for column in columns] for row in rows])


def pair_scores(
    models: PairVectors,
    targets: PairVectors,
    counts: NDArray[Any],
    stretch: NDArray[np.intp],
    comparison: str,
    n_halvings: int,
    rng: np.random.Generator,
) -> FoldScores:
    """Scores of all pairs and of random halves of the stretches, for one draw or several.

    Parameters
    ----------
    counts : (draw, stretch)
    stretch : (item,), the stretch that each item belongs to
    n_halvings : random halvings per draw; each gives two folds, one per direction

    Returns
    -------
    FoldScores whose ``fold`` axis holds the halvings: ``choice`` is the score in the half in which the layer is
    chosen, ``held_z`` that in the other.
    """
    n_draws, shape = counts.shape[0], (models.values.shape[0], targets.values.shape[0])
    score = np.empty((n_draws, *shape), dtype=counts.dtype)
    halves = np.empty((n_draws, n_halvings, 2, *shape), dtype=counts.dtype)
    for draw, drawn in enumerate(counts):
        score[draw] = agreement(models, targets, drawn, stretch, comparison)
        for halving in range(n_halvings):
            in_first = first_half(drawn, rng)
            for half, members in enumerate((in_first, ~in_first)):
                halves[draw, halving, half] = agreement(models, targets, drawn * members, stretch, comparison)
    return _over_halves(score, halves)


def first_half(drawn: NDArray[Any], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which stretches are in the first half of a random halving of those drawn: (stretch,)."""
    there = np.flatnonzero(drawn)
    return np.isin(np.arange(drawn.size), rng.permutation(there)[: there.size // 2])


def scores_in_orders(
    models: PairVectors,
    targets: PairVectors,
    orders: NDArray[np.intp],
    halvings: NDArray[np.bool_],
    comparison: str,
) -> FoldScores:
    """The scores of `pair_scores` of all items once, for each order of the measured matrices' items.

    The network's matrices stay as they are, and so do their ranks. Halves are of its items: the same in every order.

    Parameters
    ----------
    orders : (order, item), the measured item that stands at each place
    halvings : (halving, item), whether an item is in the first half

    Returns
    -------
    FoldScores in single precision, as those of `pair_scores`
    """
    shape = (len(orders), models.values.shape[0], targets.values.shape[0])
    score = np.empty(shape, dtype=np.float32)
    halves = np.empty((shape[0], len(halvings), 2, *shape[1:]), dtype=np.float32)
    measured = _Reordered.of(targets, orders.shape[1], MEASURES[comparison])
    _fill(score, models, measured, orders, np.arange(models.first.size))
    for halving, in_first in enumerate(halvings):
        for half, members in enumerate((in_first, ~in_first)):
            pairs = np.flatnonzero(members[models.first] & members[models.second])
            _fill(halves[:, halving, half], models, measured, orders, pairs)
    return _over_halves(score, halves)


@dataclasses.dataclass(frozen=True)
class _Reordered:
    """Measured matrices of which any pairs are ranked among themselves, without sorting them anew.

    Parameters
    ----------
    vectors : of the matrices
    pair_of : (item, item2) number of each pair
    ascending : (matrix, pair) the pairs from the smallest value to the largest
    below, upto : (matrix, pair) how many pairs have a smaller value, and at most the same
    tied : whether any two pairs have equal values
    """

    vectors: PairVectors
    measure: Measure
    pair_of: NDArray[np.intp]
    ascending: NDArray[np.intp]
    below: NDArray[np.intp]
    upto: NDArray[np.intp]
    tied: bool

    @classmethod
    def of(cls, vectors: PairVectors, n_items: int, measure: Measure) -> _Reordered:
        pair_of = np.zeros((n_items, n_items), dtype=np.intp)
        pair_of[vectors.first, vectors.second] = pair_of[vectors.second, vectors.first] = np.arange(vectors.first.size)
        occurs = [np.bincount(row) for row in vectors.dense_rank]
        upto = np.stack([np.cumsum(one)[row] for one, row in zip(occurs, vectors.dense_rank, strict=True)])
        own = np.stack([one[row] for one, row in zip(occurs, vectors.dense_rank, strict=True)])
        ascending = np.argsort(vectors.dense_rank, axis=1)
        return cls(vectors, measure, pair_of, ascending, upto - own, upto, bool((own > 1).any()))

    def entering(self, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Values of some different pairs, or their ranks among these: (matrix, pair)."""
        return self._midranks(pairs) if self.measure.ranked else self.vectors.values[:, pairs]

    def _midranks(self, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        chosen = np.zeros(self.ascending.shape[1], dtype=np.int32)
        chosen[pairs] = 1
        counted = np.zeros((len(self.ascending), chosen.size + 1), dtype=np.int32)
        np.cumsum(chosen[self.ascending], axis=1, out=counted[:, 1:])
        not_larger = np.take_along_axis(counted, self.upto[:, pairs], axis=1)
        if not self.tied:
            return not_larger.astype(np.float64)
        smaller = np.take_along_axis(counted, self.below[:, pairs], axis=1)
        return (smaller + not_larger + 1) / 2


def _fill(
    into: NDArray[np.float32],
    models: PairVectors,
    measured: _Reordered,
    orders: NDArray[np.intp],
    pairs: NDArray[np.intp],
) -> None:
    """Agreement over some pairs of places, (order, layer, target)."""
    if pairs.size < FEWEST_PAIRS:
        into[:] = np.nan
        return
    first, second = models.first[pairs], models.second[pairs]
    once = np.ones(pairs.size)
    if measured.measure.kendall:
        for number, order in enumerate(orders):
            there = measured.pair_of[order[first], order[second]]
            into[number] = _kendall(models, measured.vectors, pairs, once, there)
        return
    compared = ComparedPairs(measured.measure, first, second, once, np.ones(orders.shape[1]))
    rows = compared.unit_vectors(models.entering(compared, pairs))
    # all pairs in another order have the ranks that they had, and items their effects
    every = compared.unit_vectors(measured.entering(pairs)) if pairs.size == models.first.size else None
    for number, order in enumerate(orders):
        there = measured.pair_of[order[first], order[second]]
        if every is None:
            columns = compared.unit_vectors(measured.entering(there))
        else:
            columns = every[:, np.concatenate([there, pairs.size + order])[: every.shape[1]]]
        into[number] = cosines(rows, columns)


def _over_halves(score: NDArray[Any], halves: NDArray[Any]) -> FoldScores:
    """Folds of halvings, one per direction: (draw, halving, half, layer, target) → (draw, fold, layer, target)."""
    n_draws, n_halvings, _, *shape = halves.shape
    chosen_in = halves.reshape(n_draws, 2 * n_halvings, *shape)
    held = np.ascontiguousarray(halves[:, :, ::-1]).reshape(n_draws, 2 * n_halvings, *shape)
    defined = np.isfinite(held).all(axis=2)
    np.nan_to_num(held, copy=False)  # in place: these arrays are the largest there are
    np.arctanh(np.clip(held, -LARGEST_R, LARGEST_R, out=held), out=held)
    return FoldScores(score, chosen_in, held, defined.astype(score.dtype))
