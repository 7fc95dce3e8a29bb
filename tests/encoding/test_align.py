"""Clocks: which activations make up which bin, what delays reach, and what is refused."""

import numpy as np
import pytest

from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.encoding.design import Design
from pipeline.encoding.group.align import (
    align_convolved,
    align_items,
    align_time,
    whole_delays,
)
from pipeline.encoding.high_pass import high_pass_within
from pipeline.stimuli.temporal_filter import cosine_high_pass


def test_bins_are_open_at_the_start_and_closed_at_the_end() -> None:
    # (2, 4] holds 2.1 and 4.0; (4, 6] nothing; (6, 8] holds 6.00001 and 8.0; 2.0 lies in the bin before.
    times = np.array([2.0, 2.1, 4.0, 6.00001, 8.0, 9.0])
    values = np.arange(1.0, 7.0, dtype=np.float32)[:, None]
    kept = np.array([4.0, 6.0, 8.0])
    mean = align_time(times, kept, 2.0, rate="mean", max_delay=0, source="x")
    np.testing.assert_array_equal(mean.apply(values)[mean.rows, 0], [2.5, np.nan, 4.5])
    total = align_time(times, kept, 2.0, rate="sum", max_delay=0, source="x")
    np.testing.assert_array_equal(total.apply(values)[total.rows, 0], [5, 0, 9])
    assert mean.apply(values)[mean.rows[0] - 1, 0] == 1


def test_rounding_does_not_move_an_activation_to_the_next_bin() -> None:
    times = np.arange(1, 61) / 30 * 3  # 0.1 s steps written with rounding errors
    aligned = align_time(times, np.arange(1, 13) * 0.5, 0.5, rate="sum", max_delay=0, source="x")
    np.testing.assert_array_equal(aligned.apply(np.ones((60, 1), np.float32))[:, 0], np.full(12, 5))


def test_delays_reach_the_stimulus_that_was_already_playing() -> None:
    times = np.arange(1, 21, dtype=float)
    kept = np.arange(6, 21, dtype=float)
    aligned = align_time(times, kept, 1.0, rate="mean", max_delay=3, source="x")
    binned = aligned.apply(times[:, None].astype(np.float32))
    delayed = Design((), [1, 3], np.zeros(binned.shape[0]), aligned.rows).delayed(binned)
    np.testing.assert_array_equal(delayed, np.stack([kept - 1, kept - 3], axis=1))


def test_before_the_stimulus_sums_are_zero_and_means_are_missing() -> None:
    times = np.arange(1, 11, dtype=float)
    for rate, empty in (("sum", 0.0), ("mean", np.nan)):
        aligned = align_time(times, times, 1.0, rate=rate, max_delay=2, source="x")  # type: ignore[arg-type]
        binned = aligned.apply(np.ones((10, 1), np.float32))
        delayed = Design((), [2], np.zeros(binned.shape[0]), aligned.rows).delayed(binned)
        np.testing.assert_array_equal(delayed[:3, 0], [empty, empty, 1])


def test_delays_do_not_cross_runs() -> None:
    features = np.arange(10.0)[:, None]
    runs = np.repeat([0, 1], 5)
    delayed = Design.of_bins(10, (), delays=[0, 2], runs=runs).delayed(features)
    expected = np.array([np.nan, np.nan, 0, 1, 2, np.nan, np.nan, 5, 6, 7])
    np.testing.assert_array_equal(delayed[:, 1], expected)
    np.testing.assert_array_equal(delayed[:, 0], features[:, 0])


def test_convolved_features_are_taken_at_the_nearest_time() -> None:
    aligned = align_convolved(np.array([3.9, 6.1, 20.0]), np.array([4.0, 6.0, 8.0, 12.0]), 2.0, source="x")
    binned = aligned.apply(np.array([[1.0], [2.0], [3.0]], np.float32))
    np.testing.assert_array_equal(binned[aligned.rows, 0], [1, 2, 2, np.nan])


def test_items_are_put_into_the_order_of_the_recording() -> None:
    aligned = align_items(np.array(["a", "b", "c"]), np.array(["c", "a", "c"]), source="x")
    np.testing.assert_array_equal(aligned.apply(np.array([[1.0], [2.0], [3.0]]))[:, 0], [3, 1, 3])


def test_missing_item_is_named_with_both_files() -> None:
    with pytest.raises(SampleMismatch, match=r"r\.nc and a\.zarr: item 'whistle' .*1 of 2 items"):
        align_items(np.array(["dog"]), np.array(["dog", "whistle"]), source="r.nc and a.zarr")


def test_recording_and_activations_that_do_not_meet_are_refused() -> None:
    beside, within = np.arange(1.0, 5), np.r_[np.arange(1.0, 5), 200.0]
    sample_time = np.arange(100.0, 110)
    for times, said in ((beside, "0 of 10 samples lie within the stimulus"), (within, "no activation")):
        with pytest.raises(SampleMismatch, match=said):
            align_time(times, sample_time, 1.0, rate="mean", max_delay=0, source="x")
    for times, said in ((beside, "0 of 10 samples lie within the stimulus"), (within, "no regressor")):
        with pytest.raises(SampleMismatch, match=said):
            align_convolved(times, sample_time, 1.0, source="x")


@pytest.mark.parametrize("time_s", [[1.0, 2.0, 3.4], [1.0, 3.0, 2.0], [1.0, 1.0, 2.0]])
def test_clock_off_its_grid_is_refused(time_s: list[float]) -> None:
    with pytest.raises(SampleMismatch, match="whole intervals of 1 s"):
        align_time(np.arange(1.0, 5), np.array(time_s), 1.0, rate="mean", max_delay=0, source="x")


@pytest.mark.parametrize(
    ("delays_s", "interval_s", "expected"),
    [
        ((2.0, 8.0), 2.0, [1, 2, 3, 4]),
        ((2.0, 8.0), 1.5, [2, 3, 4, 5]),
        ((0.0, 0.3), 0.1, [0, 1, 2, 3]),
        (None, 2.0, [0]),
    ],
)
def test_delays_in_whole_samples(delays_s: tuple[float, float] | None, interval_s: float, expected: list[int]) -> None:
    assert whole_delays(delays_s, interval_s) == expected


def test_delays_between_samples_are_refused() -> None:
    with pytest.raises(BadConfiguration, match="hold no multiple"):
        whole_delays((0.5, 0.9), 2.0)


def test_high_pass_works_within_stretches_and_fills_with_their_mean() -> None:
    design = np.random.default_rng(0).standard_normal((150, 3)) + 5
    runs = np.repeat([0, 1], [90, 60])
    filtered = high_pass_within(design, runs, 2.0, 60.0)
    np.testing.assert_allclose(filtered[:90], cosine_high_pass(design[:90], 2.0, 60.0))
    np.testing.assert_allclose(filtered[90:], cosine_high_pass(design[90:], 2.0, 60.0))
    design[[3, 40], 1] = np.nan
    filled = design[:90].copy()
    filled[[3, 40], 1] = np.nanmean(design[:90, 1])
    np.testing.assert_allclose(
        high_pass_within(design, runs, 2.0, 60.0)[:90], cosine_high_pass(filled, 2.0, 60.0), atol=1e-12
    )
