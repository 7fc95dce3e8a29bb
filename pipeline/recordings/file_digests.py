"""SHA-256 of a user's own files, with a memo so that big files are not read again at every planning.

The memo says, per absolute path, in which state a file had which digest: device, inode, size, and the time at which its
inode last changed (ctime). Programs can set back the time at which contents changed, as ``touch -r``, ``cp -p`` and
rsync do, but not the ctime, which every write moves. The memo holds a digest of itself. It only saves time: one that is
broken, altered, missing or cannot be written changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

from pipeline.artifacts.storage.store import write_whole
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.keys import sha256_of_file
from pipeline.core.paths import DATA
from pipeline.formats.documents import digest_of, read_json

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
            seen = [state.st_dev, state.st_ino, state.st_size, state.st_ctime_ns]
            *noted, digest = known.get(str(path), (None,))
            if noted == seen:
                digests[path] = str(digest)
                continue
            digests[path] = sha256_of_file(path)
        except OSError as error:
            raise BrokenArtifact(
                f"cannot read {path} ({error.strerror or error}); correct the path in the study file or its permissions"
            ) from error
        if time.time_ns() - state.st_ctime_ns > SETTLED_NS:
            known[str(path)] = [*seen, digests[path]]
            learnt = True
    if learnt:
        _write_memo(known, memo)
    return digests


Notes = dict[str, list[int | str]]
"""Path → device, inode, size in bytes, ctime in ns, SHA-256."""


def _read_memo(memo: Path) -> Notes:
    try:
        held = read_json(memo)
        known: Notes = held["files"]
        return known if held["sha256"] == digest_of(known) else {}
    except (BrokenArtifact, KeyError, TypeError):
        return {}


def _write_memo(known: Notes, memo: Path) -> None:
    """Whole or not at all; of two runs that write at the same time, one wins and the other loses only time."""
    with contextlib.suppress(OSError, LayermapError), write_whole(memo) as temporary:
        held = {"files": known, "sha256": digest_of(known)}
        temporary.write_text(json.dumps(held, indent=0, sort_keys=True), encoding="utf-8")
