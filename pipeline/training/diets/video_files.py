"""Clips of video files: a folder or zip archive of the user's own, read with PyAV.

``train/CATEGORY/NAME.mp4`` and ``test/CATEGORY/NAME.mp4``, or folders in any order: then a file belongs to the tests
if its name's digest says so, and its category is the folder that it lies in. Files are cut into clips one after
another; of each moment the frame is taken that was on screen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.keys import sha256_of_file
from pipeline.core.prose import counted
from pipeline.training.diets.entry import UNKNOWN_LICENCE, ClipOptions, DietEntry, LabelSet, Sample, Split
from pipeline.training.diets.picture_classes import SPLIT_FOLDERS, BesideTheRecipe

if TYPE_CHECKING:
    import numpy as np

CATEGORY = "category"
ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
FILE_BYTES = 2 << 30
MOST_FRAMES = 200_000
"""Of one file; longer ones are cut by their owner."""


class VideoFilesOptions(ClipOptions):
    """Video files of one's own."""

    kind: Literal["clips"] = "clips"
    path: BesideTheRecipe = Field(description="folder or zip of video files in folders, beside the recipe")
    test_share: float = Field(0.2, gt=0, lt=1, description="of files for tests, where no folder is called test or val")
    title: str = Field("clips of video files", description="what card and page call them")
    licence: str = Field(UNKNOWN_LICENCE, description="under which they may be used; stands in the card")
    citation: str = Field("", description="whom to cite for them")


@dataclasses.dataclass(frozen=True)
class _Clip:
    file: str
    number: int


class VideoFiles:
    """Clips (frames, y, x, 3) uint8 of a folder or archive.

    Raises
    ------
    LayermapError
        There is no such folder or archive, or it has no clips for training or none for testing.
    """

    def __init__(self, options: VideoFilesOptions) -> None:
        self.options, self.path = options, options.path
        self._archive: zipfile.ZipFile | None = None
        if not self.path.is_dir():
            if not zipfile.is_zipfile(self.path):
                raise LayermapError(f"diet {self.path} is neither a folder nor a whole zip archive of video files")
            self._archive = zipfile.ZipFile(self.path)
        self.files = sorted(name for name in self._names() if PurePosixPath(name).suffix.lower() in ENDINGS)
        named = any(PurePosixPath(name).parts[0] in SPLIT_FOLDERS for name in self.files)
        categories = sorted({PurePosixPath(name).parent.name for name in self.files})
        self.label_sets: Mapping[str, LabelSet] = {CATEGORY: LabelSet(classes=tuple(categories))}
        self._places: dict[str, _Clip] = {}
        samples, short = [], []
        for name in self.files:
            label = {CATEGORY: categories.index(PurePosixPath(name).parent.name)}
            n_clips = self._n_clips(name)
            short += [] if n_clips else [name]
            for number in range(n_clips):
                clip = f"{name}:{number}" if n_clips > 1 else name
                self._places[clip] = _Clip(name, number)
                samples.append(Sample(clip, self._split(name, named), label))
        self.samples: Sequence[Sample] = samples
        self._refuse_or_say(short)

    def _names(self) -> list[str]:
        if self._archive is not None:
            return [one.filename for one in self._archive.infolist() if not one.is_dir()]
        return [file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file()]

    def _split(self, name: str, named: bool) -> Split:
        if named:
            return SPLIT_FOLDERS.get(PurePosixPath(name).parts[0], "train")
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
        return "test" if share < self.options.test_share else "train"

    def _refuse_or_say(self, short: Sequence[str]) -> None:
        n_frames, rate = self.options.n_frames, self.options.rate_hz
        wanted = f"{n_frames / rate:.3g} s ({n_frames} frames at {rate:g} Hz)"
        for split in ("train", "test"):
            if not any(one.split == split for one in self.samples):
                raise LayermapError(
                    f"diet {self.path} has no {split} clips: of {len(self.files)} video files {len(short)} are shorter "
                    f"than {wanted}; lower n_frames, or give folders train/CATEGORY/… and test/CATEGORY/…"
                )
        if short:
            told = counted(len(short), "video file")
            print(f"warning: {told} left out, shorter than {wanted}: {short[0]} …", file=sys.stderr, flush=True)

    @cached_property
    def digest(self) -> str:
        """Of the archive, or over names and contents of all files, hex."""
        if self._archive is not None:
            return sha256_of_file(self.path)
        lines = (f"{sha256_of_file(self.path / name)} {name}\n" for name in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _content(self, name: str) -> io.BytesIO | str:
        if self._archive is None:
            return str(self.path / name)
        member = self._archive.getinfo(name)
        if member.file_size > FILE_BYTES:
            raise BrokenArtifact(f"{self.path / name} has over {FILE_BYTES >> 30} GiB; unpack the archive to a folder")
        try:
            return io.BytesIO(self._archive.read(member))
        except Exception as error:  # zipfile answers damaged or encrypted members with whatever they cause
            raise BrokenArtifact(f"{self.path / name} cannot be unpacked ({error}); make the archive again") from error

    def _n_clips(self, name: str) -> int:
        """Whole clips in a file by its own words; 1 of a file that cannot be opened, so that reading names it."""
        import av

        try:
            with av.open(self._content(name), "r") as container:
                video = container.streams.video[0]
                unit = video.time_base or 1e-6
                duration = video.duration * unit if video.duration else (container.duration or 0) / 1e6
        except (BrokenArtifact, av.FFmpegError, IndexError, OSError):
            return 1
        return int(float(duration) * self.options.rate_hz + 1e-6) // self.options.n_frames

    def read(self, sample: Sample) -> np.ndarray:
        """One clip.

        Raises
        ------
        BrokenArtifact
            The file is no video, or ends before it says; the message names it.
        """
        import av
        import numpy as np

        place, rate, n = self._places[sample.name], self.options.rate_hz, self.options.n_frames
        wanted = (place.number * n + np.arange(n)) / rate
        file = self.path / place.file
        taken: list[np.ndarray] = []
        try:
            with av.open(self._content(place.file), "r") as container:
                shown: np.ndarray | None = None
                for frame in container.decode(video=0):
                    while shown is not None and len(taken) < n and wanted[len(taken)] < (frame.time or 0.0) - 1e-6:
                        taken.append(shown)
                    if len(taken) == n:
                        break
                    shown = frame.to_ndarray(format="rgb24")
                last = [] if shown is None else [shown] * (n - len(taken))
        except (av.FFmpegError, IndexError, OSError) as error:
            reason = str(error).partition(":")[0]
            raise BrokenArtifact(
                f"{file} is no video that can be read ({reason}); remove it or save it anew"
            ) from error
        if len(last) > np.ceil(rate / 5) + 1:  # the last frame stays on screen, but not for long
            raise BrokenArtifact(f"{file} ends {len(last) / rate:.2g} s early: it was cut short; save it anew")
        return np.stack([*taken, *last])


VIDEO_FILES = DietEntry(
    kind="clips",
    options=VideoFilesOptions,
    open=lambda options, mirror: VideoFiles(options),
    title=lambda options: options.title,
    licence=lambda options: options.licence,
    citation=lambda options: options.citation,
    modality="clips",
    label_sets=(CATEGORY,),
)
