"""Shuffled responses: a study of them must find nothing."""

from __future__ import annotations

import numpy as np

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
    for run in dict.fromkeys(samples.run.tolist()):
        rows = np.flatnonzero(samples.run == run)
        if samples.kind == "item":
            order[rows] = generator.permutation(rows)
            continue
        shortest = int(np.ceil(MIN_SHIFT_S / samples.interval_s - 1e-9))
        longest = rows.size - shortest
        offset = int(generator.integers(shortest, longest + 1)) if longest >= shortest else rows.size // 2
        order[rows] = np.roll(rows, offset)
    return order
