"""Blocks of time and items: what is averaged with what, and what is drawn together."""

import dataclasses

import numpy as np
import pytest

from pipeline.comparison.blocks import entries_of
from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.encoding.splits import Samples


def in_time(*runs, interval_s=0.1):
    """Samples of runs given as (stimulus, first sample, number of samples)."""
    return Samples(
        kind="time",
        run=np.repeat([f"{i}/r" for i in range(len(runs))], [n for *_, n in runs]),
        stimulus=np.repeat([stimulus for stimulus, *_ in runs], [n for *_, n in runs]),
        interval_s=interval_s,
        time_s=np.concatenate([interval_s * np.arange(first + 1, first + n + 1) for _, first, n in runs]),
    )


def items(names):
    names = np.array(names)
    return Samples(kind="item", run=np.full(names.size, "0/r"), stimulus=np.full(names.size, "s"), item=names)


def test_blocks_lie_on_the_stimulus_clock_and_incomplete_ones_are_dropped():
    entries = entries_of(in_time(("film", 3, 40)), 0.5, 0.5, "r.nc")
    assert entries.name.tolist() == [f"film block {i:03d}" for i in range(1, 8)]  # samples 3, 4 and 40–42 are left over
    assert (np.flatnonzero(entries.entry_of == 0) + 3).tolist() == [5, 6, 7, 8, 9]
    assert (entries.entry_of == -1).sum() == 5


@pytest.mark.parametrize("frame_s", [1 / 30, 0.03333, 0.033334])
def test_half_a_second_is_fifteen_frames(frame_s):
    entries = entries_of(in_time(("natural_movie_one", 0, 900), interval_s=frame_s), 0.5, 3.0, "r.nc")
    assert entries.n == 60 and set(np.bincount(entries.entry_of)) == {15}
    assert np.bincount(entries.stretch).tolist() == [6] * 10


def test_runs_of_one_stimulus_share_their_blocks_and_each_leaves_out_its_incomplete_ones():
    entries = entries_of(in_time(("a", 0, 40), ("b", 0, 32), ("a", 2, 40)), 0.5, 1.0, "r.nc")
    assert entries.name.tolist() == [*(f"a block {i:03d}" for i in range(8)), *(f"b block {i:03d}" for i in range(6))]
    values = np.concatenate([np.full(40, 1.0), np.full(32, 5.0), np.full(40, 3.0)])[:, None]
    assert entries.average(values, "r.nc")[:, 0].tolist() == [1, *[2] * 7, *[5] * 6]


def test_stretches_do_not_cross_stimuli():
    entries = entries_of(in_time(("a", 0, 45), ("b", 0, 40)), 0.5, 1.5, "r.nc")
    assert entries.stretch.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4]


def test_items_are_averaged_over_showings_and_drawn_by_themselves():
    entries = entries_of(items(list("abcdefab")), None, 3.0, "r.nc")
    assert entries.name.tolist() == list("abcdef") and entries.stretch.tolist() == list(range(6))
    assert entries.average(np.arange(8.0)[:, None], "r.nc")[:, 0].tolist() == [3, 4, 2, 3, 4, 5]


def test_missing_activations_are_left_out_of_a_mean_and_named_where_there_are_none():
    entries = entries_of(in_time(("film", 0, 40)), 0.5, 1.0, "r.nc")
    values = np.arange(40.0)[:, None]
    values[1:5] = np.nan
    assert entries.average(values, "x")[:2, 0].tolist() == [0, 7]
    values[0] = np.nan
    with pytest.raises(SampleMismatch, match=r"^layer 'l': 'film block 000' has no activations \(1 of 8 have none\); "):
        entries.average(values, "layer 'l'")


def test_shuffled_blocks_are_rolled_far_and_items_permuted():
    entries = entries_of(in_time(("film", 0, 300), ("long", 0, 1000)), 0.5, 3.0, "r.nc")
    offsets = set()
    for seed in range(60):
        order = entries.shuffled(seed)
        film, long = np.split(order, [60])
        assert np.array_equal(np.sort(film), np.arange(60))
        for part, n, shortest in ((film, 60, 20), (long - 60, 200, 40)):  # a third of 30 s, and 20 s
            offset = int((np.arange(n) - part)[0] % n)
            assert np.array_equal(part, np.roll(np.arange(n), offset)) and shortest <= offset <= n - shortest
        offsets.add(int(film[0]))
    assert len(offsets) > 10
    alone = entries_of(in_time(("clip", 0, 5), ("film", 0, 300)), 0.5, 3.0, "r.nc").shuffled(1)
    assert alone[0] == 0 and sorted(alone.tolist()) == list(range(61))
    permuted = entries_of(items(list("abcdefgh")), None, 3.0, "r.nc").shuffled(1)
    assert sorted(permuted.tolist()) == list(range(8)) and permuted.tolist() != list(range(8))


@pytest.mark.parametrize(
    ("samples", "block_s", "message"),
    [
        (items("abcdefgh"), 0.5, r"^block_s 0\.5 needs a recording in time, but r\.nc has items; leave it out$"),
        (
            in_time(("f", 0, 50)),
            None,
            r"^r\.nc is a recording in time, so its similarities need block_s.* multiple of 0\.1 s$",
        ),
        (in_time(("f", 0, 50)), 0.25, r"^block_s 0\.25 is no whole multiple of the sample interval of r\.nc, 0\.1 s; "),
        (in_time(("f", 0, 50)), 0.01, r"the nearest is 0\.1$"),
        (
            in_time(("f", 0, 50)),
            1.0,
            r"^r\.nc has 5 blocks or items in 1 stretches, .*make block_s or stretch_s shorter$",
        ),
        (items("abcde"), None, r"^r\.nc has 5 blocks or items in 5 stretches.*; record more items$"),
    ],
)
def test_what_the_recordings_do_not_allow_is_one_line(samples, block_s, message):
    with pytest.raises(BadConfiguration, match=message) as caught:
        entries_of(samples, block_s, 3.0, "r.nc")
    assert "\n" not in str(caught.value)


def test_a_clock_half_a_sample_off_keeps_its_order():
    samples = in_time(("film", 0, 40))
    late = dataclasses.replace(samples, time_s=samples.clock() + 0.05)
    assert entries_of(late, 0.5, 1.0, "r.nc").name.tolist() == entries_of(samples, 0.5, 1.0, "r.nc").name.tolist()
