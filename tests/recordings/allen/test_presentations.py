"""Which presentation belongs to which sample and repeat, and what is answered in its window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import SampleMismatch
from pipeline.recordings.allen.presentations import (
    BLANK_CONDITION,
    of_drifting_gratings,
    of_movie,
    of_scenes,
    of_static_gratings,
)
from pipeline.recordings.allen.responses import (
    mean_behaviour,
    mean_responses,
    repeat_reliability,
    spike_rates,
    window_weights,
)
from pipeline.recordings.allen.stimuli import drifting_parameters

SOURCE = Path("session.nwb")


def a_movie(n_frames: int = 10, n_repeats: int = 3, frames_per_bin: int = 3):
    frame = np.tile(np.arange(n_frames), n_repeats)
    repeat = np.repeat(np.arange(n_repeats), n_frames)
    onset_s = 5 + np.arange(frame.size) / 30
    return of_movie("natural_movie_one", frame, repeat, onset_s, frames_per_bin=frames_per_bin, source=SOURCE)


def test_frames_are_gathered_into_bins_that_end_on_the_stimulus_clock():
    shown = a_movie()
    assert (shown.n_repeats, shown.n_samples) == (3, 3)  # the tenth frame fills no bin
    np.testing.assert_allclose(shown.time_s, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(shown.sample[:9], np.repeat([0, 1, 2], 3))
    np.testing.assert_allclose(shown.onset_s[shown.repeat == 1][0], 5 + 10 / 30)


def test_a_movie_that_was_interrupted_is_refused():
    frame, repeat = np.array([0, 1, 2, 0, 2]), np.array([0, 0, 0, 1, 1])
    with pytest.raises(SampleMismatch, match=r"session\.nwb.*not 2 passes through 3 frames"):
        of_movie("natural_movie_one", frame, repeat, np.arange(5.0), frames_per_bin=1, source=SOURCE)
    with pytest.raises(SampleMismatch, match="fewer than frames_per_bin"):
        a_movie(n_frames=2)


def test_118_images_are_119_conditions():
    generator = np.random.default_rng(0)
    condition = generator.permutation(np.repeat(np.arange(-1, 118), 50))
    shown = of_scenes(condition, np.arange(condition.size) * 0.25, 118, source=SOURCE)
    assert shown.item.size == 119 and shown.n_repeats == 50
    assert shown.condition.tolist() == [*range(118), BLANK_CONDITION]
    assert shown.item[[0, 117, 118]].tolist() == ["scene-000", "scene-117", "blank"]
    # the k-th repeat of an item is its k-th presentation in time
    first = shown.onset_s[(shown.sample == 7) & (shown.repeat == 0)]
    assert first == np.flatnonzero(condition == 7)[0] * 0.25
    with pytest.raises(SampleMismatch, match="scene 118 was shown, but the template has 118 images"):
        of_scenes(np.array([0, 118]), np.arange(2.0), 118, source=SOURCE)


def test_scenes_that_were_shown_less_often_have_fewer_repeats():
    shown = of_scenes(np.array([0, 1, 0, -1, 0]), np.arange(5.0), 2, source=SOURCE)
    times_s = np.arange(0, 6, 0.1)
    responses = mean_responses(times_s[None], window_weights(shown, (0, 0.25), times_s, SOURCE), shown)
    assert np.isfinite(responses[..., 0]).sum(axis=0).tolist() == [3, 1, 1]


def test_static_gratings_are_named_by_their_parameters():
    nan = np.nan
    shown = of_static_gratings(
        np.array([30.0, 0, nan, 30, 0]),
        np.array([0.04, 0.08, nan, 0.04, 0.08]),
        np.array([0.25, 0.5, nan, 0.25, 0.0]),
        np.arange(5.0),
    )
    assert shown.item.tolist() == ["ori0-sf0.08-phase0", "ori0-sf0.08-phase0.5", "ori30-sf0.04-phase0.25", "blank"]
    assert shown.n_repeats == 2 and shown.condition.tolist() == [0, 1, 2, BLANK_CONDITION]


def test_drifting_gratings_lie_where_the_movie_of_all_of_them_shows_them():
    orientation, frequency = np.array([45.0, np.nan, 0, 45]), np.array([2.0, np.nan, 15, 2])
    shown = of_drifting_gratings(orientation, frequency, np.array([10.0, 13, 16, 19]), frames_per_bin=15, source=SOURCE)
    numbers = [drifting_parameters().index(one) for one in ((0.0, 15.0), (45.0, 2.0))]
    expected = [3 * number + 1 + 0.5 * part for number in numbers for part in (1, 2, 3, 4)]
    np.testing.assert_allclose(shown.time_s, expected)
    assert shown.n_repeats == 2  # of 45 degrees; the other was shown once
    np.testing.assert_allclose(shown.onset_s[(shown.sample == 0)][0], 16.0)
    with pytest.raises(SampleMismatch, match="of 50° and 2 Hz is none of the 40"):
        of_drifting_gratings(np.array([50.0]), np.array([2.0]), np.array([0.0]), frames_per_bin=15, source=SOURCE)
    with pytest.raises(SampleMismatch, match="bins that divide 30 frames"):
        of_drifting_gratings(orientation, frequency, np.arange(4.0), frames_per_bin=7, source=SOURCE)


def test_responses_are_means_over_the_windows_of_a_bins_frames():
    """Against a loop over frames, on a clock that jitters."""
    generator = np.random.default_rng(1)
    times_s = np.sort(np.arange(0, 8, 1 / 31) + generator.normal(0, 2e-3, 248))
    traces = generator.standard_normal((4, times_s.size))
    shown, window_s = a_movie(n_frames=12), (0.05, 0.25)
    responses = mean_responses(traces, window_weights(shown, window_s, times_s, SOURCE), shown)
    for repeat in range(3):
        for sample in range(4):
            onsets_s = shown.onset_s[(shown.repeat == repeat) & (shown.sample == sample)]
            means = [
                traces[:, (times_s >= onset_s + window_s[0]) & (times_s < onset_s + window_s[1])].mean(axis=1)
                for onset_s in onsets_s
            ]
            np.testing.assert_allclose(responses[repeat, sample], np.mean(means, axis=0), rtol=1e-5, atol=1e-6)


def test_a_window_between_two_samples_takes_the_nearest():
    shown = of_scenes(np.array([0, 1]), np.array([1.01, 2.26]), 2, source=SOURCE)
    times_s = np.arange(0, 5, 0.5)
    weights = window_weights(shown, (0.0, 0.05), times_s, SOURCE)
    np.testing.assert_allclose(mean_responses(times_s[None], weights, shown)[0, :, 0], [1.0, 2.5])


def test_presentations_outside_the_recording_are_refused():
    shown = of_scenes(np.array([0, 1]), np.array([1.0, 9.0]), 2, source=SOURCE)
    with pytest.raises(SampleMismatch, match=r"was shown at 9\.000 s, the signal runs from 0\.000 to 5\.000 s"):
        window_weights(shown, (0, 0.25), np.linspace(0, 5, 100), SOURCE)


def test_spike_rates_count_spikes_in_half_open_windows():
    shown = of_scenes(np.array([0, 1, 0]), np.array([1.0, 2.0, 3.0]), 2, source=SOURCE)
    spikes_s = [np.array([1.03, 1.05, 1.15, 2.1, 3.029]), np.array([])]
    rates = spike_rates(spikes_s, (0.03, 0.15), shown)
    np.testing.assert_allclose(rates[:, 0, 0], [2 / 0.12, 0], rtol=1e-6)
    np.testing.assert_allclose(rates[0, 1, 0], 1 / 0.12, rtol=1e-6)
    assert np.isnan(rates[1, 1, 0]) and not rates[:, 0, 1].any()


def test_behaviour_is_averaged_over_what_was_measured():
    shown = of_scenes(np.array([0, 1, 2]), np.array([1.0, 2.0, 3.0]), 3, source=SOURCE)
    times_s = np.arange(0, 3, 0.1)  # ends before the third picture
    values = times_s.copy()
    values[(times_s > 1.95) & (times_s < 2.15)] = np.nan
    mean = mean_behaviour(times_s, values, (0.0, 0.25), shown)
    np.testing.assert_allclose(mean[0, :2], [1.1, 2.2], atol=1e-6)
    assert np.isnan(mean[0, 2])
    assert np.isnan(mean_behaviour(times_s, np.full(30, np.nan), (0, 0.25), shown)).all()


def test_repeat_reliability_is_the_share_of_variance_that_repeats():
    """Single-trial reliability .2, ten repeats: 10 · .2 / (1 + 9 · .2)."""
    generator = np.random.default_rng(0)
    signal = generator.standard_normal((1, 4000, 6))
    responses = signal + 2 * generator.standard_normal((10, 4000, 6))
    found = repeat_reliability(responses, np.full(4000, "movie"))
    np.testing.assert_allclose(found, 10 * 0.2 / (1 + 9 * 0.2), atol=0.02)
    noise = repeat_reliability(generator.standard_normal((10, 4000, 50)), np.full(4000, "movie"))
    assert 0 <= noise.mean() < 0.01
    assert np.isnan(repeat_reliability(responses[:1], np.full(4000, "movie"))).all()


def test_a_missing_repeat_of_one_stimulus_leaves_the_other_its_own():
    generator = np.random.default_rng(0)
    responses = generator.standard_normal((1, 200, 3)) + 0.5 * generator.standard_normal((4, 200, 3))
    stimulus = np.repeat(["one", "three"], 100)
    alone = repeat_reliability(responses[:2, :100], stimulus[:100])
    responses[2:, :100] = np.nan
    both = repeat_reliability(responses, stimulus)
    np.testing.assert_allclose(both, (alone + repeat_reliability(responses[:, 100:], stimulus[100:])) / 2)


def test_one_target_with_gaps_says_nothing_of_the_others():
    generator = np.random.default_rng(0)
    responses = generator.standard_normal((1, 200, 4)) + generator.standard_normal((5, 200, 4))
    alone = repeat_reliability(responses, np.full(200, "movie"))
    responses[:, :, 1] = np.nan
    responses[0, 3, 2] = np.nan
    found = repeat_reliability(responses, np.full(200, "movie"))
    np.testing.assert_allclose(found[[0, 3]], alone[[0, 3]])
    assert np.isnan(found[1]) and 0.5 < found[2] < 1


def test_an_item_that_was_shown_once_costs_the_others_no_repeats():
    generator = np.random.default_rng(1)
    responses = generator.standard_normal((1, 50, 3)) + 0.5 * generator.standard_normal((6, 50, 3))
    whole = repeat_reliability(responses[:, 1:], np.full(49, "scenes"))
    responses[1:, 0] = np.nan
    np.testing.assert_allclose(repeat_reliability(responses, np.full(50, "scenes")), whole)
