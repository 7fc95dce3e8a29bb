"""Supervised learning of classes, and the same with labels that mean nothing.

With shuffled labels a network learns by heart: what it shares with one that learned classes is owed to pictures,
architecture and optimiser, not to the classes (Zhang, Bengio, Hardt, Recht & Vinyals 2017, ICLR).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.training.diets.entry import OBJECT
from pipeline.training.objectives.augment import shifted_and_mirrored
from pipeline.training.objectives.objective import (
    Labels,
    Objective,
    ObjectiveEntry,
    ObjectiveOptions,
    Outcome,
    Setting,
)
from pipeline.training.streams import stream


class SupervisedOptions(ObjectiveOptions):
    """Cross-entropy of classes."""

    kind: Literal["supervised"] = "supervised"
    shift_px: int = Field(4, ge=0, description="training pictures are moved by up to this many pixels")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a mirrored training picture")

    def label_sets(self) -> tuple[str, ...]:
        return (OBJECT,)


class ShuffledLabelsOptions(SupervisedOptions):
    """Cross-entropy of labels in another order, fixed by the training's seed."""

    kind: Literal["shuffled_labels"] = "shuffled_labels"  # type: ignore[assignment]


class Supervised(Objective):
    """A linear classifier on the encoder's features."""

    loss_is = "cross-entropy"
    unit = "nats"

    def __init__(self, options: SupervisedOptions, setting: Setting) -> None:
        super().__init__(setting)
        self.options = options
        self.classifier = nn.Linear(setting.n_features, setting.n_classes(OBJECT))

    def prepare(
        self, samples: torch.Tensor, labels: Labels, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        if training:
            samples = shifted_and_mirrored(samples, self.options.shift_px, self.options.flip, generator)
        return self.plain(samples), labels[OBJECT]

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        pictures, labels = prepared
        features = encoder(pictures)
        logits = self.classifier(features).float()
        correct = (logits.argmax(1) == labels).float()
        return Outcome(cross_entropy(logits, labels, reduction="none"), features, {"accuracy": correct.mean()})


class ShuffledLabels(Supervised):
    """Each training picture has the label of another one, the same in every epoch; class counts are kept.

    Held-out pictures keep their own labels: there is nothing to be right about, and the loss says so.
    """

    loss_is = "cross-entropy (labels shuffled in training)"

    def __init__(self, options: SupervisedOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        self._labels = shuffled(setting.train_labels[OBJECT], setting.seed)

    def labels_of(self, numbers: np.ndarray, labels: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return {OBJECT: self._labels[numbers]}


def shuffled(labels: np.ndarray, seed: int) -> np.ndarray:
    """Labels (n,) in another order, fixed by a seed."""
    return np.random.default_rng(stream(seed, "shuffled labels")).permutation(labels)


SUPERVISED = ObjectiveEntry(
    kind="supervised",
    options=SupervisedOptions,
    make=Supervised,
    title="supervised object classes",
    citation="",
    trained="supervised",
)
SHUFFLED_LABELS = ObjectiveEntry(
    kind="shuffled_labels",
    options=ShuffledLabelsOptions,
    make=ShuffledLabels,
    title="object classes with shuffled labels",
    citation="Zhang, Bengio, Hardt, Recht & Vinyals 2017, ICLR",
    trained="supervised",
)
