"""Listeners of a user's own BIDS dataset, on this machine: linked into the raw folder, keys follow the contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, ValidationInfo

from pipeline.artifacts.catalogue import Catalogue, RawFile
from pipeline.recordings.bids_choice import BidsOptions, choose_stories
from pipeline.recordings.bold.atlases import atlas_files
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.file_digests import digests_of_files
from pipeline.recordings.stories import prepare
from pipeline.recordings.stories.selection import Selection, StoryFiles, catalogue_of

KIND = "bids"
GROUP = "listeners"
NOT_LISTED = (".git", ".datalad", ".snakemake", ".cache")


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


def list_folder(folder: Path) -> list[str]:
    """Files of a dataset, relative to it; what tools keep beside them is left out."""
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in NOT_LISTED)
        found += [str((Path(parent) / name).relative_to(folder)) for name in files if not name.startswith(".")]
    return sorted(found)


def _chosen(options: LocalBidsOptions) -> tuple[tuple[StoryFiles, ...], list[str]]:
    """The stories, and the files that they need."""
    stories = choose_stories(list_folder(options.folder), options, str(options.folder))
    needed = set()
    for story in stories:
        not_heard = story.audio if options.heard_as == "words" or options.resynthesise else story.words
        needed.update(set(story.files) - {not_heard})
    return stories, sorted(needed)


def contents(options: LocalBidsOptions) -> dict[str, Any]:
    """What keys hold in place of the folder: the digests of the files that are needed."""
    _, needed = _chosen(options)
    digests = digests_of_files(options.folder / path for path in needed)
    return {"folder": {path: digests[options.folder / path] for path in needed}}


def catalogue(options: LocalBidsOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group: the listeners who heard all stories.

    Raises
    ------
    BadConfiguration
        No listener is left, or a file that the options name is not there.
    BrokenArtifact
        A file cannot be read.
    """
    stories, needed = _chosen(options)
    digests = digests_of_files(options.folder / path for path in needed)
    files = [
        RawFile(
            path=path,
            url=(options.folder / path).as_uri(),
            bytes=(options.folder / path).stat().st_size,
            sha256=digests[options.folder / path],
        )
        for path in needed
    ]
    selection = Selection(
        stories=stories,
        digests={file.path: {"sha256": str(file.sha256)} for file in files},
        left_out=f"by the study: {', '.join(options.exclude)}" if options.exclude else "",
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
    contents=contents,
)
