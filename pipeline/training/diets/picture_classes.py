"""Pictures by class: ``train/CLASS/…`` and ``test/CLASS/…`` in a folder or a zip archive of the user's own."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.keys import sha256_of_file
from pipeline.core.limits import size_in_words
from pipeline.core.names import clean_name
from pipeline.stimuli.file_remarks import Notes
from pipeline.stimuli.pictures.picture_files import decode_picture
from pipeline.training.diets.entry import (
    OBJECT,
    UNKNOWN_LICENCE,
    DietEntry,
    LabelSet,
    PictureOptions,
    Sample,
    SampleSource,
    Split,
    picture,
)

if TYPE_CHECKING:
    import numpy as np

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")
SPLIT_FOLDERS: dict[str, Split] = {"train": "train", "test": "test", "val": "test"}
"""Folder → what its pictures are for; ImageNet calls its held-out pictures ``val``."""
PICTURE_BYTES = 64 << 20
MOST_PICTURES = 2_000_000


def _beside_the_recipe(path: Path, info: ValidationInfo) -> Path:
    return (Path((info.context or {}).get("folder", ".")) / path.expanduser()).absolute()


BesideTheRecipe = Annotated[Path, AfterValidator(_beside_the_recipe)]
"""A path that starts where the recipe file lies; whether it is there is asked when it is read."""


class PictureClassesOptions(PictureOptions):
    """Pictures of one's own."""

    kind: Literal["pictures"] = "pictures"
    path: BesideTheRecipe = Field(description="folder or zip of train/CLASS/… and test/CLASS/…, beside the recipe")
    title: str = Field("pictures by class", description="what card and page call the pictures")
    licence: str = Field(UNKNOWN_LICENCE, description="under which they may be used; stands in the card")
    citation: str = Field("", description="whom to cite for them")


def open_pictures(path: Path) -> SampleSource:
    """The pictures of a folder or of a zip archive.

    Raises
    ------
    LayermapError
        There is no such folder or archive, or it has no pictures for training or none for testing.
    """
    if path.is_dir():
        return PictureFolder(path)
    if not path.is_file():
        raise LayermapError(f"diet {path} does not exist; give a folder or zip of train/CLASS/… and test/CLASS/…")
    if not zipfile.is_zipfile(path):
        raise LayermapError(f"diet {path} is neither a folder nor a zip archive, or was cut short; give another file")
    return PictureZip(path)


class PictureFolder:
    """A folder of pictures by class."""

    def __init__(self, path: Path) -> None:
        self.path = path
        files = (file for file in path.glob("*/*/*") if file.is_file())
        self.label_sets, self.samples = _sorted(path, (file.relative_to(path).as_posix() for file in files))

    @cached_property
    def digest(self) -> str:
        """Over the names and contents of all pictures, hex."""
        lines = (f"{sha256_of_file(self.path / one.name)} {one.name}\n" for one in self.samples)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def read(self, sample: Sample) -> np.ndarray:
        file = self.path / sample.name
        if file.stat().st_size > PICTURE_BYTES:
            raise _too_large(file, file.stat().st_size)
        return decode_picture(file.read_bytes(), file, Notes(), remedy="remove it or save it anew")


class PictureZip:
    """A zip archive of pictures by class; nothing of it is unpacked onto the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = zipfile.ZipFile(path)
        names = [one.filename for one in self._archive.infolist() if not one.is_dir()]
        self.label_sets, self.samples = _sorted(path, names)

    @cached_property
    def digest(self) -> str:
        """Of the archive, hex."""
        return sha256_of_file(self.path)

    def read(self, sample: Sample) -> np.ndarray:
        member, name = self._archive.getinfo(sample.name), self.path / sample.name
        if member.file_size > PICTURE_BYTES:
            raise _too_large(name, member.file_size)
        try:
            content = self._archive.read(member)
        except Exception as error:  # zipfile answers damaged or encrypted members with whatever they cause
            raise BrokenArtifact(f"{name} cannot be unpacked ({error}); make the archive again") from error
        return decode_picture(content, name, Notes(), remedy="make the archive again without it")


def _too_large(name: Path, n_bytes: int) -> BrokenArtifact:
    allowed = size_in_words(PICTURE_BYTES)
    return BrokenArtifact(f"{name} has {size_in_words(n_bytes)}, a picture at most {allowed}; save it smaller")


def _sorted(path: Path, names: Iterable[str]) -> tuple[Mapping[str, LabelSet], Sequence[Sample]]:
    """Classes and pictures by name; other files are left out."""
    found: list[tuple[str, Split, str]] = []
    for name in names:
        parts = PurePosixPath(name).parts
        if len(parts) != 3 or parts[0] not in SPLIT_FOLDERS:
            continue
        if parts[2].lower().endswith(ENDINGS) and not parts[2].startswith("."):
            found.append((name, SPLIT_FOLDERS[parts[0]], clean_name(parts[1], f"diet {path}", "class")))
        if len(found) > MOST_PICTURES:
            raise LayermapError(f"diet {path} has over {MOST_PICTURES:,} pictures; take fewer")
    splits = {split for _, split, _ in found}
    for split in ("train", "test"):
        if split not in splits:
            raise LayermapError(
                f"diet {path} has no pictures in {split}/CLASS/…; expected train/CLASS/NAME.jpg and test/CLASS/NAME.jpg"
            )
    classes = tuple(sorted({called for *_, called in found}))
    if len(classes) < 2:
        raise LayermapError(f"diet {path} has one class, '{classes[0]}'; probes need two or more folders in train/")
    number = {called: label for label, called in enumerate(classes)}
    samples = [picture(name, split, number[called]) for name, split, called in sorted(found)]
    return {OBJECT: LabelSet(classes=classes)}, samples


PICTURES = DietEntry(
    kind="pictures",
    options=PictureClassesOptions,
    open=lambda options, mirror: open_pictures(options.path),
    title=lambda options: options.title,
    licence=lambda options: options.licence,
    citation=lambda options: options.citation,
)
