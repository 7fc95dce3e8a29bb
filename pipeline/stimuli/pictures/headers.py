"""What picture files say of themselves before they are decoded: bits per colour, where they end, colours meant.

Pillow cuts 16 bits per colour to 8 without a word, and knows PNG chunks only in part.
"""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    from PIL import Image

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STANDALONE_MARKERS = (0x01, *range(0xD0, 0xD8))
_FRAME_MARKERS = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC))
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BITS_PER_SAMPLE, _SAMPLE_FORMAT, _UNSIGNED = 258, 339, 1


@dataclasses.dataclass(frozen=True)
class PictureHeader:
    """
    Parameters
    ----------
    bits : per colour
    end : byte after the last of the picture; None where the format does not say
    chunks : those of a PNG that say which colours are meant (name → contents)
    """

    bits: int
    end: int | None = None
    chunks: dict[str, bytes] = dataclasses.field(default_factory=dict)


def picture_header(path: Path, content: bytes, opened: Image.Image, remedy: str) -> PictureHeader:
    """Read the header of a picture that Pillow has opened.

    Raises
    ------
    BrokenArtifact
        Cut short, or a part of a PNG that was altered; the message names the file.
    """
    if opened.format == "PNG":
        return _png_header(path, content, remedy)
    if opened.format in ("JPEG", "MPO"):
        return _jpeg_header(path, content, remedy)
    if opened.format == "TIFF":
        tags = opened.tag_v2  # type: ignore[attr-defined]
        unsigned = all(kind == _UNSIGNED for kind in tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))
        if not unsigned:
            raise BrokenArtifact(f"{path} holds signed or floating numbers; save it with 8 bits per colour")
        return PictureHeader(max(tags.get(_BITS_PER_SAMPLE, (1,))))
    return PictureHeader(8)


def _png_header(path: Path, content: bytes, remedy: str) -> PictureHeader:
    """W3C PNG specification (third edition), 5.3 and 11."""
    at, bits, chunks = len(_PNG_SIGNATURE), 8, dict[str, bytes]()
    while at + 12 <= len(content):
        size, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        body, after = content[at + 8 : at + 8 + size], at + 12 + size
        if after > len(content):
            break
        critical = not name[0] & 0x20
        if critical and zlib.crc32(name + body) != int.from_bytes(content[after - 4 : after], "big"):
            raise BrokenArtifact(f"{path} is damaged: its part {name!r} has another checksum than stated; {remedy}")
        if name == b"IHDR":
            bits = body[8]
        elif name in (b"gAMA", b"cHRM", b"sRGB", b"cICP"):
            chunks[name.decode()] = body
        elif name == b"IEND":
            return PictureHeader(bits, after, chunks)
        at = after
    raise BrokenArtifact(f"{path} is cut short: its end (IEND) is not there; {remedy}")


def _jpeg_header(path: Path, content: bytes, remedy: str) -> PictureHeader:
    """ITU-T T.81, B.1: segments up to the end of the image (EOI), with the bits per colour of the frame header."""
    at, bits = 2, 8
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        marker = content[at + 1]
        if marker == _END_OF_IMAGE:
            return PictureHeader(bits, at + 2)
        if marker in (0x00, *_STANDALONE_MARKERS):
            at += 2
        elif marker == 0xFF:
            at += 1
        else:
            if marker in _FRAME_MARKERS and at + 4 < len(content):
                bits = content[at + 4]
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    raise BrokenArtifact(f"{path} is cut short: its end (EOI) is not there; {remedy}")
