"""The haemodynamic response is nilearn's, and is read where a volume says it is."""

import numpy as np
import pytest
from nilearn.glm.first_level import spm_hrf

from pipeline.recordings.bold.clean import clean_responses
from pipeline.simulated.haemodynamics import bold_response, double_gamma, scanner_noise, slow_drift


@pytest.mark.parametrize("interval_s", [0.1, 0.5])
def test_the_response_is_that_of_nilearn(interval_s):
    ours = double_gamma(interval_s)
    # nilearn shifts its curve by one oversampled step: a fine grid makes that step vanish.
    fine = spm_hrf(t_r=interval_s, oversampling=500, time_length=32.0)
    theirs = np.interp(np.arange(ours.size) * interval_s, np.linspace(0, 32.0, fine.size), fine)
    np.testing.assert_allclose(ours, theirs / theirs.sum(), atol=0.002 * ours.max())


def test_convolution_equals_a_direct_sum():
    frame_s = 0.1
    drive = np.random.default_rng(0).standard_normal((600, 3))
    read_s = np.array([-4.0, 0.0, 0.1, 2.0, 30.0, 60.0, 61.0])
    response = double_gamma(frame_s)
    expected = np.zeros((read_s.size, 3))
    for row, time_s in enumerate(read_s):
        for lag in range(response.size):
            frame = round(time_s / frame_s) - 1 - lag
            if 0 <= frame < drive.shape[0]:
                expected[row] += response[lag] * drive[frame]
    np.testing.assert_allclose(bold_response(drive, frame_s, read_s), expected, atol=1e-12)
    assert not bold_response(drive, frame_s, np.array([-4.0, 0.0])).any()


def test_an_impulse_peaks_five_seconds_later():
    drive = np.zeros((400, 1))
    drive[0] = 1
    read_s = np.arange(1, 401) * 0.1
    assert read_s[bold_response(drive, 0.1, read_s)[:, 0].argmax()] == pytest.approx(5.1, abs=0.15)


def test_noise_has_the_stated_variance_and_autocorrelation():
    noise = scanner_noise(2000, 50, 0.3, np.random.default_rng(1))
    assert noise.var() == pytest.approx(1, abs=0.03)
    assert noise[0].var() == pytest.approx(1, abs=0.5)
    assert np.mean(noise[1:] * noise[:-1]) == pytest.approx(0.3, abs=0.02)


def test_the_high_pass_removes_the_drift():
    generator = np.random.default_rng(2)
    noise = scanner_noise(180, 40, 0.3, generator)
    drifting = noise + 3 * slow_drift(180, 40, generator)
    clean = {
        name: clean_responses(x, sample_interval_s=2.0, high_pass_s=128.0)
        for name, x in {"with": drifting, "without": noise}.items()
    }
    r = np.array([np.corrcoef(clean["with"][:, v], clean["without"][:, v])[0, 1] for v in range(40)])
    unfiltered = np.array([np.corrcoef(drifting[:, v], noise[:, v])[0, 1] for v in range(40)])
    assert r.min() > 0.97
    assert np.median(unfiltered) < 0.6
