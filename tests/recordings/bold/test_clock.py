"""An impulse in the audio at a known time appears at the right time, whatever TR, slice reference and start."""

import numpy as np
import pytest

from pipeline.core.errors import SampleMismatch
from pipeline.recordings.bold.clock import ScanClock, bring_to_grid, common_grid, samples_of, state_clocks
from pipeline.simulated.haemodynamics import double_gamma
from tests.recordings.bold.conftest import SPHERE

IMPULSE_S = 60.37
STEP_S = 0.01
STARTS_S = (0.0, 3.0, 4.5, 12.0, -20.0, 0.003, 0.837)
RESPONSE = double_gamma(STEP_S)


def response_at(time_s: np.ndarray) -> np.ndarray:
    """The response to an impulse, at times after it."""
    return np.interp(time_s, np.arange(RESPONSE.size) * STEP_S, RESPONSE, left=0, right=0)


def scan_of_impulse(lab, subject: str, tr_s: float, reference: float, audio_start_s: float, n_volumes: int = 100):
    instants_s = (np.arange(n_volumes) + reference) * tr_s - audio_start_s
    return lab.volumes(subject, 1000 + 1e5 * response_at(instants_s - IMPULSE_S), tr_s, audio_start_s)


def fitted_impulse(recording, target: int = 0) -> float:
    """When an impulse must have come for the recorded course, taken at the middle of its bins."""
    course = recording["responses"].values[0, :, target]
    middle_s = recording["time_s"].values - recording.attrs["sample_interval_s"] / 2
    candidates = np.arange(IMPULSE_S - 5, IMPULSE_S + 5, STEP_S)
    predicted = response_at(middle_s[:, None] - candidates)
    predicted = (predicted - predicted.mean(axis=0)) / predicted.std(axis=0)
    return float(candidates[(predicted * course[:, None]).sum(axis=0).argmax()])


@pytest.mark.parametrize("audio_start_s", STARTS_S)
@pytest.mark.parametrize("tr_s", [1.5, 1.52, 2.0])
@pytest.mark.parametrize("reference", [0.0, 0.5, 1.0])
def test_impulse_appears_at_its_time(lab, tr_s, reference, audio_start_s):
    scan = scan_of_impulse(lab, "a", tr_s, reference, audio_start_s)
    recording = lab.recording([scan], (20.0, 120.0), parcellation=SPHERE, high_pass_s=0, slice_reference=reference)
    assert abs(fitted_impulse(recording) - IMPULSE_S) < 0.02
    first, last = recording["time_s"].values[[0, -1]]
    assert first - tr_s >= 20 - 1e-6 and first < 20 + 2 * tr_s
    assert last <= 120 + 1e-6 and last > 120 - tr_s


@pytest.mark.parametrize("audio_start_s", STARTS_S)
@pytest.mark.parametrize("tr_s", [1.5, 1.52, 2.0])
def test_listeners_with_other_clocks_come_to_that_of_most(lab, tr_s, audio_start_s):
    scans = [scan_of_impulse(lab, name, 1.5, 0.5, 3.0) for name in ("a", "b")]
    scans.append(scan_of_impulse(lab, "c", tr_s, 0.5, audio_start_s))
    recording = lab.recording(scans, (20.0, 120.0), parcellation=SPHERE, high_pass_s=0)
    assert recording.attrs["sample_interval_s"] == 1.5
    assert ((recording["time_s"].values + 3.0) % 1.5 < 1e-9).all()
    assert recording["subject"].values.tolist() == ["a", "b", "c", "mean"]
    for target in range(4):
        assert abs(fitted_impulse(recording, target) - IMPULSE_S) < 0.1


def test_a_delayed_start_by_one_volume_is_a_wrong_one(lab):
    """The test above can fail: a scan that is read 1.5 s off is found 1.5 s off."""
    scan = scan_of_impulse(lab, "a", 1.5, 0.5, 3.0)
    moved = lab.recording([type(scan)("a", scan.images, 4.5)], (20.0, 120.0), parcellation=SPHERE, high_pass_s=0)
    assert fitted_impulse(moved) == pytest.approx(IMPULSE_S - 1.5, abs=0.03)


def clock(subject="a", n=100, tr_s=1.5, start_s=3.0, reference=0.5) -> ScanClock:
    return ScanClock(f"{subject}.nii.gz", subject, n, tr_s, start_s, reference)


def test_default_reference_gives_ends_of_acquisition():
    np.testing.assert_allclose(clock(n=3).ends_s(), [-1.5, 0.0, 1.5])


def test_grid_is_the_clock_of_most_and_what_all_cover():
    clocks = [clock("odd", tr_s=2.0, n=75), clock("a"), clock("b", n=95), clock("c", start_s=4.5)]
    grid = common_grid(clocks, 0.0, 145.0)
    assert grid.interval_s == 1.5
    assert grid.ends_s[0] == 1.5 and grid.ends_s[-1] == pytest.approx(95 * 1.5 - 3)
    assert samples_of(clocks[0], grid) is None
    assert [samples_of(one, grid)[0] for one in clocks[1:]] == [2, 2, 3]
    assert state_clocks(clocks, grid).startswith("1 of 4 listeners were brought")
    short = "; 3 samples are left out for all, 3 as b lacks them"
    assert state_clocks(clocks[1:], grid) == f"all 3 listeners have one clock{short}"
    whole = common_grid(clocks[1:2], 0.0, 140.0)
    assert state_clocks(clocks[1:2], whole) == "all 1 listeners have one clock"


def test_clocks_a_hundredth_of_a_tr_apart_are_one():
    clocks = [clock("a"), clock("b", start_s=3.0 + 0.014), clock("c", start_s=3.0 + 0.031)]
    grid = common_grid(clocks, 0.0, 140.0)
    assert [samples_of(one, grid) is None for one in clocks] == [False, False, True]
    assert "by 0.031–0.031 s" in state_clocks(clocks, grid)


def test_trs_that_drift_apart_over_a_story_are_two_clocks():
    clocks = [clock("a"), clock("b", tr_s=1.5003)]
    assert samples_of(clocks[1], common_grid(clocks, 0.0, 140.0)) is None


def test_spline_reproduces_a_smooth_course():
    one, other = clock("a"), clock("b", start_s=3.7)
    grid = common_grid([one, other], 0.0, 140.0)
    course = np.sin(2 * np.pi * other.instants_s() / 20)[:, None].astype(np.float32)
    brought = bring_to_grid(course, other, grid)
    assert brought.dtype == np.float32
    np.testing.assert_allclose(brought[2:-2, 0], np.sin(2 * np.pi * grid.instants_s()[2:-2] / 20), atol=2e-3)


def test_a_scan_that_breaks_off_is_refused_with_seconds_and_remedy():
    with pytest.raises(SampleMismatch) as caught:
        common_grid([clock("a"), clock("sub-7", n=60)], 0.0, 140.0)
    said = str(caught.value)
    assert said.startswith("sub-7.nii.gz covers 87.0 s of the 140.0 s") and "exclude: [sub-7]" in said


def test_nothing_left_is_refused():
    with pytest.raises(SampleMismatch, match=r"of which 1 lie within 0–1.6 s of the audio; check the start"):
        common_grid([clock("a")], 0.0, 1.6)
