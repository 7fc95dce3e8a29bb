"""Before the first byte: how many files, how much, how long, and whether it fits."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import FetchError
from pipeline.core.limits import size_in_words
from pipeline.core.progress import human_time
from pipeline.fetch.http.part_file import PartFile
from pipeline.fetch.local_files import needs_no_space

ASSUMED_BYTES_PER_S = 10e6
"""A usual line (80 Mbit/s), for the estimate before anything has come."""


def missing_bytes(file: RawFile, folder: Path) -> int:
    """What has still to come of a file; 0 where its size is not known."""
    destination = folder / file.path
    if destination.exists() or needs_no_space(file.url, folder):
        return 0
    return max(0, (file.bytes or 0) - PartFile(destination).size())


def check_disk_space(files: Sequence[RawFile], folder: Path, what: str) -> str:
    """Say what has to be fetched, and refuse to start what cannot end.

    Returns
    -------
    str
        One line: files and bytes to fetch, what is there, free space, time on a usual line.

    Raises
    ------
    FetchError
        The known sizes of missing files exceed the free space; the message names both, and which ``limit`` would fit.
    """
    needed = {file.path: missing_bytes(file, folder) for file in files}
    free = shutil.disk_usage(_existing(folder)).free
    total = sum(needed.values())
    if total > free:
        raise FetchError(
            f"{what} needs {size_in_words(total)} more in {folder}, where {size_in_words(free)} are free: "
            f"free some space, or run in another folder (snakemake --directory FOLDER){_smaller(files, needed, free)}"
        )
    there = sum((folder / file.path).exists() for file in files)
    unknown = sum(file.bytes is None and not (folder / file.path).exists() for file in files)
    parts = [f"{len(files) - there} files to fetch, {size_in_words(total)}"]
    parts += [f"{unknown} of unknown size"] if unknown else []
    parts += [f"{there} there already"] if there else []
    parts += [f"{size_in_words(free)} free in {_existing(folder)}"]
    if total:
        parts.append(f"about {human_time(total / ASSUMED_BYTES_PER_S)} at {size_in_words(ASSUMED_BYTES_PER_S)}/s")
    return f"fetch {what}: {', '.join(parts)}"


def describe_files(files: Sequence[RawFile]) -> str:
    """Number and known bytes of files, in words: what a selection takes, whatever of it is there already."""
    unknown = sum(file.bytes is None and file.contents is None for file in files)
    known = sum(file.bytes if file.bytes is not None else len((file.contents or "").encode()) for file in files)
    return f"{len(files)} files, {size_in_words(known)}{f' and {unknown} of unknown size' if unknown else ''}"


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _smaller(files: Sequence[RawFile], needed: dict[str, int], free: int) -> str:
    """The largest ``limit`` that fits, for datasets that say which of their files each part needs."""
    if all(file.part is None for file in files):
        return ""
    fits, so_far = None, 0
    parts = sorted({file.part or 0 for file in files})
    for part in parts:
        so_far += sum(needed[file.path] for file in files if (file.part or 0) == part)
        if so_far > free:
            break
        fits = part, so_far
    if fits is None or fits[0] == 0:
        first = sum(needed[file.path] for file in files if (file.part or 0) <= next(p for p in parts if p))
        return f"; even limit=1 needs {size_in_words(first)}"
    return f", or take less: --config limit={fits[0]} needs {size_in_words(fits[1])}"
