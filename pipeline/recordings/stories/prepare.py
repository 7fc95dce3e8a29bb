"""From fetched files to stimuli and recordings, alike for all datasets of stories.

Two clocks: the scanner's, whose 0 is the start of a scan's first volume, and the sound file's. A recording is on the
latter; events.tsv (or an option) says when the sound began on the former.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.recordings.bold.tables import stated_repetition_time
from pipeline.recordings.stories.events import Played, played, read_events
from pipeline.recordings.stories.options import NO_FILES, StoryOptions
from pipeline.recordings.stories.selection import ScanFiles, Selection, StoryFiles, intact, open_selection
from pipeline.recordings.verified import FETCH_AGAIN

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from pipeline.artifacts.recording import RecordingParts
    from pipeline.recordings.bold.story import Scan
    from pipeline.stimuli.words import WordTable

SAMPLING_RATE_HZ = 16_000
RESYNTHESISED = "stimuli resynthesised by eSpeak NG from word timings"


def selection_names(options: type[StoryOptions]) -> tuple[str, ...]:
    """The options that decide which files are needed."""
    return tuple(name for name in options.model_fields if name not in NO_FILES)


def recorded_names(options: type[StoryOptions]) -> tuple[str, ...]:
    """The options that decide what a recording holds, where events say how long its story is."""
    return tuple(name for name in options.model_fields if name != "heard_as")


def source_of(story: StoryFiles, options: StoryOptions) -> str:
    """The file of a story that is fetched to be shown to networks."""
    return story.words if options.needs_words else story.audio


def prepare_stimulus(name: str, raw_folder: Path, options: StoryOptions) -> xr.Dataset:
    """A story's sound, mono at 16 kHz, or its words; both on the clock of the sound file.

    Raises
    ------
    BrokenArtifact
        A file is missing, altered, or no sound or table of words.
    """
    from pipeline.core.keys import key_of
    from pipeline.stimuli.words import words_stimulus

    selection = open_selection(raw_folder, options)
    story = selection.story(name)
    source = source_of(story, options)
    with intact(raw_folder, [source], selection):
        if options.heard_as == "words":
            stimulus = words_stimulus(name, _words(story, raw_folder))
        else:
            stimulus = _sound(name, story, raw_folder, resynthesise=options.resynthesise)
    # the story's own file decides, whatever else was fetched with it
    sha = key_of([source, selection.digests.get(source) or _recorded(raw_folder / source), story.section])
    return stimulus.assign_attrs(language=story.language, inputs_sha=sha)


def _recorded(path: Path) -> str | None:
    from pipeline.fetch.checks.digests import read_digest

    return read_digest(path)


def _words(story: StoryFiles, raw_folder: Path) -> WordTable:

    return read_words(story, raw_folder, FETCH_AGAIN)


def _sound(name: str, story: StoryFiles, raw_folder: Path, *, resynthesise: bool) -> xr.Dataset:
    from pipeline.stimuli.sounds.audio_files import audio_stimulus, read_audio

    if not resynthesise:
        sound = read_audio(raw_folder / story.audio, sampling_rate_hz=SAMPLING_RATE_HZ, remedy=FETCH_AGAIN)
        return audio_stimulus(name, [sound], [name], SAMPLING_RATE_HZ)
    from pipeline.stimuli.synthetic.resynthesis import resynthesise_words

    words = _words(story, raw_folder)
    duration_s = story.end_s or float(words.offset_s[-1]) + 1.0
    sound = resynthesise_words(words, language=story.language, duration_s=duration_s, sampling_rate_hz=SAMPLING_RATE_HZ)
    return audio_stimulus(name, [sound], [name], SAMPLING_RATE_HZ).assign_attrs(
        resynthesised=1, title=f"{name} ({RESYNTHESISED})"
    )


def prepare_recording(name: str, raw_folder: Path, options: StoryOptions) -> RecordingParts:
    """All listeners of one story, cleaned, side by side as targets.

    Raises
    ------
    BrokenArtifact, SampleMismatch
        A file is missing or altered, a listener did not hear the story or not all of it; the message names the file.
    """
    from pipeline.recordings.bold.story import Heard, prepare_story

    selection = open_selection(raw_folder, options)
    story = selection.story(name)
    tables = [path for scan in story.scans for path in (scan.events, scan.sidecar)]
    with intact(raw_folder, tables, selection):
        chosen = [_chosen_scan(subject, story, raw_folder) for subject in story.listeners]
        start_s, end_s = _told(chosen, story, raw_folder)
        if math.isinf(end_s):
            end_s = _end_of_source(story, raw_folder, options, selection)
        scans = [_scan(files, how, raw_folder) for files, how in chosen]
    parts = prepare_story(
        name,
        scans,
        Heard(stimulus=name, start_s=start_s, end_s=end_s),
        raw_folder,
        options,
        remedy=FETCH_AGAIN,
    )
    files = [path for scan, _ in chosen for path in (*scan.images, scan.confounds)]
    header = parts.header.assign_attrs(left_out=selection.left_out)
    if options.resynthesise:
        header = header.assign_attrs(stimuli=RESYNTHESISED)
    return dataclasses.replace(parts, header=header, blocks=_intact_blocks(parts.blocks, raw_folder, files, selection))


def _intact_blocks(
    blocks: Iterable[np.ndarray], raw_folder: Path, files: list[str], selection: Selection
) -> Iterator[np.ndarray]:
    """The blocks, while the files that they come from are compared with their digests."""
    with intact(raw_folder, files, selection):
        yield from blocks


def _chosen_scan(subject: str, story: StoryFiles, raw_folder: Path) -> tuple[ScanFiles, Played | None]:
    """The listener's scan in which the story was played, and how; None where no events say so."""
    scans = [scan for scan in story.scans if scan.subject == subject]
    for scan in scans:
        if not scan.events:
            return scan, None
        path = raw_folder / scan.events
        how = played(read_events(path, FETCH_AGAIN), story.stim_file, path)
        if how is not None:
            return scan, how
    names = ", ".join(Path(scan.events).name for scan in scans)
    raise SampleMismatch(
        f"{raw_folder}: {subject} did not hear {story.stim_file} by {names}; leave the listener out (exclude), or "
        "correct stim_file"
    )


def _scan(files: ScanFiles, how: Played | None, raw_folder: Path) -> Scan:
    """What `prepare_story` reads; its clock starts with the first volume of the images, which may have been cut."""
    from pipeline.recordings.bold.story import Scan

    audio_start_s = files.audio_start_s or 0.0 if how is None else how.audio_start_s
    stated = stated_repetition_time(raw_folder / files.sidecar, FETCH_AGAIN) if files.sidecar else None
    return Scan(
        subject=files.subject,
        images=tuple(raw_folder / image for image in files.images),
        audio_start_s=audio_start_s - files.first_volume_s,
        repetition_time_s=files.repetition_time_s or stated,
        confounds=raw_folder / files.confounds if files.confounds else None,
    )


def _told(chosen: list[tuple[ScanFiles, Played | None]], story: StoryFiles, raw_folder: Path) -> tuple[float, float]:
    """Start and end of the story on the clock of the sound, in s; the end is infinite where nothing says it.

    Raises
    ------
    SampleMismatch
        The events of two listeners disagree.
    """
    told = [(scan, how) for scan, how in chosen if how is not None]
    if not told:
        return 0.0, math.inf if story.end_s is None else story.end_s
    first = told[0][1]
    for scan, how in told[1:]:
        if not how.tells_the_same(first):
            raise SampleMismatch(
                f"{raw_folder / scan.events}: {story.stim_file} tells its story from {how.story_start_s:g} to "
                f"{how.story_end_s:g} s, but in {Path(told[0][0].events).name} from {first.story_start_s:g} to "
                f"{first.story_end_s:g} s; leave the scan out (exclude)"
            )
    return first.story_start_s, first.story_end_s


def _end_of_source(story: StoryFiles, raw_folder: Path, options: StoryOptions, selection: Selection) -> float:
    """Length of the sound that was fetched, or where the last of the words that were ends, in s."""
    from pipeline.stimuli.sounds.audio_files import sound_duration_s

    source = source_of(story, options)
    with intact(raw_folder, [source], selection):
        if source == story.words:
            return float(_words(story, raw_folder).offset_s[-1])
        return sound_duration_s(raw_folder / source, remedy=FETCH_AGAIN)


GENTLE = "align.csv"


def read_words(story: StoryFiles, raw_folder: Path, remedy: str) -> WordTable:
    """Words with their times on the clock of the story's sound.

    A TextGrid and gentle's ``align.csv`` are known by their names; any other .tsv or .csv is a table with a header.

    Raises
    ------
    BrokenArtifact
        The file is missing, of an unknown kind, or broken.
    """
    from pipeline.stimuli.textgrids import read_textgrid
    from pipeline.stimuli.words import read_gentle, read_word_csv, read_word_table

    path = raw_folder / story.words
    kind = path.suffix.lower()
    if path.name == GENTLE:
        return read_gentle(path, remedy=remedy)
    if kind == ".textgrid":
        return read_textgrid(path, story.tier or None, remedy=remedy)
    columns = story.word_columns
    if kind == ".csv":
        return read_word_csv(path, section=story.section, remedy=remedy, **columns)
    if kind == ".tsv":
        return read_word_table(path, **columns)
    raise BrokenArtifact(f"{path} ends in '{path.suffix}', expected .tsv, .csv, .TextGrid or gentle's {GENTLE}")
