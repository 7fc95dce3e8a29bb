"""A user's own responses as they lie in a file, and what its columns are: the rows of the table of regions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.core.names import first_repeated, likeness
from pipeline.formats.tables import TABLES, Table, read_table
from pipeline.recordings.files.options import FilesOptions
from pipeline.recordings.files.stimulus import read_array

if TYPE_CHECKING:
    import numpy as np

SUBJECT = "subject"
ALL, MEAN = "all", "mean"
"""Subjects of a map that stand for several; a table may hold ``mean`` alone."""
TEXTS = ("subject", "compartment", "cell_id", "unit")
NUMBERS = {"depth_um": "um", "x_mm": "mm", "y_mm": "mm", "z_mm": "mm"}


@dataclasses.dataclass(frozen=True)
class Responses:
    """Responses as they lie in a file.

    Parameters
    ----------
    path : for messages
    values : (n_repeats, n_samples, n_targets), any real type, possibly still on disk
    names : (n_targets,) of the header; None for an array
    """

    path: Path
    values: np.ndarray
    names: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class Targets:
    """Targets of a recording, in the order of the table of regions.

    Parameters
    ----------
    coords : name → (n_kept,) labels, ``target``, ``region``, ``subject`` and ``compartment`` among them
    columns : (n_kept,) which column of the responses each one is
    """

    coords: dict[str, np.ndarray]
    columns: np.ndarray

    @property
    def subjects(self) -> tuple[str, ...]:
        """In order of appearance."""
        return tuple(dict.fromkeys(self.coords["subject"].tolist()))


def read_responses(path: Path) -> Responses:
    """Responses of one file; values are checked when they are used.

    Raises
    ------
    BrokenArtifact
        Not an array or table of real numbers.
    """
    import numpy as np

    if path.suffix.lower() in TABLES:
        table = read_table(path)
        if all(_is_number(name) for name in table.columns):
            raise BrokenArtifact(f"{path} has numbers in its first line; put the names of the targets there")
        return Responses(path, np.array([table.numbers(name) for name in table.columns]).T[None], table.columns)
    values = read_array(path)
    if values.dtype.kind not in "iuf" or values.ndim not in (2, 3) or 0 in values.shape:
        raise BrokenArtifact(
            f"{path} has shape {values.shape} and type {values.dtype}, expected real numbers (sample, target) or "
            "(repeat, sample, target)"
        )
    return Responses(path, values if values.ndim == 3 else values[None], None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_targets(options: FilesOptions, responses: Responses) -> Targets:
    """The table of regions beside the responses' columns; ``limit`` keeps the first subjects.

    Rows belong to columns by name where both have names, else by order.

    Raises
    ------
    BrokenArtifact, SampleMismatch
        No region, a name that is repeated or has no responses, regions or subjects that look alike, a subject with a
        reserved name, the responses' names in another column than ``target``, or another number of rows than targets.
    """
    import numpy as np

    table = read_table(options.regions)
    n_targets = responses.values.shape[2]
    if len(table) != n_targets:
        raise SampleMismatch(
            f"{table.path} has {len(table)} rows and {responses.path} {n_targets} targets; give one row per target"
        )
    regions = table.names("region")
    named = table.has("target")
    names = table.names("target", alike=True) if named else list(responses.names or ())
    if not named:
        _refuse_names_elsewhere(table, responses)
    names = names or [f"{region}-{number}" for number, region in enumerate(regions, start=1)]
    twice = first_repeated(names)
    if twice is not None:
        raise BrokenArtifact(f"{table.path} has target '{twice}' more than once; give each a name of its own")
    columns = np.arange(n_targets)
    if named and responses.names is not None:
        place = {name: index for index, name in enumerate(responses.names)}
        for line, name in zip(table.lines, names, strict=True):
            if name not in place:
                raise SampleMismatch(f"{table.path} line {line}: target '{name}' is no column of {responses.path}")
        columns = np.array([place[name] for name in names])
    coords = {"target": np.array(names), "region": np.array(regions)}
    for column, default in (("subject", SUBJECT), ("compartment", "")):
        texts = table.names(column, empty=column != "subject") if table.has(column) else [default] * n_targets
        coords[column] = np.array(texts)
    if table.has(SUBJECT):
        _refuse_reserved(table, coords[SUBJECT].tolist())
    for column in TEXTS[2:]:
        if table.has(column):
            coords[column] = np.array(table.names(column, alike=True))
    for column in NUMBERS:
        if table.has(column):
            coords[column] = np.array(table.numbers(column, empty=True))
    subjects = list(dict.fromkeys(coords["subject"].tolist()))[: options.limit]
    kept = np.flatnonzero(np.isin(coords["subject"], subjects))
    return Targets({name: values[kept] for name, values in coords.items()}, columns[kept])


def _refuse_names_elsewhere(table: Table, responses: Responses) -> None:
    """Refuse a column that names the responses' columns in another order, but is not called ``target``."""
    header = [likeness(name) for name in responses.names or ()]
    for column in table.columns if header else ():
        cells = [likeness(cell) for cell in table.cells(column)]
        if cells != header and sorted(cells) == sorted(header):
            raise SampleMismatch(
                f"{table.path}: column '{column}' has the names of the columns of {responses.path} in another order; "
                "call it 'target', so that rows are joined by name"
            )


def _refuse_reserved(table: Table, subjects: list[str]) -> None:
    """Refuse subjects called as a map calls what it makes of all of them."""
    for line, subject in zip(table.lines, subjects, strict=True):
        if likeness(subject) == ALL or (likeness(subject) == MEAN and len(set(subjects)) > 1):
            raise BrokenArtifact(
                f"{table.path} line {line}: subject '{subject}' is what a map calls the mean over subjects; "
                "give it another name, or leave out rows that are means"
            )
