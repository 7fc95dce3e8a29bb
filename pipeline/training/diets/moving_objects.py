"""Rendered video of objects that move over moving backgrounds: what moves, and where to, is known of every clip.

The object's class is its shape, one of eight; it moves in one of eight directions, and comes in again at the opposite
side. Its texture and that of the background are cut from photographs at random, with their own lighting; the background
moves, too, more slowly and in any direction. So neither colour nor texture nor a single frame tells the direction, and
no motion tells the shape. A clip follows from the seed and its own name. Clips are rendered once, into ``data/diets``,
as those of files: 123 kB for 40 frames of 32 px.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.training.diets.decoded import cut_square
from pipeline.training.diets.entry import (
    OBJECT,
    SPLITS,
    UNKNOWN_LICENCE,
    ClipOptions,
    DietEntry,
    LabelSet,
    Sample,
    SampleSource,
    Split,
    picture,
)
from pipeline.training.diets.picture_classes import BesideTheRecipe, open_pictures
from pipeline.training.diets.toy import TOY, ToyOptions, ToyPictures
from pipeline.training.streams import stream

if TYPE_CHECKING:
    import numpy as np

MOTION = "motion"
DIRECTIONS = ("right", "right_up", "up", "left_up", "left", "left_down", "down", "right_down")
"""Turned by 45° each, counter-clockwise."""
SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "disk": lambda x, y: x**2 + y**2 < 0.72,
    "square": lambda x, y: (abs(x) < 0.72) & (abs(y) < 0.72),
    "triangle": lambda x, y: (y < 0.7) & (y > 1.7 * abs(x) - 0.9),
    "ring": lambda x, y: (x**2 + y**2 < 0.9) & (x**2 + y**2 > 0.3),
    "cross": lambda x, y: ((abs(x) < 0.3) & (abs(y) < 0.95)) | ((abs(y) < 0.3) & (abs(x) < 0.95)),
    "bar": lambda x, y: (abs(x) < 0.95) & (abs(y) < 0.35),
    "crescent": lambda x, y: (x**2 + y**2 < 0.9) & ((x - 0.45) ** 2 + y**2 > 0.5),
    "hourglass": lambda x, y: (abs(y) < 0.9) & (abs(x) < 0.15 + 0.85 * abs(y)),
}
"""Class → where its shape is, in coordinates from −1 to 1."""
FINER = 2
"""Rendered with so many points per pixel and direction, and averaged."""
TEXTURE_PX = 64
OBJECT_SPEED, BACKGROUND_SPEED = (0.3, 0.6), (0.0, 0.12)
"""Sides of the frame per second, from and to."""
RADIUS = (0.28, 0.42)
"""Of the object, in sides of the frame."""
CONTRAST, FAINT = 0.2, 0.03
"""SD of a texture's grey levels, 0 to 1; fainter patches than the latter are not raised as much."""
LARGEST_TILT = math.radians(20)


class MovingObjectsOptions(ClipOptions):
    """Textured objects that move."""

    kind: Literal["moving_objects"] = "moving_objects"
    path: BesideTheRecipe | None = Field(
        None,
        description="photographs that textures are cut from: a folder or zip of train/CLASS/… and test/CLASS/…, beside "
        "the recipe. None: nine that come with scikit-image and scikit-learn",
    )
    n_train: int = Field(3072, ge=64, le=100_000, description="training clips")
    n_test: int = Field(640, ge=64, le=100_000, description="test clips")
    seed: int = Field(0, ge=0, description="of all that is drawn")
    licence: str = Field(UNKNOWN_LICENCE, description="of the photographs, if path names others")


class MovingObjects:
    """Clips (frames, y, x, 3) uint8, each drawn from the seed and its own name; classes are balanced."""

    def __init__(self, options: MovingObjectsOptions) -> None:
        self.options = options
        self.label_sets = {OBJECT: LabelSet(classes=tuple(SHAPES)), MOTION: LabelSet(classes=DIRECTIONS)}
        numbers = {"train": options.n_train, "test": options.n_test}
        self.samples: Sequence[Sample] = [
            Sample(f"{split}-{number}", split, {OBJECT: number % 8, MOTION: number // 8 % 8})
            for split in SPLITS
            for number in range(numbers[split])
        ]

    @cached_property
    def _photographs(self) -> SampleSource:
        if self.options.path is not None:
            return open_pictures(self.options.path)
        return ToyPictures(ToyOptions(size_px=TEXTURE_PX))

    @cached_property
    def _of_split(self) -> dict[Split, list[Sample]]:
        return {split: [one for one in self._photographs.samples if one.split == split] for split in SPLITS}

    @cached_property
    def digest(self) -> str:
        """Of photographs and options, hex: clips follow from these."""
        told = self.options.model_dump_json(exclude={"path", "licence"})
        return hashlib.sha256(f"{told} {self._photographs.digest}".encode()).hexdigest()

    def _texture(self, split: Split, generator: np.random.Generator) -> np.ndarray:
        """A patch of a photograph in another light, mirrored so that it goes on at its borders: (2 px, 2 px, 3)."""
        import numpy as np

        one = self._of_split[split][int(generator.integers(len(self._of_split[split])))]
        if self.options.path is None:  # not one of few patches, but one of its own
            one = picture(f"{split}-texture-{generator.integers(2**62)}", split, one.number(OBJECT))
        patch = cut_square(self._photographs.read(one), TEXTURE_PX) / 255.0
        gain, brightness = CONTRAST * generator.uniform(0.6, 1.4, 3), generator.uniform(-0.2, 0.2)
        lit = ((patch - patch.mean()) / (patch.std() + FAINT) * gain + 0.5 + brightness).clip(0, 1)
        wide = np.concatenate([lit, lit[:, ::-1]], 1)
        return np.concatenate([wide, wide[::-1]], 0).astype(np.float32)

    def read(self, sample: Sample) -> np.ndarray:
        import numpy as np

        options = self.options
        generator = np.random.default_rng(stream(options.seed, "moving objects", sample.name))
        background, texture = (self._texture(sample.split, generator) for _ in range(2))
        side = FINER * options.size_px
        per_frame = side / options.rate_hz
        velocity = per_frame * generator.uniform(*OBJECT_SPEED) * _heading(2 * math.pi * sample.number(MOTION) / 8)
        drift = per_frame * generator.uniform(*BACKGROUND_SPEED) * _heading(generator.uniform(0, 2 * math.pi))
        centre, radius = generator.uniform(0, side, 2), side * generator.uniform(*RADIUS)
        tilt = generator.uniform(-LARGEST_TILT, LARGEST_TILT)
        inside = tuple(SHAPES.values())[sample.number(OBJECT)]
        points, cos, sin = np.arange(side, dtype=np.float32), math.cos(tilt), math.sin(tilt)
        frames = []
        for time in range(options.n_frames):
            y, x = ((points - c - time * v + side / 2) % side - side / 2 for c, v in zip(centre, velocity, strict=True))
            down, right = y[:, None] / radius, x[None, :] / radius
            is_object = inside(cos * right + sin * down, cos * down - sin * right)
            seen = _at(background, points - time * drift[0], points - time * drift[1])
            shown = np.where(is_object[..., None], _at(texture, y, x), seen)
            frames.append(sum(shown[i::FINER, j::FINER] for i in range(FINER) for j in range(FINER)))
        return (255 / FINER**2 * np.stack(frames)).round().astype(np.uint8)


def _heading(angle: float) -> np.ndarray:
    """One step in a direction, counter-clockwise from the right, as (rows down, columns right)."""
    import numpy as np

    return np.array([-math.sin(angle), math.cos(angle)])


def _at(texture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A texture's colours (row, column, 3) at rows and columns, which go on beyond its borders."""
    import numpy as np

    y, x = np.round(rows).astype(int) % len(texture), np.round(columns).astype(int) % len(texture)
    return np.take(np.take(texture, y, 0), x, 1)


def _photographs_of(options: MovingObjectsOptions) -> str:
    return "photographs of scikit-image and scikit-learn" if options.path is None else options.path.name


MOVING_OBJECTS = DietEntry(
    kind="moving_objects",
    options=MovingObjectsOptions,
    open=lambda options, mirror: MovingObjects(options),
    title=lambda options: f"textured objects that move, cut from {_photographs_of(options)}",
    licence=lambda options: TOY.licence(ToyOptions()) if options.path is None else options.licence,
    citation=lambda options: TOY.citation(ToyOptions()) if options.path is None else "",
    modality="clips",
    label_sets=(OBJECT, MOTION),
)
