"""Whether a user's own recordings last as long as their sounds, movies and words, before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BrokenArtifact
from pipeline.recordings.files_stimulus import MOVIE, SOUND, StimulusForm, read_movie
from pipeline.recordings.files_tables import read_table
from pipeline.stimuli.overlap import check_overlap, outlasting, partly_heard

if TYPE_CHECKING:
    import numpy as np

    from pipeline.recordings.files_options import FilesOptions, RunFiles

REMEDIES = {
    "sound": "correct sample_interval_s or times (s)",
    "movie": "correct sample_interval_s or times (s), or frame_rate_hz",
    "words": "correct sample_interval_s or times (s), or onset_s and offset_s (s)",
}


def stimulus_span(path: Path, form: StimulusForm, frame_rate_hz: float | None) -> tuple[float, float] | None:
    """Start and end of a stimulus on its own clock, in s, from its header where it has one; words end with the last.

    None for what cannot be read: `prepare`, which reads all of it, says what is wrong.
    """
    import soundfile

    try:
        if form is SOUND:
            found = soundfile.info(path)
            return (0.0, float(found.frames / found.samplerate)) if found.frames else None
        if form is MOVIE:
            return 0.0, len(read_movie(path)) / (frame_rate_hz or 1.0)
        return 0.0, max(read_table(path).numbers("offset_s"))
    except (BrokenArtifact, RuntimeError, TypeError, ValueError):  # soundfile's own error is a RuntimeError
        return None


def check_length(
    options: FilesOptions, run: RunFiles, time_s: np.ndarray, interval_s: float, stimulus_s: tuple[float, float]
) -> None:
    """Refuse a run that lies beside its stimulus.

    Parameters
    ----------
    time_s : (n_samples,) ends of the samples' bins, in s
    stimulus_s : from `stimulus_span`

    Raises
    ------
    SampleMismatch
        As `pipeline.stimuli.overlap.check_overlap` says.
    """
    what = {SOUND: "sound", MOVIE: "movie"}.get(options.form, "words")
    check_overlap(
        time_s, interval_s, stimulus_s, recording=str(run.responses), stimulus=str(run.stimulus), remedy=REMEDIES[what]
    )


def odd_lengths(
    options: FilesOptions,
    spans: dict[Path, tuple[float, float]],
    heard: dict[Path, list[tuple[float, float]]],
    intervals_s: dict[Path, float],
) -> list[str]:
    """A warning for each stimulus that was not recorded whole, all its runs together, or that a run outlasts.

    Parameters
    ----------
    spans : stimulus → (start, end), in s
    heard : stimulus → (start, end) of each run with it, in s
    intervals_s : stimulus → from one sample to the next, in s
    """
    found = []
    for stimulus, span in spans.items():
        files = [str(run.responses) for run in options.parts if run.stimulus == stimulus]
        others = f" (with {len(files) - 1} more runs)" if len(files) > 1 else ""
        lengths_s = [stop - start for start, stop in heard[stimulus]]
        longest = max(range(len(files)), key=lengths_s.__getitem__)
        found += [
            partly_heard(heard[stimulus], span, recording=f"{files[0]}{others}", stimulus=str(stimulus)),
            outlasting(
                lengths_s[longest], intervals_s[stimulus], span, recording=files[longest], stimulus=str(stimulus)
            ),
        ]
    return [said for said in found if said]
