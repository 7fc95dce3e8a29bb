"""Movies as stimulus artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


def movie_stimulus(name: str, frames: np.ndarray, frame_rate_hz: float) -> xr.Dataset:
    """The contract of modality ``movie``.

    Parameters
    ----------
    frames : (n_frames, y, x) grey or (n_frames, y, x, colour), uint8; `write_stimulus` refuses other numbers
    frame_rate_hz : frames shown per second
    """
    import numpy as np
    import xarray as xr

    pictures = frames[..., None] if frames.ndim == 3 else frames
    return xr.Dataset(
        {"frames": (("frame", "y", "x", "colour"), np.ascontiguousarray(pictures), {"units": "grey level"})},
        attrs={"modality": "movie", "name": name, "frame_rate_hz": float(frame_rate_hz)},
    )
