"""Rendered objects and clips of video files in one diet; labels that only one of them has are missing in the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.training.diets.entry import (
    OBJECT,
    UNKNOWN_LICENCE,
    ClipOptions,
    DietEntry,
    LabelSet,
    Sample,
    SampleSource,
)
from pipeline.training.diets.moving_objects import MOTION, MovingObjects, MovingObjectsOptions
from pipeline.training.diets.picture_classes import BesideTheRecipe
from pipeline.training.diets.video_files import CATEGORY, VideoFiles, VideoFilesOptions

if TYPE_CHECKING:
    import numpy as np


class BothOptions(ClipOptions):
    """Moving objects and video files."""

    kind: Literal["both"] = "both"
    path: BesideTheRecipe = Field(description="folder or zip of video files in folders, beside the recipe")
    n_train: int = Field(2048, ge=64, le=100_000, description="rendered training clips; to these come all of the files")
    n_test: int = Field(640, ge=64, le=100_000, description="rendered test clips, likewise")
    seed: int = Field(0, ge=0, description="of what is rendered")
    test_share: float = Field(0.2, gt=0, lt=1, description="of files for tests, where no folder is called test or val")
    licence: str = Field(UNKNOWN_LICENCE, description="of the video files; stands in the card")

    def parts(self) -> tuple[MovingObjectsOptions, VideoFilesOptions]:
        """The options of either diet."""
        common = self.model_dump(include={"size_px", "n_frames", "rate_hz", "broken", "most_broken"})
        rendered = MovingObjectsOptions(**common, n_train=self.n_train, n_test=self.n_test, seed=self.seed)
        return rendered, VideoFilesOptions(**common, path=self.path, test_share=self.test_share)


class Both:
    """The clips of two sources, each under the name of its own."""

    def __init__(self, options: BothOptions) -> None:
        rendered, files = options.parts()
        self._sources: dict[str, SampleSource] = {"rendered": MovingObjects(rendered), "file": VideoFiles(files)}
        self._found: dict[str, tuple[SampleSource, Sample]] = {}
        samples = []
        for prefix, source in self._sources.items():
            for one in source.samples:
                sample = Sample(f"{prefix} {one.name}", one.split, one.labels)
                self._found[sample.name] = (source, one)
                samples.append(sample)
        self.samples: Sequence[Sample] = samples
        self.label_sets: Mapping[str, LabelSet] = {
            name: labels for source in self._sources.values() for name, labels in source.label_sets.items()
        }

    @cached_property
    def digest(self) -> str:
        """Of both, hex."""
        return hashlib.sha256(" ".join(source.digest for source in self._sources.values()).encode()).hexdigest()

    def read(self, sample: Sample) -> np.ndarray:
        source, one = self._found[sample.name]
        return source.read(one)


BOTH = DietEntry(
    kind="both",
    options=BothOptions,
    open=lambda options, mirror: Both(options),
    title=lambda options: f"textured objects that move, and clips of {options.path.name}",
    licence=lambda options: f"photographs: public domain, CC0 and CC BY; clips: {options.licence}",
    citation=lambda options: "",
    modality="clips",
    label_sets=(OBJECT, MOTION, CATEGORY),
)
