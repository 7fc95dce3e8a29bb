"""Geometry artifact: data that exist only as similarities ``(item, item2, target)``.

``target`` carries ``target``, ``region``, ``compartment`` (cortical layer), ``subject`` and
``ceiling``: the reliability of the target's matrix (NaN where unknown). Attrs: ``similarity`` (how it
was computed, e.g. ``pearson``), ``ceiling_kind``, ``stimulus`` (name of the stimulus whose items the
rows are), ``units``, ``n_subjects``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.storage.contract import Contract, read_netcdf, write_netcdf
from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    import xarray as xr

GEOMETRY = Contract(
    "geometry",
    "prepare",
    {
        "similarity": ("item", "item2", "target"),
        "item": ("item",),
        "target": ("target",),
        "region": ("target",),
        "compartment": ("target",),
        "subject": ("target",),
        "ceiling": ("target",),
    },
    ("similarity", "ceiling_kind", "stimulus", "units", "n_subjects"),
)


def check_geometry(dataset: xr.Dataset, source: Path) -> xr.Dataset:
    """Check that matrices are square, symmetric and finite."""
    import numpy as np

    GEOMETRY.check(dataset, source)
    values = dataset["similarity"].values
    for index, name in enumerate(dataset["target"].values):
        matrix = values[:, :, index]
        if not np.isfinite(matrix).all():
            raise BrokenArtifact(
                f"{source}: the matrix of target '{name}' holds NaN; leave out degenerate targets in prepare"
            )
        if not np.allclose(matrix, matrix.T, atol=1e-4):
            raise BrokenArtifact(f"{source}: the matrix of target '{name}' is not symmetric")
    return dataset


def write_geometry(dataset: xr.Dataset, path: Path) -> None:
    """Write ``…/recordings/<recording>.nc`` of kind geometry."""
    write_netcdf(check_geometry(dataset, path), path, GEOMETRY)


def open_geometry(path: Path) -> xr.Dataset:
    """Read a geometry; raises `BrokenArtifact` naming the file and what was expected."""
    return check_geometry(read_netcdf(path, GEOMETRY), path)
