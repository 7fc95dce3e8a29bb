"""The calcium kernel on a continuous clock, and noise of a known size."""

import numpy as np
import pytest

from pipeline.simulated.calcium import DECAY_S, RISE_S, binned_response, calcium_response, noise


def test_the_response_is_the_convolution_with_the_kernel():
    generator = np.random.default_rng(0)
    drive = generator.standard_normal((12, 3))
    step_s = 0.0005
    fine = np.repeat(drive, 1000, axis=0)
    time_s = np.arange(8000) * step_s
    kernel = (np.exp(-time_s / DECAY_S) - np.exp(-time_s / RISE_S)) / (DECAY_S - RISE_S)
    expected = np.stack([np.convolve(column, kernel)[: len(fine)] * step_s for column in fine.T], axis=1)
    times_s = np.sort(generator.uniform(0, 5.9, 50))
    response = calcium_response(drive, 0.5, times_s)
    nearest = np.round(times_s / step_s).astype(int)
    np.testing.assert_allclose(response, expected[nearest], atol=0.005)


def test_nothing_answers_before_the_drive_and_a_lasting_drive_is_answered_in_full():
    response = calcium_response(np.ones((40, 1)), 0.5, np.array([-3.0, -0.1, 0.0, 19.9, 30.0]))
    np.testing.assert_allclose(response[:, 0], [0, 0, 0, 1, 0], atol=1e-6)


def test_binned_responses_are_those_of_a_movie_shown_again_and_again():
    drive = np.random.default_rng(1).standard_normal((20, 2))
    times_s = 0.5 * 20 * 3 + (np.arange(20 * 200) + 0.5) / 400
    third = calcium_response(np.tile(drive, (4, 1)), 0.5, times_s).reshape(20, 200, 2).mean(axis=1)
    np.testing.assert_allclose(binned_response(drive, 0.5, 200), third, atol=1e-6)


@pytest.mark.parametrize("samples_per_bin", [6, 15])
def test_noise_has_variance_one_per_bin_and_positive_skew(samples_per_bin):
    values = noise(40, 30_000, 30.0, samples_per_bin, np.random.default_rng(0))
    binned = values.reshape(40, -1, samples_per_bin).mean(axis=2)
    assert abs(binned.mean()) < 0.02
    assert abs(binned.var() - 1) < 0.02
    assert ((binned - binned.mean()) ** 3).mean() > 0.1
