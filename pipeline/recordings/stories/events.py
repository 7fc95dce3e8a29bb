"""When the sound began and which stretch of it was a story: BIDS events.tsv, on the clock of the scanner."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.bold.tables import read_table

MUSIC = "music"
SAME_S = 0.05


@dataclasses.dataclass(frozen=True)
class Event:
    """A row of events.tsv; times in s after the first volume began, NaN where they are n/a."""

    onset_s: float
    duration_s: float
    trial_type: str
    stim_file: str


@dataclasses.dataclass(frozen=True)
class Played:
    """How one sound was played in one scan.

    Parameters
    ----------
    audio_start_s : start of the sound file, in s on the scanner's clock (0: the first volume of the scan began)
    story_start_s, story_end_s : the stretch that is a story, in s on the sound file's own clock
    """

    audio_start_s: float
    story_start_s: float
    story_end_s: float

    def tells_the_same(self, other: Played) -> bool:
        """Whether the story is the same stretch of the sound, whenever it began."""
        return (
            abs(self.story_start_s - other.story_start_s) < SAME_S
            # an end that is not stated is infinite
            and (self.story_end_s == other.story_end_s or abs(self.story_end_s - other.story_end_s) < SAME_S)
        )


def read_events(path: Path, remedy: str) -> list[Event]:
    """Rows of an events.tsv, with or without byte-order mark; trial_type and stim_file may be missing.

    Raises
    ------
    BrokenArtifact
        The file is missing or no such table, lacks onset or duration, or a time is no number.
    """
    table = read_table(path, ("onset", "duration"), remedy)
    columns = [
        table.names(name, empty=True, alike=True) if table.has(name) else [""] * len(table)
        for name in ("trial_type", "stim_file")
    ]
    times = [table.numbers(name, empty=True) for name in ("onset", "duration")]
    return [
        Event(onset_s, duration_s, trial_type, Path(stim_file).name)
        for onset_s, duration_s, trial_type, stim_file in zip(*times, *columns, strict=True)
    ]


def played(events: list[Event], stim_file: str, path: Path) -> Played | None:
    """How a sound was played; None if it was not.

    The sound file starts with the first row that names it; its story reaches from the first such row that is not
    music to the end of the last one.

    Raises
    ------
    BrokenArtifact
        The onset is n/a, or the story begins before the music ends: then the sound began at another time than the
        first row says, and nobody knows at which.
    """
    rows = [event for event in events if event.stim_file == stim_file]
    if not rows:
        return None
    told = [event for event in rows if event.trial_type != MUSIC] or rows
    if any(math.isnan(event.onset_s) for event in rows):
        raise BrokenArtifact(
            f"{path}: the onset of {stim_file} is n/a, so nobody knows what was heard when; leave the scan out "
            "(exclude)"
        )
    for before in rows:
        if before.onset_s < told[0].onset_s < before.onset_s + before.duration_s - SAME_S:
            raise BrokenArtifact(
                f"{path}: the story starts at {told[0].onset_s:g} s, within the {before.trial_type or 'event'} that "
                f"lasts to {before.onset_s + before.duration_s:g} s, so nobody knows when {stim_file} began; leave "
                "the scan out (exclude)"
            )
    start = rows[0].onset_s
    end = told[-1].onset_s + told[-1].duration_s
    return Played(start, told[0].onset_s - start, math.inf if math.isnan(end) else end - start)
