"""Responses in other orders: of a shuffled study, which must find nothing, and of the null of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.encoding.arithmetic.scratch import target_batches
from pipeline.encoding.splits import Samples

MIN_SHIFT_S = 20.0
NULL_STREAM = 1
SEARCHED = 20
"""Orders drawn for each that is wanted, before fewer are taken."""


def shuffled_rows(samples: Samples, seed: int) -> np.ndarray:
    """Which sample's responses each sample gets; the same for all targets and repeats.

    In time, each run is rolled circularly by a random offset of at least 20 s either way (by half its length
    where it is shorter than 40 s), which keeps the responses' autocorrelation. Items are permuted within a run.

    Parameters
    ----------
    samples : the group's samples
    seed : of the offsets or permutations

    Returns
    -------
    array of shape (n_samples,), row numbers
    """
    return _draw_order(samples, np.random.default_rng(seed))


def null_orders(samples: Samples, n: int, seed: int) -> list[np.ndarray]:
    """Different orders of a group's samples, none of them the given one; see `shuffled_rows`.

    They depend on the samples and the seed alone: groups that saw the same share them.

    Returns
    -------
    list of arrays of shape (n_samples,)
        ``n`` of them. Where fewer are possible, all of a single run's offsets, or as many of several runs' as a random
        search found: 362 volumes of 2 s allow about 340.
    """
    if samples.kind == "time" and len(samples.runs) == 1:
        offsets = _offsets(samples, samples.runs[0])
        if offsets.size <= n:
            return [np.roll(np.arange(samples.n), offset) for offset in offsets]
    found: dict[bytes, np.ndarray] = {}
    generator = np.random.default_rng([seed, NULL_STREAM])
    given = np.arange(samples.n).tobytes()
    for _ in range(SEARCHED * n):
        if len(found) == n:
            break
        order = _draw_order(samples, generator)
        if order.tobytes() != given:
            found.setdefault(order.tobytes(), order)
    return list(found.values())


def _offsets(samples: Samples, rows: np.ndarray) -> np.ndarray:
    """By how many samples a run may be rolled: 20 s at least either way, or half its length."""
    shortest = math.ceil(MIN_SHIFT_S / samples.interval_s - 1e-9)
    longest = rows.size - shortest
    return np.arange(shortest, longest + 1) if longest >= shortest else np.array([rows.size // 2])


def _draw_order(samples: Samples, generator: np.random.Generator) -> np.ndarray:
    order = np.arange(samples.n)
    for rows in samples.runs:
        if samples.kind == "item":
            order[rows] = generator.permutation(rows)
            continue
        offsets = _offsets(samples, rows)
        order[rows] = np.roll(rows, int(generator.integers(offsets[0], offsets[-1] + 1)))
    return order


def shuffle(responses: np.ndarray, rows: np.ndarray, *, memory_budget_mb: float) -> None:
    """Reorder the samples of ``(n_repeats, n_samples, n_targets)`` in place, the same for all targets and repeats."""
    for repeat in responses:
        for batch in target_batches(repeat.shape[1], repeat.shape[0], memory_budget_mb):
            repeat[:, batch] = repeat[rows, batch]


class Reordered:
    """The same responses in several orders of their samples, side by side, so that permutations share one fit.

    Parameters
    ----------
    responses : (n_samples, n_targets), read by slices of columns
    orders : of the samples, (n_samples,) each, as `null_orders` gives them
    after : what responses go through once they are in order, columns by columns; None: nothing
    """

    def __init__(
        self,
        responses: np.ndarray,
        orders: Sequence[np.ndarray],
        after: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._responses, self._orders, self._after = responses, list(orders), after
        self.shape = (responses.shape[0], len(self._orders) * responses.shape[1])

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Columns of all orders, one order after another."""
        start, stop, _ = key[1].indices(self.shape[1])
        n_targets, parts = self._responses.shape[1], []
        for number, order in enumerate(self._orders):
            first, last = (min(max(bound - number * n_targets, 0), n_targets) for bound in (start, stop))
            if last > first:
                parts.append(np.asarray(self._responses[:, first:last])[order])
        columns = np.concatenate(parts, axis=1)[key[0]]
        return columns if self._after is None else self._after(columns)
