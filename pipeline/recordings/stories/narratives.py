"""Narratives: 345 people who listened to 28 stories in the scanner (Nastase et al. 2021).

Sounds, events and the list of scans come from OpenNeuro's ds002345; preprocessed images and word timings from DataLad
(``///labs/hasson/narratives``), whose files have no published digest. A story is a stimulus and a recording of all its
listeners; listeners who heard several stories can be joined (``joined``), their stories are then runs of one group.

Clocks: the sound file starts with the first row of a scan's events.tsv that names it (0, 3, 4.5 or 12 s after the first
volume began). TR is 1.5 s but for 17 scans of 1.52 s; each scan's is read from its sidecar.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.artifacts.catalogue import Catalogue, RawFile
from pipeline.core.errors import BadConfiguration, BrokenArtifact, FetchError
from pipeline.fetch.http.lists import sizes_of
from pipeline.formats.documents import parse_json
from pipeline.formats.tables import TABS, parse_table, read_text
from pipeline.recordings.bids_names import parse_name
from pipeline.recordings.bold.parcellation.atlases import atlas_files
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.openneuro.snapshot import ListedFile, find_file, list_snapshot, raw_file
from pipeline.recordings.stories.options import StoryOptions
from pipeline.recordings.stories.prepare import prepare_recording, prepare_stimulus, recorded_names, selection_names
from pipeline.recordings.stories.selection import (
    ScanFiles,
    Selection,
    StoryFiles,
    catalogue_of,
    published_digests,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

KIND = "narratives"
BOLD = "_bold.nii.gz"
DATASET_ID = "ds002345"
DATALAD = "https://datasets.datalad.org/labs/hasson/narratives"
EXCLUSIONS = RawFile(
    path="scan_exclude.json",
    url="https://raw.githubusercontent.com/snastase/narratives/1736849ff80c80e1c73eda375ccf6497f5e234a9/code/"
    "scan_exclude.json",
    bytes=1886,
    sha256="0b34467d31b8c9f8a1269fbc1309bb7b546e9f75aa2930fcb7e5843422dc5cd9",
)
"""Scans that the authors leave out: task → subject → starts of file names."""
SCHEMA_CLIPS = ("bigbang", "friends", "himym", "santa", "seinfeld", "shame", "upintheair", "vinny")
MILKYWAY = {f"milkyway{version}": version for version in ("original", "synonyms", "vodka")}
TASK_OF = {
    **{
        name: name
        for name in (
            *("21styear", "black", "bronx", "forgot", "lucy", "merlin", "notthefallintact", "notthefalllongscram"),
            *("notthefallshortscram", "pieman", "piemanpni", "prettymouth", "shapesphysical", "shapessocial"),
            *("sherlock", "slumlordreach", "tunnel"),
        )
    },
    **dict.fromkeys(MILKYWAY, "milkyway"),
    **dict.fromkeys(SCHEMA_CLIPS, "schema"),
}
"""Story → the task whose scans hold it; the name of a story is that of its sound file."""

Listed = dict[str, ListedFile]


class NarrativesOptions(StoryOptions):
    """Which stories, and which of the preprocessed versions of the data. ``limit`` takes listeners of each group."""

    kind: Literal["narratives"] = Field("narratives", description="Narratives: spoken stories, English, fMRI")
    stories: tuple[str, ...] = Field(
        ("piemanpni", "bronx", "black", "forgot"),
        min_length=1,
        description="stories, by the names of their sound files",
    )
    joined: bool = Field(
        False,
        description="take the listeners who heard all the stories as one group with the stories as its runs; "
        "otherwise each story is a group of its own listeners",
    )
    snapshot: str = Field("1.1.4", description="snapshot of OpenNeuro's ds002345")
    preprocessing: Literal["afni-nosmooth", "afni-smooth", "fmriprep"] = Field(
        "afni-nosmooth", description="afni-…: confounds already taken out; fmriprep: taken out here (confounds)"
    )
    space: Literal["fsaverage6", "fsaverage5", "MNI152NLin2009cAsym"] = Field(
        "fsaverage6", description="surface meshes (GIfTI) or a volume (NIfTI)"
    )
    use_exclusions: bool = Field(True, description="leave out the scans that the authors leave out (scan_exclude.json)")

    @field_validator("stories")
    @classmethod
    def _are_stories(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in TASK_OF:
                raise ValueError(f"story '{name}' is not in the dataset (it has {', '.join(TASK_OF)})")
        if len(set(value)) != len(value):
            raise ValueError(f"a story is listed twice: {', '.join(value)}")
        return value

    @model_validator(mode="after")
    def _confounds_where_there_are(self) -> NarrativesOptions:
        if self.preprocessing == "fmriprep" and "confounds" not in self.model_fields_set:
            raise ValueError("fmriprep data still hold their confounds: name some (motion6+acompcor5), or none")
        if self.preprocessing != "fmriprep" and self.confounds != "none":
            raise ValueError(f"confounds are already taken out of {self.preprocessing} data; set confounds to none")
        return self


def catalogue(options: NarrativesOptions, key: str, mirror: str | None = None) -> Catalogue:
    """Ask for the list of scans and the sizes of their preprocessed images.

    Raises
    ------
    FetchError
        A server does not answer, or lacks a file.
    BadConfiguration
        Nobody is left who heard the stories.
    """
    listed = list_snapshot(DATASET_ID, options.snapshot, mirror)
    conditions = milkyway_versions(listed, mirror) if "milkyway" in {TASK_OF[name] for name in options.stories} else {}
    excluded = excluded_scans(mirror) if options.use_exclusions else frozenset()
    options.check_names(all_scans(listed))
    heard = {name: usable_scans(name, listed, options, excluded, conditions) for name in options.stories}
    listeners = _listeners(heard, options)
    stories = tuple(_story(name, heard[name], listeners[name], options) for name in options.stories)
    files = _files(stories, listed, options, mirror)
    tasks = {TASK_OF[name] for name in options.stories}
    by_authors = sorted(scan for scan in excluded if (name := parse_name(scan)) is not None and name.task in tasks)
    said = f"by the authors: {', '.join(by_authors)}" if by_authors else ""
    left_out = "; ".join(filter(None, (said, options.left_out_by_study)))
    selection = Selection(stories=stories, digests=published_digests(listed, stories), left_out=left_out)
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in options.stories}
    if options.joined:
        groups = {"listeners": options.stories}
    return catalogue_of(KIND, key, options, selection, files, groups)


def all_scans(listed: Listed) -> dict[str, list[str]]:
    """Listener → starts of the names of their scans."""
    scans: dict[str, list[str]] = {}
    for path in sorted(listed):
        if path.endswith(BOLD):
            scans.setdefault(path.partition("/")[0], []).append(Path(path).name.removesuffix(BOLD))
    return scans


def usable_scans(
    story: str, listed: Listed, options: NarrativesOptions, excluded: frozenset[str], conditions: dict[str, str]
) -> dict[str, list[str]]:
    """Listener → starts of the names of the scans in which a story may be heard, in order.

    Parameters
    ----------
    excluded : starts of file names that are left out
    conditions : listener → version of milkyway that was heard
    """
    found: dict[str, list[str]] = {}
    for path in sorted(listed):
        if not path.endswith(BOLD):
            continue
        name = parse_name(path)
        scan = Path(path).name.removesuffix(BOLD)
        if name is None or name.task != TASK_OF[story] or scan in excluded:
            continue
        subject = f"sub-{name.subject}"
        heard_this = story not in MILKYWAY or conditions.get(subject) == MILKYWAY[story]
        if heard_this and options.wanted(subject, scan):
            found.setdefault(subject, []).append(scan)
    return found


def excluded_scans(mirror: str | None) -> frozenset[str]:
    """Starts of the names of the scans that the authors leave out."""
    tree = parse_json(_read(EXCLUSIONS, mirror), EXCLUSIONS.url)
    return frozenset(scan for subjects in tree.values() for scans in subjects.values() for scan in scans)


def _read(file: RawFile, mirror: str | None) -> str:
    """The text of a small pinned file that the choice of scans needs."""
    from pipeline.fetch.download import passing_file

    with passing_file(file, mirror) as path:
        return read_text(path)


def milkyway_versions(listed: Listed, mirror: str | None) -> dict[str, str]:
    """Listener → version, from participants.tsv, whose cells hold one value for each task."""
    if "participants.tsv" not in listed:
        raise FetchError(f"{DATASET_ID} lists no participants.tsv, which says who heard which version of milkyway")
    file = raw_file(listed["participants.tsv"])
    table = parse_table(
        _read(file, mirror), Path(DATASET_ID, file.path), dialect=TABS, remedy="choose another snapshot"
    )
    columns = (table.lines, *(table.cells(name) for name in ("participant_id", "task", "condition")))
    versions = {}
    for line, subject, tasks, conditions in zip(*columns, strict=True):
        try:
            condition_of = dict(zip(tasks.split(","), conditions.split(","), strict=True))
        except ValueError as error:
            raise BrokenArtifact(
                f"{table.path} line {line}: tasks '{tasks}' and conditions '{conditions}' differ in number; "
                f"{table.remedy}"
            ) from error
        if "milkyway" in condition_of:
            versions[subject] = condition_of["milkyway"]
    return versions


def _listeners(heard: dict[str, dict[str, list[str]]], options: NarrativesOptions) -> dict[str, list[str]]:
    """Story → its listeners: those of all the stories where they are joined, at most ``limit`` of each group."""
    if options.joined:
        everywhere = [s for s in heard[options.stories[0]] if all(s in scans for scans in heard.values())]
        if not everywhere:
            raise BadConfiguration(
                f"dataset {KIND}: nobody heard all of {', '.join(options.stories)}; name stories that share listeners, "
                "or set joined to false"
            )
        return dict.fromkeys(heard, everywhere[: options.limit])
    return {name: list(scans)[: options.limit] for name, scans in heard.items()}


def _story(name: str, scans: dict[str, list[str]], listeners: list[str], options: NarrativesOptions) -> StoryFiles:
    # of a story heard twice the first hearing counts; the clips of schema are spread over four scans
    last = None if TASK_OF[name] == "schema" else 1
    return StoryFiles(
        name=name,
        stim_file=f"{name}_audio.wav",
        audio=f"stimuli/{name}_audio.wav",
        words=f"stimuli/gentle/{name}/align.csv",
        scans=tuple(_scan(subject, scan, options) for subject in listeners for scan in scans[subject][:last]),
    )


def _scan(subject: str, scan: str, options: NarrativesOptions) -> ScanFiles:
    raw = f"{subject}/func/{scan}"
    folder = f"derivatives/{options.preprocessing}/{subject}/func"
    clean = "" if options.preprocessing == "fmriprep" else "_desc-clean"
    if options.space.startswith("fsaverage"):
        images = tuple(f"{folder}/{scan}_space-{options.space}_hemi-{side}{clean}.func.gii" for side in "LR")
    else:
        images = (f"{folder}/{scan}_space-{options.space}_res-native{clean or '_desc-preproc'}_bold.nii.gz",)
    confounds = "" if options.confounds == "none" else f"{folder}/{scan}_desc-confounds_regressors.tsv"
    return ScanFiles(
        subject=subject,
        images=images,
        events=f"{raw}_events.tsv",
        sidecar=f"{raw}_bold.json",
        confounds=confounds,
    )


def _files(
    stories: Iterable[StoryFiles], listed: Listed, options: NarrativesOptions, mirror: str | None
) -> list[RawFile]:
    """What has to be fetched; ``part`` is the number of the listener."""
    files: dict[str, RawFile] = {}
    elsewhere: dict[str, int | None] = {}
    for story in stories:
        if options.needs_words:
            elsewhere[story.words] = None
        else:
            files[story.audio] = raw_file(find_file(story.audio, listed, DATASET_ID))
        order = {subject: number for number, subject in enumerate(story.listeners, 1)}
        for scan in story.scans:
            for path in (scan.events, scan.sidecar):
                files[path] = raw_file(find_file(path, listed, DATASET_ID), part=order[scan.subject])
            for path in (*scan.images, *([scan.confounds] if scan.confounds else [])):
                elsewhere[path] = order[scan.subject]
    sizes = sizes_of([f"{DATALAD}/{path}" for path in elsewhere], mirror)
    for path, part in elsewhere.items():
        files[path] = RawFile(path=path, url=f"{DATALAD}/{path}", bytes=sizes[f"{DATALAD}/{path}"], part=part)
    return [*files.values(), *atlas_files(options)]


DATASET = DatasetEntry(
    kind=KIND,
    options=NarrativesOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Narratives: listeners to spoken stories, fMRI of the whole brain",
    citation="Nastase et al. 2021, Scientific Data 8:250, doi:10.1038/s41597-021-01033-3; OpenNeuro ds002345",
    licence="CC0 (recordings); stimuli: fair use",
    selection=selection_names(NarrativesOptions),
    shown=("kind", "snapshot", "heard_as", "resynthesise"),
    recorded=recorded_names(NarrativesOptions),
)
