"""Random-dot motion: clips in which only a share of the dots moves together, in one of four directions.

From frame to frame a dot either goes on in the clip's direction, with the probability that is the clip's coherence, or
is drawn anew at a place of chance. No frame tells the direction, and at low coherence no single dot does.

References
----------
Newsome & Paré 1988, Journal of Neuroscience 8:2201; as a probe of networks in Bakhtiari, Mineault, Lillicrap, Pack &
Richards 2021, NeurIPS 34
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.core.section import Section
from pipeline.training.diets.decoded import Samples
from pipeline.training.streams import stream

if TYPE_CHECKING:
    from pipeline.training.diets.entry import SampleForm

DIRECTIONS = ("right", "up", "left", "down")
STEPS = np.array([(0, 1), (-1, 0), (0, -1), (1, 0)])
"""Rows down and columns right of one step in each direction."""
SPEED = 0.4
"""Sides of the frame per second."""
DOTS_PER_AREA = 1 / 24
"""Dots per square pixel."""
FINER = 2
"""Points per pixel and direction that dots are drawn with; a dot covers 3 × 3 of them."""
GREY, WHITE = 64, 255


class RandomDots(Section):
    """Random-dot motion, shown at several coherences."""

    coherences: tuple[float, ...] = Field(
        (0.1, 0.2, 0.4, 0.8, 1.0), min_length=1, description="shares of dots that move together, each a probe"
    )
    n_train: int = Field(480, ge=20, description="clips that each probe is fitted on")
    n_test: int = Field(480, ge=20, description="clips that it is scored on")
    n_frames: int = Field(10, ge=5, multiple_of=5, description="of a clip; the rate is the diet's")
    seed: int = Field(0, ge=0, description="of places")


def label_of(coherence: float) -> str:
    """What a probe at one coherence is called in ``probes.csv``."""
    return f"dots {coherence:g}"


def dot_clip(
    direction: int, coherence: float, n_frames: int, size_px: int, rate_hz: float, generator: np.random.Generator
) -> np.ndarray:
    """One clip (frames, y, x, 3) uint8, white dots on grey; dots that leave come in at the opposite side."""
    side = FINER * size_px
    places = generator.uniform(0, side, (round(DOTS_PER_AREA * size_px**2), 2))
    step = SPEED * side / rate_hz * STEPS[direction]
    frames = np.full((n_frames, side, side), GREY, np.float32)
    for frame in frames:
        corner = places.astype(int)
        for down in range(3):
            for right in range(3):
                frame[(corner[:, 0] + down) % side, (corner[:, 1] + right) % side] = WHITE
        goes_on = generator.uniform(size=len(places)) < coherence
        places = np.where(goes_on[:, None], places + step, generator.uniform(0, side, places.shape)) % side
    coarse = frames.reshape(n_frames, size_px, FINER, size_px, FINER).mean((2, 4)).round().astype(np.uint8)
    return np.repeat(coarse[..., None], 3, axis=3)


def dot_clips(options: RandomDots, coherence: float, split: str, form: SampleForm) -> Samples:
    """Clips of one coherence, directions in equal numbers; the same for all networks.

    Parameters
    ----------
    split : ``train`` or ``test``
    form : of the diet, for size and rate
    """
    n = options.n_train if split == "train" else options.n_test
    labels = np.arange(n) % len(DIRECTIONS)
    generator = np.random.default_rng(stream(options.seed, "random dots", split, f"{coherence:g}"))
    rate = form.rate_hz or 1.0
    clips = [dot_clip(int(one), coherence, options.n_frames, form.size_px, rate, generator) for one in labels]
    return Samples(np.stack(clips), {label_of(coherence): labels.astype(np.int32)})
