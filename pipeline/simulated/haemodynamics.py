"""From a drive to BOLD: the double-gamma haemodynamic response, and noise as scanners have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PEAK_SHAPE, UNDERSHOOT_SHAPE, UNDERSHOOT_RATIO = 6.0, 16.0, 6.0
LENGTH_S = 32.0


def double_gamma(sample_interval_s: float, length_s: float = LENGTH_S) -> np.ndarray:
    """The haemodynamic response of SPM, sampled from 0 s on; sums to 1.

    A gamma density of shape 6 s less a sixth of one of shape 16 s. nilearn's function of the same name starts one step
    late on a stretched grid, with 0.167 for a sixth: at steps of 0.1 s it is up to 3 % of the peak away.

    References
    ----------
    Friston et al. 1998, NeuroImage 7:30; `nilearn.glm.first_level.spm_hrf`.
    """
    import numpy as np
    from scipy.stats import gamma

    time_s = np.arange(round(length_s / sample_interval_s)) * sample_interval_s
    response = gamma.pdf(time_s, PEAK_SHAPE) - gamma.pdf(time_s, UNDERSHOOT_SHAPE) / UNDERSHOOT_RATIO
    return np.asarray(response / response.sum())


def bold_response(drive: np.ndarray, frame_s: float, read_s: np.ndarray) -> np.ndarray:
    """Convolve a drive with the haemodynamic response and read it at given times.

    Parameters
    ----------
    drive : (n_frames, n_columns); frame k ends at (k + 1) · frame_s; 0 stands for the state before and after
    frame_s : in s
    read_s : (n_volumes,) times on the drive's clock, in s, multiples of ``frame_s``; may lie before 0 or after the end

    Returns
    -------
    (n_volumes, n_columns) float64
    """
    import numpy as np
    from scipy.signal import oaconvolve

    response = oaconvolve(np.asarray(drive, np.float64), double_gamma(frame_s)[:, None], axes=0)
    frame = np.round(np.asarray(read_s) / frame_s).astype(np.int64) - 1
    inside = (frame >= 0) & (frame < response.shape[0])
    read = np.zeros((frame.size, response.shape[1]))
    read[inside] = response[frame[inside]]
    return read


def scanner_noise(n_volumes: int, n_voxels: int, autocorrelation: float, generator: np.random.Generator) -> np.ndarray:
    """Stationary first-order autoregressive noise of variance 1: (n_volumes, n_voxels)."""
    import numpy as np
    from scipy.signal import lfilter

    innovation = generator.standard_normal((n_volumes, n_voxels))
    innovation[1:] *= np.sqrt(1 - autocorrelation**2)
    return np.asarray(lfilter([1.0], [1.0, -autocorrelation], innovation, axis=0))


def slow_drift(n_volumes: int, n_voxels: int, generator: np.random.Generator) -> np.ndarray:
    """A trend and half a wave over the run, of random size and sign per voxel: (n_volumes, n_voxels), SD about 1."""
    import numpy as np

    place = np.linspace(-1, 1, n_volumes)[:, None]
    trend, wave = generator.standard_normal((2, 1, n_voxels))
    return np.asarray(trend * place + wave * np.cos(np.pi * place))
