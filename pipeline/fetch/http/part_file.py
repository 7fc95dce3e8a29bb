"""The ``.part`` file of an unfinished download and the note beside it that says what it is part of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class PartNote(BaseModel):
    """What the bytes of a ``.part`` file are part of.

    A later run never glues the end of one version to the start of another: it goes on only if address, validator (a
    strong ETag or a date) and total size are still the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: str
    validator: str | None
    total: int | None = Field(ge=0, description="bytes of the whole file; null where the server did not tell")
    md5: str | None = Field(None, pattern=r"^[0-9a-f]{32}$", description="of the whole file, where the server told it")


class PartFile:
    """``NAME.part`` and ``NAME.part.json`` (a `PartNote`) beside the destination."""

    def __init__(self, destination: Path) -> None:
        self.path = destination.with_name(destination.name + ".part")
        self.note = destination.with_name(destination.name + ".part.json")

    def size(self) -> int:
        """Bytes that are there, 0 without a file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def noted(self) -> PartNote | None:
        """The note; None without one. Bytes whose note is damaged are thrown away: nobody knows what they are."""
        try:
            text = self.note.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return PartNote.model_validate_json(text)
        except ValidationError:
            self.discard()
            return None

    def start(self, note: PartNote) -> BinaryIO:
        """Begin from the first byte. The note goes first: a killed run never leaves old notes on new bytes."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.note.write_text(note.model_dump_json(), encoding="utf-8")
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
