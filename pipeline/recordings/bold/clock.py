"""Scanner clock, audio clock, and the grid of samples that all listeners of a story share.

Volume i stands for the instant ``(i + slice_reference) · TR`` of the scanner clock, which starts with the first volume
of the file. Its bin is TR wide and centred there; ``time_s`` is the bin's end on the audio clock,
``(i + slice_reference + 0.5) · TR − audio_start_s``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch
from pipeline.stimuli.overlap import likely_slip, overlap_s

if TYPE_CHECKING:
    import numpy as np

SAME_CLOCK = 0.01
"""Clocks count as equal up to this part of a TR."""
SLACK = 1e-6
"""Of a TR: what rounding may add."""
MIN_COVERED = 0.9
COLUMNS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True)
class ScanClock:
    """When the volumes of one scan were acquired.

    Parameters
    ----------
    name : of the scan, for messages
    subject : who
    n_volumes, repetition_time_s : of the file, TR in s
    audio_start_s : start of the audio on the scanner clock, in s
    slice_reference : instant that a volume stands for, 0 (start) to 1 (end of its TR)
    """

    name: str
    subject: str
    n_volumes: int
    repetition_time_s: float
    audio_start_s: float
    slice_reference: float

    def instants_s(self) -> np.ndarray:
        """(n_volumes,) instants that the volumes stand for on the audio clock, in s."""
        import numpy as np

        return (np.arange(self.n_volumes) + self.slice_reference) * self.repetition_time_s - self.audio_start_s

    def ends_s(self) -> np.ndarray:
        """(n_volumes,) ends of the volumes' bins on the audio clock, in s."""
        return self.instants_s() + self.repetition_time_s / 2


@dataclasses.dataclass(frozen=True)
class Grid:
    """Samples that all listeners share.

    Parameters
    ----------
    ends_s : (n_samples,) ends of the bins on the audio clock, in s
    interval_s : from one sample to the next, in s
    shortened : who left how much of the stretch uncovered, in words; empty if nobody did
    """

    ends_s: np.ndarray
    interval_s: float
    shortened: str = ""

    def instants_s(self) -> np.ndarray:
        """(n_samples,) middles of the bins, at which volumes of any TR are read."""
        return self.ends_s - self.interval_s / 2


def common_grid(clocks: Sequence[ScanClock], start_s: float, stop_s: float) -> Grid:
    """The volumes of the clock that most scans have, wholly within the stretch, that every scan covers.

    Parameters
    ----------
    clocks : of all scans; of equally many, the clock that comes first is taken
    start_s, stop_s : stretch on the audio clock, in s

    Raises
    ------
    SampleMismatch
        A scan covers less than 90 % of the stretch, or no sample is left.
    """
    for clock in clocks:
        _check_covers(clock, start_s, stop_s)
    chosen = max(clocks, key=lambda one: sum(_same_clock(one, other, stop_s - start_s) for other in clocks))
    interval_s = chosen.repetition_time_s
    ends_s = chosen.ends_s()
    slack = SLACK * interval_s
    kept = (ends_s - interval_s >= start_s - slack) & (ends_s <= stop_s + slack)
    covered = {}
    for clock in clocks:
        theirs, near = clock.instants_s(), SAME_CLOCK * clock.repetition_time_s
        covered[clock.subject] = (chosen.instants_s() >= theirs[0] - near) & (chosen.instants_s() <= theirs[-1] + near)
    wanted = kept.copy()
    for theirs in covered.values():
        kept = kept & theirs
    missing = {subject: int((wanted & ~theirs).sum()) for subject, theirs in covered.items()}
    longest = max(missing, key=lambda subject: missing[subject])
    shortened = ""
    if missing[longest]:
        shortened = (
            f"{int((wanted & ~kept).sum())} samples are left out for all, {missing[longest]} as {longest} lacks them"
        )
    if kept.sum() < 2:
        raise SampleMismatch(
            f"{chosen.name} has {chosen.n_volumes} volumes of {interval_s:g} s, of which {int(kept.sum())} lie "
            f"within {start_s:g}–{stop_s:g} s of the audio; {_slip(chosen, start_s, stop_s)}"
            "check the start of the audio and trim_s"
        )
    return Grid(ends_s[kept], interval_s, shortened)


def _check_covers(clock: ScanClock, start_s: float, stop_s: float) -> None:
    ends_s = clock.ends_s()
    covered = overlap_s((ends_s[0] - clock.repetition_time_s, ends_s[-1]), (start_s, stop_s))
    if covered < MIN_COVERED * (stop_s - start_s):
        raise SampleMismatch(
            f"{clock.name} covers {covered:.1f} s of the {stop_s - start_s:.1f} s from {start_s:g} to {stop_s:g} s of "
            f"the audio ({clock.n_volumes} volumes of {clock.repetition_time_s:g} s, audio from "
            f"{clock.audio_start_s:g} s); {_slip(clock, start_s, stop_s)}leave the listener out with exclude: "
            f"[{clock.subject}]"
        )


def _slip(clock: ScanClock, start_s: float, stop_s: float) -> str:
    """A wrong unit of the TR or of the stretch, if lengths look like one."""
    slip = likely_slip(clock.n_volumes * clock.repetition_time_s / (stop_s - start_s))
    return f"{slip}correct the TR (repetition_time_s) or the events' onsets and durations, or " if slip else ""


def _same_clock(one: ScanClock, other: ScanClock, length_s: float) -> bool:
    """Whether their volumes coincide over a stretch."""
    near = SAME_CLOCK * one.repetition_time_s
    n_volumes = length_s / one.repetition_time_s
    if abs(one.repetition_time_s - other.repetition_time_s) * n_volumes > near:
        return False
    apart = float(one.instants_s()[0] - other.instants_s()[0]) / one.repetition_time_s
    return abs(apart - round(apart)) <= SAME_CLOCK


def samples_of(clock: ScanClock, grid: Grid) -> np.ndarray | None:
    """Numbers of the volumes that are the grid's samples; None where the clock differs from the grid's."""
    import numpy as np

    theirs, wanted = clock.instants_s(), grid.instants_s()
    nearest = np.round((wanted - theirs[0]) / clock.repetition_time_s).astype(np.int64)
    nearest = np.clip(nearest, 0, clock.n_volumes - 1)
    near = (SAME_CLOCK + SLACK) * clock.repetition_time_s
    return nearest if np.abs(theirs[nearest] - wanted).max() <= near else None


def bring_to_grid(values: np.ndarray, clock: ScanClock, grid: Grid) -> np.ndarray:
    """A scan's volumes at the grid's samples: those volumes themselves, or a cubic spline through all of them.

    Parameters
    ----------
    values : (n_volumes, n_columns), finite

    Returns
    -------
    (n_samples, n_columns), of the same type
    """
    import numpy as np
    from scipy.interpolate import CubicSpline

    kept = samples_of(clock, grid)
    if kept is not None:
        if np.array_equal(kept, np.arange(kept[0], kept[0] + kept.size)):
            return values[kept[0] : kept[0] + kept.size]
        return values[kept]
    theirs, wanted = clock.instants_s(), grid.instants_s()
    out = np.empty((wanted.size, values.shape[1]), values.dtype)
    for first in range(0, values.shape[1], COLUMNS_AT_ONCE):
        columns = slice(first, first + COLUMNS_AT_ONCE)
        out[:, columns] = CubicSpline(theirs, values[:, columns].astype(np.float64))(wanted)
    return out


def state_clocks(clocks: Sequence[ScanClock], grid: Grid) -> str:
    """In words: how many listeners' volumes were shifted, and by how much at most."""
    import numpy as np

    shifts = []
    for clock in clocks:
        if samples_of(clock, grid) is None:
            theirs, wanted = clock.instants_s(), grid.instants_s()
            after = np.clip(np.searchsorted(theirs, wanted), 1, theirs.size - 1)
            nearest = np.minimum(np.abs(theirs[after] - wanted), np.abs(theirs[after - 1] - wanted))
            shifts.append(float(nearest.max()))
    shortened = f"; {grid.shortened}" if grid.shortened else ""
    if not shifts:
        return f"all {len(clocks)} listeners have one clock{shortened}"
    return (
        f"{len(shifts)} of {len(clocks)} listeners were brought to the clock of the others by a cubic spline "
        f"(by {min(shifts):.3f}–{max(shifts):.3f} s at most){shortened}"
    )
