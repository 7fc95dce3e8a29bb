"""Agreement of similarity matrices, for the data and for bootstrap draws of the items.

A draw of items with replacement takes pair {i, j} as often as item i times item j; pairs of the same item,
whose similarity is 1 by definition, are dropped. Ranks are taken anew in every draw: the midrank of a value among pairs
with multiplicities, exactly as if the pairs were written out. Spearman's ρ is then a weighted correlation of
ranks, computed for all layers and targets by one matrix product; the ranked measured matrices are shared by all models.

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
from pipeline.comparison.similarity import compare, upper_triangle
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


def weighted_correlation(
    rows: NDArray[np.float64], columns: NDArray[np.float64], weight: NDArray[Any]
) -> NDArray[np.float64]:
    """Pearson r of every row of two arrays (a, pair), (b, pair) with multiplicities: (a, b); 0 if one is constant."""
    total = weight.sum()
    rows = rows - (rows @ weight / total)[:, None]
    columns = columns - (columns @ weight / total)[:, None]
    weighted = columns * weight
    power = np.outer((rows**2) @ weight, (weighted * columns).sum(axis=1))
    varies = power > 0
    return np.where(varies, (rows @ weighted.T) / np.sqrt(np.where(varies, power, 1)), 0.0)


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
    comparison : ``spearman``, ``kendall`` or ``pearson``

    Returns
    -------
    NaN throughout where fewer than three distinct pairs are left.
    """
    weight = pair_weights(models, drawn, stretch)
    pairs = np.flatnonzero(weight)
    if pairs.size < FEWEST_PAIRS:
        return np.full((models.values.shape[0], targets.values.shape[0]), np.nan)
    weight = weight[pairs].astype(np.float64)
    if comparison == "pearson":
        return weighted_correlation(models.values[:, pairs], targets.values[:, pairs], weight)
    if comparison == "kendall":
        return _kendall(models, targets, pairs, weight)
    return weighted_correlation(
        weighted_midranks(models.dense_rank[:, pairs], weight),
        weighted_midranks(targets.dense_rank[:, pairs], weight),
        weight,
    )


def _kendall(
    models: PairVectors, targets: PairVectors, pairs: NDArray[np.intp], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    if pairs.size <= MOST_ENTRIES:
        return kendall_tau(models.dense_rank[:, pairs], targets.dense_rank[:, pairs], weight)
    times = weight.astype(np.intp)
    rows, columns = (np.repeat(one.values[:, pairs], times, axis=1) for one in (models, targets))
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
        there = np.flatnonzero(drawn)
        for halving in range(n_halvings):
            in_first = np.isin(np.arange(drawn.size), rng.permutation(there)[: there.size // 2])
            for half, members in enumerate((in_first, ~in_first)):
                halves[draw, halving, half] = agreement(models, targets, drawn * members, stretch, comparison)
    chosen_in = halves.reshape(n_draws, 2 * n_halvings, *shape)
    held = np.ascontiguousarray(halves[:, :, ::-1]).reshape(n_draws, 2 * n_halvings, *shape)
    defined = np.isfinite(held).all(axis=2)
    np.nan_to_num(held, copy=False)  # in place: these arrays are the largest there are
    np.arctanh(np.clip(held, -LARGEST_R, LARGEST_R, out=held), out=held)
    return FoldScores(score, chosen_in, held, defined.astype(counts.dtype))
