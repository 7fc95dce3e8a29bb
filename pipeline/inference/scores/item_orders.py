"""Other orders of the items of measured similarity matrices, in which a network's matrices are compared with them.

Items that are separate, such as pictures and sounds, are permuted (Mantel's test). Blocks of a stimulus' time are alike
to their neighbours, in whatever they measure; so they are rolled circularly within their stimulus, which keeps that.
Rolls that are nearly equal give nearly equal scores and say little more than one of them. They are therefore as far
apart as blocks are alike, and at least as far from the order measured, which is 20 s or more. A stimulus that allows
few of them has no p: simulated blocks of AR .9 that have nothing to do with each other (240 blocks of 0.5 s) were
above 95 % of all 161 rolls of at least 20 s in 23 %.

References
----------
Mantel 1967, Cancer Research 27:209–220 (permuting rows and columns of one matrix alike);
Harris 2020, bioRxiv 2020.11.29.402719 (correlations between slow series, and what shifts can say of them).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoding.group.shuffle import MIN_SHIFT_S
from pipeline.encoding.options import FEWEST_ORDERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALIKE = np.exp(-1)
"""Blocks are alike up to the lag at which the likeness of neighbours has fallen to this share."""


@dataclasses.dataclass(frozen=True)
class ItemOrders:
    """Which measured item stands at each place, in every order: (order, item).

    Parameters
    ----------
    untested : why there are none, in words; empty if there are, or if none were asked for
    """

    rows: NDArray[np.intp]
    untested: str = ""


def permuted_items(names: NDArray[Any], n_orders: int, rng: np.random.Generator) -> ItemOrders:
    """Random orders of separate items: the same of the same names, whatever order they are listed in.

    Parameters
    ----------
    names : (item,), all different
    """
    by_name = np.argsort(names.astype(str))
    rows = np.empty((n_orders, names.size), dtype=np.intp)
    for order in rows:
        order[by_name] = by_name[rng.permutation(names.size)]
    return ItemOrders(rows)


def rolled_blocks(
    similarity: NDArray[np.floating],
    stimulus: NDArray[Any],
    block_s: float,
    stretch_s: float,
    n_orders: int,
    rng: np.random.Generator,
) -> ItemOrders:
    """Circular rolls of the blocks of each stimulus: all of them, or as many random ones as are asked for.

    A stimulus too short to be rolled keeps its order beside longer ones. Blocks of a single one are rolled by 20 s at
    least; of several, each is rolled by any offset and one of them so far, see `pipeline.encoding.group.shuffle`.

    Parameters
    ----------
    similarity : (block, block2, target) measured
    stimulus : (block,) that each block is of, in the order of time
    block_s, stretch_s : length of a block, and of what the study takes for alike at least, in s
    """
    runs = {name: np.flatnonzero(stimulus == name) for name in sorted(set(stimulus.tolist()))}
    alike = max(blocks_alike(similarity, list(runs.values())), _whole(stretch_s, block_s))
    first = max(_whole(MIN_SHIFT_S, block_s), alike)
    offsets = [np.arange(first, rows.size - first + 1, alike) for rows in runs.values()]
    n_each = [max(1, own.size) for own in offsets]
    n_rolls = float(np.prod(n_each, dtype=np.float64)) if any(own.size for own in offsets) else 0.0
    identity = np.arange(stimulus.size)
    if n_orders == 0 or n_rolls < FEWEST_ORDERS:
        words = (
            f"{stimulus.size} blocks of {block_s:g} s, alike over {alike * block_s:g} s, allow {n_rolls:.0f} rolls, of "
            f"which a test needs {FEWEST_ORDERS}: too short for their own autocorrelation"
        )
        return ItemOrders(identity[None][:0], words if n_orders else "")
    rolled = [(rows, own) for rows, own in zip(runs.values(), offsets, strict=True) if own.size]
    if len(rolled) == 1:
        own = rolled[0][1]
        picked = own if own.size <= n_orders else np.sort(rng.choice(own, n_orders, replace=False))
        picked = picked[:, None]
    else:
        picked = _any_offsets([rows.size for rows, _ in rolled], first, int(min(n_orders, n_rolls)), rng)
    orders = np.tile(identity, (len(picked), 1))
    for (rows, _), chosen in zip(rolled, picked.T, strict=True):
        orders[:, rows] = rows[(np.arange(rows.size) + chosen[:, None]) % rows.size]
    return ItemOrders(orders)


def _any_offsets(sizes: list[int], first: int, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """(order, stimulus), all different, at least one stimulus of each being rolled by ``first`` blocks either way."""
    found: dict[bytes, NDArray[np.intp]] = {}
    while len(found) < n:  # there are more: all products of far offsets are among them
        one = rng.integers(sizes).astype(np.intp)
        if (np.minimum(one, sizes - one) >= first).any():
            found.setdefault(one.tobytes(), one)
    return np.stack(list(found.values()))


def blocks_alike(similarity: NDArray[np.floating], runs: list[NDArray[np.intp]]) -> int:
    """Over how many blocks the measured ones are alike: the first lag at which likeness has fallen to 1/e.

    Likeness is the mean similarity of blocks of one stimulus at a lag, less that of blocks farther apart than a quarter
    of it, averaged over targets; that of neighbours is 1.

    Parameters
    ----------
    similarity : (block, block2, target)
    runs : the blocks of each stimulus, in the order of time
    """
    mean = similarity.mean(axis=2)
    longest = max(rows.size for rows in runs)
    total, count = np.zeros(longest), np.zeros(longest)
    for rows in runs:
        own = mean[np.ix_(rows, rows)]
        for lag in range(rows.size):
            total[lag] += np.trace(own, lag)
            count[lag] += rows.size - lag
    by_lag = total[1 : longest // 2] / count[1 : longest // 2]
    if by_lag.size < 2:
        return longest
    likeness = by_lag - by_lag[by_lag.size // 2 :].mean()
    fallen = np.flatnonzero(likeness <= ALIKE * max(likeness[0], 0.0))
    return 1 + int(fallen[0]) if fallen.size else longest


def _whole(length_s: float, block_s: float) -> int:
    """The fewest whole blocks that are as long."""
    return int(np.ceil(length_s / block_s - 1e-9))
