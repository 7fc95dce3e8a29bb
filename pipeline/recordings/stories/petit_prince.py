"""Le Petit Prince: 112 people who listened to the book in English, French or Chinese (Li et al. 2022).

Each listener heard the nine sections of the book in their own language, one run each. Run numbers are not sections: of
a listener's runs in ascending order, the k-th is section k; the number of volumes says whether that is so.

Clocks: there are no events. That the preprocessed run begins with the sound is inferred, so the onset is an option
(``onset_s``), and the response of auditory cortex is compared with the loudness of the sound at other lags
(``check_onset``); the recording and the report say if another fits better.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from pipeline.artifacts.catalogue import Catalogue, RawFile
from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.recordings.bids_names import parse_name
from pipeline.recordings.bold.parcellation.atlases import atlas_files
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.openneuro.snapshot import ListedFile, find_file, list_snapshot, raw_file
from pipeline.recordings.stories import prepare
from pipeline.recordings.stories.onset import watch_onset
from pipeline.recordings.stories.options import StoryOptions
from pipeline.recordings.stories.selection import (
    ScanFiles,
    Selection,
    StoryFiles,
    catalogue_of,
    open_selection,
    published_digests,
)
from pipeline.recordings.verified import FETCH_AGAIN

if TYPE_CHECKING:
    from pipeline.artifacts.recording import RecordingParts

KIND = "petit_prince"
DATASET_ID = "ds003643"
TR_S = 2.0
N_SECTIONS = 9
LANGUAGE_OF = {"EN": "en", "FR": "fr", "CN": "zh"}
N_VOLUMES = {
    "CN": (283, 322, 322, 307, 293, 392, 364, 293, 401),
    "EN": (282, 298, 340, 303, 265, 343, 325, 292, 368),
    "FR": (309, 326, 354, 315, 293, 378, 332, 294, 336),
}
"""Volumes of each section, by the language of the listeners."""
SOUND_OF = {
    "EN": "stimuli/task-lppEN_section-{}.wav",
    "FR": "stimuli/task-lppFR_section_{}.wav",
    "CN": "stimuli/task-lppCN_section_{}.wav",
}
WORD_COLUMNS = {"text": "word", "onset_s": "onset", "offset_s": "offset", "log_frequency": "logfreq"}

Language = Literal["EN", "FR", "CN"]
Listed = dict[str, ListedFile]


class PetitPrinceOptions(StoryOptions):
    """Which languages and sections. ``limit`` takes listeners of each language."""

    kind: Literal["petit_prince"] = Field("petit_prince", description="Le Petit Prince in three languages, fMRI")
    languages: tuple[Language, ...] = Field(("EN", "FR", "CN"), min_length=1, description="languages of the listeners")
    sections: tuple[int, ...] = Field(
        tuple(range(1, N_SECTIONS + 1)), min_length=1, description="sections of the book, 1 to 9"
    )
    snapshot: str = Field("2.0.7", description="snapshot of OpenNeuro's ds003643")
    onset_s: dict[Language, float] = Field(
        {}, description="language → start of the sound after the first volume began, in s; 0 where not given (inferred)"
    )
    check_onset: bool = Field(
        True, description="compare the response of auditory cortex with the loudness of the sound at other lags"
    )
    volume_tolerance: int = Field(
        3, ge=0, description="volumes by which a run may differ from its section's number before it is refused"
    )

    @field_validator("languages")
    @classmethod
    def _each_once(cls, value: tuple[Language, ...]) -> tuple[Language, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"a language is listed twice: {', '.join(value)}")
        return value

    @field_validator("sections")
    @classmethod
    def _are_sections(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for section in value:
            if not 1 <= section <= N_SECTIONS:
                raise ValueError(f"section {section} is none of 1 to {N_SECTIONS}")
        if len(set(value)) != len(value):
            raise ValueError(f"a section is listed twice: {', '.join(map(str, value))}")
        return value


def sections_of(listed: Listed) -> dict[str, dict[str, list[str]]]:
    """Language → listener → preprocessed images of sections 1, 2, … : the listener's runs in ascending order."""
    runs: dict[str, dict[str, dict[int, str]]] = {language: {} for language in LANGUAGE_OF}
    for path in listed:
        name = parse_name(path) if path.startswith("derivatives/") else None
        if name is None or (name.suffix, name.description) != ("bold", "preproc") or name.run is None:
            continue
        language = str(name.task).removeprefix("lpp")
        if language in runs:
            runs[language].setdefault(f"sub-{name.subject}", {})[name.run] = path
    return {
        language: {subject: [images[run] for run in sorted(images)] for subject, images in sorted(by_subject.items())}
        for language, by_subject in runs.items()
    }


def catalogue(options: PetitPrinceOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group of listeners for each language, with the sections as its runs.

    Raises
    ------
    FetchError
        No server gives the list, or it lacks a file.
    SampleMismatch
        A listener has not as many runs as the book has sections.
    """
    listed = list_snapshot(DATASET_ID, options.snapshot, mirror)
    found = sections_of(listed)
    options.check_names({subject: () for heard in found.values() for subject in heard})
    files: dict[str, RawFile] = {}
    stories: list[StoryFiles] = []
    groups: dict[str, tuple[str, ...]] = {}
    for language in options.languages:
        heard = {s: images for s, images in found[language].items() if options.wanted(s)}
        heard = dict(list(heard.items())[: options.limit])
        if not heard:
            raise BadConfiguration(
                f"dataset {KIND}: no listener of {language} is left (subjects, exclude); take it out of languages"
            )
        _check_complete(heard)
        groups[language] = tuple(story_name(language, section) for section in options.sections)
        for section in options.sections:
            story = _story(language, section, heard, options)
            stories.append(story)
            path = prepare.source_of(story, options)
            files[path] = raw_file(find_file(path, listed, DATASET_ID))
            for part, scan in enumerate(story.scans, start=1):
                files[scan.images[0]] = raw_file(find_file(scan.images[0], listed, DATASET_ID), part=part)
    selection = Selection(
        stories=tuple(stories),
        digests=published_digests(listed, stories),
        left_out=options.left_out_by_study,
    )
    return catalogue_of(KIND, key, options, selection, [*files.values(), *atlas_files(options)], groups)


def story_name(language: str, section: int) -> str:
    return f"{language}-section-{section}"


def _check_complete(heard: dict[str, list[str]]) -> None:
    for subject, images in heard.items():
        if len(images) != N_SECTIONS:
            raise SampleMismatch(
                f"{subject} has {len(images)} preprocessed runs, but the book has {N_SECTIONS} sections, so nobody "
                f"knows which run is which ({', '.join(Path(path).name for path in images)}); leave the listener out "
                "(exclude)"
            )


def _story(language: str, section: int, heard: dict[str, list[str]], options: PetitPrinceOptions) -> StoryFiles:
    return StoryFiles(
        name=story_name(language, section),
        language=LANGUAGE_OF[language],
        audio=SOUND_OF[language].format(section),
        words=f"annotation/{language}/lpp{language}_word_information.csv",
        word_columns=WORD_COLUMNS,
        section=section,
        end_s=N_VOLUMES[language][section - 1] * TR_S,
        scans=tuple(
            ScanFiles(
                subject=subject,
                images=(images[section - 1],),
                audio_start_s=_onset_s(language, options),
                repetition_time_s=TR_S,
            )
            for subject, images in heard.items()
        ),
    )


def _onset_s(language: str, options: PetitPrinceOptions) -> float:
    return {str(name): onset for name, onset in options.onset_s.items()}.get(language, 0.0)


def prepare_recording(name: str, raw_folder: Path, options: PetitPrinceOptions) -> RecordingParts:
    """All listeners of one section; see `pipeline.recordings.stories.prepare.prepare_recording`.

    Raises
    ------
    SampleMismatch
        A run has another number of volumes than its section: it may be another section.
    """
    story = open_selection(raw_folder, options).story(name)
    language = name.partition("-")[0]
    for scan in story.scans:
        check_volumes(raw_folder / scan.images[0], language, int(story.section or 0), options.volume_tolerance)
    parts = prepare.prepare_recording(name, raw_folder, options)
    if not options.check_onset or options.needs_words:
        return parts  # without the sound that was heard there is nothing to compare with
    return watch_onset(
        parts, raw_folder / story.audio, name, f"set onset_s: {{{language}: SECONDS}} if that holds in all"
    )


def check_volumes(path: Path, language: str, section: int, tolerance: int) -> None:
    """Compare a run's number of volumes with that of its section."""
    from pipeline.recordings.bold.images import describe

    n, expected = describe((path,), FETCH_AGAIN).n_volumes, N_VOLUMES[language]
    if abs(n - expected[section - 1]) <= tolerance:
        return
    near = [str(one) for one, count in enumerate(expected, start=1) if abs(n - count) <= tolerance]
    fits = f"it may be section {' or '.join(near)}" if near else "it fits no section"
    raise SampleMismatch(
        f"{path} has {n} volumes where section {section} has {expected[section - 1]}: {fits}; leave the listener out "
        "(exclude), or raise volume_tolerance"
    )


DATASET = DatasetEntry(
    kind=KIND,
    options=PetitPrinceOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare.prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Le Petit Prince: listeners to a book in English, French or Chinese, fMRI of the whole brain",
    citation="Li et al. 2022, Scientific Data 9:530, doi:10.1038/s41597-022-01625-7; OpenNeuro ds003643",
    licence="CC0 (recordings); the French text is under copyright",
    selection=prepare.selection_names(PetitPrinceOptions),
    shown=("kind", "snapshot", "heard_as", "resynthesise"),
)
