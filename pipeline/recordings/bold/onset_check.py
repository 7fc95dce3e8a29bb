"""Does the audio start where the configuration says? Lagged correlation of its loudness with auditory cortex."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch

if TYPE_CHECKING:
    import numpy as np

STEP_S = 0.1
MAX_LAG_S = 10.0
FINER = 50
RELIABLE = 2.5
"""Standard errors by which the best correlation must differ from 0; in simulated noise one story in sixty does."""


@dataclasses.dataclass(frozen=True)
class OnsetCheck:
    """How well the configured start of the audio fits, and which other one fits best.

    Parameters
    ----------
    configured_r : correlation at lag 0
    best_lag_s : lag that fits best; positive: the audio began that much later than configured, in s
    best_r : its correlation
    standard_error : of the difference between correlations, with the courses' autocorrelation taken into account
    warns : whether a lag more than one TR away fits better by more than that, and reliably
    sentence : all this in words
    lag_s, r : (n_lags,) the whole curve
    """

    configured_r: float
    best_lag_s: float
    best_r: float
    standard_error: float
    warns: bool
    sentence: str
    lag_s: np.ndarray
    r: np.ndarray


def check_onset(
    envelope: np.ndarray,
    rate_hz: float,
    response: np.ndarray,
    time_s: np.ndarray,
    *,
    sample_interval_s: float,
    high_pass_s: float,
    what: str = "the audio",
) -> OnsetCheck:
    """Compare the response of auditory cortex with a stimulus' envelope, lags −10 to 10 s in steps of 0.1 s.

    The envelope is convolved with SPM's haemodynamic response, averaged over each sample's bin and high-passed as the
    response was. Outside of the envelope there is silence.

    Parameters
    ----------
    envelope : (n,) loudness, any unit; value k covers (k, k + 1) / rate_hz on the audio clock
    rate_hz : its values per second, at least 10
    response : (n_samples,) mean response of the auditory region, already high-passed
    time_s : (n_samples,) ends of the bins on the audio clock, in s, evenly spaced
    sample_interval_s, high_pass_s : of the response; 0 for no filter
    what : named in the sentence

    Raises
    ------
    SampleMismatch
        Response and times differ in length, or one of both courses is constant.

    References
    ----------
    Standard error of correlations between autocorrelated courses: Bartlett 1935, J. R. Stat. Soc. 98:536.
    """
    import numpy as np
    from nilearn.glm.first_level import spm_hrf
    from scipy.signal import oaconvolve

    from pipeline.stimuli.temporal_filter import cosine_high_pass

    response, time_s = np.asarray(response, np.float64), np.asarray(time_s, np.float64)
    if response.shape != time_s.shape or response.size < 4:
        raise SampleMismatch(f"{what}: {response.size} responses and {time_s.size} times; a check needs 4 of each")
    heard = _at_steps(np.asarray(envelope, np.float64), rate_hz)
    # nilearn delays its response by one of its own steps, so those are made small.
    drive = oaconvolve(heard, spm_hrf(STEP_S, oversampling=FINER)[::FINER])
    lag_s = np.round(np.arange(-MAX_LAG_S, MAX_LAG_S + STEP_S / 2, STEP_S), 1)
    predicted = _bin_means(drive, time_s[:, None] - lag_s, sample_interval_s)
    if high_pass_s > 0:
        predicted = cosine_high_pass(predicted, sample_interval_s, high_pass_s)
        response = cosine_high_pass(response[:, None], sample_interval_s, high_pass_s)[:, 0]
    predicted, response = _z_scored(predicted), _z_scored(response[:, None])[:, 0]
    if not response.any() or not predicted.any():
        raise SampleMismatch(f"{what}: loudness or response is constant, so the start of the audio cannot be checked")
    r = predicted.T @ response / response.size
    configured, best = int(np.abs(lag_s).argmin()), int(r.argmax())
    error = _standard_error(predicted[:, configured], predicted[:, best], response)
    # the best of two hundred lags fits somewhat even where loudness says nothing about the response
    chance = RELIABLE * _standard_error(np.zeros_like(response), predicted[:, best], response)
    away = abs(lag_s[best]) > sample_interval_s
    warns = bool(away and r[best] > chance and r[best] - r[configured] > error)
    return OnsetCheck(
        float(r[configured]),
        float(lag_s[best]),
        float(r[best]),
        error,
        warns,
        _sentence(what, float(r[configured]), float(lag_s[best]), float(r[best]), error, warns),
        lag_s,
        r,
    )


def _sentence(what: str, configured_r: float, lag_s: float, best_r: float, error: float, warns: bool) -> str:
    told = f"{what}: loudness and auditory cortex correlate at r = {configured_r:.2f} with the configured start"
    if not warns:
        return f"{told}; no start more than one TR away fits better by more than the standard error ({error:.2f})"
    return (
        f"{told}, and at {best_r:.2f} if it is {abs(lag_s):.1f} s {'later' if lag_s > 0 else 'earlier'} "
        f"(standard error {error:.2f}): check the start of the audio"
    )


def _at_steps(envelope: np.ndarray, rate_hz: float) -> np.ndarray:
    """Means over steps of 0.1 s."""
    import numpy as np

    total = np.concatenate([[0.0], np.cumsum(envelope)])
    edges_s = np.arange(int(envelope.size / rate_hz / STEP_S) + 1) * STEP_S
    return np.diff(np.interp(edges_s * rate_hz, np.arange(total.size), total)) / (STEP_S * rate_hz)


def _bin_means(drive: np.ndarray, ends_s: np.ndarray, width_s: float) -> np.ndarray:
    """Mean of a course, known at the middle of steps of 0.1 s and 0 elsewhere, over bins that end at given times."""
    import numpy as np

    total = np.concatenate([[0.0], np.cumsum(drive)])
    edges_s = np.arange(total.size) * STEP_S
    return (np.interp(ends_s, edges_s, total) - np.interp(ends_s - width_s, edges_s, total)) * STEP_S / width_s


def _z_scored(values: np.ndarray) -> np.ndarray:
    import numpy as np

    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)


def _standard_error(one: np.ndarray, other: np.ndarray, response: np.ndarray) -> float:
    """Of r(other, response) − r(one, response), which is the covariance of the response with their difference."""
    import numpy as np

    difference = other - one
    n = response.size
    if not difference.any():
        return 0.0
    rho = _autocorrelation(difference - difference.mean()) * _autocorrelation(response)
    weights = 1 - np.arange(n) / n
    variance = (rho[0] + 2 * (weights[1:] * rho[1:]).sum()) / n
    return float(np.sqrt(max(variance, 1 / n) * difference.var()))


def _autocorrelation(values: np.ndarray) -> np.ndarray:
    """(n,) at lags 0 to n − 1; lags beyond a fifth of the course, where estimates are noise, count as 0."""
    import numpy as np

    n = values.size
    spectrum = np.abs(np.fft.rfft(values, 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum)[:n]
    covariance[max(2, n // 5) :] = 0
    return covariance / covariance[0]
