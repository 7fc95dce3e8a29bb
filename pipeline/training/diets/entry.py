"""What a diet has to provide: the samples that networks are trained on. New diet = one module and a registry entry.

Samples are pictures, clips of frames, or sounds; all of one diet have one `SampleForm`. Each may have several labels,
by the names of *label sets*: the ``object`` that is shown, its ``motion``, a ``speaker``, a sequence of ``character``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from pipeline.core.registry import Registry
from pipeline.core.section import Section

if TYPE_CHECKING:
    import numpy as np

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
Modality = Literal["pictures", "clips", "sounds"]
NOUNS: dict[Modality, str] = {"pictures": "picture", "clips": "clip", "sounds": "sound"}
ENCODINGS = {"u8": "|u1", "i2": "<i2", "f4": "<f4"}
"""Ending of a file of samples → its numbers: grey levels 0 to 255, sounds of 16 bits, sounds of −1 to 1."""
OBJECT = "object"
"""The label set of pictures."""
UNKNOWN = -1
"""The label of a sample that has none in a set, and what stands after the end of a sequence."""
UNKNOWN_LICENCE = "not stated"


class SampleForm(BaseModel):
    """What one sample of a diet is."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    modality: Modality
    shape: tuple[int, ...] = Field(
        description="pictures (y, x, 3), clips (frames, y, x, 3), sounds (samples,), as decoded"
    )
    encoding: Literal["u8", "i2", "f4"] = "u8"
    rate_hz: float | None = Field(None, description="frames of clips, samples of sounds, per second")

    @property
    def size_px(self) -> int:
        """Side of pictures and frames."""
        return self.shape[-2]

    @property
    def shown_shape(self) -> tuple[int, ...]:
        """What a network is shown of a sample: (3, y, x), (3, frames, y, x) or (samples,)."""
        return self.shape if self.modality == "sounds" else (3, *self.shape[:-1])

    @property
    def noun(self) -> str:
        return NOUNS[self.modality]

    def __str__(self) -> str:
        """In words, for card and page."""
        if self.modality == "pictures":
            return f"{self.size_px} px"
        if self.modality == "clips":
            return f"{self.shape[0]} frames of {self.size_px} px at {self.rate_hz:g} Hz"
        return f"{self.shape[0] / (self.rate_hz or 1):.3g} s at {self.rate_hz:g} Hz"


class LabelSet(BaseModel):
    """One set of labels: samples have a number of ``classes`` each, or a sequence of such numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    classes: tuple[str, ...]
    longest: int | None = Field(None, description="of sequences, padded with −1; None: one number per sample")


class DietOptions(Section):
    """Options that every diet has; a diet's own class adds its fields and narrows ``kind``."""

    kind: str
    broken: Literal["skip", "stop"] = Field(
        "stop", description="a file that cannot be read: stop and name it, or leave it out, count and name it"
    )
    most_broken: float = Field(
        0.01, ge=0, lt=1, description="more than this share of broken files always stops: then it is no accident"
    )

    def form(self) -> SampleForm:
        """What one sample is."""
        raise NotImplementedError


class PictureOptions(DietOptions):
    """Options of diets of pictures."""

    size_px: int = Field(32, ge=8, le=512, description="pictures are cut square and brought to this size")

    def form(self) -> SampleForm:
        return SampleForm(modality="pictures", shape=(self.size_px, self.size_px, 3))


class ClipOptions(DietOptions):
    """Options of diets of clips."""

    size_px: int = Field(32, ge=8, le=512, description="frames are cut square and brought to this size")
    n_frames: int = Field(40, ge=5, le=1000, description="of a clip")
    rate_hz: float = Field(10.0, gt=0, le=120, description="frames per second")

    def form(self) -> SampleForm:
        shape = (self.n_frames, self.size_px, self.size_px, 3)
        return SampleForm(modality="clips", shape=shape, rate_hz=self.rate_hz)


class SoundOptions(DietOptions):
    """Options of diets of sounds."""

    rate_hz: int = Field(16_000, ge=1000, le=96_000, description="samples per second")
    duration_s: float = Field(1.0, gt=0, le=60, description="longer sounds are cut, shorter ones end in silence")

    def form(self) -> SampleForm:
        shape = (round(self.rate_hz * self.duration_s),)
        return SampleForm(modality="sounds", shape=shape, encoding="i2", rate_hz=self.rate_hz)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sample of a diet, before it is read.

    Parameters
    ----------
    name : as messages call it
    labels : label set → number of its class, or the numbers of a sequence; a set that is left out is `UNKNOWN`
    """

    name: str
    split: Split
    labels: Mapping[str, int | Sequence[int]]

    def number(self, label_set: str) -> int:
        """Its class in a set of one label per sample; `UNKNOWN` where it has none."""
        found = self.labels.get(label_set, UNKNOWN)
        return found if isinstance(found, int) else UNKNOWN


def picture(name: str, split: Split, label: int) -> Sample:
    """A picture of an object class."""
    return Sample(name, split, {OBJECT: label})


class SampleSource(Protocol):
    """A diet's samples, in their own files.

    ``digest`` (hex) changes with any byte of them and is known before they are read.
    """

    @property
    def digest(self) -> str: ...
    @property
    def label_sets(self) -> Mapping[str, LabelSet]: ...
    @property
    def samples(self) -> Sequence[Sample]: ...

    def read(self, sample: Sample) -> np.ndarray:
        """A picture (y, x, colour) or clip (frames, y, x, colour) uint8 of any size, with one colour or three, at the
        diet's frame rate; a sound (samples,) at its rate, int16 or float32 as its form says.

        Raises
        ------
        BrokenArtifact
            It is no whole sample; the message names it.
        """
        ...


@dataclasses.dataclass(frozen=True)
class DietEntry:
    """A diet: what it is called and how its samples are found.

    Parameters
    ----------
    kind : the name by which a recipe asks for it
    options : its pydantic options, with ``kind: Literal[kind]``
    open : (options, mirror) → its samples; fetches them if need be. ``mirror`` as ``--config mirror=`` has it
    title, licence, citation : of its options, for card and page
    modality : of its samples
    label_sets : names of what its samples are labelled with
    """

    kind: str
    options: type[DietOptions]
    open: Callable[[Any, str | None], SampleSource]
    title: Callable[[Any], str]
    licence: Callable[[Any], str]
    citation: Callable[[Any], str]
    modality: Modality = "pictures"
    label_sets: tuple[str, ...] = (OBJECT,)


def source_folder(kind: str) -> Path:
    """Where what a diet fetches lies."""
    from pipeline.core import paths

    return paths.DATA / "raw" / "diets" / kind


DIETS: Registry[DietEntry] = Registry(
    "diet",
    (DietEntry,),
    "kind",
    {
        "cifar10": "pipeline.training.diets.cifar10:CIFAR10",
        "pictures": "pipeline.training.diets.picture_classes:PICTURES",
        "toy": "pipeline.training.diets.toy:TOY",
        "moving_objects": "pipeline.training.diets.moving_objects:MOVING_OBJECTS",
        "clips": "pipeline.training.diets.video_files:VIDEO_FILES",
        "both": "pipeline.training.diets.objects_and_clips:BOTH",
    },
    group="layermap.diets",
)
