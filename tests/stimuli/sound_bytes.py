"""WAV files byte by byte, with headers that say what a test wants them to say."""

import struct

import numpy as np

RATE_HZ = 16_000


def noise(n: int, *channels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, *channels)).astype(np.float32)


def pcm16(sound: np.ndarray) -> bytes:
    return np.round(sound * 2**15).astype("<i2").tobytes()


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if size is None else size) + content


def form(
    tag: int = 1, channels: int = 1, rate_hz: int = RATE_HZ, bits: int = 16, frame_bytes: int | None = None
) -> bytes:
    """Contents of ``fmt``."""
    frame = channels * -(-bits // 8) if frame_bytes is None else frame_bytes
    return struct.pack("<HHIIHH", tag, channels, rate_hz, (rate_hz * frame) % 2**32, frame, bits)


def extensible(valid_bits: int, bits: int) -> bytes:
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    return form(0xFFFE, bits=bits) + struct.pack("<HHI", 22, valid_bits, 0) + guid


def wav(*chunks: bytes, kind: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body)) + body
