"""Listing a user's folder: every file that lies in it, and none that a link fetches from outside.

Links within the folder are followed, and so are those of git-annex and DataLad to the objects of their own dataset.
Somebody else's dataset may hold a link to any file of this machine, and one folder may hold itself.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pipeline.core.errors import BrokenArtifact
from pipeline.core.limits import FOLDER_DEPTH, FOLDER_ENTRIES, check_plain_file
from pipeline.core.names import natural_order
from pipeline.fetch.annex import parse_key
from pipeline.formats.documents import unwritable
from pipeline.recordings.file_digests import SETTLED_NS

NOT_LISTED = (".git", ".datalad", ".snakemake", ".cache")
REMEDY = "copy what it leads to, or give the folder where that lies"
_OBJECT = re.compile(r"(?P<dataset>.*)/\.git/(?:modules/.+/)?annex/objects/(?:[^/]+/)*(?P<key>[^/]+)")

_Found = TypeVar("_Found")


def while_unchanged(read: Callable[[Path], _Found]) -> Callable[[Path], _Found]:
    """Keep, within a process, what a function finds in a folder, until a file comes, goes or is renamed in it.

    Many runs name one folder, and every stage asks for its files several times for each.
    """
    known: dict[Path, tuple[tuple[int, ...], _Found]] = {}

    def remembered(folder: Path) -> _Found:
        entry = os.stat(folder)
        state = (entry.st_dev, entry.st_ino, entry.st_mtime_ns, entry.st_ctime_ns)
        if folder in known and known[folder][0] == state:
            return known[folder][1]
        found = read(folder)
        if time.time_ns() - max(entry.st_mtime_ns, entry.st_ctime_ns) > SETTLED_NS:
            known[folder] = state, found
        return found

    return remembered


def list_files(folder: Path) -> list[str]:
    """Files of a dataset, relative to it; what tools keep beside them, and hidden files, are left out.

    What cannot be listed of a listener (``sub-…``) is refused; elsewhere a line says that it is left out.

    Raises
    ------
    BrokenArtifact
        A folder of a listener is a link that leads out of the dataset, into itself or to another listener, may not be
        read, or has a name that is no UTF-8; or there are too many files, or folders within each other.
    """
    found: list[str] = []
    left_out: list[str] = []
    for path, problem in _walk(folder):
        if problem is None:
            found.append(path)
        elif any(part.startswith("sub-") for part in Path(path).parts):
            raise BrokenArtifact(f"{folder / path} {problem}")
        else:
            left_out.append(f"{path} {problem}")
    if left_out:
        more = f" (and {len(left_out) - 1} more)" if len(left_out) > 1 else ""
        # a name with bytes that are no UTF-8 is escaped by stderr
        print(f"layermap warning: not listed in {folder}: {left_out[0]}{more}", file=sys.stderr, flush=True)
    return natural_order(found)


def _walk(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Paths within a folder, each with what keeps it from being listed; None where nothing does."""
    root = os.path.realpath(folder)
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (root,))]
    n_seen = 0
    while waiting:
        inside, above = waiting.pop()
        try:
            entries = sorted(os.scandir(folder / inside), key=lambda entry: entry.name)
        except OSError as error:
            yield inside or ".", f"cannot be listed ({error.strerror}); change its permissions"
            continue
        n_seen += len(entries)
        if n_seen > FOLDER_ENTRIES:
            raise BrokenArtifact(f"{folder} has over {FOLDER_ENTRIES:,} files; give a smaller folder")
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            problem = "has a name that is not UTF-8; rename it" if unwritable(entry.name) else None
            if problem is None and _is_folder(entry):
                if entry.name in NOT_LISTED:
                    continue
                real = os.path.realpath(folder / path) if entry.is_symlink() else f"{above[-1]}/{entry.name}"
                problem = _wrong_link(real, root, above, entry) if entry.is_symlink() else None
                if len(above) > FOLDER_DEPTH:
                    problem = f"lies over {FOLDER_DEPTH} folders deep; give a folder further in"
                if problem is None:
                    waiting.append((path, (*above, real)))
                    continue
            if problem is not None or not entry.name.startswith("."):
                yield path, problem


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself is no folder, and a file that cannot be opened
        return False


def _wrong_link(real: str, root: str, above: tuple[str, ...], entry: os.DirEntry[str]) -> str | None:
    """What is wrong with a link to a folder: it leads out, to where it lies, or one listener has two names."""
    if not _within(real, root):
        return f"is a link that leads out of the dataset (to {real}); {REMEDY}"
    if any(_within(folder, real) for folder in above):
        return f"is a link to a folder that it lies in ({real}); remove it"
    if entry.name.startswith("sub-") and os.path.basename(real).startswith("sub-"):
        return f"is a link to another listener's folder ({real}), who would count twice; remove it"
    return None


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def check_within(files: Iterable[Path], folder: Path) -> None:
    """Refuse files of a folder that lie elsewhere, that are no ordinary files, or whose names cannot be written.

    Raises
    ------
    BrokenArtifact
        Names the file and where it leads.
    """
    root = os.path.realpath(folder)
    for file in files:
        if unwritable(str(file)):
            raise BrokenArtifact(f"{file} has a name that is not UTF-8; rename it")
        if file.is_symlink() and not _within(os.path.realpath(file), root) and not _is_annexed(file):
            raise BrokenArtifact(f"{file} is a link that leads out of {folder} (to {os.path.realpath(file)}); {REMEDY}")
        check_plain_file(file, "put a file in its place")


def _is_annexed(file: Path) -> bool:
    """Whether a link names an object of git-annex in a dataset that it lies in, wherever that keeps its objects."""
    beside = os.path.realpath(file.parent)
    named = os.path.normpath(os.path.join(beside, os.readlink(file)))
    object_ = _OBJECT.fullmatch(named)
    return (
        object_ is not None
        and parse_key(object_["key"]) is not None
        and _within(beside, object_["dataset"])
        and os.path.basename(os.path.realpath(named)) == object_["key"]
    )
