"""What moves in a movie before any network: the energy of oriented edges that drift one way or the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import LayermapError
from pipeline.models.baselines.image_baselines import GRID, N_ORIENTATIONS, WAVELENGTHS_PX
from pipeline.models.entry import ModelEntry, Twin, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

RATES_HZ = (0.0, 2.0, 4.0, 8.0)
DECAY_S = 0.1
WINDOW_S = 0.5
SLOWEST_FRAME_RATE_HZ = 16.0
"""At fewer frames per second a drift of 8 Hz is not shown."""


class MotionEnergy:
    """Energy of spatio-temporal Gabor pairs, one sample per frame, from this frame and those before it."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.shown.image_stimuli import picture_clock

        rate_hz = float(stimulus.attrs["frame_rate_hz"])
        if rate_hz < SLOWEST_FRAME_RATE_HZ:
            raise LayermapError(
                f"model 'motion-energy' needs {SLOWEST_FRAME_RATE_HZ:g} frames per second, but stimulus "
                f"'{stimulus.attrs['name']}' has {rate_hz:g}; use gabor-energy"
            )
        return picture_clock(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        import numpy as np

        from pipeline.models.shown.image_stimuli import pictures_of

        frames = pictures_of(stimulus)
        filters = temporal_filters(float(stimulus.attrs["frame_rate_hz"]))
        n_past = filters.shape[1] - 1
        for start in range(0, len(frames), batch_size):
            # before the movie starts its first frame is taken to stand still
            wanted = np.arange(start - n_past, min(start + batch_size, len(frames))).clip(0)
            read = np.asarray(frames[int(wanted[0]) : int(wanted[-1]) + 1].values)
            yield start, {"energy": motion_energy(read[wanted - wanted[0]], filters)}


def temporal_filters(frame_rate_hz: float) -> np.ndarray:
    """Causal complex filters, (n_rates, n_frames), oldest frame first: drift one way for positive rates, the other
    for negative ones; each has gain 1 at its own rate."""
    import numpy as np

    lags_s = np.arange(round(WINDOW_S * frame_rate_hz))[::-1] / frame_rate_hz
    envelope = np.exp(-lags_s / DECAY_S)
    rates_hz = np.array([*RATES_HZ, *(-rate for rate in RATES_HZ if rate)])
    return np.asarray(envelope / envelope.sum() * np.exp(-2j * np.pi * rates_hz[:, None] * lags_s))


def motion_energy(frames: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Root energy on a coarse grid for every frame with a whole past.

    Parameters
    ----------
    frames : (n_past + n, y, x, colour) uint8
    filters : (n_rates, n_past + 1), from `temporal_filters`

    Returns
    -------
    array of shape (n, scale · orientation · rate, 8, 8), float32

    References
    ----------
    Adelson & Bergen 1985, JOSA A 2:284; Nishimoto et al. 2011, Curr. Biol. 21:1641.
    """
    import numpy as np

    from pipeline.models.baselines.image_baselines import gabor_responses

    n_past = filters.shape[1] - 1
    n = len(frames) - n_past
    maps = []
    for response in gabor_responses(frames):
        windows = np.lib.stride_tricks.sliding_window_view(response, n_past + 1, axis=0)
        energy = np.abs(np.einsum("nyxt,rt->nryx", windows, filters, optimize=True))
        cell = energy.shape[-1] // GRID
        maps.append(energy.reshape(n, len(filters), GRID, cell, GRID, cell).mean(axis=(3, 5)))
    return np.concatenate(maps, axis=1).astype(np.float32)


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> MotionEnergy:
    """The motion-energy baseline; it has no weights and runs on the CPU."""
    return MotionEnergy()


MOTION_ENERGY = ModelEntry(
    name="motion-energy",
    modalities=("movie",),
    objective="baseline",
    factory="pipeline.models.baselines.motion_baseline:load",
    layers=evenly_deep(["energy"]),
    title="Motion energy",
    citation="Adelson & Bergen 1985, JOSA A; Nishimoto et al. 2011, Current Biology",
    licence="BSD-3-Clause (this repository)",
    preprocessing={
        "wavelengths_px": list(WAVELENGTHS_PX),
        "orientations": N_ORIENTATIONS,
        "rates_hz": list(RATES_HZ),
        "decay_s": DECAY_S,
        "window_s": WINDOW_S,
        "grid": GRID,
        "look_ahead_s": 0.0,
    },
)
