"""A diet as networks are given it: pictures decoded once, square and of one size, in files that are mapped.

``data/diets/KIND-KEY/`` holds, for ``train`` and ``test``, ``SPLIT.pictures.u8`` (n, y, x, 3) and ``SPLIT.labels.u2``
(n,), little-endian and nothing else, and ``diet.json``: what they are, what was left out, and their SHA-256. The key
holds the bytes of the pictures' own files, the options, and the code that reads them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from pipeline.artifacts.catalogue import read_sealed, write_json
from pipeline.artifacts.storage.store import SCHEMA_VERSION, locked, write_whole
from pipeline.core import paths
from pipeline.core.code_version import code_version
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.keys import key_of, sha256_of_file
from pipeline.core.progress import Progress
from pipeline.core.prose import counted
from pipeline.training.diets.entry import DIETS, SPLITS, DietOptions, Picture, PictureSource, Split

if TYPE_CHECKING:
    import numpy as np

REMEDY = "delete its folder and train again: pictures are decoded anew"
FACTS = "diet.json"
SHOWN = 5
"""Broken pictures that are named; the others are counted."""
WAIT_S = 3600.0
"""For another run that decodes the same pictures."""


class DietFacts(BaseModel):
    """``diet.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: str = SCHEMA_VERSION
    kind: str
    key: str
    contents: str = Field(description="SHA-256 of the pictures' own files")
    title: str
    licence: str
    citation: str
    classes: tuple[str, ...]
    size_px: int
    n_train: int
    n_test: int
    skipped: tuple[str, ...] = Field(description="pictures that were left out as broken")
    repeated: tuple[str, ...] = Field(description="test pictures left out because they are training pictures, too")
    mean: tuple[float, float, float] = Field(description="of the training pictures' colours, 0 to 1")
    sd: tuple[float, float, float]
    files: dict[str, str] = Field(description="file → SHA-256")


@dataclasses.dataclass(frozen=True)
class Pictures:
    """One part of a diet: ``pictures`` (n, y, x, 3) uint8 and ``labels`` (n,) uint16, both mapped from files."""

    pictures: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Diet:
    """A decoded diet."""

    facts: DietFacts
    train: Pictures
    test: Pictures


def diet_key(options: DietOptions, source: PictureSource) -> str:
    """Key of the decoded pictures."""
    module = DIETS.address(options.kind).partition(":")[0]
    told = options.model_dump(mode="json", exclude={"path", "title", "licence", "citation"})
    code = code_version(module, "pipeline.training.diets.decoded")
    return key_of({"options": told, "contents": source.digest, "code": code})


def open_diet(options: DietOptions, mirror: str | None = None) -> Diet:
    """The diet, decoded if it has not been.

    Raises
    ------
    LayermapError
        Its pictures cannot be had, or are broken; see `DietOptions.broken`.
    BrokenArtifact
        Decoded pictures were altered since they were written.
    """
    source = DIETS.get(options.kind).open(options, mirror)
    key = diet_key(options, source)
    folder = paths.diet(options.kind, key)
    with locked(folder.parent / f"{folder.name}.decoding", WAIT_S):  # seeds side by side want the same pictures
        if not (folder / FACTS).is_file():
            with write_whole(folder) as temporary:
                temporary.mkdir()
                _decode(options, source, key, temporary)
    diet = _opened(folder)
    return dataclasses.replace(diet, facts=diet.facts.model_copy(update=_words(options)))


def _decode(options: DietOptions, source: PictureSource, key: str, folder: Path) -> None:
    import numpy as np

    reading = _Reading(options, source)
    progress = Progress(f"decode diet {options.kind}", len(source.pictures), unit="picture")
    total, squares = np.zeros(3), np.zeros(3)
    n_read = {}
    try:
        for split in SPLITS:
            progress.at(split)
            labels = []
            with open(folder / f"{split}.pictures.u8", "wb") as stream:
                for one, square in reading.squares(split, progress):
                    stream.write(square.tobytes())
                    labels.append(one.label)
                    if split == "train":
                        total += square.mean((0, 1)) / 255
                        squares += ((square / 255.0) ** 2).mean((0, 1))
            if not labels:
                raise LayermapError(f"diet {options.kind} has no {split} pictures that can be used; mend the diet")
            n_read[split] = len(labels)
            (folder / f"{split}.labels.u2").write_bytes(np.asarray(labels, "<u2").tobytes())
    finally:
        progress.close()
    reading.say()
    mean = total / n_read["train"]
    facts = DietFacts(
        kind=options.kind,
        key=key,
        contents=source.digest,
        **_words(options),
        classes=source.classes,
        size_px=options.size_px,
        n_train=n_read["train"],
        n_test=n_read["test"],
        skipped=tuple(name for name, _ in reading.skipped),
        repeated=tuple(reading.repeated),
        mean=tuple(mean),
        sd=tuple(np.sqrt(np.maximum(squares / n_read["train"] - mean**2, 1e-8))),
        files={path.name: sha256_of_file(path) for path in sorted(folder.iterdir())},
    )
    write_json(facts, folder / FACTS)


def _words(options: DietOptions) -> dict[str, str]:
    """What a diet is called, and its licence: told by the recipe, and no part of the pictures' key."""
    entry = DIETS.get(options.kind)
    return {"title": entry.title(options), "licence": entry.licence(options), "citation": entry.citation(options)}


class _Reading:
    """The pictures of a source one by one, and what is left out of them."""

    def __init__(self, options: DietOptions, source: PictureSource) -> None:
        self.options = options
        self.source = source
        self.skipped: list[tuple[str, str]] = []
        self.repeated: list[str] = []
        self._of_training: set[bytes] = set()

    def squares(self, split: Split, progress: Progress) -> Iterator[tuple[Picture, np.ndarray]]:
        """Pictures of one part, square and of one size; of test pictures those that are in no training."""
        for one in (picture for picture in self.source.pictures if picture.split == split):
            progress.advance()
            try:
                square = cut_square(self.source.read(one), self.options.size_px)
            except BrokenArtifact as error:
                self._note(one, error)
                continue
            digest = hashlib.blake2b(square.tobytes(), digest_size=16).digest()
            if split == "train":
                self._of_training.add(digest)
            elif digest in self._of_training:
                self.repeated.append(one.name)
                continue
            yield one, square

    def _note(self, picture: Picture, error: BrokenArtifact) -> None:
        """Count a broken picture, or stop."""
        options, n = self.options, len(self.source.pictures)
        if options.broken == "stop":
            raise BrokenArtifact(
                f"{error}; or leave such pictures out with broken: skip in the recipe's diet"
            ) from error
        self.skipped.append((picture.name, str(error)))
        if len(self.skipped) > options.most_broken * n:
            raise LayermapError(
                f"{len(self.skipped)} of {n} pictures are broken, more than the {options.most_broken:.2%} that "
                f"most_broken allows (the last: {error}); mend the diet"
            ) from error

    def say(self) -> None:
        """What was left out, in some lines on stderr."""
        lines = [f"left out: {said}" for _, said in self.skipped[:SHOWN]]
        if len(self.skipped) > SHOWN:
            lines.append(f"left out: {len(self.skipped) - SHOWN} more")
        if self.repeated:
            first, n = self.repeated[0], len(self.repeated)
            lines.append(f"{counted(n, 'test picture')} left out, being equal to training pictures: {first} …")
        for line in lines:
            print(f"warning: {line}", file=sys.stderr, flush=True)


def cut_square(picture: np.ndarray, size_px: int) -> np.ndarray:
    """The middle of a picture (y, x, 1 or 3) as (size_px, size_px, 3) uint8; smaller ones are enlarged.

    Antialiased (Lanczos, three lobes) where the size changes.
    """
    import numpy as np
    from PIL import Image

    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = np.broadcast_to(picture[top : top + side, left : left + side], (side, side, 3))
    if side != size_px:
        square = np.asarray(
            Image.fromarray(np.ascontiguousarray(square)).resize((size_px, size_px), Image.Resampling.LANCZOS)
        )
    return np.ascontiguousarray(square)


def _opened(folder: Path) -> Diet:
    """A decoded diet, whose every byte is as it was written."""
    import numpy as np

    facts = read_sealed(folder / FACTS, DietFacts, REMEDY)
    for name, sha256 in facts.files.items():
        if not (folder / name).is_file() or sha256_of_file(folder / name) != sha256:
            raise BrokenArtifact(f"{folder / name} is missing or was altered since it was written; {REMEDY}")

    def part(split: str, n: int) -> Pictures:
        shape = (n, facts.size_px, facts.size_px, 3)
        pictures = np.memmap(folder / f"{split}.pictures.u8", np.uint8, "r", shape=shape)
        return Pictures(pictures, np.fromfile(folder / f"{split}.labels.u2", "<u2"))

    return Diet(facts, part("train", facts.n_train), part("test", facts.n_test))
