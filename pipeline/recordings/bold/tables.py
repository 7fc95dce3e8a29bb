"""Tables and sidecars of BIDS: tab-separated columns, seconds, JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.core.errors import BrokenArtifact
from pipeline.formats import tables
from pipeline.formats.documents import read_object
from pipeline.formats.tables import Table

TR_TOLERANCE = 1e-3  # relative; headers hold TR in single precision
SHORTEST_TR_S, LONGEST_TR_S = 0.05, 60.0
"""No volume of a brain takes less or more; what lies outside is in another unit."""
ENDINGS = (".gz", ".nii", ".gii", ".func", "_bold")


def read_table(path: Path, columns: tuple[str, ...], remedy: str) -> Table:
    """A BIDS table, which may be without a row.

    Parameters
    ----------
    columns : that it must have
    remedy : what to do where a file is missing or damaged, for messages

    Raises
    ------
    BrokenArtifact
        It is missing, is no such table, or lacks a column.
    """
    table = tables.read_table(path, dialect=tables.TABS, remedy=remedy, may_be_empty=True)
    for name in columns:
        table.cells(name)
    return table


def read_labels(path: Path, remedy: str) -> dict[int, str]:
    """Label of a label image → name, from its BIDS table with the columns ``index`` and ``name``.

    Raises
    ------
    BrokenArtifact
        No such table, a label that is no whole number or stands twice, or names that mislead or look alike.
    """
    table = read_table(path, ("index", "name"), remedy)
    labels: dict[int, str] = {}
    for line, label, name in zip(table.lines, table.whole_numbers("index"), table.names("name"), strict=True):
        if label in labels:
            raise BrokenArtifact(
                f"{path} line {line}: label {label} is both '{labels[label]}' and '{name}'; {remedy or 'remove one'}"
            )
        labels[label] = name
    return labels


def beside(image: Path, ending: str) -> Path:
    """Another file of the same run: ``…_bold.nii.gz`` → ``…_events.tsv``."""
    name = image.name
    for part in ENDINGS:
        name = name.removesuffix(part)
    return image.with_name(name + ending)


def read_repetition_time(image: Path, header_s: float, remedy: str) -> float:
    """TR in s from the JSON sidecar, else from the header.

    Parameters
    ----------
    image : path of the image; its sidecar lies beside it
    header_s : what its header says, in s; 0 for nothing
    remedy : what to do where a file is missing or damaged, for messages

    Raises
    ------
    BrokenArtifact
        Neither says it, they disagree, or it is no number of seconds that a volume takes.
    """
    sidecar = beside(image, "_bold.json")
    if not sidecar.is_file():
        sidecar = beside(image, ".json") if beside(image, ".json").is_file() else sidecar
    stated = stated_repetition_time(sidecar, remedy) if sidecar.is_file() else None
    if stated is None:
        if header_s <= 0:
            raise BrokenArtifact(
                f"{image} states no TR (header: {header_s:g} s) and {sidecar.name} no RepetitionTime; "
                "add it to the JSON"
            )
        return plausible_repetition_time(header_s, f"{image}: the TR in the header")
    if header_s > 0 and abs(header_s - stated) > TR_TOLERANCE * stated:
        raise BrokenArtifact(
            f"{sidecar} states a TR of {stated:g} s, the header of {image.name} {header_s:g} s; correct the wrong one"
        )
    return stated


def stated_repetition_time(sidecar: Path, remedy: str) -> float | None:
    """RepetitionTime of a JSON sidecar, in s; None where it has none.

    Raises
    ------
    BrokenArtifact
        The sidecar cannot be read, or its TR is no number of seconds that a scanner needs for a volume.
    """
    # scanners' programs write NaN for what they do not know, in fields that are not read here
    stated = read_object(sidecar, remedy, constants=True).get("RepetitionTime")
    return None if stated is None else plausible_repetition_time(stated, f"{sidecar}: RepetitionTime")


def plausible_repetition_time(stated: Any, what: str) -> float:
    """A TR in s; raises `BrokenArtifact` for what is no number, or no time that a volume takes, such as ms."""
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated > 0:
        raise BrokenArtifact(f"{what} is {stated!r}, expected seconds above 0; correct it")
    if not SHORTEST_TR_S <= stated <= LONGEST_TR_S:
        looks = f" (as ms it would be {stated / 1000:g} s)" if SHORTEST_TR_S <= stated / 1000 <= LONGEST_TR_S else ""
        raise BrokenArtifact(
            f"{what} is {stated:g}, expected seconds from {SHORTEST_TR_S:g} to {LONGEST_TR_S:g}{looks}; correct it"
        )
    return float(stated)
