"""CIFAR-10: 60,000 photographs of 32 × 32 px in ten classes, from their authors' archive of plain numbers.

The binary archive holds the same pictures as the better-known one of Python pickles, and is read without running
anything. Each record is a label and 3 × 1,024 grey levels, red, green, blue, row by row.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import BrokenArtifact
from pipeline.core.keys import sha256_of_file
from pipeline.fetch.mirror import parse_mirror
from pipeline.fetch.stage import fetch_files
from pipeline.training.diets.entry import (
    OBJECT,
    DietEntry,
    LabelSet,
    PictureOptions,
    Sample,
    SampleSource,
    Split,
    picture,
    source_folder,
)
from pipeline.training.diets.picture_classes import BesideTheRecipe, open_pictures

if TYPE_CHECKING:
    import numpy as np

ARCHIVE = RawFile(
    path="cifar-10-binary.tar.gz",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    bytes=170_052_171,
    md5="c32a1d4ab5d03f1284b67883e8d87530",
)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE_PX = 32
RECORD_BYTES = 1 + 3 * SIZE_PX**2
PER_FILE = 10_000
FOLDER = "cifar-10-batches-bin"
FILES: tuple[tuple[str, Split], ...] = (
    *((f"{FOLDER}/data_batch_{number}.bin", "train") for number in range(1, 6)),
    (f"{FOLDER}/test_batch.bin", "test"),
)
CITATION = "Krizhevsky 2009, Learning multiple layers of features from tiny images, University of Toronto"
LICENCE = "none stated by its authors (research use)"


class Cifar10Options(PictureOptions):
    """CIFAR-10."""

    kind: Literal["cifar10"] = "cifar10"
    path: BesideTheRecipe | None = Field(
        None,
        description="a copy of one's own: a folder or zip of train/CLASS/… and test/CLASS/…, beside the recipe. "
        "None: the official archive, which is fetched",
    )


class Cifar10Archive:
    """The pictures of the official archive.

    Raises
    ------
    BrokenArtifact
        It is not the archive that its authors publish.
    """

    label_sets: Mapping[str, LabelSet] = {OBJECT: LabelSet(classes=CLASSES)}

    def __init__(self, path: Path, per_file: int = PER_FILE) -> None:
        import numpy as np

        self.path = path
        n_bytes = per_file * RECORD_BYTES
        self._records = {}
        try:
            with tarfile.open(path, "r:gz") as archive:
                for name, _ in FILES:
                    member = archive.extractfile(name)
                    content = b"" if member is None else member.read(n_bytes + 1)
                    if len(content) != n_bytes:
                        raise BrokenArtifact(f"{path}: {name} has not {n_bytes:,} bytes; delete it and fetch it again")
                    self._records[name] = np.frombuffer(content, np.uint8).reshape(per_file, RECORD_BYTES)
        except (tarfile.TarError, EOFError, KeyError, OSError) as error:
            raise BrokenArtifact(f"{path} cannot be read ({error}); delete it and fetch it again") from error

    @cached_property
    def digest(self) -> str:
        """Of the archive, hex."""
        return sha256_of_file(self.path)

    @cached_property
    def samples(self) -> Sequence[Sample]:
        found = []
        for name, split in FILES:
            for number, label in enumerate(self._records[name][:, 0].tolist()):
                if label >= len(CLASSES):
                    raise BrokenArtifact(f"{self.path}: {name}: picture {number} is of class {label}, of 0 to 9")
                found.append(picture(f"{name}:{number}", split, label))
        return found

    def read(self, sample: Sample) -> np.ndarray:
        name, _, number = sample.name.rpartition(":")
        return self._records[name][int(number), 1:].reshape(3, SIZE_PX, SIZE_PX).transpose(1, 2, 0)


def open_cifar10(options: Cifar10Options, mirror: str | None) -> SampleSource:
    """The pictures of a copy, or of the official archive, which is fetched once and leaves a receipt."""
    if options.path is not None:
        return open_pictures(options.path)
    folder = source_folder("cifar10")
    fetch_files(
        [ARCHIVE],
        folder,
        mirror=parse_mirror(mirror),
        what="diet cifar10",
        key=str(ARCHIVE.md5)[:10],
        receipt_path=folder / "receipt.json",
    )
    return Cifar10Archive(folder / ARCHIVE.path)


CIFAR10 = DietEntry(
    kind="cifar10",
    options=Cifar10Options,
    open=open_cifar10,
    title=lambda options: "CIFAR-10" if options.path is None else f"CIFAR-10, as in {options.path.name}",
    licence=lambda options: LICENCE,
    citation=lambda options: CITATION,
)
