"""Choosing the images, events, sidecars and confounds of one task and run in a BIDS dataset, by names alone."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from pydantic import Field, model_validator

from pipeline.core.errors import BadConfiguration
from pipeline.core.names import clean_name, natural_order, printable, refuse_alike
from pipeline.core.section import Section
from pipeline.recordings.bids_names import ABSENT, BidsName, parse_name, select_names
from pipeline.recordings.bold.tables import LONGEST_TR_S, SHORTEST_TR_S
from pipeline.recordings.stories.options import StoryOptions
from pipeline.recordings.stories.prepare import source_of
from pipeline.recordings.stories.selection import ScanFiles, StoryFiles

CONFOUND_ENDINGS = ("_desc-confounds_timeseries.tsv", "_desc-confounds_regressors.tsv")
SURFACE = ".func.gii"
IMAGES = (".nii", ".nii.gz", SURFACE)
EVENTS, SIDECAR = "events.tsv", "bold.json"
OF_A_SCAN = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "part")
"""Entities that tell scans apart; the others tell what was made of them."""
_STATED = ("session", "task", "acquisition", "run", "echo", "space", "hemisphere", "resolution", "description")


class BidsStory(Section):
    """One story: the task and run in whose scans it was heard, its sound and its words."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", description="what it is called")
    task: str = Field(description="as in task-TASK")
    run: int | None = Field(None, ge=0, description="as in run-RUN; None for scans without run")
    session: str | None = Field(
        None, pattern=r"^[A-Za-z0-9]+$", description="as in ses-SESSION; None for scans without session"
    )
    acquisition: str | None = Field(
        None, pattern=r"^[A-Za-z0-9]+$", description="as in acq-ACQUISITION; None for scans without acquisition"
    )
    audio: str = Field("", description="sound within the dataset, e.g. stimuli/story.wav")
    words: str = Field(
        "", description="words with their times within the dataset: .tsv, .csv, .TextGrid, or gentle's align.csv"
    )
    tier: str = Field(
        "", description="interval tier of a TextGrid; by default the only one, else the one called words or word"
    )
    language: str = Field("en", description="spoken language; resynthesise speaks en, fr and zh")
    stim_file: str = Field(
        "", description="what events.tsv calls the sound (folders do not count); by default the name of its file"
    )

    @model_validator(mode="after")
    def _heard_somehow(self) -> BidsStory:
        if not self.audio and not self.words:
            raise ValueError(f"story '{self.name}' has neither audio nor words")
        return self


class WordColumns(Section):
    """What tables of words (.tsv, .csv) call their columns."""

    text: str = Field("text", description="column of the words")
    onset_s: str = Field("onset_s", description="column of their onsets, in s on the clock of the sound")
    offset_s: str = Field("offset_s", description="column of their ends, likewise")
    log_frequency: str | None = Field(None, description="column of the log of their count in a corpus, where known")


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
    repetition_time_s: float | None = Field(
        None,
        ge=SHORTEST_TR_S,
        le=LONGEST_TR_S,
        allow_inf_nan=False,
        description="TR in s; None takes the sidecar or the header",
    )
    word_columns: WordColumns = Field(WordColumns(), description="what tables of words call their columns")

    @model_validator(mode="after")
    def _dropped_need_a_repetition_time(self) -> BidsOptions:
        if self.n_dropped_volumes and self.repetition_time_s is None:
            raise ValueError(
                "n_dropped_volumes needs repetition_time_s, as the time of the first volume follows from it"
            )
        return self

    @model_validator(mode="after")
    def _stories_can_be_told_apart_and_timed(self) -> BidsOptions:
        from pipeline.stimuli.synthetic.resynthesis import VOICES

        names = [story.name for story in self.stories]
        for story in self.stories:
            if names.count(story.name) > 1:
                raise ValueError(f"two stories are called '{story.name}'; give each a name of its own")
            if self.audio_start_s is None and not story.audio and not story.stim_file:
                raise ValueError(
                    f"nothing says which events are the sound of story '{story.name}'; give stim_file or audio_start_s"
                )
            if self.resynthesise and story.language not in VOICES:
                raise ValueError(
                    f"resynthesise speaks {', '.join(VOICES)}, but the language of story '{story.name}' is "
                    f"'{story.language}'"
                )
        return self

    @property
    def images_folder(self) -> str:
        return self.derivatives.strip("/")


def scan_name(path: str) -> str:
    """The start that the names of all files about a scan share, numbers without leading zeros: sub-01_task-t_run-1."""
    return re.sub(r"_run-0+(?=\d)", "_run-", _as_written(path))


def _as_written(path: str) -> str:
    parts = clean_name(PurePosixPath(path).name, printable(path), "file").partition(".")[0].split("_")
    return "_".join(part for part in parts if part.partition("-")[0] in OF_A_SCAN and "-" in part)


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a dataset.

    Parameters
    ----------
    where : the dataset, for messages
    paths : all of them, numbers in order of value
    names : path → what its name says, of files about one listener
    tables : (``events.tsv`` or ``bold.json``, listener or "" for all of them) → paths
    confounds : scan → its tables of confounds
    spellings : scan → how its files' names spell it: raw data may say run-01 where derivatives say run-1
    states_repetition_time : (path) → whether a sidecar does; None where files cannot be read before they are fetched
    """

    where: str
    paths: list[str]
    names: dict[str, BidsName]
    tables: dict[tuple[str, str], list[str]]
    confounds: dict[str, list[str]]
    spellings: dict[str, set[str]]
    states_repetition_time: Callable[[str], bool] | None

    @property
    def scans(self) -> dict[str, set[str]]:
        """Listener → names of their scans, in every spelling."""
        found: dict[str, set[str]] = {f"sub-{name.subject}": set() for name in self.names.values()}
        for path, name in self.names.items():
            if name.task is not None:
                found[f"sub-{name.subject}"] |= self.spellings[scan_name(path)]
        return found


def _listing(paths: Iterable[str], where: str, states_repetition_time: Callable[[str], bool] | None) -> Listing:
    paths = natural_order(paths)
    names = {path: name for path in paths if (name := parse_name(path)) is not None}
    refuse_alike(list(dict.fromkeys(f"sub-{name.subject}" for name in names.values())), where, "listener")
    spellings: dict[str, set[str]] = defaultdict(set)
    confounds: dict[str, list[str]] = defaultdict(list)
    for path in names:
        spellings[scan_name(path)] |= {scan_name(path), _as_written(path)}
        if path.endswith(CONFOUND_ENDINGS):
            confounds[scan_name(path)].append(path)
    tables: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in paths:
        for ending in (EVENTS, SIDECAR):
            if path.endswith(ending):
                tables[ending, f"sub-{names[path].subject}" if path in names else ""].append(path)
    return Listing(where, paths, names, tables, confounds, spellings, states_repetition_time)


def choose_stories(
    paths: Iterable[str],
    options: BidsOptions,
    where: str,
    states_repetition_time: Callable[[str], bool] | None = None,
) -> tuple[StoryFiles, ...]:
    """The scans of the listeners who heard all stories; who lacks one of them, or had it excluded, is left out.

    Parameters
    ----------
    paths : of the dataset's files
    where : the dataset, for messages
    states_repetition_time : (path) → whether a sidecar does. BIDS merges the sidecars of all levels; here the nearest
        one that states it is taken. None, where files cannot be read yet: the nearest one of the raw data

    Raises
    ------
    UnknownName
        A listener or scan that the options name is not there.
    BadConfiguration
        No image fits, or several of one scan do, or a file that a story names is not there.
    BrokenArtifact
        A name of a file misleads, or those of two listeners look alike.
    """
    listing = _listing(paths, where, states_repetition_time)
    options.check_names(listing.scans)
    heard = {story.name: _scans(story, listing, options) for story in options.stories}
    everywhere = [s for s in heard[options.stories[0].name] if all(s in scans for scans in heard.values())]
    if not everywhere:
        raise BadConfiguration(
            f"{where}: no listener has a scan of every story ({', '.join(heard)}); check task and run, subjects and "
            "exclude"
        )
    stories = tuple(
        StoryFiles(
            name=story.name,
            language=story.language,
            stim_file=_sound_name(story),
            audio=story.audio,
            words=story.words,
            word_columns=options.word_columns.model_dump(exclude_none=True),
            tier=story.tier,
            scans=tuple(heard[story.name][subject] for subject in everywhere[: options.limit]),
        )
        for story in options.stories
    )
    for story in stories:
        needed = source_of(story, options)
        if needed not in listing.paths:
            raise BadConfiguration(
                f"{where}: story '{story.name}' needs '{needed or 'audio or words'}', which the dataset does not have; "
                "correct its audio or words, or set resynthesise or heard_as"
            )
    return stories


def _sound_name(story: BidsStory) -> str:
    """What events.tsv calls the sound, as names of events are cleaned; empty where nothing says it."""
    name = PurePosixPath(story.stim_file or story.audio).name
    return clean_name(name, "", f"sound of story '{story.name}'") if name else ""


def _scans(story: BidsStory, listing: Listing, options: BidsOptions) -> dict[str, ScanFiles]:
    """Listener → the scan of one story."""
    fitting = select_names(
        listing.paths,
        folder=options.images_folder,
        task=story.task,
        run=ABSENT if story.run is None else story.run,
        session=story.session or ABSENT,
        acquisition=story.acquisition or ABSENT,
        space=options.space,
        description=options.description,
        extension=IMAGES,
    )
    images: dict[str, list[str]] = {}
    for path, name in fitting.items():
        if name.suffix == "bold" or name.extension == SURFACE:
            images.setdefault(f"sub-{name.subject}", []).append(path)
    if not images:
        raise BadConfiguration(
            f"{listing.where}: no image fits task {story.task}, run {story.run}, session {story.session}, acquisition "
            f"{story.acquisition}, space {options.space}, description {options.description} under "
            f"'{options.derivatives or 'the dataset itself'}'; correct story '{story.name}' or these options"
        )
    return {
        subject: _scan(subject, found, listing, options)
        for subject, found in images.items()
        if all(options.wanted(subject, scan) for scan in listing.spellings[scan_name(found[0])])
    }


def _scan(subject: str, images: list[str], listing: Listing, options: BidsOptions) -> ScanFiles:
    surfaces = [path.endswith(SURFACE) for path in images]
    sides = [listing.names[path].hemisphere for path in images]
    if surfaces != [False] and (surfaces != [True, True] or sides != ["L", "R"]):
        raise BadConfiguration(
            f"{listing.where}: expected one NIfTI of {subject}, or a GIfTI of each hemisphere, but {', '.join(images)} "
            "fit; say which with space and description, and with session and acquisition of the story"
        )
    return ScanFiles(
        subject=subject,
        images=tuple(images),
        events="" if options.audio_start_s is not None else _events(images[0], listing),
        sidecar="" if options.repetition_time_s is not None else _sidecar(images[0], listing),
        confounds="" if options.confounds == "none" else _confounds(images[0], listing, options),
        repetition_time_s=options.repetition_time_s,
        first_volume_s=options.n_dropped_volumes * (options.repetition_time_s or 0.0),
        audio_start_s=options.audio_start_s,
    )


def _confounds(image: str, listing: Listing, options: BidsOptions) -> str:
    """The only table of a scan's confounds in the folder of the images."""
    folder = f"{options.images_folder}/" if options.images_folder else "sub-"
    found = [path for path in listing.confounds.get(scan_name(image), ()) if path.startswith(folder)]
    if len(found) != 1:
        raise BadConfiguration(
            f"{listing.where}: expected one table of confounds of {scan_name(image)} under "
            f"'{options.derivatives or 'the dataset itself'}', but there are {len(found)} "
            f"({', '.join(found) or f'none ends in {CONFOUND_ENDINGS[0]}'}); set confounds to none, or leave the scan "
            "out (exclude)"
        )
    return found[0]


def _events(image: str, listing: Listing) -> str:
    """The nearest events.tsv of the raw data."""
    found = {path: rank for path, rank in inherited(image, EVENTS, listing).items() if not rank.derived}
    nearest = [path for path, rank in found.items() if rank == max(found.values())]
    if not nearest:
        raise BadConfiguration(
            f"{listing.where}: no {EVENTS} fits {scan_name(image)}; say when the sound began with audio_start_s"
        )
    if len(nearest) > 1:
        raise BadConfiguration(
            f"{listing.where}: {' and '.join(nearest)} both fit {scan_name(image)}; rename one as BIDS has it, or say "
            "when the sound began with audio_start_s"
        )
    return nearest[0]


def _sidecar(image: str, listing: Listing) -> str:
    """The nearest sidecar that states the TR; where none can be read, the nearest one of the raw data, which must."""
    for path, rank in inherited(image, SIDECAR, listing).items():
        states = listing.states_repetition_time
        if not rank.derived if states is None else states(path):
            return path
    return ""


@dataclasses.dataclass(frozen=True, order=True)
class Nearness:
    """How near a file with metadata is to an image: among derivatives or raw data, how deep, how specific."""

    derived: bool
    depth: int
    n_entities: int


def inherited(image: str, ending: str, listing: Listing) -> dict[str, Nearness]:
    """The files whose metadata a scan inherits, nearest first.

    They lie in a folder above the image, or with the listener's raw data, and every entity that their names state
    (session, task, acq, run, echo, …; numbers count as numbers) is the image's own.

    Parameters
    ----------
    ending : ``events.tsv`` or ``bold.json``

    References
    ----------
    BIDS specification 1.10, "The Inheritance Principle".
    """
    about = listing.names[image]
    subject = f"sub-{about.subject}"
    found = {}
    for path in (*listing.tables.get((ending, subject), ()), *listing.tables.get((ending, ""), ())):
        file = PurePosixPath(path)
        folders = tuple(clean_name(folder, printable(path), "folder") for folder in file.parent.parts)
        with_raw_data = folders[:1] == (subject,) and all(
            not one.startswith("ses-") or one == f"ses-{about.session}" for one in folders
        )
        # a name without a listener is about all of them
        name = listing.names.get(path) or parse_name(f"{subject}_{file.name}")
        if name is None or not (with_raw_data or file.parent in PurePosixPath(image).parents):
            continue
        if (name.subject, f"{name.suffix}{name.extension}") != (about.subject, ending):
            continue
        stated = {field: getattr(name, field) for field in _STATED if getattr(name, field) is not None}
        if all(getattr(about, field) == value for field, value in stated.items()) and set(name.others) <= set(
            about.others
        ):
            derived = bool(folders) and folders[0] != subject
            found[path] = Nearness(derived, len(folders), len(stated) + len(name.others))
    return dict(sorted(found.items(), key=lambda item: item[1], reverse=True))
