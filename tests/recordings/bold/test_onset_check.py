"""A start of the audio that is wrong is found; noise and right starts bring no warning."""

import numpy as np
import pytest

from pipeline.core.errors import SampleMismatch
from pipeline.recordings.bold.onset_check import check_onset
from pipeline.simulated.haemodynamics import double_gamma, scanner_noise

RATE_HZ = 20.0
TR_S = 2.0
N = 250


@pytest.fixture
def envelope(rng):
    """Loudness with phrases and pauses, 10 minutes."""
    slow = np.repeat(rng.exponential(size=400), int(1.5 * RATE_HZ))
    return slow * rng.uniform(0.5, 1.5, slow.size)


def response(envelope, late_s: float, noise: float, rng, n: int = N):
    """BOLD whose audio began so much later than its bins say."""
    drive = np.convolve(envelope, double_gamma(1 / RATE_HZ))
    time_s = (np.arange(n) + 1) * TR_S
    course = np.interp(time_s - TR_S / 2 - late_s, (np.arange(drive.size) + 0.5) / RATE_HZ, drive)
    return (course - course.mean()) / course.std() + noise * rng.normal(size=n), time_s


def check(envelope, course, time_s):
    return check_onset(
        envelope, RATE_HZ, course, time_s, sample_interval_s=TR_S, high_pass_s=128.0, what="sub-1, section 3"
    )


@pytest.mark.parametrize("late_s", [-6.0, -3.3, 4.0, 8.1])
def test_a_wrong_start_is_found_and_told(envelope, rng, late_s):
    found = check(envelope, *response(envelope, late_s, 1.0, rng))
    assert found.best_lag_s == pytest.approx(late_s, abs=0.6)
    assert found.warns and found.best_r > found.configured_r + found.standard_error
    assert found.sentence.startswith("sub-1, section 3: loudness and auditory cortex correlate at r = ")
    assert f"{abs(found.best_lag_s):.1f} s {'later' if late_s > 0 else 'earlier'}" in found.sentence


@pytest.mark.parametrize("late_s", [0.0, 1.2])
def test_a_start_right_within_a_tr_brings_no_warning(envelope, rng, late_s):
    found = check(envelope, *response(envelope, late_s, 1.0, rng))
    assert not found.warns and "no start more than one TR away fits better" in found.sentence
    assert found.best_lag_s == pytest.approx(late_s, abs=0.6)
    assert found.lag_s[[0, 100, 200]].tolist() == [-10.0, 0.0, 10.0]
    assert found.configured_r == found.r[100] and found.best_r == found.r.max()


def test_the_best_correlation_is_exact_without_noise(envelope, rng):
    found = check(envelope, *response(envelope, 0.0, 0.0, rng))
    assert found.best_lag_s == 0.0 and found.configured_r > 0.999


@pytest.mark.parametrize("autocorrelation", [0.0, 0.6])
def test_the_standard_error_is_that_of_repeated_noise(envelope, rng, autocorrelation):
    """Over noise, r at a lag of about 5 s less r at 0 scatters as the error of those that chose such a lag says."""
    differences, errors = [], []
    noise = scanner_noise(N, 400, autocorrelation, rng)
    for course in noise.T:
        found = check(envelope, course, (np.arange(N) + 1) * TR_S)
        differences.append(found.r[150] - found.r[100])
        if abs(found.best_lag_s - 5) < 1.5:
            errors.append(found.standard_error)
    assert len(errors) > 10
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.25)


def test_constant_or_unequal_courses_are_refused(envelope):
    time_s = (np.arange(N) + 1) * TR_S
    with pytest.raises(SampleMismatch, match="sub-1, section 3: loudness or response is constant"):
        check(envelope, np.zeros(N), time_s)
    with pytest.raises(SampleMismatch, match="249 responses and 250 times"):
        check(envelope, np.ones(N - 1), time_s)
