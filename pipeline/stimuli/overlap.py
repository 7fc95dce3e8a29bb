"""Whether a recording and what was shown, played or read lasted equally long: one rule and one message for all doors.

A scan may begin before the sound and end after it, and words have pauses. What a slip of units leaves has another
size: times in ms cover a thousand times the stimulus, and a sample interval twice too long leaves half of the samples
beyond its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch

if TYPE_CHECKING:
    import numpy as np

LEAST_WITHIN = 2 / 3
"""Of a recording's samples must lie within the stimulus. A sample interval twice too long leaves half; of
Alice's listeners (362 volumes, story with pauses), all lie within."""
LEAST_HEARD = 0.9
"""Of a stimulus is usually recorded; less is a warning, as part of a long one may have been recorded on purpose."""
MOST_OUTLASTING = 1.1
"""A recording usually lasts at most so many times its stimulus; more is a warning, as a scan may go on in silence."""
LONGEST_RATIO = 400.0
"""A stimulus that lasts so many times the recording is in another unit (1000: ms for s)."""


def overlap_s(one: tuple[float, float], other: tuple[float, float]) -> float:
    """What two spans of one clock, (start, end) in s, have in common, in s."""
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def check_overlap(
    time_s: np.ndarray,
    interval_s: float,
    stimulus_s: tuple[float, float],
    *,
    recording: str,
    stimulus: str,
    remedy: str,
    tail_s: float = 0.0,
) -> None:
    """Refuse a recording of which too little lies within its stimulus, or far too little for it.

    Parameters
    ----------
    time_s : (n_samples,) ends of the samples' bins on the stimulus clock, in s
    interval_s : from one sample to the next, in s
    stimulus_s : start and end of the stimulus on the same clock, in s
    recording, stimulus : as the message calls them
    remedy : what the user can correct
    tail_s : how long a response may last after the stimulus, in s

    Raises
    ------
    SampleMismatch
        Fewer than two thirds of the samples lie within the stimulus, or it lasts 400 times the recording.
    """
    within = samples_within(time_s, interval_s, stimulus_s, tail_s)
    start_s, stop_s = float(time_s[0] - interval_s), float(time_s[-1])
    length_s, lasts_s = stop_s - start_s, stimulus_s[1] - stimulus_s[0]
    covers = (
        f"{recording} covers {start_s:g} to {stop_s:g} s ({time_s.size} samples of {interval_s:g} s) and {stimulus} "
        f"{stimulus_s[0]:g} to {stimulus_s[1]:g} s"
    )
    if within.mean() < LEAST_WITHIN:
        slip = likely_slip(length_s / max(lasts_s, 1e-9))
        raise SampleMismatch(
            f"{covers}: {int(within.sum())} of {time_s.size} samples lie within the stimulus, at least "
            f"{100 * LEAST_WITHIN:.0f} % must; {slip}{remedy}, or leave out the samples that lie outside"
        )
    if lasts_s > LONGEST_RATIO * length_s:
        raise SampleMismatch(
            f"{covers}, {lasts_s / length_s:.0f} times as long; {likely_slip(length_s / lasts_s)}{remedy}"
        )


def samples_within(
    time_s: np.ndarray, interval_s: float, stimulus_s: tuple[float, float], tail_s: float = 0.0
) -> np.ndarray:
    """Which samples' bins reach into the stimulus or its tail, (n_samples,) bool; parameters as of `check_overlap`."""
    import numpy as np

    slack = 1e-6 * interval_s
    return np.asarray((time_s > stimulus_s[0] + slack) & (time_s - interval_s < stimulus_s[1] + tail_s - slack))


def likely_slip(ratio: float) -> str:
    """What a recording that lasts ``ratio`` times its stimulus probably suffers from; empty if nothing fits."""
    for times, slip in (
        (1000.0, "the recording's times look like ms, not s: "),
        (1 / 1000, "the stimulus' times look like ms, not s, or the recording's samples are too short: "),
    ):
        if 1 / 2.5 <= ratio / times <= 2.5:
            return slip
    if 1.8 <= ratio <= 2.2:
        return "the samples look twice too long: "
    return ""


def partly_heard(
    recordings: Sequence[tuple[float, float]], stimulus_s: tuple[float, float], *, recording: str, stimulus: str
) -> str:
    """A warning where recordings together cover less than nine tenths of a stimulus; empty if they cover more.

    Parameters
    ----------
    recordings : (start, end) of each on the stimulus clock, in s
    """
    lasts_s, heard_s, reached = stimulus_s[1] - stimulus_s[0], 0.0, stimulus_s[0]
    for start, stop in sorted(recordings):
        heard_s += overlap_s((max(start, reached), stop), stimulus_s)
        reached = max(reached, stop)
    if heard_s >= LEAST_HEARD * lasts_s:
        return ""
    return (
        f"{recording} covers {heard_s:g} s of the {lasts_s:g} s of {stimulus}, {heard_s / lasts_s:.2f} times; if "
        "all of it was recorded, check sample_interval_s and times"
    )


def outlasting(
    length_s: float, interval_s: float, stimulus_s: tuple[float, float], *, recording: str, stimulus: str
) -> str:
    """A warning where a recording lasts over a tenth, and over one sample, longer than its stimulus; else empty.

    Parameters
    ----------
    length_s : from the start of the first sample's bin to the end of the last one's, in s
    """
    lasts_s = stimulus_s[1] - stimulus_s[0]
    if length_s <= max(MOST_OUTLASTING * lasts_s, lasts_s + interval_s) * (1 + 1e-9):
        return ""
    return (
        f"{recording} lasts {length_s:g} s and {stimulus} {lasts_s:g} s, {length_s / max(lasts_s, 1e-9):.2f} times; if "
        "it did not begin before the stimulus or go on after it, check sample_interval_s and times"
    )
