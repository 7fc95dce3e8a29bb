"""Responses in other orders: of a shuffled study, which must find nothing, and of the null of scores."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.encoding.arithmetic.scratch import target_batches
from pipeline.encoding.options import FEWEST_ORDERS
from pipeline.encoding.splits import Samples

MIN_SHIFT_S = 20.0
NULL_STREAM = 1
MOST_LOOKED_AT = 256
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


def null_orders(
    samples: Samples,
    n: int,
    seed: int,
    *,
    alike: int = 1,
    shuffled: np.ndarray | None = None,
    all_far: bool = False,
) -> list[np.ndarray]:
    """Different orders of a group's samples, none of them the given one.

    Neighbouring samples are alike, and rolls by nearly the same offset nearly one order: counted as many, they made
    p < .05 in 10 to 30 % of unrelated slow series. A single run is therefore rolled by offsets at least as far apart as
    samples are alike, on grids of 1, 2, 4, … samples, so that groups of one stimulus share those of the slowest, and by
    20 s at least. Several runs are rolled each by itself, by any offset, and one of them by 20 s at least: orders that
    roll every run so far are no sample of all, as they lack those that leave one as it was, and slow series with two
    runs were found above all of 12 regions in 8 % instead of 5 % (Hemerik & Goeman 2018, TEST 27:811–825).

    Parameters
    ----------
    n : how many are wanted
    seed : of their sequence; groups that saw the same share it
    alike : over how many samples responses are alike, see `alike_over`
    shuffled : (n_samples,) order that the responses are in already, as of a shuffled study: orders that undo it within
        20 s are left out
    all_far : every run is rolled by 20 s at least, so that nothing is left where it was: orders that make noise of
        responses, not such that these are tested against

    Returns
    -------
    list of arrays of shape (n_samples,)
        No more than n; none where time allows fewer than 20 that are not alike.
    """
    generator = np.random.default_rng([seed, NULL_STREAM])
    if samples.kind == "time":
        n_apart = math.prod(max(1, _offsets(samples, rows).size // alike) for rows in samples.runs)
        if n_apart < FEWEST_ORDERS:
            return []
    if samples.kind == "time" and len(samples.runs) == 1:
        offsets = _offsets(samples, samples.runs[0])
        step = 1 << (alike - 1).bit_length()
        in_turn = generator.permutation(offsets)
        picked = in_turn[(in_turn - offsets[0]) % step == 0]
        rolled = (np.roll(np.arange(samples.n), offset) for offset in picked)  # a long run has more than are wanted
        return list(itertools.islice((order for order in rolled if not _undoes(samples, order, shuffled)), n))
    found: dict[bytes, np.ndarray] = {}
    given = np.arange(samples.n).tobytes()
    for _ in range(SEARCHED * n):
        if len(found) == n:
            break
        order = _draw_order(samples, generator, any_offset=not all_far)
        if order.tobytes() != given and not _is_near(samples, order) and not _undoes(samples, order, shuffled):
            found.setdefault(order.tobytes(), order)
    return list(found.values())


def alike_over(responses: np.ndarray, samples: Samples) -> int:
    """Over how many samples responses are alike: the first lag at which their autocorrelation has fallen to 1/e.

    Parameters
    ----------
    responses : (n_samples, n_targets), of which at most 256 targets are looked at

    Returns
    -------
    int, at least 1; the mean over targets and runs counts
    """
    if samples.kind == "item":
        return 1
    some = np.unique(np.linspace(0, responses.shape[1] - 1, MOST_LOOKED_AT).astype(int))
    longest = max(rows.size for rows in samples.runs)
    total, power = np.zeros(longest), 0.0
    for rows in samples.runs:
        values = np.asarray(responses[rows][:, some], np.float64)
        centred = values - values.mean(axis=0)
        length = np.sqrt((centred**2).sum(axis=0))
        centred /= np.where(length > 0, length, 1.0)
        spectrum = np.abs(np.fft.rfft(centred, 2 * rows.size, axis=0)) ** 2
        own = np.fft.irfft(spectrum, axis=0)[: rows.size].sum(axis=1)
        total[: rows.size] += own
        power += own[0]
    below = np.flatnonzero(total < np.exp(-1) * power) if power > 0 else np.array([1])
    return max(1, int(below[0])) if below.size else longest


def _undoes(samples: Samples, order: np.ndarray, shuffled: np.ndarray | None) -> bool:
    """Whether an order puts a run's shuffled responses back to within 20 s of where they belong."""
    if shuffled is None or samples.kind == "item":
        return False
    for rows in samples.runs:
        offset = int(shuffled[order[rows[0]]] - rows[0]) % rows.size
        if min(offset, rows.size - offset) * samples.interval_s < MIN_SHIFT_S - 1e-9:
            return True
    return False


def _offsets(samples: Samples, rows: np.ndarray) -> np.ndarray:
    """By how many samples a run may be rolled: 20 s at least either way, or half its length."""
    shortest = math.ceil(MIN_SHIFT_S / samples.interval_s - 1e-9)
    longest = rows.size - shortest
    return np.arange(shortest, longest + 1) if longest >= shortest else np.array([rows.size // 2])


def _is_near(samples: Samples, order: np.ndarray) -> bool:
    """Whether no run is rolled by 20 s. Runs shorter than 40 s, which cannot be, count where there are no others."""
    if samples.kind == "item":
        return False
    long = [rows for rows in samples.runs if rows.size * samples.interval_s >= 2 * MIN_SHIFT_S]
    runs = long or samples.runs
    return not any(int(order[rows[0]] - rows[0]) % rows.size in _offsets(samples, rows) for rows in runs)


def _draw_order(samples: Samples, generator: np.random.Generator, *, any_offset: bool = False) -> np.ndarray:
    """A random order; ``any_offset``: runs may also be rolled by less than 20 s, or not at all."""
    order = np.arange(samples.n)
    for rows in samples.runs:
        if samples.kind == "item":
            order[rows] = generator.permutation(rows)
            continue
        offsets = np.arange(rows.size) if any_offset else _offsets(samples, rows)
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
    orders : of the samples, (n_samples,) each, as `null_orders` gives them; or (n_parts, n_samples), where each of as
        many equal parts of the targets has one of its own
    after : what responses go through once they are in order, columns by columns; None: nothing
    kept : (n_samples, n_targets) that is added to them and stays in its own order; None: nothing
    """

    def __init__(
        self,
        responses: np.ndarray,
        orders: Sequence[np.ndarray],
        after: Callable[[np.ndarray], np.ndarray] | None = None,
        kept: np.ndarray | None = None,
    ) -> None:
        self._responses, self._orders, self._after, self._kept = responses, list(orders), after, kept
        self.shape = (responses.shape[0], len(self._orders) * responses.shape[1])

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """Columns of all orders, one order after another."""
        start, stop, _ = key[1].indices(self.shape[1])
        n_targets, parts = self._responses.shape[1], []
        for number, order in enumerate(self._orders):
            first, last = (min(max(bound - number * n_targets, 0), n_targets) for bound in (start, stop))
            if last > first:
                columns = self._in_order(order, first, last)
                parts.append(columns if self._kept is None else columns + self._kept[:, first:last])
        columns = np.concatenate(parts, axis=1)[key[0]]
        return columns if self._after is None else self._after(columns)

    def _in_order(self, order: np.ndarray, first: int, last: int) -> np.ndarray:
        columns = np.asarray(self._responses[:, first:last])
        if order.ndim == 1:
            return columns[order]
        part = np.arange(first, last) // (self._responses.shape[1] // order.shape[0])
        return np.take_along_axis(columns, order[part].T, axis=0)
