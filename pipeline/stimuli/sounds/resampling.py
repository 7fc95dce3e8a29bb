"""Sound brought to another sampling rate by a zero-phase polyphase filter, whole or block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

REACH_SAMPLES = 10
"""How far the filter reaches to either side, in samples of the slower rate: 0.6 ms where that is 16 kHz."""
_LARGEST_FACTOR = 4096


def resample(sound: np.ndarray, from_hz: float, to_hz: int) -> np.ndarray:
    """A sound (n,) brought to another sampling rate by a zero-phase polyphase filter, float32.

    The filter reaches 10 samples of the slower rate to either side: 0.6 ms ahead where that is 16 kHz.
    """
    import numpy as np
    from scipy.signal import resample_poly

    ratio = _ratio(from_hz, to_hz)
    if ratio == 1:
        return np.asarray(sound, dtype=np.float32)
    return np.asarray(resample_poly(sound.astype(np.float64), ratio.numerator, ratio.denominator), dtype=np.float32)


def reach_s(from_hz: float, to_hz: int) -> float:
    """How far ahead of a sample its resampled value depends on the sound, in s; 0 where the rates are equal."""
    return 0.0 if _ratio(from_hz, to_hz) == 1 else REACH_SAMPLES / min(from_hz, to_hz)


def resample_blocks(blocks: Iterable[np.ndarray], from_hz: float, to_hz: int) -> Iterator[np.ndarray]:
    """The same samples as `resample` gives for all blocks joined, with one block in double precision at a time.

    Parameters
    ----------
    blocks : each (n,) float32, of any lengths

    Yields
    ------
    (m,) float32, in order; together as many as `resample` gives
    """
    import numpy as np

    ratio = _ratio(from_hz, to_hz)
    if ratio == 1:
        yield from (resample(block, from_hz, to_hz) for block in blocks)
        return
    up, down = ratio.numerator, ratio.denominator
    # Blocks are cut where a sample falls on one of either rate, so that each cut has the same phase of the filter.
    context = down * -(-(REACH_SAMPLES * max(up, down) // up + 1) // down)
    held, before = np.zeros(0, np.float32), 0  # `before` samples were given already and are kept as context
    for block in blocks:
        held = np.concatenate([held, block])
        until = (held.size - context) // down * down
        if until > before:
            yield resample(held, from_hz, to_hz)[before * up // down : until * up // down]
            kept = max(0, until - context)
            held, before = held[kept:], until - kept
    if held.size > before:
        yield resample(held, from_hz, to_hz)[before * up // down :]


def _ratio(from_hz: float, to_hz: int) -> Fraction:
    return (Fraction(to_hz) / Fraction(from_hz)).limit_denominator(_LARGEST_FACTOR)
