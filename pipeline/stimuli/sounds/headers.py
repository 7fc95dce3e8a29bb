"""What the headers of uncompressed sound files (WAV, AIFF, AU, NIST Sphere) say, against the bytes that follow.

libsndfile reads a file that was cut short, or whose header was never finished, without a word.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import BinaryIO, Literal

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.file_remarks import Notes

_LENGTH_UNKNOWN = (0x7FFFF000, 0x7FFFFFFF, 0x80000000)
"""What sox and eSpeak, libsndfile and arecord write as the length of sound whose end they have not come to yet."""
_NEARLY_4_GB = 0xFFFFFF00
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")
_SHORT_TAIL_BYTES = 4096
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


@dataclasses.dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int
    size: int


@dataclasses.dataclass(frozen=True)
class _SampleForm:
    """Of one number of a WAV file: how many bits it has, and in how many they are kept."""

    valid_bits: int
    container_bits: int


def check_header(path: Path, notes: Notes, remedy: str) -> float:
    """Refuse a file whose header states more sound than follows, or less, or that cannot be read as it is meant.

    Returns
    -------
    The peak up to which samples lie in the lower bits of numbers that have more bits than are said to be used; 0 where
    all bits are used. Such samples would be read too quiet by a power of two.

    Raises
    ------
    BrokenArtifact
        Cut short, a header that was never finished, sound that the header does not count, a chunk twice, or numbers
        that are laid out in a way that libsndfile does not know; the message names the file and both sizes.
    """
    with open(path, "rb") as stream:
        kind = stream.read(12)
        if kind[:4] in (b"RIFF", b"RIFX", b"RF64") and kind[8:] == b"WAVE":
            return _check_wav(path, stream, "big" if kind[:4] == b"RIFX" else "little", notes, remedy)
        if kind[:4] == b"FORM" and kind[8:] in (b"AIFF", b"AIFC"):
            _check_chunks(path, stream, "big", (b"COMM", b"SSND"), notes, remedy)
        elif kind[:4] == b".snd":
            _check_length(path, int.from_bytes(kind[8:], "big"), int.from_bytes(kind[4:8], "big"), notes, remedy)
        elif kind[:7] == b"NIST_1A":
            _check_nist(path, stream, notes, remedy)
    return 0.0


def _check_wav(path: Path, stream: BinaryIO, order: Literal["little", "big"], notes: Notes, remedy: str) -> float:
    chunks = _check_chunks(path, stream, order, (b"fmt ", b"data"), notes, remedy)
    for chunk in chunks:
        if chunk.name == b"fmt " and chunk.size >= 16:
            stream.seek(chunk.start)
            form = _sample_form(path, stream.read(min(chunk.size, 40)), order, remedy)
            if form.valid_bits < form.container_bits:
                return 2.0 ** (form.valid_bits - form.container_bits)
    return 0.0


def _sample_form(path: Path, fmt: bytes, order: Literal["little", "big"], remedy: str) -> _SampleForm:
    tag, n_channels, frame_bytes, bits = (int.from_bytes(fmt[at : at + 2], order) for at in (0, 2, 12, 14))
    valid_bits = bits
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = int.from_bytes(fmt[24:26], order)
        valid_bits = int.from_bytes(fmt[18:20], order) or bits
    if tag not in (_PCM, _FLOAT) or not n_channels or not bits:
        return _SampleForm(bits, bits)
    container_bits = -(-bits // 8) * 8
    if frame_bytes * 8 != n_channels * container_bits:
        raise BrokenArtifact(
            f"{path} states {bits} bits and {frame_bytes} bytes for {n_channels} channels, numbers that leave bytes "
            f"empty and would be read as noise; save it anew with {container_bits} bits per number; or {remedy}"
        )
    rate_hz, bytes_per_s = int.from_bytes(fmt[4:8], order), int.from_bytes(fmt[8:12], order)
    if bytes_per_s not in (0, rate_hz * frame_bytes % 2**32):
        raise BrokenArtifact(
            f"{path} states {rate_hz:,} samples of {frame_bytes} bytes per second, but {bytes_per_s:,} bytes per "
            f"second ({bytes_per_s / frame_bytes:,.0f} samples): one of them is wrong, and the sound may be read too "
            f"fast or too slow; save it anew at its true rate, or {remedy}"
        )
    return _SampleForm(valid_bits, container_bits)


def _check_chunks(
    path: Path,
    stream: BinaryIO,
    order: Literal["little", "big"],
    needed: tuple[bytes, bytes],
    notes: Notes,
    remedy: str,
) -> list[_Chunk]:
    """Walk the chunks of a WAV or AIFF file; ``needed`` are its format and its sound, which may be there once."""
    end = path.stat().st_size
    chunks, sound, at = list[_Chunk](), needed[1], 12
    while (chunk := _chunk_at(stream, at, end, order, sound)) is not None:
        chunks.append(chunk)
        if chunk.name == sound and (chunk.size >= end - chunk.start or _says_no_length(chunk.size)):
            break
        at = chunk.start + chunk.size
        if chunk.size % 2 and _chunk_at(stream, at + 1, end, order, sound) is not None:
            at += 1
        elif chunk.size % 2 and _chunk_at(stream, at, end, order, sound) is None:
            at = min(at + 1, end)
    for name in needed:
        if sum(chunk.name == name for chunk in chunks) > 1:
            raise BrokenArtifact(f"{path} has the chunk '{name.decode().strip()}' twice; save it anew, or {remedy}")
    for chunk in chunks:
        if chunk.name == sound:
            _check_length(path, _stated(stream, chunk, chunks, order), chunk.start, notes, remedy)
            if chunk is not chunks[-1] or chunk.size < end - chunk.start:
                _check_tail(path, stream, at, end, notes, remedy)
    return chunks


def _chunk_at(stream: BinaryIO, at: int, end: int, order: Literal["little", "big"], sound: bytes) -> _Chunk | None:
    """The chunk that begins at a byte; None where there is none. Only sound may state more than the file holds."""
    stream.seek(at)
    header = stream.read(8)
    name, size = header[:4], int.from_bytes(header[4:], order)
    if len(header) < 8 or not all(0x20 <= byte < 0x7F for byte in name):
        return None
    return _Chunk(name, at + 8, size) if name == sound or at + 8 + size <= end else None


def _stated(stream: BinaryIO, sound: _Chunk, chunks: list[_Chunk], order: Literal["little", "big"]) -> int:
    """Bytes of sound that a file states; RF64 keeps lengths beyond 4 GB in a chunk of their own."""
    for chunk in chunks:
        if chunk.name == b"ds64" and sound.size == 0xFFFFFFFF:
            stream.seek(chunk.start + 8)
            return int.from_bytes(stream.read(8), order)
    return sound.size


def _says_no_length(n_bytes: int) -> bool:
    return n_bytes in _LENGTH_UNKNOWN or _NEARLY_4_GB <= n_bytes <= 0xFFFFFFFF


def _check_length(path: Path, stated: int, start: int, notes: Notes, remedy: str) -> None:
    """Sound that begins at byte ``start`` and should have so many bytes."""
    held = path.stat().st_size - start
    if stated == 0 and held > _SHORT_TAIL_BYTES:
        raise BrokenArtifact(
            f"{path} states 0 bytes of sound and holds {held:,}: its header was never finished, as when a recording "
            f"breaks off; open it in a sound editor and save it anew, or {remedy}"
        )
    if _says_no_length(stated) and stated > held:
        notes.add(
            "length", path, "the header states no length, as of sound that was piped; read to the end of the file"
        )
    elif stated > held:
        raise BrokenArtifact(f"{path} is cut short: {held:,} of {stated:,} bytes of sound; {remedy}")


def _check_tail(path: Path, stream: BinaryIO, at: int, end: int, notes: Notes, remedy: str) -> None:
    """What stands behind the last chunk."""
    stream.seek(at)
    tail = stream.read(1 << 20)
    if len(tail) <= 1 or tail.startswith(_TAGS):
        return
    if end - at > _SHORT_TAIL_BYTES and any(tail):
        raise BrokenArtifact(
            f"{path} goes on for {end - at:,} bytes after the sound that its header states, and they are no chunk: the "
            f"header may be of an earlier state; open it in a sound editor and save it anew, or {remedy}"
        )
    notes.add("tail", path, f"{end - at:,} bytes that the header does not count follow the sound; they are left out")


def _check_nist(path: Path, stream: BinaryIO, notes: Notes, remedy: str) -> None:
    """NIST Sphere (TIMIT): text of a stated length that names the numbers of samples, channels and bytes."""
    stream.seek(0)
    header = stream.read(1024)
    found = {name: re.search(rb"%s -i (\d+)" % name, header) for name in (b"sample_count", b"sample_n_bytes")}
    channels = re.search(rb"channel_count -i (\d+)", header)
    length = re.match(rb"NIST_1A\s+(\d+)", header)
    if length is None or any(value is None for value in found.values()):
        raise BrokenArtifact(f"{path} is NIST Sphere without numbers of samples and bytes; save it as WAV, or {remedy}")
    n_bytes = int(channels[1]) if channels else 1
    for value in found.values():
        n_bytes *= int(value[1]) if value else 1
    start, end = int(length[1]), path.stat().st_size
    _check_length(path, n_bytes, start, notes, remedy)
    if start + n_bytes < end:
        raise BrokenArtifact(
            f"{path} goes on for {end - start - n_bytes:,} bytes after the sound that its header states; save it as "
            f"WAV, or {remedy}"
        )
