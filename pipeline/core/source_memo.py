"""What was found of layermap's own sources, kept beside their compiled forms: no process parses all of them again.

A source is known by its SHA-256, so that whatever changes it is parsed anew; another Python keeps notes of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import platform
import sys
from pathlib import Path

Noted = tuple[str, list[str]]
"""SHA-256 (hex) of a syntax tree, and the modules that it imports."""


class SourceMemo:
    """Notes in one file, which is written when the program ends; where it cannot be, only time is lost.

    Parameters
    ----------
    file : its first line is the SHA-256 of the rest, so that damaged notes are no notes
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._notes: dict[str, tuple[str, str, list[str]]] = {}
        self._learnt = False
        with contextlib.suppress(OSError, ValueError):
            digest, _, text = file.read_bytes().partition(b"\n")
            if hashlib.sha256(text).hexdigest().encode() == digest:
                self._notes = json.loads(text)

    def get(self, name: str, source: bytes) -> Noted | None:
        """What is known of a source; None for one that is new or was changed."""
        sha256, digest, imported = self._notes.get(name, ("", "", []))
        return (digest, imported) if sha256 == hashlib.sha256(source).hexdigest() else None

    def add(self, name: str, source: bytes, noted: Noted) -> None:
        self._notes[name] = (hashlib.sha256(source).hexdigest(), *noted)
        if not self._learnt:
            self._learnt = True
            atexit.register(self.write)

    def write(self) -> None:
        """Whole or not at all; of two programs that end at the same time, one wins."""
        text = json.dumps(self._notes).encode()
        part = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(exist_ok=True)
            part.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
            part.replace(self._file)


@functools.cache
def own_memo() -> SourceMemo | None:
    """That of the running layermap; None where Python keeps no compiled forms."""
    if sys.dont_write_bytecode:
        return None
    return SourceMemo(Path(__file__).parent / "__pycache__" / f"sources-{platform.python_version()}.json")
