"""In which other orders the rows of responses might really have been measured: the usual mistakes, as orders of rows.

An order says which row's response each row gets, were the mistake made good. Mistakes are: files numbered without
leading zeros that one program sorts as text and another by number, rows that begin one too early or late, rows turned
round, a stimulus that started earlier or later, and the stimuli of two runs that were taken for one another.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.core.names import natural_order
from pipeline.encoding.splits import Samples

ITEM_SHIFTS = (1, 2, 3)
MAX_SHIFT_S = 10.0
SHIFTS_PER_SIDE = 10
SHORTEST_SHIFT_S = 1.0
MOST_RUNS_SWAPPED = 6
"""Of up to so many runs each pair is swapped, of more only neighbours."""


@dataclasses.dataclass(frozen=True)
class CandidateOrder:
    """One other order of the rows.

    Parameters
    ----------
    what : in words, after "if"
    rows : (n_samples,) a permutation: which row's response each row gets
    """

    what: str
    rows: np.ndarray


def candidate_orders(
    samples: Samples, *, stimulus_items: Sequence[str] = (), delay_span_s: float = 0.0
) -> list[CandidateOrder]:
    """Every order worth a look, none twice, without the given one.

    Parameters
    ----------
    samples : what was presented in each row, as given
    stimulus_items : names of the items in the order of the stimulus (items only)
    delay_span_s : from the first to the last delay that the model or a haemodynamic response has, in s (time only)
    """
    in_time = samples.kind == "time"
    shifted = _shifted_in_time(samples, delay_span_s) if in_time else _shifted_items(samples)
    sorted_otherwise = iter(()) if in_time else _sorted_otherwise(samples, stimulus_items)
    known = {np.arange(samples.n).tobytes()}
    orders = []
    for order in itertools.chain(shifted, sorted_otherwise, _turned_round(samples), _swapped_runs(samples)):
        if order.rows.tobytes() not in known:
            known.add(order.rows.tobytes())
            orders.append(order)
    return orders


def rows_of_items(items: np.ndarray, taken_from: dict[str, str]) -> np.ndarray | None:
    """Order in which each item gets another's responses, its first showing the other's first, and so on.

    Parameters
    ----------
    items : (n_samples,) item of each row
    taken_from : item → the one whose responses it gets; all items on both sides

    Returns
    -------
    (n_samples,) rows; None where an item was shown more often than the other
    """
    rows_of: dict[str, list[int]] = {}
    for row, item in enumerate(items.tolist()):
        rows_of.setdefault(item, []).append(row)
    rows = np.empty(items.size, np.intp)
    for item, own in rows_of.items():
        others = rows_of[taken_from[item]]
        if len(others) != len(own):
            return None
        rows[own] = others
    return rows


def _rolled(samples: Samples, shift: int) -> np.ndarray:
    """Each row gets the response ``shift`` rows after it in its run; the last ones those of the first rows."""
    rows = np.arange(samples.n)
    for run in samples.runs:
        rows[run] = np.roll(run, -shift)
    return rows


def _shifted_items(samples: Samples) -> Iterator[CandidateOrder]:
    for shift, sign in itertools.product(ITEM_SHIFTS, (1, -1)):
        rows = "one row" if shift == 1 else f"{shift} rows"
        direction = "down" if sign > 0 else "up"
        yield CandidateOrder(f"they stand {rows} too far {direction} in each run", _rolled(samples, sign * shift))


def _sorted_otherwise(samples: Samples, stimulus_items: Sequence[str]) -> Iterator[CandidateOrder]:
    """Rows that stand in one order of the items, and are named in another."""
    items = samples.items()
    names = list(dict.fromkeys(items.tolist()))
    orders = {
        "the order of the rows": names,
        "the order of their names as text": sorted(names),
        "the order of the numbers in their names": natural_order(names),
        "the order of the stimulus": [name for name in dict.fromkeys(stimulus_items) if name in set(names)],
    }
    orders = {what: order for what, order in orders.items() if len(order) == len(names)}
    for (named, as_named), (measured, as_measured) in itertools.permutations(orders.items(), 2):
        # place k of the measured order was given the k-th name of the other
        rows = rows_of_items(items, dict(zip(as_measured, as_named, strict=True)))
        if rows is not None:
            yield CandidateOrder(f"they are in {measured}, not in {named}", rows)


def _shifted_in_time(samples: Samples, delay_span_s: float) -> Iterator[CandidateOrder]:
    """Shifts that neither the model's delays nor a slow response explain, up to ten seconds or a little beyond."""
    interval_s = samples.interval_s
    least_s = max(SHORTEST_SHIFT_S, 2 * interval_s, delay_span_s / 2 + interval_s)
    least = math.ceil(least_s / interval_s - 1e-9)
    most = max(least + 2, math.floor(MAX_SHIFT_S / interval_s + 1e-9))
    step = max(1, math.ceil((most - least + 1) / SHIFTS_PER_SIDE))
    shortest_run = min(run.size for run in samples.runs)
    for shift, sign in itertools.product(range(least, most + 1, step), (1, -1)):
        if 2 * shift < shortest_run:
            when = "later" if sign > 0 else "earlier"  # responses to what is presented later come later
            yield CandidateOrder(
                f"each run's stimulus began {shift * interval_s:g} s {when}", _rolled(samples, sign * shift)
            )


def _turned_round(samples: Samples) -> Iterator[CandidateOrder]:
    rows = np.arange(samples.n)
    for run in samples.runs:
        rows[run] = run[::-1]
    yield CandidateOrder("they stand in reverse in each run", rows)
    if samples.kind == "item":
        yield CandidateOrder("they stand in reverse", np.arange(samples.n)[::-1].copy())


def _swapped_runs(samples: Samples) -> Iterator[CandidateOrder]:
    """Two runs of equal length that presented different things, each with the other's responses."""
    runs = samples.runs
    pairs = itertools.combinations(range(len(runs)), 2) if len(runs) <= MOST_RUNS_SWAPPED else _neighbours(len(runs))
    for first, second in pairs:
        one, other = runs[first], runs[second]
        if one.size == other.size and _differ(samples, one, other):
            rows = np.arange(samples.n)
            rows[one], rows[other] = other, one
            yield CandidateOrder(f"the stimuli of runs {first + 1} and {second + 1} are swapped", rows)


def _neighbours(n_runs: int) -> Iterator[tuple[int, int]]:
    yield from ((number, number + 1) for number in range(n_runs - 1))


def _differ(samples: Samples, one: np.ndarray, other: np.ndarray) -> bool:
    if (samples.stimulus[one] != samples.stimulus[other]).any():
        return True
    if samples.kind == "item":
        return bool((samples.items()[one] != samples.items()[other]).any())
    return bool((samples.clock()[one] != samples.clock()[other]).any())
