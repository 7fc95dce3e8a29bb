"""Import allensdk under NumPy 2, which dropped names that allensdk 2.16 still uses.

The names are put back before allensdk is imported. They are aliases of types and constants that NumPy still has,
so nothing that works without them changes.

This module can go when an allensdk release supports NumPy 2 (2.16.2, the latest in 2025, pins ``numpy<1.24`` but
runs under 2.x with these names).
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any
from urllib.parse import quote

from pipeline.core.errors import LayermapError
from pipeline.fetch.http.lists import json_at

MOST_ANSWER_BYTES = 1_000_000_000
"""The metrics of all 2-photon cells, the longest answer, have some 150 MB."""


def nwb_data_set_class() -> Any:
    """allensdk's ``BrainObservatoryNwbDataSet``, the reader of 2-photon experiments."""
    return _import("allensdk.core.brain_observatory_nwb_data_set", "BrainObservatoryNwbDataSet")


def observatory_cache_class() -> Any:
    """allensdk's ``BrainObservatoryCache``: queries about 2-photon experiments."""
    return _import("allensdk.core.brain_observatory_cache", "BrainObservatoryCache")


@functools.cache
def observatory_api_class() -> Any:
    """allensdk's ``BrainObservatoryApi``, queries about 2-photon experiments, asking as all of layermap asks.

    allensdk's own way waits for ever, and reads answers of any length.
    """
    base: Any = _import("allensdk.api.queries.brain_observatory_api", "BrainObservatoryApi")

    class BoundedApi(base):
        def retrieve_parsed_json_over_http(self, url: str, post: bool = False) -> Any:
            if post:
                raise NotImplementedError("no query of layermap's is a POST")
            return json_at(quote(url, ";/?:@&=+$,"), MOST_ANSWER_BYTES)

    return BoundedApi


def monitor_class() -> Any:
    """allensdk's ``BrainObservatoryMonitor``, which draws gratings as the mice saw them."""
    return _import("allensdk.brain_observatory.stimulus_info", "BrainObservatoryMonitor")


def ecephys_cache_class() -> Any:
    """allensdk's ``EcephysProjectCache``: queries about Neuropixels sessions."""
    return _import("allensdk.brain_observatory.ecephys.ecephys_project_cache", "EcephysProjectCache")


def ecephys_warehouse_class() -> Any:
    """allensdk's ``EcephysProjectWarehouseApi``: what an ``EcephysProjectCache`` asks."""
    return _import(
        "allensdk.brain_observatory.ecephys.ecephys_project_api.ecephys_project_warehouse_api",
        "EcephysProjectWarehouseApi",
    )


def rma_engine_class() -> Any:
    """allensdk's ``RmaEngine``: pages through the answers to a query."""
    return _import("allensdk.brain_observatory.ecephys.ecephys_project_api.rma_engine", "RmaEngine")


def ecephys_session_class() -> Any:
    """allensdk's ``EcephysSession``, the reader of Neuropixels sessions."""
    return _import("allensdk.brain_observatory.ecephys.ecephys_session", "EcephysSession")


def ecephys_nwb_class() -> Any:
    """allensdk's ``EcephysNwbSessionApi``: what an ``EcephysSession`` reads NWB 2 files with."""
    return _import(
        "allensdk.brain_observatory.ecephys.ecephys_session_api.ecephys_nwb_session_api", "EcephysNwbSessionApi"
    )


def movie_template_reader() -> Any:
    """What an ``EcephysProjectCache`` reads the template of a movie with: (path) → (frame, y, x)."""
    return _import("allensdk.brain_observatory.ecephys.ecephys_project_cache", "read_movie")


def scene_template_reader() -> Any:
    """What an ``EcephysProjectCache`` reads the template of a scene with: (path) → (y, x)."""
    return _import("allensdk.brain_observatory.ecephys.ecephys_project_cache", "read_scene")


@functools.cache
def _import(module: str, name: str) -> Any:
    """A class of allensdk.

    Raises
    ------
    LayermapError
        allensdk is not installed.
    """
    _restore_numpy_names()
    try:
        with warnings.catch_warnings():
            # allensdk imports pkg_resources and deprecated parts of SciPy, whose notices would head every log
            warnings.simplefilter("ignore")
            return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise LayermapError(
            f"Allen data are read with allensdk, which cannot be imported ({error}); install it with: make setup"
        ) from error


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
