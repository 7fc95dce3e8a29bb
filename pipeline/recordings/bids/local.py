"""Listeners of a user's own BIDS dataset, on this machine: linked into the raw folder, keys follow the contents."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, ValidationInfo

from pipeline.artifacts.catalogue import Catalogue, RawFile
from pipeline.core.errors import BrokenArtifact
from pipeline.fetch.annex import absent_contents
from pipeline.recordings.bids.choice import BidsOptions, choose_stories
from pipeline.recordings.bold.parcellation.atlases import atlas_files
from pipeline.recordings.bold.tables import stated_repetition_time
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.file_digests import digests_of_files
from pipeline.recordings.folder_listing import check_within, list_files
from pipeline.recordings.stories import prepare
from pipeline.recordings.stories.selection import Selection, StoryFiles, catalogue_of

KIND = "bids"
GROUP = "listeners"


def _folder(value: Path, info: ValidationInfo) -> Path:
    path = Path(os.path.abspath(Path((info.context or {}).get("folder", ".")) / value.expanduser()))
    if not path.is_dir():
        raise ValueError(f"{path} is no folder; paths are relative to the study file")
    return path


class LocalBidsOptions(BidsOptions):
    """A BIDS dataset on this machine."""

    kind: Literal["bids"] = Field("bids", description="listeners of a BIDS dataset on this machine")
    folder: Annotated[
        Path,
        AfterValidator(_folder),
        # only the name is shown and hashed: no key depends on where a dataset lies
        PlainSerializer(lambda path: path.name, str, when_used="json"),
    ] = Field(description="the dataset's folder, relative to the study file")


def _chosen(options: LocalBidsOptions) -> tuple[tuple[StoryFiles, ...], list[str]]:
    """The stories, and the files that they need."""
    stories = choose_stories(
        list_files(options.folder),
        options,
        str(options.folder),
        lambda path: _states_repetition_time(options.folder, path),
    )
    needed = set()
    for story in stories:
        needed.update({*story.files} - {story.audio, story.words} | {prepare.source_of(story, options)})
    return stories, sorted(needed)


def _states_repetition_time(folder: Path, path: str) -> bool:
    """Whether a JSON sidecar has a RepetitionTime."""
    _check_contents([folder / path], folder)
    return stated_repetition_time(folder / path, "correct it") is not None


def _check_contents(files: Collection[Path], folder: Path) -> None:
    """Refuse links of git-annex whose contents were not brought, and what does not lie in the dataset."""
    absent = [found for file in files if (found := absent_contents(file)) is not None]
    if absent:
        more = f", and {len(absent) - 1} more that the study needs" if len(absent) > 1 else ""
        raise BrokenArtifact(f"{absent[0]}{more}")
    check_within(files, folder)


def _digests(options: LocalBidsOptions, needed: list[str]) -> dict[str, str]:
    """Path within the dataset → SHA-256."""
    files = {path: options.folder / path for path in needed}
    _check_contents(files.values(), options.folder)
    digests = digests_of_files(files.values())
    return {path: digests[file] for path, file in files.items()}


def contents(options: LocalBidsOptions) -> dict[str, Any]:
    """What keys hold in place of the folder.

    ``folder`` has the digests of all files that are needed, ``stimuli`` those of what networks are shown, and what
    else a stimulus is made from: keys of stimuli hold the latter only, whoever listened.
    """
    stories, needed = _chosen(options)
    digests = _digests(options, needed)
    return {"folder": digests, "stimuli": {story.name: _shown(story, options, digests) for story in stories}}


def _shown(story: StoryFiles, options: LocalBidsOptions, digests: dict[str, str]) -> dict[str, Any]:
    source = prepare.source_of(story, options)
    how = {"tier": story.tier, "word_columns": story.word_columns} if source == story.words else {}
    return {"path": source, "sha256": digests[source], "language": story.language, **how}


def catalogue(options: LocalBidsOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group: the listeners who heard all stories.

    Raises
    ------
    UnknownName
        A listener or scan that the options name is not there.
    BadConfiguration
        No listener is left, or a file that the options name is not there.
    BrokenArtifact
        A file cannot be read, or git-annex has not got its contents.
    """
    stories, needed = _chosen(options)
    digests = _digests(options, needed)
    files = [
        RawFile(
            path=path,
            url=(options.folder / path).as_uri(),
            bytes=(options.folder / path).stat().st_size,
            sha256=digests[path],
        )
        for path in needed
    ]
    selection = Selection(
        stories=stories,
        digests={path: {"sha256": digest} for path, digest in digests.items()},
        left_out=options.left_out_by_study,
    )
    groups = {GROUP: tuple(story.name for story in stories)}
    return catalogue_of(KIND, key, options, selection, [*files, *atlas_files(options)], groups)


DATASET = DatasetEntry(
    kind=KIND,
    options=LocalBidsOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare.prepare_stimulus,
    prepare_recording=prepare.prepare_recording,
    title="a BIDS dataset of the user's own",
    citation="local files; the receipt gives their SHA-256",
    licence="as their owner states",
    selection=prepare.selection_names(LocalBidsOptions),
    shown=("kind", "heard_as", "resynthesise", "stimuli"),
    contents=contents,
)
