"""Listeners of any dataset on OpenNeuro that is laid out as BIDS says, from a pinned snapshot."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.artifacts.catalogue import Catalogue, RawFile
from pipeline.recordings.bids.choice import BidsOptions, choose_stories
from pipeline.recordings.bold.parcellation.atlases import atlas_files
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.openneuro.snapshot import list_snapshot, raw_file
from pipeline.recordings.stories import prepare
from pipeline.recordings.stories.selection import Selection, StoryFiles, catalogue_of, published_digests

KIND = "openneuro"
GROUP = "listeners"


class OpenNeuroOptions(BidsOptions):
    """A snapshot of a dataset on OpenNeuro."""

    kind: Literal["openneuro"] = Field("openneuro", description="listeners of a BIDS dataset on OpenNeuro")
    dataset: str = Field(pattern=r"^ds\d{6}$", description="accession number, e.g. ds002345")
    snapshot: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="version of the dataset, e.g. 1.1.4")

    @property
    def raw_prefix(self) -> str:
        """Where its files lie in the raw folder, which all datasets and snapshots share."""
        return f"{self.dataset}/{self.snapshot}/"


def catalogue(options: OpenNeuroOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group: the listeners who heard all stories.

    Raises
    ------
    FetchError
        No server gives the list.
    UnknownName
        A listener or scan that the options name is not there.
    BadConfiguration
        No listener is left, or a file that the options name is not there.
    """
    listed = list_snapshot(options.dataset, options.snapshot, mirror)
    stories = choose_stories(listed, options, f"{options.dataset} {options.snapshot}")
    files: dict[str, RawFile] = {}
    for story in stories:
        shown = prepare.source_of(story, options)
        files[shown] = raw_file(listed[shown], prefix=options.raw_prefix)
        for part, scan in enumerate(story.scans, start=1):
            for path in filter(None, (*scan.images, scan.events, scan.sidecar, scan.confounds)):
                files[path] = raw_file(listed[path], part=part, prefix=options.raw_prefix)
    digests = published_digests(listed, stories)
    selection = Selection(
        stories=tuple(_within(story, options.raw_prefix) for story in stories),
        digests={f"{options.raw_prefix}{path}": found for path, found in digests.items()},
        left_out=options.left_out_by_study,
    )
    groups = {GROUP: tuple(story.name for story in stories)}
    return catalogue_of(KIND, key, options, selection, [*files.values(), *atlas_files(options)], groups)


def _within(story: StoryFiles, prefix: str) -> StoryFiles:
    """The same with paths in the raw folder."""

    def placed(path: str) -> str:
        return f"{prefix}{path}" if path else ""

    scans = tuple(
        scan.model_copy(
            update={
                "images": tuple(placed(image) for image in scan.images),
                **{name: placed(getattr(scan, name)) for name in ("events", "sidecar", "confounds")},
            }
        )
        for scan in story.scans
    )
    return story.model_copy(update={"audio": placed(story.audio), "words": placed(story.words), "scans": scans})


DATASET = DatasetEntry(
    kind=KIND,
    options=OpenNeuroOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare.prepare_stimulus,
    prepare_recording=prepare.prepare_recording,
    title="a dataset on OpenNeuro",
    citation="OpenNeuro; see the dataset's own page for how to cite it",
    licence="as the dataset's page states (OpenNeuro: CC0)",
    selection=prepare.selection_names(OpenNeuroOptions),
    shown=("kind", "dataset", "snapshot", "stories", "word_columns", "heard_as", "resynthesise"),
)
