"""The ``.part`` file of an unfinished download and the note beside it that says what it is part of."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.artifacts.storage.checksums import crc32c

LEAST_BYTES, MOST_BYTES = 1 << 16, 4 << 20
"""How many more bytes are written before the note tells of them: as many as are there, within these limits."""


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
    there: int = Field(
        0, ge=0, description="bytes at its beginning that are known to be there, now and then brought up"
    )
    crc32c: int = Field(0, ge=0, description="CRC32C of these bytes")


class PartFile:
    """``NAME.part`` and ``NAME.part.json`` (a `PartNote`) beside the destination."""

    def __init__(self, destination: Path) -> None:
        self.path = destination.with_name(destination.name + ".part")
        self.note = destination.with_name(destination.name + ".part.json")
        self._new_note = destination.with_name(destination.name + ".part.json.part")

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

    def keep_known(self) -> None:
        """Leave only bytes that are as they were written, unless the note has a digest of the whole file."""
        note = self.noted()
        if note is None or note.md5 is not None:
            return
        if self.size() >= note.there > 0:
            os.truncate(self.path, note.there)
            if _crc32c_of(self.path) == note.crc32c:
                return
        self.discard()

    def start(self, note: PartNote) -> GrowingPart:
        """Begin from the first byte. The note goes first: a killed run never leaves old notes on new bytes."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.write_note(note)
        return GrowingPart(self, note)

    def resume(self) -> GrowingPart:
        """Go on behind the bytes that are there."""
        note, size = self.noted(), self.size()
        if note is not None and note.there != size:
            note = note.model_copy(update={"there": size, "crc32c": _crc32c_of(self.path)})
        return GrowingPart(self, note)

    def write_note(self, note: PartNote) -> None:
        self._new_note.write_text(note.model_dump_json(), encoding="utf-8")
        os.replace(self._new_note, self.note)

    def discard(self) -> None:
        for path in (self.path, self.note, self._new_note):
            path.unlink(missing_ok=True)

    def finish(self, destination: Path) -> None:
        """Rename the checked bytes to their final name, after they reached the disk."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(self.path, destination)
        self.discard()


class GrowingPart:
    """What comes behind the bytes of a ``.part`` file; the note tells of it from time to time, and at the end.

    Parameters
    ----------
    note : of the bytes that are there; None where nothing is known of them
    """

    def __init__(self, part: PartFile, note: PartNote | None) -> None:
        self._part, self._note = part, note
        self._there, self._crc32c = (note.there, note.crc32c) if note is not None else (0, 0)
        self._next = self._there + LEAST_BYTES

    def __enter__(self) -> GrowingPart:
        self._stream = open(self._part.path, "ab")
        return self

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self._there += len(chunk)
        self._crc32c = crc32c(chunk, self._crc32c)
        if self._there >= self._next:
            self._tell()

    def _tell(self) -> None:
        self._stream.flush()  # bytes first: of more than the note tells nothing is kept
        self._next = self._there + min(MOST_BYTES, max(LEAST_BYTES, self._there))
        if self._note is not None:
            told = {"there": self._there, "crc32c": self._crc32c}
            self._part.write_note(self._note.model_copy(update=told))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._stream:
            if self._part.path.exists():  # it may have been thrown away
                self._tell()


def _crc32c_of(path: Path) -> int:
    found = 0
    with open(path, "rb") as stream:
        while chunk := stream.read(MOST_BYTES):
            found = crc32c(chunk, found)
    return found
