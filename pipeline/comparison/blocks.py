"""The entries of a recording's similarity matrix: items, or blocks of a stimulus' time.

Blocks lie on the stimulus' clock, so that several runs of one stimulus have the same ones. Neighbouring blocks are
alike, in the stimulus and in the responses: stretches of them, not blocks, are drawn and halved by later stages.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.encoding.group.shuffle import MIN_SHIFT_S
from pipeline.encoding.splits import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

WHOLE_MULTIPLE = 0.01  # of a sample: 0.5 s are 15 frames of a 30 Hz movie whose interval is written as 0.03333
FEWEST_ENTRIES = 6
FEWEST_STRETCHES = 4  # each half of them must hold pairs of different ones


@dataclasses.dataclass(frozen=True)
class Entries:
    """What the rows and columns of a similarity matrix stand for.

    Parameters
    ----------
    name : (n_entries,) of the item or block
    stimulus : (n_entries,) that the block is of; empty for items
    stretch : (n_entries,) entries of one stretch are drawn together; every item is its own
    entry_of : (n_samples,) entry that each sample belongs to, −1 for none
    block_s : length of the blocks, in s; None for items
    """

    name: NDArray[np.str_]
    stimulus: NDArray[np.str_]
    stretch: NDArray[np.intp]
    entry_of: NDArray[np.intp]
    block_s: float | None

    @property
    def n(self) -> int:
        return int(self.name.size)

    def average(self, values: NDArray[np.floating], source: str) -> NDArray[np.float64]:
        """Mean of each entry's samples, rows of NaN left out: (n_samples, n_columns) → (n_entries, n_columns).

        Raises
        ------
        SampleMismatch
            An entry has nothing but NaN.
        """
        rows = np.flatnonzero((self.entry_of >= 0) & np.isfinite(values[:, 0]))
        rows = rows[np.argsort(self.entry_of[rows], kind="stable")]
        found, start, count = np.unique(self.entry_of[rows], return_index=True, return_counts=True)
        if found.size < self.n:
            missing = np.setdiff1d(np.arange(self.n), found)
            raise SampleMismatch(
                f"{source}: '{self.name[missing[0]]}' has no activations ({missing.size} of {self.n} have none); "
                "make block_s longer, or give the model a shorter stride"
            )
        totals = np.add.reduceat(values[rows], start, axis=0, dtype=np.float64)
        return np.asarray(totals / count[:, None])

    def shuffled(self, seed: int) -> NDArray[np.intp]:
        """Which entry's responses each entry gets, the same for all targets.

        Blocks of one stimulus are rolled circularly by a random offset of at least 20 s either way, or of a third of
        the stimulus where that is shorter; one block stays where it is. Items are permuted.
        """
        generator = np.random.default_rng(seed)
        if self.block_s is None:
            return generator.permutation(self.n)
        order = np.arange(self.n)
        for stimulus in dict.fromkeys(self.stimulus.tolist()):
            rows = np.flatnonzero(self.stimulus == stimulus)
            if rows.size < 2:
                continue
            shortest = min(int(np.ceil(MIN_SHIFT_S / self.block_s - 1e-9)), -(-rows.size // 3))
            order[rows] = np.roll(rows, int(generator.integers(shortest, rows.size - shortest + 1)))
        return order


def entries_of(samples: Samples, block_s: float | None, stretch_s: float, source: str) -> Entries:
    """The items of a recording, or its blocks.

    Parameters
    ----------
    samples : of all runs of the group
    block_s, stretch_s : length of blocks and of stretches of them, in s; None for items
    source : the recording, for messages

    Raises
    ------
    BadConfiguration
        ``block_s`` for items, none for samples in time, one that is no whole multiple of the sample interval, or one
        that leaves too few blocks.
    """
    if samples.kind == "item":
        if block_s is not None:
            raise BadConfiguration(
                f"block_s {block_s:g} needs a recording in time, but {source} has items; leave it out"
            )
        entries = _items(samples)
    else:
        entries = _blocks(samples, _samples_per_block(samples.interval_s, block_s, source), stretch_s)
    n_stretches = np.unique(entries.stretch).size
    if entries.n < FEWEST_ENTRIES or n_stretches < FEWEST_STRETCHES:
        remedy = "record more items" if block_s is None else "make block_s or stretch_s shorter"
        raise BadConfiguration(
            f"{source} has {entries.n} blocks or items in {n_stretches} stretches, but a comparison needs at least "
            f"{FEWEST_ENTRIES} in {FEWEST_STRETCHES}; {remedy}"
        )
    return entries


def _items(samples: Samples) -> Entries:
    """Items in the order of their first showing; further showings, also under other names, are averaged."""
    items = samples.presented.tolist()
    number = {name: index for index, name in enumerate(dict.fromkeys(items))}
    n = len(number)
    entry_of = np.array([number[name] for name in items], dtype=np.intp)
    return Entries(np.array(list(number)), np.full(n, ""), np.arange(n), entry_of, None)


def _samples_per_block(interval_s: float, block_s: float | None, source: str) -> int:
    if block_s is None:
        raise BadConfiguration(
            f"{source} is a recording in time, so its similarities need block_s, the length of the blocks that are "
            f"compared; set it to a whole multiple of {interval_s:g} s"
        )
    n = round(block_s / interval_s)
    if n < 1 or abs(block_s / interval_s - n) > WHOLE_MULTIPLE:
        raise BadConfiguration(
            f"block_s {block_s:g} is no whole multiple of the sample interval of {source}, {interval_s:g} s; "
            f"the nearest is {max(1, n) * interval_s:g}"
        )
    return n


def _blocks(samples: Samples, per_block: int, stretch_s: float) -> Entries:
    """Blocks of each stimulus, in order; a run's incomplete ones are left out of their mean."""
    block = np.full(samples.n, -1)
    for rows in samples.runs:
        own = _intervals_before(samples.clock()[rows], samples.interval_s) // per_block
        found, back, count = np.unique(own, return_inverse=True, return_counts=True)
        block[rows] = np.where((count == per_block) & (found >= 0), found, -1)[back]
    entry_of = np.full(samples.n, -1)
    names: list[str] = []
    stimuli: list[str] = []
    stretches: list[int] = []
    block_s = per_block * samples.interval_s
    for stimulus in dict.fromkeys(samples.stimulus.tolist()):
        here = (samples.stimulus == stimulus) & (block >= 0)
        found, back = np.unique(block[here], return_inverse=True)
        entry_of[here] = len(names) + back
        names += [f"{stimulus} block {number:03d}" for number in found]
        stimuli += [stimulus] * found.size
        stretches += _stretches(found.size, block_s, stretch_s, first=1 + max(stretches, default=-1))
    return Entries(np.array(names), np.array(stimuli), np.array(stretches, dtype=np.intp), entry_of, block_s)


def _intervals_before(time_s: NDArray[np.float64], interval_s: float) -> NDArray[np.intp]:
    """Whole sample intervals of the stimulus before each sample of one run, whose bins end at ``time_s``."""
    first = np.floor(time_s[0] / interval_s + 0.5 - 1e-6) - 1
    return np.asarray(first + np.round((time_s - time_s[0]) / interval_s), dtype=np.intp)


def _stretches(n_blocks: int, block_s: float, stretch_s: float, *, first: int) -> list[int]:
    """The stretch of each block: as many of at least ``stretch_s`` as there are room for, evenly divided."""
    n = max(1, int(n_blocks * block_s / stretch_s + 1e-3))
    return [first + number for number, part in enumerate(np.array_split(np.arange(n_blocks), n)) for _ in part]
