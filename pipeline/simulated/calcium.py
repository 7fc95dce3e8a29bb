"""From what drives a cell to its dF/F: a linear calcium kernel on a continuous clock, and noise on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

RISE_S = 0.05
DECAY_S = 0.4
"""Time constants of the kernel ``(e^(−t/decay) − e^(−t/rise)) / (decay − rise)``, of unit area; about those of
GCaMP6f after several action potentials (Chen et al. 2013, Nature 499:295)."""
WHITE_PART = 0.3
"""Part of the variance of a binned response's noise that is white (photons); the rest is spontaneous activity."""
EVENT_RATE_HZ = 0.5


def calcium_response(drive: np.ndarray, frame_s: float, times_s: np.ndarray) -> np.ndarray:
    """The kernel's answer to a drive that is constant during each frame, at any times, without discretisation.

    Parameters
    ----------
    drive : (n_frames, n_cells), one frame after the other, the first from time 0 on; 0 before and after
    frame_s : duration of a frame, in s
    times_s : (n_times,), in s

    Returns
    -------
    array of shape (n_times, n_cells), float64
    """
    import numpy as np
    from scipy.signal import lfilter

    n_quiet = max(1, int(np.ceil(times_s.max() / frame_s)) + 1 - drive.shape[0])
    drive = np.concatenate([drive, np.zeros((n_quiet, drive.shape[1]))]).astype(np.float64)
    frame = np.clip(np.floor(times_s / frame_s).astype(int), 0, drive.shape[0] - 1)
    since_onset_s = np.maximum(times_s - frame * frame_s, 0.0)
    response = np.zeros((times_s.size, drive.shape[1]))
    for time_constant_s, sign in ((DECAY_S, 1.0), (RISE_S, -1.0)):
        kept = np.exp(-frame_s / time_constant_s)
        at_end = lfilter([1 - kept], [1, -kept], drive, axis=0)
        at_onset = np.concatenate([np.zeros((1, drive.shape[1])), at_end[:-1]])
        fading = np.exp(-since_onset_s / time_constant_s)[:, None]
        leaky = drive[frame] + (at_onset[frame] - drive[frame]) * fading
        response += sign * time_constant_s / (DECAY_S - RISE_S) * leaky
    response[times_s < 0] = 0.0
    return response


def binned_response(drive: np.ndarray, frame_s: float, samples_per_frame: int) -> np.ndarray:
    """Mean response during each frame of a movie that is shown again and again: (n_frames, n_cells)."""
    import numpy as np

    n_frames = drive.shape[0]
    times_s = (n_frames + (np.arange(n_frames * samples_per_frame) + 0.5) / samples_per_frame) * frame_s
    response = calcium_response(np.concatenate([drive, drive]), frame_s, times_s)
    return np.asarray(response.reshape(n_frames, samples_per_frame, -1).mean(axis=1))


def noise(
    n_cells: int, n_samples: int, rate_hz: float, samples_per_bin: int, generator: np.random.Generator
) -> np.ndarray:
    """Noise whose mean over a bin has variance 1: spontaneous activity through the kernel, and white noise.

    Spontaneous activity are rare events with exponentially distributed amplitudes, less their mean: transients, and
    the positive skew of dF/F.

    Returns
    -------
    array of shape (n_cells, n_samples), float64
    """
    import numpy as np
    from scipy.signal import fftconvolve

    time_s = np.arange(0, 8 * DECAY_S, 1 / rate_hz)
    kernel = np.exp(-time_s / DECAY_S) - np.exp(-time_s / RISE_S)
    in_bins = np.convolve(kernel, np.full(samples_per_bin, 1 / samples_per_bin))
    shape = (n_cells, n_samples + kernel.size - 1)
    p_event = EVENT_RATE_HZ / rate_hz
    events = (generator.random(shape) < p_event) * generator.exponential(1.0, shape)
    activity = (events - p_event) / np.sqrt(2 * p_event - p_event**2)
    spontaneous = fftconvolve(activity, kernel[None], mode="valid", axes=1) / np.sqrt((in_bins**2).sum())
    white = generator.standard_normal((n_cells, n_samples)) * np.sqrt(samples_per_bin)
    return np.asarray(np.sqrt(1 - WHITE_PART) * spontaneous + np.sqrt(WHITE_PART) * white)
