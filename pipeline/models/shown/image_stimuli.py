"""Movies and image sets as batches of pictures, with their clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr


def picture_clock(stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
    """(``time``, end of each frame in s) for a movie, (``item``, names) for images."""
    import numpy as np

    from pipeline.artifacts.stimulus import item_names

    if stimulus.attrs["modality"] == "movie":
        n_frames = stimulus.sizes["frame"]
        return "time", (np.arange(n_frames) + 1) / float(stimulus.attrs["frame_rate_hz"])
    return "item", item_names(stimulus)


def pictures_of(stimulus: xr.Dataset) -> xr.DataArray:
    """The frames of a movie or the images of a set: (n, y, x, colour) uint8, not read yet.

    Raises
    ------
    BrokenArtifact
        The pictures have neither one nor three colours.
    """
    pictures = stimulus["frames" if stimulus.attrs["modality"] == "movie" else "images"]
    if pictures.sizes["colour"] not in (1, 3):
        raise BrokenArtifact(
            f"stimulus '{stimulus.attrs['name']}' has {pictures.sizes['colour']} colours, expected 1 (grey) or 3; "
            "remake it with: snakemake prepare"
        )
    return pictures


def picture_batches(stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first picture, uint8 array (n, y, x, colour)) from picture ``first`` on, reading one batch at a time."""
    import numpy as np

    pictures = pictures_of(stimulus)
    for start in range(first, pictures.shape[0], batch_size):
        yield start, np.asarray(pictures[start : start + batch_size].values)


def resized(pictures: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Pictures (n, y, x, colour) as (n, colour, height, width) float32, 0–255; bilinear, shrinking is antialiased."""
    import torch
    from torch.nn.functional import interpolate

    tensor = torch.from_numpy(pictures.astype("float32")).permute(0, 3, 1, 2).contiguous()
    if tensor.shape[2:] == (height, width):
        return tensor
    return interpolate(tensor, size=(height, width), mode="bilinear", align_corners=False, antialias=True)


def luminance(pictures: np.ndarray) -> np.ndarray:
    """Pictures (n, y, x, colour) as (n, y, x, 1) float32: grey as it is, colours weighted as in ITU-R BT.601."""
    import numpy as np

    if pictures.shape[-1] == 1:
        return pictures.astype(np.float32)
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray((pictures.astype(np.float32) @ weights)[..., None])
