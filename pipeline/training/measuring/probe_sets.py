"""What layers are asked: samples of the diet, or of another kind, with the label sets that are read from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from pipeline.training.diets.entry import SPLITS, UNKNOWN
from pipeline.training.measuring.random_dots import DIRECTIONS, dot_clips, label_of
from pipeline.training.measuring.show import chosen_samples

if TYPE_CHECKING:
    from pipeline.training.diets.decoded import Diet, Samples
    from pipeline.training.recipe import Recipe


RAW_FRAMES = 10
"""Frames of clips whose pixels are probed: all forty would be over a gigabyte."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """Some samples of one part.

    Parameters
    ----------
    numbers : of those that are shown
    """

    samples: Samples
    numbers: np.ndarray

    def raw(self) -> np.ndarray:
        """Pixels or samples of sound, (n, n_values); of clips those of the first `RAW_FRAMES` frames."""
        values = self.samples.values
        shown = values[:, :RAW_FRAMES] if values.ndim == 5 else values
        return np.asarray(shown[self.numbers]).reshape(len(self.numbers), -1)

    def raw_shape(self) -> str:
        """Of one sample in `raw`, in words."""
        shape = self.samples.values.shape[1:]
        return "×".join(map(str, (min(RAW_FRAMES, shape[0]), *shape[1:]) if len(shape) == 4 else shape))


@dataclasses.dataclass(frozen=True)
class ProbeSet:
    """Samples whose layers are taken once, and all that is read from them.

    Parameters
    ----------
    train, test : that probes are fitted on and scored on
    n_classes : label set → number of classes, of those that are read
    """

    train: Shown
    test: Shown
    n_classes: Mapping[str, int]

    def labelled(self, label_set: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Which rows of train and of test have a label, bool, and their labels."""
        parts = [shown.samples.labels[label_set][shown.numbers] for shown in (self.train, self.test)]
        rows = [labels != UNKNOWN for labels in parts]
        return rows[0], parts[0][rows[0]], rows[1], parts[1][rows[1]]


def probe_sets(diet: Diet, recipe: Recipe, test_numbers: np.ndarray) -> Iterator[ProbeSet]:
    """All that is asked of a recipe's networks.

    Parameters
    ----------
    test_numbers : of the diet's test samples that are shown
    """
    numbers = chosen_samples(len(diet.train), recipe.probes.n_train, "probed pictures")
    yield ProbeSet(Shown(diet.train, numbers), Shown(diet.test, test_numbers), _asked(diet, recipe))
    dots = recipe.probes.random_dots
    if dots is not None:
        for coherence in dots.coherences:
            parts = (dot_clips(dots, coherence, split, diet.facts.form) for split in SPLITS)
            train, test = (Shown(samples, np.arange(len(samples))) for samples in parts)
            yield ProbeSet(train, test, {label_of(coherence): len(DIRECTIONS)})


def _asked(diet: Diet, recipe: Recipe) -> dict[str, int]:
    """Label sets of one label per sample: those that the recipe names, or all."""
    single = {name: found for name, found in diet.facts.labels.items() if found.longest is None}
    return {name: len(single[name].classes) for name in recipe.probes.labels or single}
