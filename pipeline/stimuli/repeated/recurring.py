"""Stretches that come again within one movie or sound, as in a loop: a fold that holds one out has the other to learn.

A still picture or silence is no recurrence of itself, but one that returns after something else is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.stimuli.repeated.contents import SHOWN, clips_of, frame_digests

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

SHORTEST_S = 1.0
ANCHOR_S = 0.05
"""Peaks of a sound that are the highest so far to either side mark places that can be found again."""

Found = tuple[float, list[tuple[int, int, int]]]
"""Frames or samples per second, and (earlier, later, length) in these."""


def recurring(stimulus: xr.Dataset, frames: Sequence[str] = ()) -> list[tuple[float, float, float]]:
    """Stretches of at least 1 s that are exactly equal to an earlier one.

    Parameters
    ----------
    stimulus : one of a modality in `SEARCHED`: a movie, or one sound
    frames : digests of a movie's frames, where they are known already

    Returns
    -------
    list of (start of the earlier, start of the later, duration), in s, in order of the later
    """
    rate, found = SEARCHED[stimulus.attrs["modality"]](stimulus, frames)
    return [(earlier / rate, later / rate, length / rate) for earlier, later, length in found]


def _of_movie(movie: xr.Dataset, frames: Sequence[str]) -> Found:
    rate = float(movie.attrs["frame_rate_hz"])
    return rate, _of_frames(frames or frame_digests(movie), max(2, round(SHORTEST_S * rate)))


def _of_sound(sound: xr.Dataset, frames: Sequence[str]) -> Found:
    rate = float(sound.attrs["sampling_rate_hz"])
    return rate, _of_samples(clips_of(sound)[0], round(ANCHOR_S * rate), round(SHORTEST_S * rate))


SEARCHED = {"movie": _of_movie, "audio": _of_sound}
"""Modality → what finds stretches that come again."""


def recurring_in_words(stretches: list[tuple[float, float, float]], name: str) -> str:
    """A warning that names the first times; empty if nothing recurs."""
    if not stretches:
        return ""
    shown = "; ".join(
        f"{earlier:.1f} to {earlier + length:.1f} s again from {later:.1f} s"
        for earlier, later, length in stretches[:SHOWN]
    )
    more = f"; {len(stretches) - SHOWN} more" if len(stretches) > SHOWN else ""
    return (
        f"'{name}' repeats itself ({shown}{more}): a fold that holds one out can learn it from the other; give the "
        "repetitions as repeats of one stretch, or leave them out"
    )


def _of_frames(digests: Sequence[str], shortest: int) -> list[tuple[int, int, int]]:
    """Equal runs of frames: (earlier, later, length), in frames."""
    import numpy as np

    if len(digests) < 2 * shortest:
        return []
    window = _windows(np.unique(np.array(digests), return_inverse=True)[1].ravel(), shortest)
    changes = np.flatnonzero(np.diff(window, prepend=-1))  # a picture that stands still is one place, not many
    _, first, place = np.unique(window[changes], return_index=True, return_inverse=True)
    earlier = changes[first[place.ravel()]]
    again = (earlier < changes) & (changes - earlier >= shortest)
    return _joined(earlier[again], changes[again], 1, shortest)


def _windows(ids: np.ndarray, length: int) -> np.ndarray:
    """A number for each window of ``length`` ids, equal where all of its ids are: (n − length + 1,)."""
    import numpy as np

    reach = 1
    while reach < length:
        step = min(reach, length - reach)
        ids = np.unique(ids[:-step] * (ids.max() + 1) + ids[step:], return_inverse=True)[1].ravel()
        reach += step
    return ids


def _of_samples(sound: np.ndarray, radius: int, shortest: int) -> list[tuple[int, int, int]]:
    """Equal runs of samples: (earlier, later, length), in samples, to within twice the radius."""
    import numpy as np
    from scipy.ndimage import maximum_filter1d

    if sound.size < 2 * shortest:
        return []
    loud = np.abs(sound)
    peaks = np.flatnonzero((loud == maximum_filter1d(loud, 2 * radius + 1)) & (loud > 0))
    peaks = peaks[(peaks >= radius) & (peaks + radius < sound.size)]
    first: dict[bytes, int] = {}
    earlier, later = [], []
    for peak in peaks.tolist():
        around = sound[peak - radius : peak + radius + 1]
        known = first.setdefault(hashlib.blake2b(around.tobytes(), digest_size=8).digest(), peak)
        if peak - known >= shortest:
            earlier.append(known)
            later.append(peak)
    found = _joined(np.array(earlier, int), np.array(later, int), shortest, 2 * radius)
    return [
        (a - radius, b - radius, n) for a, b, n in found if n >= shortest and _equal(sound, a - radius, b - radius, n)
    ]


def _equal(sound: np.ndarray, one: int, other: int, n: int) -> bool:
    """Peaks are marks: what lies between them is compared as well."""
    return bool((sound[one : one + n] == sound[other : other + n]).all())


def _joined(earlier: np.ndarray, later: np.ndarray, gap: int, length: int) -> list[tuple[int, int, int]]:
    """Places at one lag, each no more than ``gap`` after the one before, as one stretch; each is ``length`` long."""
    found: list[tuple[int, int, int]] = []
    for one, other in zip(earlier.tolist(), later.tolist(), strict=True):
        if found:
            start, again, n = found[-1]
            if other - one == again - start and other <= again + n - length + gap:
                found[-1] = (start, again, other - again + length)
                continue
        found.append((one, other, length))
    return found
