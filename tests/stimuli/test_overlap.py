"""Recordings and stimuli of unequal length: what is refused, what is guessed, and what may differ."""

import numpy as np
import pytest

from pipeline.core.errors import SampleMismatch
from pipeline.stimuli.overlap import check_overlap, likely_slip, outlasting, overlap_s, partly_heard, samples_within


def check(
    n: int, interval_s: float, stimulus_s: tuple[float, float], first_s: float | None = None, tail_s: float = 0.0
):
    time_s = (interval_s if first_s is None else first_s) + interval_s * np.arange(n)
    how = {"recording": "r.nc", "stimulus": "s.wav", "remedy": "correct sample_interval_s"}
    check_overlap(time_s, interval_s, stimulus_s, tail_s=tail_s, **how)


@pytest.mark.parametrize(
    ("n", "interval_s", "stimulus_s", "said"),
    [
        (100, 2000.0, (0.0, 200.0), "covers 0 to 200000 s .* s.wav 0 to 200 s: 1 of 100 .* look like ms"),
        (100, 2000.0, (0.0, 100.0), "look like ms"),
        (100, 2.0, (0.0, 100.0), "50 of 100 samples .* at least 67 % must; the samples look twice too long"),
        (300, 1.0, (0.0, 100.0), "100 of 300 samples .* correct sample_interval_s, or leave out the samples"),
        (100, 0.002, (0.0, 200.0), "1000 times as long; the stimulus' times look like ms"),
        (100, 2.0, (0.0, 200_000.0), "1000 times as long; the stimulus' times look like ms"),
    ],
)
def test_slips_of_units_are_refused_with_both_lengths(n, interval_s, stimulus_s, said) -> None:
    with pytest.raises(SampleMismatch, match=said):
        check(n, interval_s, stimulus_s)


@pytest.mark.parametrize("first_s", [-1000.0, 1000.0])
def test_a_recording_beside_its_stimulus_is_refused(first_s: float) -> None:
    with pytest.raises(SampleMismatch, match="0 of 100 samples lie within"):
        check(100, 2.0, (0.0, 200.0), first_s)


def test_silence_before_and_a_tail_after_the_sound_are_no_slip() -> None:
    check(100, 2.0, (0.0, 150.0), first_s=-20.0)  # 24 s before, 24 s after
    check(100, 1.0, (0.0, 60.0), tail_s=10.0)
    with pytest.raises(SampleMismatch, match="60 of 100"):
        check(100, 1.0, (0.0, 60.0))
    check(10, 1.0, (0.0, 1800.0))  # a part of a long sound


def test_bins_that_reach_into_the_stimulus_are_within_it() -> None:
    time_s = np.array([-2.0, 0.0, 2.0, 4.0, 6.0])
    assert samples_within(time_s, 2.0, (0.0, 3.0)).tolist() == [False, False, True, True, False]
    assert samples_within(time_s, 2.0, (0.0, 3.0), tail_s=2.0).tolist() == [False, False, True, True, True]


@pytest.mark.parametrize(("ratio", "slip"), [(1, ""), (1.5, ""), (3.0, ""), (2.0, "twice"), (500, "ms"), (1e-3, "ms")])
def test_only_known_slips_are_guessed(ratio: float, slip: str) -> None:
    assert (slip in likely_slip(ratio)) if slip else likely_slip(ratio) == ""


def test_runs_of_parts_of_one_stimulus_count_together() -> None:
    how = {"recording": "my.npy", "stimulus": "s.wav"}
    assert overlap_s((0.0, 10.0), (5.0, 20.0)) == 5.0 and overlap_s((0.0, 1.0), (2.0, 3.0)) == 0.0
    assert partly_heard([(50.0, 100.0), (0.0, 50.0)], (0.0, 110.0), **how) == ""
    said = partly_heard([(0.0, 10.0), (5.0, 20.0)], (0.0, 1800.0), **how)
    assert said.startswith("my.npy covers 20 s of the 1800 s of s.wav, 0.01 times; if all of it was recorded, check")
    for half in (60.0, 90.0):
        assert f"covers {half:g} s of the 120 s" in partly_heard([(0.0, half)], (0.0, 120.0), **how)


def test_a_recording_that_outlasts_its_stimulus_by_a_tenth_and_a_sample_is_said() -> None:
    how = {"recording": "my.npy", "stimulus": "s.wav"}
    assert outlasting(132.0, 2.0, (0.0, 120.0), **how) == outlasting(12.0, 2.0, (0.0, 10.0), **how) == ""
    assert outlasting(150.0, 2.5, (0.0, 120.0), **how).startswith("my.npy lasts 150 s and s.wav 120 s, 1.25 times; if")
    assert outlasting(15.0, 2.5, (0.0, 12.0), **how)
