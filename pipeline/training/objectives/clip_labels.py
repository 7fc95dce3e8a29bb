"""Supervised learning of one or several label sets at once, such as what moves in a clip and where it goes."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.training.diets.entry import UNKNOWN
from pipeline.training.objectives.objective import (
    Labels,
    Objective,
    ObjectiveEntry,
    ObjectiveOptions,
    Outcome,
    Setting,
)


class LabelsOptions(ObjectiveOptions):
    """Cross-entropy of classes, a linear classifier for each label set."""

    kind: Literal["labels"] = "labels"
    learned: tuple[str, ...] = Field(("object",), min_length=1, description="label sets, such as [object, motion]")

    def label_sets(self) -> tuple[str, ...]:
        return self.learned


class LabelClassifiers(Objective):
    """A linear classifier of each label set on the encoder's features; the loss is their sum.

    Samples are shown as they are: a mirrored clip would move another way. One without a label in a set adds nothing.
    """

    loss_is = "cross-entropy, summed over label sets"
    unit = "nats"

    def __init__(self, options: LabelsOptions, setting: Setting) -> None:
        super().__init__(setting)
        self.options = options
        sizes = {name: setting.n_classes(name) for name in options.learned}
        self.classifiers = nn.ModuleDict({name: nn.Linear(setting.n_features, n) for name, n in sizes.items()})

    def prepare(
        self, samples: torch.Tensor, labels: Labels, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        return (self.plain(samples), *(labels[name] for name in self.options.learned))

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        samples, *wanted = prepared
        features = encoder(samples)
        loss, measures = torch.zeros(len(features), device=features.device), {}
        for name, labels in zip(self.options.learned, wanted, strict=True):
            logits = self.classifiers[name](features).float()
            loss = loss + cross_entropy(logits, labels, reduction="none", ignore_index=UNKNOWN)
            known = labels != UNKNOWN
            right = (logits.argmax(1) == labels) & known
            measures[f"accuracy_{name}"] = right.sum() / known.sum().clamp(min=1)
        return Outcome(loss, features, measures)


LABELS = ObjectiveEntry(
    kind="labels",
    options=LabelsOptions,
    make=LabelClassifiers,
    title="supervised label sets",
    citation="",
    trained="supervised",
    modalities=("clips", "sounds"),
)
