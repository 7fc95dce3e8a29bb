"""How many samples MP3 and Ogg files hold, from their frames and pages: decoders pass over what is damaged."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.core.errors import BrokenArtifact

# bit rates in kbit/s by (MPEG 1, layer); MPEG 2 and 2.5 have tables of their own
_BIT_RATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLING_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MP3_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")
_OGG_LAST_PAGE = 4
_OPUS_CLOCK_HZ = 48_000


def mp3_samples(path: Path, remedy: str) -> int | None:
    """Samples per channel of an MP3's frames, or of as many as it states to have, if that is more.

    Decoders leave out up to four frames of delay and padding. None for a free bit rate, whose frames do not state their
    length.

    Raises
    ------
    BrokenArtifact
        Cut short, or bytes that are no frame between frames.

    References
    ----------
    ISO/IEC 11172-3, 2.4.1.3 (header of a frame); id3.org/id3v2.4.0-structure, 3.1 (tag before it);
    gabriel.mp3-tech.org/mp3infotag.html (description in the first frame).
    """
    content = path.read_bytes()
    at, n_samples, stated = _after_id3(content), 0, 0
    while at < len(content) and not content.startswith(_MP3_TAGS, at) and any(content[at : at + 1024]):
        frame = _mp3_frame(content[at : at + 4])
        if frame is None:
            raise BrokenArtifact(f"{path} is damaged: no MP3 frame begins at byte {at:,} of {len(content):,}; {remedy}")
        n_bytes, samples = frame
        if n_bytes == 0:
            return None
        if at + n_bytes > len(content):
            raise BrokenArtifact(f"{path} is cut short: its last MP3 frame lacks bytes; {remedy}")
        if n_samples == 0 and (described := re.search(b"Xing|Info|VBRI", content[at : at + 64])):
            stated = samples * _stated_frames(content[at + described.start() : at + n_bytes])
        else:
            n_samples += samples
        at += n_bytes
    return max(n_samples, stated)


def _stated_frames(description: bytes) -> int:
    """Frames that follow, of the description in the first one; 0 where it does not say."""
    if description.startswith(b"VBRI"):
        return int.from_bytes(description[14:18], "big")
    return int.from_bytes(description[8:12], "big") if description[7] & 1 else 0


def _after_id3(content: bytes) -> int:
    at = 0
    while content.startswith(b"ID3", at) and len(content) >= at + 10:
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if content[at + 5] & 0x10 else 0)
    while at < len(content) and content[at] == 0:
        at += 1
    return at


def _mp3_frame(header: bytes) -> tuple[int, int] | None:
    """Bytes (0 where they are not stated) and samples of the frame that has this header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bit_rate, sampling_rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bit_rate == 15 or sampling_rate == 3:
        return None
    rate_hz = _SAMPLING_RATES_HZ[version][sampling_rate]
    n_samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    bits_per_s = 1000 * _BIT_RATES[version == 3, layer][bit_rate]
    if layer == 1:
        n_bytes = (12 * bits_per_s // rate_hz + padding) * 4
    else:
        n_bytes = n_samples // 8 * bits_per_s // rate_hz + padding
    return (n_bytes if bits_per_s else 0), n_samples


def ogg_samples(path: Path, sampling_rate_hz: int, remedy: str) -> int | None:
    """Samples per channel at which an Ogg file says it ends; None where it holds several streams.

    Raises
    ------
    BrokenArtifact
        Cut short (no page is marked as the last, or that page lacks bytes), or bytes that are no page between pages.

    References
    ----------
    RFC 3533, 6 (page); RFC 7845, 4 (Opus counts at 48 kHz, and begins with samples that are left out).
    """
    content = path.read_bytes()
    streams, at, skipped, last, ended = set[bytes](), 0, 0, 0, False
    opus = False
    while content.startswith(b"OggS", at) and at + 27 <= len(content):
        kind, n_segments = content[at + 5], content[at + 26]
        granule = int.from_bytes(content[at + 6 : at + 14], "little", signed=True)
        streams.add(content[at + 14 : at + 18])
        body = at + 27 + n_segments
        if content.startswith(b"OpusHead", body):
            opus, skipped = True, int.from_bytes(content[body + 10 : body + 12], "little")
        last, ended = max(last, granule), bool(kind & _OGG_LAST_PAGE)
        at = body + sum(content[at + 27 : body])
    if at > len(content) or not ended:
        if at < len(content) and b"OggS" in content[at:]:
            raise BrokenArtifact(f"{path} is damaged: no Ogg page begins at byte {at:,}; {remedy}")
        raise BrokenArtifact(f"{path} is cut short: its last Ogg page is not there; {remedy}")
    if len(streams) > 1:
        return None
    return (last - skipped) * sampling_rate_hz // _OPUS_CLOCK_HZ if opus else last
