"""Plain files of a user's own: responses in an array or table, and what was shown, played or read.

The files are brought whole into ``data/raw/files/<key>/``; keys follow their contents, not their places.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.catalogue import Catalogue, Group, RawFile, Run, StimulusEntry
from pipeline.core.errors import SampleMismatch, UnknownName
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.file_digests import digests_of_files
from pipeline.recordings.files.layout import contents, open_raw_folder, raw_files, stimulus_names
from pipeline.recordings.files.options import FilesOptions
from pipeline.recordings.files.stimulus import IMAGES, item_names, left_out_line, order_line, stimulus_files

if TYPE_CHECKING:
    import xarray as xr

KIND = "files"
GROUP = "targets"


def catalogue(options: FilesOptions, key: str, mirror: str | None = None) -> Catalogue:
    """All targets in one group; a recording per run, and each distinct stimulus once.

    Raises
    ------
    BrokenArtifact, SampleMismatch
        The files cannot be read or do not fit each other; the message names the user's own.
    """
    from pipeline.recordings.files.responses import check_recordings

    subjects = check_recordings(options)
    for run in options.parts:
        _say("catalogue", left_out_line(run.stimulus))
        _say("catalogue", order_line(run.stimulus) if run.items is None else None)
    places = raw_files(options)
    digests = digests_of_files(places.values())
    refuse_doubles(options, digests)
    stimuli = stimulus_names(options, digests)
    recordings = tuple(str(run.name) for run in options.parts)
    runs = tuple(Run(stimulus=one, recording=other) for one, other in zip(stimuli, recordings, strict=True))
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(Group(name=GROUP, runs=runs, subjects=subjects),),
        recordings=recordings,
        stimuli=tuple(StimulusEntry(name=name, modality=options.form.modality) for name in dict.fromkeys(stimuli)),
        files=tuple(
            RawFile(path=place, url=file.as_uri(), bytes=file.stat().st_size, sha256=digests[file])
            for place, file in sorted(places.items())
        ),
    )


def refuse_doubles(options: FilesOptions, digests: Mapping[Path, str]) -> None:
    """Refuse runs with the same responses, and items of one name that hold different bytes.

    The same responses would count as another recording of the same, and items of one name as further showings.

    Parameters
    ----------
    digests : SHA-256 of each file

    Raises
    ------
    SampleMismatch
        Names both runs, or both files.
    """
    first: dict[str, tuple[str, Path]] = {}
    for run in options.parts:
        name, responses = first.setdefault(digests[run.responses], (str(run.name), run.responses))
        if name != run.name:
            same = "the same file" if responses == run.responses else f"the same bytes as {responses}"
            raise SampleMismatch(
                f"runs '{name}' and '{run.name}' have the same responses: {run.responses} is {same}; "
                "give each run its own"
            )
    if options.form.on_a_clock:
        return
    what = "picture" if options.form is IMAGES else "sound"
    shown: dict[str, Path] = {}
    for folder in dict.fromkeys(run.stimulus for run in options.parts):
        for item, file in zip(item_names(folder), stimulus_files(folder), strict=True):
            other = shown.setdefault(item, file)
            if digests[file] != digests[other]:
                raise SampleMismatch(
                    f"'{item}' is another {what} in {folder} than in {other.parent} ({file.name} and {other.name} "
                    "hold different bytes): give them different names, or give both runs one file if it is the same"
                )


def prepare_stimulus(name: str, raw_folder: Path, options: FilesOptions) -> xr.Dataset:
    """The stimulus of the first run that has it."""
    from pipeline.recordings.files.stimulus import read_stimulus

    raw = open_raw_folder(options, raw_folder)
    for found, run in raw.stimuli():
        if found == name:
            raw.check(run.stimulus, raw.options.categories)
            return read_stimulus(
                name, run.stimulus, frame_rate_hz=options.frame_rate_hz, categories=raw.options.categories
            )
    raise UnknownName(f"stimulus of {KIND}", name, [found for found, _ in raw.stimuli()])


def prepare_recording(name: str, raw_folder: Path, options: FilesOptions) -> xr.Dataset:
    """Responses ``(repeat, sample, target)`` of one run, in the unit that the study states."""
    from pipeline.recordings.files.responses import read_recording

    raw = open_raw_folder(options, raw_folder)
    for stimulus, run in raw.stimuli():
        if run.name == name:
            raw.check(run.responses, run.items, run.times, raw.options.regions, raw.options.categories)
            _say("prepare", order_line(run.stimulus) if run.items is None else None)
            return read_recording(raw.options, run, stimulus)
    raise UnknownName(f"recording of {KIND}", name, [str(run.name) for run in raw.options.parts])


@functools.cache  # runs may share a folder
def _say(stage: str, line: str | None) -> None:
    """A line about a folder of stimuli, on stderr, once."""
    if line is not None:
        print(f"layermap {stage}: {line}", file=sys.stderr, flush=True)


DATASET = DatasetEntry(
    kind=KIND,
    options=FilesOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="the user's own files",
    citation="local files; the receipt gives their SHA-256",
    licence="as their owner states",
    words="pipeline.recordings.allen.words:OTHER_MICE",
    selection=("kind",),
    contents=contents,
)
