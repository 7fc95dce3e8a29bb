"""Shuffled responses: a study of them must find nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.encoding.arithmetic.scratch import target_batches
from pipeline.encoding.splits import Samples

MIN_SHIFT_S = 20.0


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
    generator = np.random.default_rng(seed)
    order = np.arange(samples.n)
    for rows in samples.runs:
        if samples.kind == "item":
            order[rows] = generator.permutation(rows)
            continue
        shortest = int(np.ceil(MIN_SHIFT_S / samples.interval_s - 1e-9))
        longest = rows.size - shortest
        offset = int(generator.integers(shortest, longest + 1)) if longest >= shortest else rows.size // 2
        order[rows] = np.roll(rows, offset)
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
    orders : of the samples, (n_samples,) each, as `shuffled_rows` gives them
    """

    def __init__(self, responses: np.ndarray, orders: Sequence[np.ndarray]) -> None:
        self._responses, self._orders = responses, list(orders)
        self.shape = (responses.shape[0], len(self._orders) * responses.shape[1])

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Columns of all orders, one order after another."""
        start, stop, _ = key[1].indices(self.shape[1])
        n_targets, parts = self._responses.shape[1], []
        for number, order in enumerate(self._orders):
            first, last = (min(max(bound - number * n_targets, 0), n_targets) for bound in (start, stop))
            if last > first:
                parts.append(np.asarray(self._responses[:, first:last])[order])
        return np.concatenate(parts, axis=1)[key[0]]
