"""Whether a user's own recordings last as long as their sounds, movies and words, before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.tables import read_table
from pipeline.recordings.files.stimulus import MOVIE, SOUND, StimulusForm, read_movie
from pipeline.stimuli.overlap import check_overlap, outlasting, partly_heard
from pipeline.stimuli.sounds.audio_files import sound_duration_s

if TYPE_CHECKING:
    import numpy as np

    from pipeline.recordings.files.options import FilesOptions, RunFiles

REMEDIES = {
    "sound": "correct sample_interval_s or times (s)",
    "movie": "correct sample_interval_s or times (s), or frame_rate_hz",
    "words": "correct sample_interval_s or times (s), or onset_s and offset_s (s)",
}


@dataclasses.dataclass(frozen=True)
class Heard:
    """What of a stimulus a run covers.

    Parameters
    ----------
    responses : of the run
    start_s, stop_s : of its first and last bin on the stimulus clock, in s
    interval_s : from one sample to the next, in s
    """

    responses: Path
    start_s: float
    stop_s: float
    interval_s: float


def stimulus_spans(options: FilesOptions) -> dict[Path, tuple[float, float]]:
    """Start and end of each stimulus on its own clock, in s, from its header where it has one; words end with the last.

    What cannot be read is left out: `prepare`, which reads all of it, says what is wrong. So are pictures and clips.
    """
    spans = {}
    for path in dict.fromkeys(run.stimulus for run in options.parts) if options.form.on_a_clock else ():
        try:
            spans[path] = 0.0, _end_s(path, options.form, options.frame_rate_hz)
        except (BrokenArtifact, OSError):
            continue
    return spans


def _end_s(path: Path, form: StimulusForm, frame_rate_hz: float | None) -> float:
    if form is SOUND:
        return sound_duration_s(path)
    if form is MOVIE:
        return len(read_movie(path)) / (frame_rate_hz or 1.0)
    return max(read_table(path).numbers("offset_s"))


def check_length(
    options: FilesOptions, run: RunFiles, time_s: np.ndarray, interval_s: float, stimulus_s: tuple[float, float]
) -> None:
    """Refuse a run that lies beside its stimulus.

    Parameters
    ----------
    time_s : (n_samples,) ends of the samples' bins, in s
    stimulus_s : from `stimulus_spans`

    Raises
    ------
    SampleMismatch
        As `pipeline.stimuli.overlap.check_overlap` says.
    """
    what = {SOUND: "sound", MOVIE: "movie"}.get(options.form, "words")
    check_overlap(
        time_s, interval_s, stimulus_s, recording=str(run.responses), stimulus=str(run.stimulus), remedy=REMEDIES[what]
    )


def odd_lengths(spans: Mapping[Path, tuple[float, float]], heard: Mapping[Path, Sequence[Heard]]) -> list[str]:
    """A warning for each stimulus that was not recorded whole, all its runs together, or that a run outlasts.

    Parameters
    ----------
    spans : stimulus → (start, end), in s
    heard : stimulus → its runs
    """
    found = []
    for stimulus, runs in heard.items():
        others = f" (with {len(runs) - 1} more runs)" if len(runs) > 1 else ""
        longest = max(runs, key=lambda run: run.stop_s - run.start_s)
        found += [
            partly_heard(
                [(run.start_s, run.stop_s) for run in runs],
                spans[stimulus],
                recording=f"{runs[0].responses}{others}",
                stimulus=str(stimulus),
            ),
            outlasting(
                longest.stop_s - longest.start_s,
                longest.interval_s,
                spans[stimulus],
                recording=str(longest.responses),
                stimulus=str(stimulus),
            ),
        ]
    return [said for said in found if said]
