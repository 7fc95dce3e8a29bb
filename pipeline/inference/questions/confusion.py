"""What the name of a layer is worth: the confusion matrix of simulated responses, and what follows from it.

The matrix has a row per layer that responses were simulated from, and a column per layer that was named. Its cells are
smoothed: layers that are neighbours in depth share their counts, as far as makes repeats probable that were left out,
and one draw more per row is spread over all layers. Before data are seen every layer is as likely as any other,
so the posterior given the layer that was named is that column, divided by its sum.

References
----------
Miller 1955, in Information Theory in Psychology, 95–100 (bias of the mutual information);
Treves & Panzeri 1995, Neural Computation 7:399–407.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CREDIBLE = 0.95
WIDTHS = (0.0, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Of the smoothing, in layers."""


def count_named(named: NDArray[np.intp]) -> NDArray[np.float64]:
    """(repeat, layer) number of the layer named, −1 for none → (planted, named) counts."""
    n_layers = named.shape[1]
    return np.stack([np.bincount(column[column >= 0], minlength=n_layers) for column in named.T]).astype(np.float64)


def smoothed(counts: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """P(named | planted), rows sum to 1: neighbours in depth share their counts, and one draw more is spread over all.

    Parameters
    ----------
    counts : (planted, named), layers in order of depth
    width : SD of the Gaussian that counts are spread with in both directions, in layers; 0 for none
    """
    spread = _spread(counts.shape[0], width)
    shared = spread @ counts @ spread.T
    n_layers = counts.shape[1]
    return np.asarray((shared + 1 / n_layers) / (shared.sum(axis=1, keepdims=True) + 1))


def _spread(n_layers: int, width: float) -> NDArray[np.float64]:
    place = np.arange(n_layers)
    distance = place[:, None] - place
    weight = np.exp(-0.5 * (distance / width) ** 2) if width > 0 else np.eye(n_layers)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def best_width(named: NDArray[np.intp]) -> float:
    """The width with which each repeat's names are the most probable, by the matrix of all others.

    Parameters
    ----------
    named : (repeat, layer) number of the layer named, −1 for none
    """
    found = [
        float(np.mean([_log_likelihood(others, one, width) for one, others in _without(named)])) for width in WIDTHS
    ]
    return WIDTHS[int(np.argmax(found))]


def _without(named: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Each repeat's names, and the counts of all others."""
    counts = count_named(named)
    for one in named:
        others, given = counts.copy(), np.flatnonzero(one >= 0)
        others[given, one[given]] -= 1
        yield one, others


def _log_likelihood(counts: NDArray[np.float64], named: NDArray[np.intp], width: float) -> float:
    given = np.flatnonzero(named >= 0)
    return float(np.log(smoothed(counts, width)[given, named[given]]).sum())


def posterior(counts: NDArray[np.float64], named: int, width: float) -> NDArray[np.float64]:
    """P(planted | named) of each layer; all alike where no layer was named (−1)."""
    n_layers = counts.shape[0]
    if named < 0:
        return np.full(n_layers, 1 / n_layers)
    column = smoothed(counts, width)[:, named]
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
    exact, within_one : share of data sets whose layer was named, or one of its neighbours in depth
    exact_se : binomial standard error
    bits : see `bits`
    depth_error : mean distance in relative depth between the planted and the named layer
    width : of `smoothed`
    coverage : share of data sets whose planted layer was in the credible set, by the matrix of all other repeats
    """

    n_repeats: int
    exact: float
    exact_se: float
    within_one: float
    bits: float
    depth_error: float
    width: float
    coverage: float


def identified(named: NDArray[np.intp], relative_depth: NDArray[Any]) -> Identified:
    """From (repeat, layer) and (layer,), layers in order of depth."""
    n_repeats, n_layers = named.shape
    planted = np.broadcast_to(np.arange(n_layers), named.shape)
    given = named >= 0
    exact = float((named == planted).mean())
    depth = np.where(given, np.abs(relative_depth[named] - relative_depth[planted]), np.nan)
    width = best_width(named)
    covered = [
        credible_set(posterior(others, int(layer), width))[own]
        for one, others in _without(named)
        for own, layer in enumerate(one)
    ]
    return Identified(
        n_repeats=n_repeats,
        exact=exact,
        exact_se=float(np.sqrt(max(exact * (1 - exact), 1 / named.size) / named.size)),
        within_one=float((given & (np.abs(named - planted) <= 1)).mean()),
        bits=bits(count_named(named)),
        width=width,
        depth_error=float(np.nanmean(depth)) if given.any() else float("nan"),
        coverage=float(np.mean(covered)),
    )
