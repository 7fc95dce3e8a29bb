"""The cortical mesh of an analysis: which unit is painted on each vertex."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import SampleMismatch

if TYPE_CHECKING:
    import xarray as xr

HEMISPHERES = ("left", "right")


def surface_rows(where: dict[str, Any], opened: Iterable[tuple[Path, xr.Dataset]]) -> list[dict[str, Any]]:
    """Rows of the surface table: every vertex that a unit is painted on, left hemisphere first.

    Groups of one analysis share their mesh; one may lack units of another, but none shows another unit in its place.

    Parameters
    ----------
    where : study and analysis
    opened : headers of the analysis' scores, most of which may have no surface

    Raises
    ------
    SampleMismatch
        Two groups have different meshes, or different units on a vertex; the message names both files.
    """
    painted: list[str] = []
    first: tuple[Path, str] | None = None
    for path, scores in opened:
        if "surface_unit" not in scores.variables:
            continue
        mesh = str(scores.attrs.get("surface_mesh", ""))
        units = [str(unit) for unit in scores["surface_unit"].values]
        if first is None:
            first, painted = (path, mesh), units
        elif mesh != first[1] or len(units) != len(painted) or _conflict(painted, units):
            raise SampleMismatch(
                f"{path} (surface {mesh}) and {first[0]} (surface {first[1]}) show different units on one vertex; "
                "prepare all groups of an analysis with one parcellation"
            )
        else:
            painted = [own or other for own, other in zip(painted, units, strict=True)]
    if first is None:
        return []
    half = len(painted) // 2
    return [
        {
            **where,
            "mesh": first[1],
            "hemisphere": HEMISPHERES[number // half],
            "vertex": number % half,
            "unit": painted[number],
        }
        for number in np.flatnonzero([bool(unit) for unit in painted]).tolist()
    ]


def _conflict(painted: list[str], units: list[str]) -> bool:
    return any(own and other and own != other for own, other in zip(painted, units, strict=True))
