"""The ``.part`` file of an unfinished download and the note beside it that says what it is part of."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

from pipeline.documents import read_json
from pipeline.errors import BrokenArtifact


class PartFile:
    """``NAME.part`` and ``NAME.part.json`` beside the destination.

    The note holds the address and the validator (a strong ETag or a date) under which the server gave
    the first bytes, so that a later run never glues the end of one version to the start of another;
    and the MD5 of the whole, where the server told it.
    """

    def __init__(self, destination: Path) -> None:
        self.path = destination.with_name(destination.name + ".part")
        self.note = destination.with_name(destination.name + ".part.json")

    def size(self) -> int:
        """Bytes that are there, 0 without a file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def validator(self, url: str) -> str | None:
        """The validator of the bytes that are there; None if they came from elsewhere or had none."""
        return self._noted("validator") if self._noted("url") == url else None

    def md5(self) -> str | None:
        """MD5 (hex) that the server told of the whole file; None if it did not."""
        return self._noted("md5")

    def _noted(self, name: str) -> str | None:
        try:
            note = read_json(self.note)
        except BrokenArtifact:
            return None
        value = note.get(name) if isinstance(note, dict) else None
        return value if isinstance(value, str) else None

    def start(self, url: str, validator: str | None, md5: str | None = None) -> BinaryIO:
        """Begin from the first byte. The note goes first: a killed run never leaves old notes on new bytes."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.note.write_text(json.dumps({"url": url, "validator": validator, "md5": md5}), encoding="utf-8")
        return open(self.path, "wb")

    def resume(self) -> BinaryIO:
        return open(self.path, "ab")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self, destination: Path) -> None:
        """Rename the checked bytes to their final name, after they reached the disk."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self.path, destination)
        self.note.unlink(missing_ok=True)
