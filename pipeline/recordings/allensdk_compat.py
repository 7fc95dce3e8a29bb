"""Import allensdk under NumPy 2, which dropped names that allensdk 2.16 still uses.

The names are put back before allensdk is imported. They are aliases of types and constants that NumPy still has,
so nothing that works without them changes.

This module can go when an allensdk release supports NumPy 2 (2.16.2, the latest in 2025, pins ``numpy<1.24`` but
runs under 2.x with these three names).
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

from pipeline.errors import LayermapError


@functools.cache
def nwb_data_set_class() -> Any:
    """allensdk's ``BrainObservatoryNwbDataSet``.

    Raises
    ------
    LayermapError
        allensdk is not installed.
    """
    _restore_numpy_names()
    try:
        with warnings.catch_warnings():
            # allensdk imports pkg_resources, whose deprecation notice would head every log
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
            from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet
    except ImportError as error:
        raise LayermapError(
            f"Allen NWB files are read with allensdk, which cannot be imported ({error}); install it with: make setup"
        ) from error
    return BrainObservatoryNwbDataSet


def _restore_numpy_names() -> None:
    import numpy as np

    gone: dict[str, Any] = {
        "VisibleDeprecationWarning": np.exceptions.VisibleDeprecationWarning,
        "string_": np.bytes_,
        "NaN": np.nan,
    }
    for name, value in gone.items():
        if not hasattr(np, name):
            setattr(np, name, value)
