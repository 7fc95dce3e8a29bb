"""Names of the items of a stimulus, and their categories."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


def item_names(stimulus: xr.Dataset) -> np.ndarray:
    """Names of the images or clips, (n_items,) str."""
    return labels(stimulus["item"])


def labels(variable: xr.DataArray) -> np.ndarray:
    """A variable of names as a plain string array; Zarr gives strings of variable width."""
    import numpy as np

    return np.array([str(value) for value in variable.values], dtype=str)
