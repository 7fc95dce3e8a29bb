"""Shuffled responses keep each run's samples and move them far enough."""

import numpy as np
import pytest

from pipeline.encoding.group.shuffle import shuffled_rows
from pipeline.encoding.splits import Samples


def two_runs(kind: str, lengths: tuple[int, int] = (100, 60), interval_s: float = 2.0) -> Samples:
    run = np.repeat(["a", "b"], lengths)
    time_s = interval_s * np.concatenate([np.arange(n) for n in lengths])
    if kind == "time":
        return Samples("time", run, run, interval_s=interval_s, time_s=time_s)
    return Samples("item", run, run, item=np.arange(run.size).astype(str))


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_rolled_by_at_least_20_s_either_way(seed: int) -> None:
    samples = two_runs("time")
    order = shuffled_rows(samples, seed)
    for run, n in (("a", 100), ("b", 60)):
        rows = np.flatnonzero(samples.run == run)
        offsets = (rows - order[rows]) % n
        assert len(set(offsets.tolist())) == 1  # one circular shift: autocorrelation is kept
        assert 20 <= 2.0 * offsets[0] <= 2.0 * n - 20


def test_short_runs_are_rolled_by_half() -> None:
    samples = two_runs("time", (12, 12))
    order = shuffled_rows(samples, 0)
    assert order.tolist() == [*range(6, 12), *range(6), *range(18, 24), *range(12, 18)]


def test_items_are_permuted_within_runs() -> None:
    samples = two_runs("item")
    order = shuffled_rows(samples, 0)
    assert sorted(order[:100].tolist()) == list(range(100)) and sorted(order[100:].tolist()) == list(range(100, 160))
    assert (order == np.arange(160)).mean() < 0.05


def test_seed_decides() -> None:
    samples = two_runs("time")
    assert np.array_equal(shuffled_rows(samples, 5), shuffled_rows(samples, 5))
    assert len({tuple(shuffled_rows(samples, seed)) for seed in range(10)}) > 5
