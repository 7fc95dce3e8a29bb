"""Tables and sidecars of BIDS: tab-separated columns, seconds, JSON."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from pipeline.documents import read_object
from pipeline.errors import BrokenArtifact, LayermapError

TR_TOLERANCE = 1e-3  # relative; headers hold TR in single precision
ENDINGS = (".gz", ".nii", ".gii", ".func", "_bold")


def read_table(path: Path, columns: tuple[str, ...], remedy: str) -> list[dict[str, str]]:
    """Rows of a BIDS table; a byte-order mark is skipped.

    Parameters
    ----------
    columns : that it must have
    remedy : what to do where a file is missing or damaged, for messages

    Raises
    ------
    BrokenArtifact
        It is missing, is no such table, lacks a column, or a row ends early.
    """
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; {remedy}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t")
            rows, names = list(reader), reader.fieldnames or ()
    except (UnicodeDecodeError, csv.Error) as error:
        raise BrokenArtifact(f"{path} is not a tab-separated table ({error}); {remedy}") from error
    for name in columns:
        if name not in names:
            known = ", ".join(names)
            raise BrokenArtifact(f"{path} lacks column '{name}' (it has: {known}); {remedy}")
        if any(row[name] is None for row in rows):
            raise BrokenArtifact(f"{path}: a row ends before column '{name}'; {remedy}")
    return rows


def to_number(text: str, path: Path, column: str) -> float:
    """A cell as a number; raises `LayermapError` naming file, column and text."""
    try:
        return float(text)
    except ValueError as error:
        raise LayermapError(f"{path}: column '{column}' holds '{text}', expected a number; correct it") from error


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
        Neither says it, or they disagree.
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
        return header_s
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
        It is missing, no JSON object, or the time is no number of seconds above 0.
    """
    # scanners' programs write NaN for what they do not know, in fields that are not read here
    stated = read_object(sidecar, remedy, constants=True).get("RepetitionTime")
    if stated is None:
        return None
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not 0 < stated < math.inf:
        raise BrokenArtifact(f"{sidecar}: RepetitionTime is {stated!r}, expected seconds above 0; correct it")
    return float(stated)
