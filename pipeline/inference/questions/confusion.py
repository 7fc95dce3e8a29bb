"""What the name of a layer is worth: the confusion matrix of simulated responses, and what follows from it.

The matrix has a row per layer that responses were simulated from, and a column per layer that was named. Its cells are
smoothed: layers that are neighbours in depth share their counts, as far as makes repeats probable that were left out,
and one draw more per row is spread over all layers. Before data are seen every layer is as likely as any other,
so the posterior given the layer that was named is that column, divided by its sum.

Layers of different pathways are no neighbours, whatever their depths: they share no counts, and have no distance. The
stem is the first layer of every pathway.

References
----------
Miller 1955, in Information Theory in Psychology, 95–100 (bias of the mutual information);
Treves & Panzeri 1995, Neural Computation 7:399–407.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.layer_choice import by_depth
from pipeline.inference.networks import pathways_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

CREDIBLE = 0.95
WIDTHS = (0.0, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Of the smoothing, in layers."""


def count_named(named: NDArray[np.intp]) -> NDArray[np.float64]:
    """(repeat, layer) number of the layer named, −1 for none → (planted, named) counts."""
    n_layers = named.shape[1]
    return np.stack([np.bincount(column[column >= 0], minlength=n_layers) for column in named.T]).astype(np.float64)


def layers_apart(relative_depth: NDArray[Any], pathway: Sequence[str]) -> NDArray[np.float64]:
    """(layer, layer) how many layers lie from one to another in order of depth; infinite between pathways.

    Parameters
    ----------
    relative_depth, pathway : (layer,)
    """
    apart = np.full((relative_depth.size,) * 2, np.inf)
    for members in (pathways_of(pathway) or {"": np.arange(relative_depth.size)}).values():
        own, place = members[by_depth(relative_depth[members])], np.arange(members.size)
        apart[np.ix_(own, own)] = np.abs(place[:, None] - place)
    return apart


def smoothed(counts: NDArray[np.float64], width: float, apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(named | planted), rows sum to 1: neighbours in depth share their counts, and one draw more is spread over all.

    Parameters
    ----------
    counts : (planted, named)
    width : SD of the Gaussian that counts are spread with in both directions, in layers; 0 for none
    apart : see `layers_apart`
    """
    spread = _spread(apart, width)
    shared = spread @ counts @ spread.T
    n_layers = counts.shape[1]
    return np.asarray((shared + 1 / n_layers) / (shared.sum(axis=1, keepdims=True) + 1))


def _spread(apart: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    weight = np.exp(-0.5 * (apart / width) ** 2) if width > 0 else np.eye(apart.shape[0])
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def best_width(named: NDArray[np.intp], apart: NDArray[np.float64]) -> float:
    """The width with which each repeat's names are the most probable, by the matrix of all others.

    Parameters
    ----------
    named : (repeat, layer) number of the layer named, −1 for none
    apart : see `layers_apart`
    """
    found = [
        float(np.mean([_log_likelihood(others, one, width, apart) for one, others in _without(named)]))
        for width in WIDTHS
    ]
    return WIDTHS[int(np.argmax(found))]


def _without(named: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Each repeat's names, and the counts of all others."""
    counts = count_named(named)
    for one in named:
        others, given = counts.copy(), np.flatnonzero(one >= 0)
        others[given, one[given]] -= 1
        yield one, others


def _log_likelihood(
    counts: NDArray[np.float64], named: NDArray[np.intp], width: float, apart: NDArray[np.float64]
) -> float:
    given = np.flatnonzero(named >= 0)
    return float(np.log(smoothed(counts, width, apart)[given, named[given]]).sum())


def posterior(counts: NDArray[np.float64], named: int, width: float, apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(planted | named) of each layer; all alike where no layer was named (−1)."""
    n_layers = counts.shape[0]
    if named < 0:
        return np.full(n_layers, 1 / n_layers)
    column = smoothed(counts, width, apart)[:, named]
    return np.asarray(column / column.sum())


def credible_set(probability: NDArray[np.float64], level: float = CREDIBLE) -> NDArray[np.bool_]:
    """The most probable layers, as many as have the level together; of equals all."""
    order = np.argsort(-probability, kind="stable")
    needed = int(np.searchsorted(np.cumsum(probability[order]), level - 1e-9)) + 1
    least = probability[order[min(needed, order.size) - 1]]
    return np.asarray(probability >= least - 1e-12)


def bits(counts: NDArray[np.float64]) -> float:
    """Mutual information of the planted and the named layer, every layer planted as often; bias taken off, at least 0.

    Miller's correction: each row with m cells of its own in use overstates its information by (m − 1)/(2 n ln 2) bits
    against that of the margin.
    """
    n = counts.sum(axis=1)
    if (n == 0).any():
        return float("nan")
    rows = counts / n[:, None]
    margin = rows.mean(axis=0)
    plain = _entropy(margin) - np.mean([_entropy(row) for row in rows])
    # entropies come out too low by (cells − 1)/(2n ln 2)
    of_rows = np.mean([(np.count_nonzero(row) - 1) / (2 * k * np.log(2)) for row, k in zip(counts, n, strict=True)])
    of_margin = (np.count_nonzero(margin) - 1) / (2 * n.sum() * np.log(2))
    return float(max(0.0, plain + of_margin - of_rows))


def _entropy(shares: NDArray[np.float64]) -> float:
    used = shares[shares > 0]
    return float(-(used * np.log2(used)).sum())


@dataclasses.dataclass(frozen=True)
class Identified:
    """How well the layers of a network can be told apart in one region.

    Parameters
    ----------
    n_repeats : data sets per layer
    exact, within_one : share of data sets whose layer was named, or one of its neighbours in its pathway
    exact_se : binomial, times what repeats scatter more than that: the layers of one share their noise
    bits : see `bits`
    depth_error : mean distance in relative depth between the planted and the named layer, of pairs in one pathway; NaN
        where there are none
    width : of `smoothed`
    covered : (repeat, layer) 1 where the planted layer was in the credible set, by the matrix of all other repeats
    """

    n_repeats: int
    exact: float
    exact_se: float
    within_one: float
    bits: float
    depth_error: float
    width: float
    covered: NDArray[np.float64]

    @property
    def coverage(self) -> float:
        """Share of data sets whose planted layer was in the credible set."""
        return float(self.covered.mean())


def identified(named: NDArray[np.intp], relative_depth: NDArray[Any], pathway: Sequence[str]) -> Identified:
    """From (repeat, layer), −1 where none was named, and what each layer's depth and pathway are."""
    n_repeats, n_layers = named.shape
    planted = np.broadcast_to(np.arange(n_layers), named.shape)
    given = named >= 0
    right = (named == planted).astype(np.float64)
    apart = layers_apart(relative_depth, pathway)
    steps = np.where(given, apart[named, planted], np.inf)
    near = np.isfinite(steps)
    width = best_width(named, apart)
    covered = [
        [credible_set(posterior(others, int(layer), width, apart))[own] for own, layer in enumerate(one)]
        for one, others in _without(named)
    ]
    return Identified(
        n_repeats=n_repeats,
        exact=float(right.mean()),
        exact_se=clustered_se(right, float(right.mean())),
        within_one=float((steps <= 1).mean()),
        bits=bits(count_named(named)),
        width=width,
        depth_error=float(np.abs(relative_depth[named] - relative_depth[planted])[near].mean())
        if near.any()
        else float("nan"),
        covered=np.asarray(covered, np.float64),
    )


def binomial_se(share: float, of: int) -> float:
    """Of a share of so many; of 0 and 1 as if one were otherwise."""
    return float(np.sqrt(max(share * (1 - share), 1 / of) / of)) if of else float("nan")


def clustered_se(hit: NDArray[Any], share: float) -> float:
    """Binomial at a share, times the root of how much more whole data sets scatter than independent parts would.

    That factor is the variance between data sets over the binomial one, both at the share that was counted: an error
    that is taken from the scatter alone is largest where a share is furthest from its promise. Never below 1.

    Parameters
    ----------
    hit : (data set, …), 1 or 0; NaN does not count
    share : at which the error is wanted

    References
    ----------
    Kish 1965, Survey Sampling (design effect of clusters).
    """
    by_set = hit.reshape(hit.shape[0], -1)
    known = np.isfinite(by_set)
    n = known.sum(axis=1)
    n, hits = n[n > 0], np.where(known, by_set, 0.0).sum(axis=1)[n > 0]
    of = int(n.sum())
    if not of:
        return float("nan")
    counted = hits.sum() / of
    factor, binomial = 1.0, counted * (1 - counted) / of
    if n.size > 1 and binomial > 0:
        between = n.size / (n.size - 1) * ((hits - counted * n) ** 2).sum() / of**2
        factor = max(1.0, between / binomial)
    return binomial_se(share, of) * float(np.sqrt(factor))
