"""Blocks of held-out samples and their sufficient statistics: the units of every later bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pipeline.encoding.splits import Fold, Samples


def number_blocks(samples: Samples, test: np.ndarray, block_s: float) -> np.ndarray:
    """Number the blocks of one fold from 0.

    In time, each unbroken stretch of held-out samples of one run is divided evenly into as many blocks of at
    least ``block_s`` as it holds, at least one. Of items, each is a block, however often it was shown and under how
    many names.

    Parameters
    ----------
    test : array of row numbers, ascending
    block_s : shortest block, in s; a stretch that is shorter is one block all the same

    Returns
    -------
    array of shape (n_test,), int
    """
    if samples.kind == "item":
        names = samples.presented[test].tolist()
        order = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return np.array([order[name] for name in names])
    step_s = np.diff(samples.clock()[test])
    breaks = (step_s > 1.5 * samples.interval_s) | (step_s <= 0) | (samples.run[test][1:] != samples.run[test][:-1])
    per_block = max(1, int(np.ceil(block_s / samples.interval_s - 1e-9)))
    block = np.zeros(test.size, int)
    first = 0
    for stretch in np.split(np.arange(test.size), np.flatnonzero(breaks) + 1):
        n_blocks = max(1, stretch.size // per_block)
        for number, part in enumerate(np.array_split(stretch, n_blocks)):
            block[part] = first + number
        first += n_blocks
    return block


class BlockSums:
    """Sums over the samples of each block.

    Parameters
    ----------
    folds : outer folds, whose blocks are numbered over all of them
    """

    def __init__(self, folds: list[Fold]) -> None:
        rows = np.concatenate([fold.test for fold in folds])
        block = np.concatenate([fold.block for fold in folds])
        fold_of = np.concatenate([np.full(fold.test.size, number) for number, fold in enumerate(folds)])
        order = np.lexsort((rows, block))
        self._rows = rows[order]
        self._in_order = np.array_equal(self._rows, np.arange(self._rows.size))
        _, self._start, self.n = np.unique(block[order], return_index=True, return_counts=True)
        self.fold = fold_of[order][self._start]
        self.first_row = self._rows[self._start]
        """First sample of each block, shape (n_blocks,)."""

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum ``(n_samples, n_targets)`` over each block: ``(n_blocks, n_targets)`` float64."""
        ordered = values if self._in_order and len(values) == self._rows.size else values[self._rows]
        summed: np.ndarray = np.add.reduceat(ordered, self._start, axis=0, dtype=np.float64)
        return summed
