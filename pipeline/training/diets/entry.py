"""What a diet has to provide: the pictures that networks are trained on. New diet = one module and a registry entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from pipeline.core.registry import Registry
from pipeline.core.section import Section

if TYPE_CHECKING:
    import numpy as np

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
UNKNOWN_LICENCE = "not stated"


class DietOptions(Section):
    """Options that every diet has; a diet's own class adds its fields and narrows ``kind``."""

    kind: str
    size_px: int = Field(32, ge=8, le=512, description="pictures are cut square and brought to this size")
    broken: Literal["skip", "stop"] = Field(
        "stop", description="a picture that cannot be read: stop and name it, or leave it out, count and name it"
    )
    most_broken: float = Field(
        0.01, ge=0, lt=1, description="more than this share of broken pictures always stops: then it is no accident"
    )


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture of a diet, before it is read.

    Parameters
    ----------
    name : as messages call it
    label : number of its class
    """

    name: str
    split: Split
    label: int


class PictureSource(Protocol):
    """A diet's pictures, in their own files.

    ``digest`` (hex) changes with any byte of them and is known before they are read. ``title``, ``licence`` and
    ``citation`` are those of the entry, unless the source knows better.
    """

    @property
    def digest(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def pictures(self) -> Sequence[Picture]: ...

    def read(self, picture: Picture) -> np.ndarray:
        """(y, x, colour) uint8 of any size, with one colour or three.

        Raises
        ------
        BrokenArtifact
            It is no whole picture; the message names it.
        """
        ...


@dataclasses.dataclass(frozen=True)
class DietEntry:
    """A diet: what it is called and how its pictures are found.

    Parameters
    ----------
    kind : the name by which a recipe asks for it
    options : its pydantic options, with ``kind: Literal[kind]``
    open : (options, mirror) → its pictures; fetches them if need be. ``mirror`` as ``--config mirror=`` has it
    title, licence, citation : of its options, for card and page
    """

    kind: str
    options: type[DietOptions]
    open: Callable[[Any, str | None], PictureSource]
    title: Callable[[Any], str]
    licence: Callable[[Any], str]
    citation: Callable[[Any], str]


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
    },
    group="layermap.diets",
)
