"""Confounds of a run: columns of fmriprep's table, by strategy or by name.

Cosine regressors of the table are not taken: the high-pass filter that goes with them is our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.bold.tables import read_table

if TYPE_CHECKING:
    import numpy as np

    from pipeline.formats.tables import Table

MOTION = {
    "new": ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"),
    "old": ("X", "Y", "Z", "RotX", "RotY", "RotZ"),
}
ACOMPCOR = {
    "new": tuple(f"a_comp_cor_{number:02d}" for number in range(5)),
    "old": tuple(f"aCompCor{number:02d}" for number in range(5)),
}


def read_confounds(path: Path, columns: tuple[str, ...], remedy: str) -> np.ndarray:
    """(n_volumes, n_columns) float64; n/a, as in the first row of derivatives, becomes the column's mean."""
    return _columns_of(read_table(path, columns, remedy), columns)


def read_strategy(path: Path | None, strategy: str | tuple[str, ...], remedy: str, *, image: Path) -> np.ndarray | None:
    """Confounds of one run by strategy (`BoldOptions.confounds`): (n_volumes, n_confounds), or None for ``none``.

    ``motion24`` are six parameters, their differences in time, and the squares of both (Friston et al. 1996).

    Raises
    ------
    BrokenArtifact
        The run has no table, or the table lacks a column under its new (``trans_x``) and old (``X``) name.
    """
    import numpy as np

    if strategy == "none":
        return None
    if path is None:
        wanted = ", ".join(strategy) if isinstance(strategy, tuple) else strategy
        raise BrokenArtifact(
            f"{image} comes without a table of confounds, and '{wanted}' asks for one; set confounds: none"
        )
    table = read_table(path, (), remedy)
    if isinstance(strategy, tuple):
        return _columns_of(table, strategy)
    motion = _columns_of(table, _spelling(table, MOTION))
    if strategy == "motion24":
        step = np.full_like(motion, np.nan)
        step[1:] = np.diff(motion, axis=0)
        return _filled(np.hstack([motion, step, motion**2, step**2]))
    if strategy == "motion6+acompcor5":
        return np.hstack([motion, _columns_of(table, _spelling(table, ACOMPCOR))])
    return motion


def _spelling(table: Table, names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The new names, or the old ones where the table has those."""
    return names["old"] if table.has(names["old"][0]) and not table.has(names["new"][0]) else names["new"]


def _columns_of(table: Table, columns: tuple[str, ...]) -> np.ndarray:
    """(n_volumes, n_columns) float64, without what is missing."""
    import numpy as np

    values = np.array([table.numbers(name, empty=True) for name in columns], np.float64).T
    missing = np.isnan(values)
    if missing.all(axis=0).any():
        raise BrokenArtifact(
            f"{table.path}: column '{columns[int(missing.all(axis=0).argmax())]}' holds no number; leave it out"
        )
    return _filled(values)


def _filled(values: np.ndarray) -> np.ndarray:
    """Numbers that are missing become their column's mean."""
    import numpy as np

    missing = ~np.isfinite(values)
    return np.where(missing, np.nanmean(np.where(missing, np.nan, values), axis=0), values)
