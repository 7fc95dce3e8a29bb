"""A diet as networks are given it: samples decoded once, all of one form, in files that are mapped.

``data/diets/KIND-KEY/`` holds, for ``train`` and ``test``, ``SPLIT.pictures.u8`` (n, y, x, 3), ``SPLIT.clips.u8``
(n, frames, y, x, 3) or ``SPLIT.sounds.i2`` (n, samples), and of every label set ``SPLIT.NAME.i4`` (n,) or (n,
longest), little-endian and nothing else; and ``diet.json``: what they are, what was left out, and their SHA-256. The
key holds the bytes of the samples' own files, the options, and the code that reads them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
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
from pipeline.training.diets.entry import (
    DIETS,
    ENCODINGS,
    SPLITS,
    UNKNOWN,
    DietOptions,
    LabelSet,
    Sample,
    SampleForm,
    SampleSource,
    Split,
)

if TYPE_CHECKING:
    import numpy as np

REMEDY = "delete its folder and train again: samples are decoded anew"
FACTS = "diet.json"
SHOWN = 5
"""Broken samples that are named; the others are counted."""
WAIT_S = 3600.0
"""For another run that decodes the same samples."""


class DietFacts(BaseModel):
    """``diet.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: str = SCHEMA_VERSION
    kind: str
    key: str
    contents: str = Field(description="SHA-256 of the samples' own files")
    title: str
    licence: str
    citation: str
    form: SampleForm
    labels: dict[str, LabelSet] = Field(description="label set → its classes")
    n_train: int
    n_test: int
    skipped: tuple[str, ...] = Field(description="samples that were left out as broken")
    repeated: tuple[str, ...] = Field(description="test samples left out because they are training samples, too")
    mean: tuple[float, ...] = Field(description="of the training samples' colours, 0 to 1; of sounds one, −1 to 1")
    sd: tuple[float, ...]
    files: dict[str, str] = Field(description="file → SHA-256")


@dataclasses.dataclass(frozen=True)
class Samples:
    """One part of a diet.

    Parameters
    ----------
    values : pictures (n, y, x, 3) uint8, clips (n, frames, y, x, 3) uint8, or sounds (n, samples) int16 or float32;
        mapped from a file
    labels : label set → numbers of classes (n,) or, of sequences, (n, longest), int32; −1 where there is none
    """

    values: np.ndarray
    labels: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.values)

    def labels_of(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The labels of some samples."""
        return {name: labels[numbers] for name, labels in self.labels.items()}


@dataclasses.dataclass(frozen=True)
class Diet:
    """A decoded diet."""

    facts: DietFacts
    train: Samples
    test: Samples


def diet_key(options: DietOptions, source: SampleSource) -> str:
    """Key of the decoded samples."""
    module = DIETS.address(options.kind).partition(":")[0]
    told = options.model_dump(mode="json", exclude={"path", "title", "licence", "citation"})
    code = code_version(module, "pipeline.training.diets.decoded")
    return key_of({"options": told, "contents": source.digest, "code": code})


def open_diet(options: DietOptions, mirror: str | None = None) -> Diet:
    """The diet, decoded if it has not been.

    Raises
    ------
    LayermapError
        Its samples cannot be had, or are broken; see `DietOptions.broken`.
    BrokenArtifact
        Decoded samples were altered since they were written.
    """
    source = DIETS.get(options.kind).open(options, mirror)
    key = diet_key(options, source)
    folder = paths.diet(options.kind, key)
    with locked(folder.parent / f"{folder.name}.decoding", WAIT_S):  # seeds side by side want the same samples
        if not (folder / FACTS).is_file():
            with write_whole(folder) as temporary:
                temporary.mkdir()
                _decode(options, source, key, temporary)
    diet = _opened(folder)
    return dataclasses.replace(diet, facts=diet.facts.model_copy(update=_words(options)))


def _decode(options: DietOptions, source: SampleSource, key: str, folder: Path) -> None:
    form, reading = options.form(), _Reading(options, source)
    progress = Progress(f"decode diet {options.kind}", len(source.samples), unit=form.noun)
    moments = _Moments(form)
    n_read = {}
    try:
        for split in SPLITS:
            progress.at(split)
            labels = []
            with open(folder / _values_file(split, form), "wb") as stream:
                for one, values in reading.fitted(split, progress):
                    stream.write(values.tobytes())
                    labels.append(one.labels)
                    if split == "train":
                        moments.add(values)
            if not labels:
                raise LayermapError(f"diet {options.kind} has no {split} {form.modality} to use; mend the diet")
            n_read[split] = len(labels)
            for name, label_set in source.label_sets.items():
                numbers = _label_array([one.get(name, UNKNOWN) for one in labels], label_set)
                (folder / f"{split}.{name}.i4").write_bytes(numbers.tobytes())
    finally:
        progress.close()
    reading.say()
    mean, sd = moments.mean_and_sd()
    facts = DietFacts(
        kind=options.kind,
        key=key,
        contents=source.digest,
        **_words(options),
        form=form,
        labels=dict(source.label_sets),
        n_train=n_read["train"],
        n_test=n_read["test"],
        skipped=tuple(name for name, _ in reading.skipped),
        repeated=tuple(reading.repeated),
        mean=mean,
        sd=sd,
        files={path.name: sha256_of_file(path) for path in sorted(folder.iterdir())},
    )
    write_json(facts, folder / FACTS)


def _words(options: DietOptions) -> dict[str, str]:
    """What a diet is called, and its licence: told by the recipe, and no part of the samples' key."""
    entry = DIETS.get(options.kind)
    return {"title": entry.title(options), "licence": entry.licence(options), "citation": entry.citation(options)}


def _values_file(split: str, form: SampleForm) -> str:
    return f"{split}.{form.modality}.{form.encoding}"


def _label_array(labels: Sequence[int | Sequence[int]], label_set: LabelSet) -> np.ndarray:
    """(n,) or, of sequences, (n, longest) int32, `UNKNOWN` where a label or an end is missing."""
    import numpy as np

    if label_set.longest is None:
        return np.asarray(labels, "<i4")
    padded = np.full((len(labels), label_set.longest), UNKNOWN, "<i4")
    for row, sequence in zip(padded, labels, strict=True):
        if not isinstance(sequence, int):
            row[: len(sequence)] = sequence
    return padded


class _Moments:
    """Mean and SD of the training samples' colours, or of sounds."""

    def __init__(self, form: SampleForm) -> None:
        import numpy as np

        self.scale = {"u8": 255, "i2": 32768, "f4": 1}[form.encoding]
        self.axes = tuple(range(len(form.shape) - (form.modality != "sounds")))
        n = 1 if form.modality == "sounds" else 3
        self.total, self.squares, self.n = np.zeros(n), np.zeros(n), 0

    def add(self, values: np.ndarray) -> None:
        self.total += values.mean(self.axes, dtype=float) / self.scale
        self.squares += ((values / float(self.scale)) ** 2).mean(self.axes)
        self.n += 1

    def mean_and_sd(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        import numpy as np

        mean = self.total / self.n
        return tuple(mean), tuple(np.sqrt(np.maximum(self.squares / self.n - mean**2, 1e-8)))


class _Reading:
    """The samples of a source one by one, and what is left out of them."""

    def __init__(self, options: DietOptions, source: SampleSource) -> None:
        self.options = options
        self.source = source
        self.form = options.form()
        self.skipped: list[tuple[str, str]] = []
        self.repeated: list[str] = []
        self._of_training: set[bytes] = set()

    def fitted(self, split: Split, progress: Progress) -> Iterator[tuple[Sample, np.ndarray]]:
        """Samples of one part, brought to the diet's form; of test samples those that are in no training."""
        for one in (sample for sample in self.source.samples if sample.split == split):
            progress.advance()
            try:
                values = brought_to(self.source.read(one), self.form, one.name)
            except BrokenArtifact as error:
                self._note(one, error)
                continue
            digest = hashlib.blake2b(values.tobytes(), digest_size=16).digest()
            if split == "train":
                self._of_training.add(digest)
            elif digest in self._of_training:
                self.repeated.append(one.name)
                continue
            yield one, values

    def _note(self, sample: Sample, error: BrokenArtifact) -> None:
        """Count a broken sample, or stop."""
        options, n, many = self.options, len(self.source.samples), self.form.modality
        if options.broken == "stop":
            raise BrokenArtifact(f"{error}; or leave such {many} out with broken: skip in the recipe's diet") from error
        self.skipped.append((sample.name, str(error)))
        if len(self.skipped) > options.most_broken * n:
            raise LayermapError(
                f"{len(self.skipped)} of {n} {many} are broken, more than the {options.most_broken:.2%} that "
                f"most_broken allows (the last: {error}); mend the diet"
            ) from error

    def say(self) -> None:
        """What was left out, in some lines on stderr."""
        lines = [f"left out: {said}" for _, said in self.skipped[:SHOWN]]
        if len(self.skipped) > SHOWN:
            lines.append(f"left out: {len(self.skipped) - SHOWN} more")
        if self.repeated:
            first, n = self.repeated[0], len(self.repeated)
            told = counted(n, f"test {self.form.noun}")
            lines.append(f"{told} left out, being equal to training {self.form.modality}: {first} …")
        for line in lines:
            print(f"warning: {line}", file=sys.stderr, flush=True)


def brought_to(values: np.ndarray, form: SampleForm, name: str) -> np.ndarray:
    """A sample as read, in the form of its diet: frames square and of one size, sounds of one length.

    Clips keep their first frames.

    Raises
    ------
    BrokenArtifact
        A clip has too few frames.
    """
    import numpy as np

    if form.modality == "pictures":
        return cut_square(values, form.size_px)
    n = form.shape[0]
    if form.modality == "sounds":
        whole = np.zeros(n, ENCODINGS[form.encoding])
        whole[: min(n, len(values))] = values[:n]
        return whole
    if len(values) < n:
        raise BrokenArtifact(
            f"clip {name} has {len(values)} frames at {form.rate_hz:g} Hz, fewer than n_frames ({n}); lower n_frames"
        )
    return np.stack([cut_square(frame, form.size_px) for frame in values[:n]])


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

    def part(split: str, n: int) -> Samples:
        form = facts.form
        values = np.memmap(folder / _values_file(split, form), ENCODINGS[form.encoding], "r", shape=(n, *form.shape))
        labels = {
            name: np.fromfile(folder / f"{split}.{name}.i4", "<i4").reshape(n, *_length(label_set))
            for name, label_set in facts.labels.items()
        }
        return Samples(values, labels)

    return Diet(facts, part("train", facts.n_train), part("test", facts.n_test))


def _length(label_set: LabelSet) -> tuple[int, ...]:
    return () if label_set.longest is None else (label_set.longest,)
