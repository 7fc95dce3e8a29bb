"""No objective: the network as it was initialised, which every trained network has to exceed.

Normalisation statistics are those of the diet's samples, as for all twins of the project
(`pipeline.models.torch.twins`): without them an untrained network's layers saturate or vanish.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from pipeline.training.objectives.objective import (
    Labels,
    Objective,
    ObjectiveEntry,
    ObjectiveOptions,
    Outcome,
    Setting,
)


class RandomOptions(ObjectiveOptions):
    """Initialisation only."""

    kind: Literal["random"] = "random"


class RandomWeights(Objective):
    """Takes no steps and has no loss; the encoder is shown plain samples."""

    takes_steps = False
    has_loss = False
    loss_is = "none"

    def __init__(self, options: RandomOptions, setting: Setting) -> None:
        super().__init__(setting)

    def prepare(
        self, samples: torch.Tensor, labels: Labels, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        return (self.plain(samples),)

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        features = encoder(*prepared)
        return Outcome(torch.zeros(len(features), device=features.device), features)


RANDOM = ObjectiveEntry(
    kind="random",
    options=RandomOptions,
    make=RandomWeights,
    title="none (random weights)",
    citation="",
    trained="random",
    modalities=("pictures", "clips", "sounds"),
    takes_steps=False,
)
