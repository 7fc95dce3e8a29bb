"""What is said of a stimulus while it is prepared: items that are equal or nearly so, stretches that come again.

Nearly the same are pictures and sounds that were saved anew, scaled, made louder or shifted. All pairs of coarse
descriptions are compared by one matrix product, block by block; only pairs that agree in them are looked at closely.
10,000 pictures take a second or two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.stimuli.repeated.contents import (
    KINDS,
    SHOWN,
    blocks_of,
    clips_of,
    equal_in_words,
    frame_digests,
    presented,
    with_contents,
)
from pipeline.stimuli.repeated.recurring import SEARCHED, recurring, recurring_in_words

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

EQUAL, DOUBTS = "equal_contents", "alike"
COARSE, FINE = 16, 32
"""Pixels a side of a picture, averaged, at which pairs are found and confirmed."""
COARSE_R, PICTURE_R = 0.98, 0.99
"""Least correlations of pictures. Among the 118 scenes of the Allen Institute the highest of two is .68."""
FLAT = 1.0
"""A picture whose averaged grey levels vary less (SD) is told from others by detail that averaging removes."""
SPECTRUM_HZ, SPECTRUM_BANDS, SMOOTHED_OVER = 4000, 512, 33
SPECTRUM_R, SOUND_R = 0.6, 0.8
"""Least correlation of two sounds' spectra, and of the sounds themselves at their best shift. Among 165 natural sounds
the highest of two is .36."""
MOST_LOOKED_AT = 5
"""Pairs per item that are looked at closely, those that agree best first."""
ROWS_AT_ONCE = 1024


def describe_contents(stimulus: xr.Dataset) -> xr.Dataset:
    """The same with digests of its contents, and in words what of it is equal.

    Attribute ``equal_contents`` says which items are equal, ``alike`` warns of nearly equal ones, or of a movie or
    sound that repeats itself; neither is there where there is nothing to say.
    """
    import numpy as np

    modality = str(stimulus.attrs["modality"])
    frames = frame_digests(stimulus) if modality == "movie" else []  # once for both, as a movie may be long
    stimulus = with_contents(stimulus, frames)
    said = {}
    if "content" in stimulus.variables:
        names = np.array([str(name) for name in stimulus["item"].values])
        same = presented(names, stimulus["content"].values.astype(str))
        said[EQUAL] = equal_in_words(names, same, KINDS[modality].items)
        if modality in COMPARED:
            kept = np.sort(np.unique(same, return_index=True)[1])
            said[DOUBTS] = near_alike_in_words(near_alike(stimulus, kept), modality)
    elif modality in SEARCHED:
        said[DOUBTS] = recurring_in_words(recurring(stimulus, frames), str(stimulus.attrs["name"]))
    return stimulus.assign_attrs({name: text for name, text in said.items() if text})


def near_alike(stimulus: xr.Dataset, kept: np.ndarray) -> list[tuple[str, str, float]]:
    """Pairs of nearly equal items, most alike first: two names and their correlation.

    Parameters
    ----------
    stimulus : of a modality in `COMPARED`, of several items
    kept : numbers of the items to compare, one of each content
    """
    pairs = COMPARED[stimulus.attrs["modality"]](stimulus, kept)
    names = [str(name) for name in stimulus["item"].values]
    return [(names[kept[i]], names[kept[j]], r) for i, j, r in sorted(pairs, key=lambda pair: -pair[2])]


def near_alike_in_words(pairs: Sequence[tuple[str, str, float]], modality: str) -> str:
    """A warning that names the first pairs; empty if there are none."""
    if not pairs:
        return ""
    shown = "; ".join(f"{one} and {other}, r = {_below_one(r)}" for one, other, r in pairs[:SHOWN])
    more = f"; {len(pairs) - SHOWN} more pairs" if len(pairs) > SHOWN else ""
    return (
        f"{KINDS[modality].items} that are nearly alike ({shown}{more}) may lie on both sides of a fold, where one "
        "tells of the other; leave one of each out"
    )


def _below_one(r: float) -> str:
    return f"{min(r, 0.999):.3f}".lstrip("0")


def _pictures(stimulus: xr.Dataset, kept: np.ndarray) -> list[tuple[int, int, float]]:
    import numpy as np

    blocks = [_averaged(_grey(block), FINE) for block in blocks_of(stimulus["images"])]
    fine = np.concatenate(blocks)[kept]
    coarse = _averaged(fine, COARSE).reshape(len(fine), -1)
    flat = coarse.std(axis=1) < FLAT
    vectors, details = _standardised(coarse), _standardised(fine.reshape(len(fine), -1))
    vectors[flat] = 0.0

    def look(i: int, j: int) -> float:
        return float(details[i] @ details[j])

    return _confirmed(vectors, COARSE_R, look, PICTURE_R)


def _grey(pictures: np.ndarray) -> np.ndarray:
    """Mean over the colours of (picture, y, x, colour), float32; colour by colour, as numpy is slow along three."""
    import numpy as np

    n_colours = pictures.shape[3]
    total = pictures[..., 0].astype(np.float32)
    for colour in range(1, n_colours):
        total += pictures[..., colour]
    return total / np.float32(n_colours)


def _averaged(pictures: np.ndarray, n: int) -> np.ndarray:
    """Grey pictures (picture, y, x) brought to at most n × n by averaging."""
    import numpy as np

    for axis in (1, 2):
        size = pictures.shape[axis]
        edges = np.linspace(0, size, min(n, size) + 1).astype(int)
        shape = (-1, 1) if axis == 1 else (1, -1)
        pictures = np.add.reduceat(pictures, edges[:-1], axis=axis) / np.diff(edges).reshape(shape).astype(np.float32)
    return pictures


def _sounds(stimulus: xr.Dataset, kept: np.ndarray) -> list[tuple[int, int, float]]:
    """A shift in time and a gain leave a sound's log spectrum as it is, but for a constant."""
    import numpy as np

    rate = float(stimulus.attrs["sampling_rate_hz"])
    clips = clips_of(stimulus)
    sounds = [_slower(clips[number], rate) for number in kept.tolist()]
    n = max(2 * SPECTRUM_BANDS, 1 << max(sound.size for sound in sounds).bit_length())
    vectors = _standardised(np.stack([_log_spectrum(sound, n) for sound in sounds]))

    def look(i: int, j: int) -> float:
        return _best_shift(sounds[i], sounds[j])

    return _confirmed(vectors, SPECTRUM_R, look, SOUND_R)


def _slower(sound: np.ndarray, rate: float) -> np.ndarray:
    """Changes of a sound from sample to sample at about 4000 per second: slow drifts, alike in many, count little."""
    import numpy as np

    step = max(1, round(rate / SPECTRUM_HZ))
    whole = sound[: max(1, sound.size // step) * step]
    averaged = whole.reshape(-1, step).mean(axis=1) if whole.size % step == 0 else whole
    return np.asarray(np.diff(averaged, prepend=averaged[:1]), np.float32)


def _log_spectrum(sound: np.ndarray, n: int) -> np.ndarray:
    """Log power in 512 bands of equal width, less that of the bands around: what tells sounds of one colour apart."""
    import numpy as np
    from scipy.ndimage import uniform_filter1d

    power = np.abs(np.fft.rfft(sound, n)[1:]) ** 2
    bands = power.reshape(SPECTRUM_BANDS, -1).mean(axis=1)
    log = np.log(np.maximum(bands, 1e-6 * bands.max() + 1e-20))  # faint bands are lifted to 60 dB below the loudest
    return np.asarray(log - uniform_filter1d(log, SMOOTHED_OVER), np.float32)


def _best_shift(one: np.ndarray, other: np.ndarray) -> float:
    """The highest correlation of two sounds over all shifts, either way up."""
    import numpy as np

    n = 1 << (one.size + other.size).bit_length()
    spectra = np.fft.rfft(one, n) * np.conj(np.fft.rfft(other, n))
    power = float(np.sqrt((one.astype(np.float64) ** 2).sum() * (other.astype(np.float64) ** 2).sum()))
    return float(np.abs(np.fft.irfft(spectra, n)).max() / power) if power > 0 else 0.0


def _standardised(values: np.ndarray) -> np.ndarray:
    """Rows without their mean and of length 1, float32; zero where they do not vary."""
    import numpy as np

    centred = values.astype(np.float32) - values.mean(axis=1, keepdims=True, dtype=np.float32)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-6), np.float32)


def _confirmed(
    vectors: np.ndarray, least: float, look: Callable[[int, int], float], confirmed: float
) -> list[tuple[int, int, float]]:
    """Pairs of rows that correlate by ``least`` and are confirmed by a closer look."""
    import numpy as np

    found: list[tuple[int, int, float]] = []
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        r = vectors[start : start + ROWS_AT_ONCE] @ vectors[start:].T
        rows, columns = np.nonzero(r >= least)
        rows, columns = rows[columns > rows], columns[columns > rows]
        best = np.argsort(-r[rows, columns], kind="stable")[: MOST_LOOKED_AT * len(r)]
        for i, j in zip(rows[best] + start, columns[best] + start, strict=True):
            closely = look(int(i), int(j))
            if closely >= confirmed:
                found.append((int(i), int(j), closely))
    return found


COMPARED = {"images": _pictures, "audio": _sounds}
"""Modality → what finds nearly equal ones among its items."""
