"""SHA-256 of a user's own files, with a memo so that big files are not read again at every planning.

The memo says, per absolute path, with which size and time of change a digest was found. It only saves time: one
that is broken, missing or cannot be written changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from pipeline.config.keys import sha256_of_file
from pipeline.config.paths import DATA
from pipeline.documents import read_json
from pipeline.errors import BrokenArtifact

MEMO = DATA / "catalogue" / "digests.json"
SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again within one tick of the file system's clock: no note is kept."""


def digests_of_files(paths: Iterable[Path], memo: Path = MEMO) -> dict[Path, str]:
    """SHA-256, hex, of each file.

    Raises
    ------
    BrokenArtifact
        A file is missing or may not be read.
    """
    known = _read_memo(memo)
    digests: dict[Path, str] = {}
    learnt = False
    for path in paths:
        try:
            state = path.stat()
            note = [state.st_size, state.st_mtime_ns]
            entry = known.get(str(path))
            if entry is not None and entry[:2] == note:
                digests[path] = str(entry[2])
                continue
            digests[path] = sha256_of_file(path)
        except OSError as error:
            raise BrokenArtifact(
                f"cannot read {path} ({error.strerror or error}); correct the path in the study file or its permissions"
            ) from error
        if time.time_ns() - state.st_mtime_ns > SETTLED_NS:
            known[str(path)] = [*note, digests[path]]
            learnt = True
    if learnt:
        _write_memo(known, memo)
    return digests


def _read_memo(memo: Path) -> dict[str, list[int | str]]:
    try:
        known = read_json(memo)
    except BrokenArtifact:
        return {}
    if not isinstance(known, dict):
        return {}
    return {path: entry for path, entry in known.items() if _is_note(entry)}


def _is_note(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 3
        and all(isinstance(number, int) for number in entry[:2])
        and isinstance(entry[2], str)
        and len(entry[2]) == 64
    )


def _write_memo(known: dict[str, list[int | str]], memo: Path) -> None:
    """Whole or not at all; of two runs that write at the same time, one wins and the other loses only time."""
    with contextlib.suppress(OSError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=memo.parent, prefix=f".{memo.name}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(known, stream, indent=0, sort_keys=True)
            os.replace(name, memo)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
