"""Which scans, sounds and words a selection consists of: written by the catalogue, read when recordings are prepared.

File lists are asked for once, by the catalogue; it brings ``selections/<key>.json`` into the raw folder with the rest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.artifacts.catalogue import Catalogue, Group, RawFile, Run, StimulusEntry
from pipeline.core.errors import BadConfiguration, BrokenArtifact, UnknownName
from pipeline.core.keys import key_of
from pipeline.formats.documents import read_json
from pipeline.recordings.openneuro.snapshot import ListedFile
from pipeline.recordings.stories.options import NO_FILES, StoryOptions
from pipeline.recordings.verified import FETCH_AGAIN, verified, verified_all

NOT_OF_A_SELECTION = NO_FILES | {"parcellation", "heard_as", "resynthesise"}
"""Options that change what is made of scans and stories, not which ones are taken."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScanFiles(_Strict):
    """One listener's scan of one story. Paths are within the raw folder, empty where there is no such file.

    ``first_volume_s`` is when the first volume of the images began on the scanner's clock, whose 0 is the start of the
    first volume of the scan: above 0 where volumes were dropped before. ``audio_start_s`` is when the sound began on
    that clock, where no events say so; ``repetition_time_s`` is the TR where a study or dataset states it.
    """

    subject: str
    images: tuple[str, ...]
    events: str = ""
    sidecar: str = ""
    confounds: str = ""
    repetition_time_s: float | None = None
    first_volume_s: float = 0.0
    audio_start_s: float | None = None


class StoryFiles(_Strict):
    """One story: its sound, its words and who heard it.

    Parameters
    ----------
    stim_file : what events.tsv calls its sound; empty where there are no events
    words : a table of words with their times, a TextGrid, or gentle's align.csv
    word_columns : text, onset_s, offset_s and log_frequency → what a table calls them
    tier : interval tier of a TextGrid; empty takes the only one, else the one called words or word
    section : the rows of a table of several stories
    end_s : end of what was heard on the clock of the sound, in s, where there are no events
    """

    name: str
    language: str = "en"
    stim_file: str = ""
    audio: str = ""
    words: str = ""
    word_columns: dict[str, str] = {}
    tier: str = ""
    section: int | None = None
    end_s: float | None = None
    scans: tuple[ScanFiles, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All that may be read of it."""
        scans = (path for scan in self.scans for path in (*scan.images, scan.events, scan.sidecar, scan.confounds))
        return tuple(filter(None, (self.audio, self.words, *scans)))

    @property
    def listeners(self) -> tuple[str, ...]:
        """Each once, in order; of some, several scans may hold the story."""
        return tuple(dict.fromkeys(scan.subject for scan in self.scans))


class Selection(_Strict):
    """All stories of a selection, and the published MD5 or git SHA-1 of their files."""

    stories: tuple[StoryFiles, ...]
    digests: dict[str, dict[str, str]]
    left_out: str = ""

    def story(self, name: str) -> StoryFiles:
        for story in self.stories:
            if story.name == name:
                return story
        raise UnknownName("story", name, [story.name for story in self.stories])


def selection_path(options: StoryOptions) -> str:
    """Within the raw folder."""
    chosen = options.model_dump(mode="json", exclude=set(NOT_OF_A_SELECTION))
    return f"selections/{key_of(chosen)}.json"


def open_selection(raw_folder: Path, options: StoryOptions) -> Selection:
    """What the catalogue chose.

    Raises
    ------
    BrokenArtifact
        The file is missing or is not what the catalogue wrote.
    """
    path = raw_folder / selection_path(options)
    with verified(path):
        try:
            return Selection.model_validate(read_json(path, FETCH_AGAIN))
        except ValidationError as error:
            raise BrokenArtifact(f"{path} is no selection of stories; {FETCH_AGAIN}") from error


@contextlib.contextmanager
def intact(raw_folder: Path, files: Sequence[str], selection: Selection) -> Iterator[None]:
    """Whatever is read from files within counts only if all their bytes are those that were published or fetched."""
    with verified_all({raw_folder / file: selection.digests.get(file, {}) for file in files if file}):
        yield


def published_digests(listed: Mapping[str, ListedFile], stories: Iterable[StoryFiles]) -> dict[str, dict[str, str]]:
    """A digest of each file of the stories that a list has; the others are held to what is recorded of them.

    Sound and words both count, whichever is fetched: analyses of either share a selection.
    """
    digests: dict[str, dict[str, str]] = {}
    for path in (path for story in stories for path in story.files):
        one = listed.get(path)
        for name in ("md5", "sha256", "git_sha1"):
            digest = getattr(one, name, None)
            if digest and path not in digests:
                digests[path] = {name: digest}
    return digests


def catalogue_of(
    kind: str,
    key: str,
    options: StoryOptions,
    selection: Selection,
    files: Sequence[RawFile],
    groups: dict[str, tuple[str, ...]],
) -> Catalogue:
    """The catalogue of a selection of stories.

    Parameters
    ----------
    files : to fetch; the selection itself is added
    groups : name → its stories, in order; all listeners of a group heard all of them

    Raises
    ------
    BadConfiguration
        Nobody is left.
    """
    if not groups or not selection.stories or not all(story.scans for story in selection.stories):
        raise BadConfiguration(
            f"dataset {kind}: no listener is left who heard what is asked for "
            f"({selection.left_out or 'nobody was left out'}); name other stories, or exclude fewer"
        )
    subjects = {story.name: story.listeners for story in selection.stories}
    text = json.dumps(selection.model_dump(mode="json"), indent=0, sort_keys=True)
    own = RawFile(path=selection_path(options), url=f"https://openneuro.org/ (as chosen by {kind})", contents=text)
    return Catalogue(
        dataset=kind,
        key=key,
        groups=tuple(
            Group(
                name=name,
                runs=tuple(Run(stimulus=story, recording=story) for story in stories),
                subjects=subjects[stories[0]],
            )
            for name, stories in groups.items()
        ),
        recordings=tuple(story.name for story in selection.stories),
        stimuli=tuple(StimulusEntry(name=story.name, modality=options.heard_as) for story in selection.stories),
        files=(*files, own),
    )
