"""Alice in Wonderland, whole brain: 26 listeners of OpenNeuro's ds002322 with the sound that they heard.

The same story as dataset ``alice``, whose time courses are means of six regions. Images are the authors' preprocessed
ones (SPM8, MNI, 3 mm smoothing, the first ten volumes dropped, high-passed at 128 s); listeners without them are left
out, and so are those whose events do not say when the sound began.

Clocks: the sound began 0.003–0.84 s after a scan (events.tsv), and the first volume that is kept 20 s after it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.artifacts.catalogue import Catalogue, RawFile
from pipeline.core.errors import SampleMismatch
from pipeline.recordings.bold.parcellation.atlases import atlas_files
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.openneuro.snapshot import ListedFile, find_file, list_snapshot, raw_file
from pipeline.recordings.stories import prepare
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

KIND = "alice_bold"
DATASET_ID = "ds002322"
STORY = "alice"
SOUND = "stimuli/DownTheRabbitHoleFinal_mono_exp120_NR16_pad.wav"
WORDS = "code/annotations.tsv"
WORD_COLUMNS = {
    "text": "Words",
    "onset_s": "Word Onset",
    "offset_s": "Word Offset",
    "log_frequency": "LogFreq",
}
N_DROPPED = 10
N_VOLUMES = 362
VOLUME_TOLERANCE = 5
TR_S = 2.0
_IMAGE = re.compile(r"derivatives/(sub-\d+)/\1_task-alice_bold_preprocessed\.nii\.gz")
_LISTENER = re.compile(r"(sub-\d+)/\1_task-alice_events\.tsv")


class AliceBoldOptions(StoryOptions):
    """Which listeners, and how BOLD is prepared. ``limit`` takes the first listeners."""

    kind: Literal["alice_bold"] = Field("alice_bold", description="Alice in Wonderland, fMRI of the whole brain")
    snapshot: str = Field("1.0.4", description="snapshot of OpenNeuro's ds002322")


def catalogue(options: AliceBoldOptions, key: str, mirror: str | None = None) -> Catalogue:
    """All listeners in one group.

    Raises
    ------
    FetchError
        No server gives the list, or it lacks a file.
    """
    listed = list_snapshot(DATASET_ID, options.snapshot, mirror)
    listeners = sorted(found[1] for path in listed if (found := _LISTENER.fullmatch(path)))
    images = {found[1]: path for path in listed if (found := _IMAGE.fullmatch(path))}
    reasons = {subject: "no preprocessed image" for subject in listeners if subject not in images}
    options.check_names({subject: [f"{subject}_task-alice"] for subject in listeners})
    scans: list[ScanFiles] = []
    for subject in listeners:
        if subject in reasons or not options.wanted(subject, f"{subject}_task-alice") or len(scans) == options.limit:
            continue
        events = f"{subject}/{subject}_task-alice_events.tsv"
        if not _onset_is_known(listed[events], mirror):
            reasons[subject] = "the onset of the sound is n/a"
            continue
        scans.append(
            ScanFiles(
                subject=subject,
                images=(images[subject],),
                events=events,
                sidecar=_sidecar(subject, listed),
                first_volume_s=N_DROPPED * TR_S,
            )
        )
    reasons |= dict.fromkeys(options.exclude, "by the study")
    story = StoryFiles(
        name=STORY,
        stim_file=Path(SOUND).name,
        audio=SOUND,
        words=WORDS,
        word_columns=WORD_COLUMNS,
        scans=tuple(scans),
    )
    files: dict[str, RawFile] = {}
    for part, path in [
        (None, prepare.source_of(story, options)),
        *(
            (part, path)
            for part, scan in enumerate(scans, 1)
            for path in (*scan.images, scan.events, scan.sidecar)
            if path
        ),
    ]:
        files[path] = raw_file(find_file(path, listed, DATASET_ID), part=part)
    selection = Selection(
        stories=(story,),
        digests=published_digests(listed, [story]),
        left_out="; ".join(f"{subject}: {reason}" for subject, reason in reasons.items()),
    )
    return catalogue_of(
        KIND, key, options, selection, [*files.values(), *atlas_files(options)], {"listeners": (STORY,)}
    )


def _sidecar(subject: str, listed: dict[str, ListedFile]) -> str:
    path = f"{subject}/{subject}_task-alice_bold.json"
    return path if path in listed else ""


def _onset_is_known(events: ListedFile, mirror: str | None) -> bool:
    """Whether a scan's events say when the sound began."""
    import math

    from pipeline.fetch.download import passing_file
    from pipeline.recordings.stories.events import read_events

    with passing_file(raw_file(events), mirror) as path:
        rows = read_events(path, "choose another snapshot")
    return bool(rows) and not math.isnan(rows[0].onset_s)


def prepare_recording(name: str, raw_folder: Path, options: AliceBoldOptions) -> RecordingParts:
    """All listeners; see `pipeline.recordings.stories.prepare.prepare_recording`.

    Raises
    ------
    SampleMismatch
        An image has not the volumes that are left without the first ten, so nobody knows when its first was taken.
    """
    from pipeline.recordings.bold.images import count_volumes

    for scan in open_selection(raw_folder, options).story(name).scans:
        n = count_volumes(raw_folder / scan.images[0], FETCH_AGAIN)
        if abs(n - N_VOLUMES) > VOLUME_TOLERANCE:
            raise SampleMismatch(
                f"{raw_folder / scan.images[0]} has {n} volumes, expected about {N_VOLUMES} after the first "
                f"{N_DROPPED}; leave the listener out (exclude)"
            )
    return prepare.prepare_recording(name, raw_folder, options)


DATASET = DatasetEntry(
    kind=KIND,
    options=AliceBoldOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare.prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Alice in Wonderland, fMRI of the whole brain",
    citation="Bhattasali, Brennan, Luh, Franzluebbers & Hale 2020, LREC; Brennan et al. 2016, Brain and Language "
    "157–158:81–94, doi:10.1016/j.bandl.2016.04.008; OpenNeuro ds002322",
    licence="CC0",
    selection=prepare.selection_names(AliceBoldOptions),
    shown=("kind", "snapshot", "heard_as", "resynthesise"),
    recorded=prepare.recorded_names(AliceBoldOptions),
)
