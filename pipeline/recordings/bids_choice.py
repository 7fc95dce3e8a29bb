"""Choosing the images, events, sidecars and confounds of one task and run in a BIDS dataset, by names alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.errors import BadConfiguration
from pipeline.recordings.openneuro.bids_names import ABSENT, BidsName, parse_name, select_names
from pipeline.recordings.stories.options import StoryOptions
from pipeline.recordings.stories.selection import ScanFiles, StoryFiles

CONFOUND_ENDINGS = ("_desc-confounds_timeseries.tsv", "_desc-confounds_regressors.tsv")
SURFACE = ".func.gii"
IMAGES = (".nii", ".nii.gz", SURFACE)


class BidsStory(Section):
    """One story: the task and run in whose scans it was heard, its sound and its words."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="what it is called")
    task: str = Field(description="as in task-TASK")
    run: int | None = Field(None, ge=0, description="as in run-RUN; None for scans without run")
    audio: str = Field("", description="sound within the dataset, e.g. stimuli/story.wav")
    words: str = Field(
        "", description="words with their times within the dataset: .tsv, .csv, .TextGrid, or gentle's align.csv"
    )
    language: str = Field("en", description="spoken language, for resynthesise: en, fr or zh")
    stim_file: str = Field("", description="what events.tsv calls the sound; by default the name of its file")

    @model_validator(mode="after")
    def _heard_somehow(self) -> BidsStory:
        if not self.audio and not self.words:
            raise ValueError(f"story '{self.name}' has neither audio nor words")
        return self


class BidsOptions(StoryOptions):
    """Which images of a BIDS dataset, and what was heard. ``limit`` takes the first listeners."""

    stories: tuple[BidsStory, ...] = Field(
        min_length=1, description="stories that the listeners heard; they become the runs of one group"
    )
    derivatives: str = Field("", description="folder with the images within the dataset, e.g. derivatives/fmriprep")
    space: str | None = Field(None, description="as in space-SPACE of the images")
    description: str | None = Field(None, description="as in desc-DESCRIPTION of the images")
    audio_start_s: float | None = Field(
        None, description="start of the sound after the first volume of a scan began, in s; None takes events.tsv"
    )
    n_dropped_volumes: int = Field(0, ge=0, description="volumes of each scan that the images no longer have")
    repetition_time_s: float | None = Field(None, gt=0, description="TR in s; None takes the sidecar or the header")
    word_columns: dict[str, str] = Field(
        {"text": "text", "onset_s": "onset_s", "offset_s": "offset_s"},
        description="text, onset_s, offset_s and, where known, log_frequency → columns of tables of words",
    )

    @model_validator(mode="after")
    def _dropped_need_a_repetition_time(self) -> BidsOptions:
        if self.n_dropped_volumes and self.repetition_time_s is None:
            raise ValueError(
                "n_dropped_volumes needs repetition_time_s, as the time of the first volume follows from it"
            )
        return self


def choose_stories(paths: Iterable[str], options: BidsOptions, where: str) -> tuple[StoryFiles, ...]:
    """The scans of the listeners who heard all stories.

    Parameters
    ----------
    paths : of the dataset's files
    where : the dataset, for messages

    Raises
    ------
    BadConfiguration
        No image fits, or several of one scan do, or a file that a story names is not there.
    """
    paths = sorted(paths)
    names = {path: name for path in paths if (name := parse_name(path)) is not None}
    heard = {story.name: _scans(story, paths, names, options, where) for story in options.stories}
    everywhere = [s for s in heard[options.stories[0].name] if all(s in scans for scans in heard.values())]
    if not everywhere:
        raise BadConfiguration(
            f"{where}: no listener has a scan of every story ({', '.join(heard)}); check task and run, subjects and "
            "exclude"
        )
    for story in options.stories:
        needed = story.words if options.heard_as == "words" or options.resynthesise else story.audio
        if needed not in paths:
            raise BadConfiguration(
                f"{where}: story '{story.name}' needs '{needed or 'audio or words'}', which the dataset does not have; "
                "correct its audio or words, or set resynthesise or heard_as"
            )
    return tuple(
        StoryFiles(
            name=story.name,
            language=story.language,
            stim_file=story.stim_file or PurePosixPath(story.audio).name,
            audio=story.audio,
            words=story.words,
            word_columns=options.word_columns,
            scans=tuple(heard[story.name][subject] for subject in everywhere[: options.limit]),
        )
        for story in options.stories
    )


def _scans(
    story: BidsStory, paths: list[str], names: Mapping[str, BidsName], options: BidsOptions, where: str
) -> dict[str, ScanFiles]:
    """Listener → the scan of one story."""
    fitting = select_names(
        paths,
        folder=options.derivatives.strip("/"),
        task=story.task,
        run=ABSENT if story.run is None else story.run,
        space=options.space,
        description=options.description,
        extension=IMAGES,
    )
    images: dict[str, list[str]] = {}
    for path, name in fitting.items():
        if (name.suffix == "bold" or name.extension == SURFACE) and options.wanted(f"sub-{name.subject}"):
            images.setdefault(f"sub-{name.subject}", []).append(path)
    if not images:
        run = "" if story.run is None else f", run {story.run}"
        raise BadConfiguration(
            f"{where}: no image fits task {story.task}{run}, space {options.space}, description {options.description} "
            f"under '{options.derivatives or 'the dataset itself'}'; correct story '{story.name}' or these options"
        )
    return {subject: _scan(subject, found, paths, names, options, where) for subject, found in images.items()}


def _scan(
    subject: str,
    images: list[str],
    paths: list[str],
    names: Mapping[str, BidsName],
    options: BidsOptions,
    where: str,
) -> ScanFiles:
    sides = [names[path].hemisphere for path in images]
    if len(images) != 1 and sides != ["L", "R"]:
        raise BadConfiguration(
            f"{where}: {len(images)} images of {subject} fit ({', '.join(images)}); say which with space and "
            "description"
        )
    name = names[images[0]]
    confounds = ""
    if options.confounds != "none":
        found = [
            path
            for path, other in names.items()
            if path.endswith(CONFOUND_ENDINGS)
            and (other.subject, other.session, other.task, other.run)
            == (name.subject, name.session, name.task, name.run)
        ]
        if len(found) != 1:
            raise BadConfiguration(
                f"{where}: {len(found)} tables of confounds of {subject}, task {name.task}; set confounds to none"
            )
        confounds = found[0]
    return ScanFiles(
        subject=subject,
        images=tuple(images),
        events="" if options.audio_start_s is not None else inherited(name, "events.tsv", paths, names, where),
        sidecar="" if options.repetition_time_s is not None else inherited(name, "bold.json", paths, names, ""),
        confounds=confounds,
        first_volume_s=options.n_dropped_volumes * (options.repetition_time_s or 0.0),
        audio_start_s=options.audio_start_s,
    )


def inherited(image: BidsName, ending: str, paths: list[str], names: Mapping[str, BidsName], where: str) -> str:
    """The file with a scan's metadata: its own, else the listener's or the task's at the top (inheritance principle).

    Parameters
    ----------
    ending : ``events.tsv`` or ``bold.json``

    Raises
    ------
    BadConfiguration
        There is none; not if ``where`` is empty, then the answer is empty too.
    """
    entities = ("session", "task", "run")
    best, most = "", -1
    for path, name in names.items():
        if f"{name.suffix}{name.extension}" != ending or path.startswith("derivatives/"):
            continue
        stated = [entity for entity in entities if getattr(name, entity) is not None]
        agrees = all(getattr(name, entity) == getattr(image, entity) for entity in stated)
        if name.subject == image.subject and agrees and len(stated) > most:
            best, most = path, len(stated)
    run = "" if image.run is None else f"_run-{image.run}"
    for path in (f"task-{image.task}{run}_{ending}", f"task-{image.task}_{ending}", ending):
        if not best and path in paths:
            best = path
    if not best and where:
        raise BadConfiguration(
            f"{where}: no {ending} fits sub-{image.subject}, task {image.task}; say when the sound began with "
            "audio_start_s"
        )
    return best
