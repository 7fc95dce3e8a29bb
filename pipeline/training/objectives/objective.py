"""What an objective has to provide. New objective = one module and a registry entry.

An objective owns what is added to the encoder for training only (projection, classifier, decoder), and turns a batch
into a loss per picture. Importing this module imports torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.core.registry import Registry
from pipeline.core.section import Section
from pipeline.training.objectives.augment import as_floats


class ObjectiveOptions(Section):
    """Options of an objective; its own class adds its fields and narrows ``kind``."""

    kind: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an objective makes of a batch.

    Parameters
    ----------
    loss : of each picture, (n,); their mean is what training lowers
    features : of the encoder, (n, n_features), for the measures of collapse
    measures : further numbers of the batch, name → mean over it, such as ``accuracy``
    """

    loss: torch.Tensor
    features: torch.Tensor
    measures: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What an objective may know before training.

    Parameters
    ----------
    encoder : as it begins
    n_features : of its output
    size_px : of pictures
    n_classes : of the diet
    train_labels : (n_train,) of the diet
    mean, sd : of the training pictures' colours, 0 to 1
    seed : of the training
    """

    encoder: nn.Module
    n_features: int
    size_px: int
    n_classes: int
    train_labels: np.ndarray
    mean: tuple[float, float, float]
    sd: tuple[float, float, float]
    seed: int


class Objective(nn.Module):
    """Base of all objectives: the parameters of a subclass are its heads.

    ``takes_steps`` is False where nothing is learned. ``unit`` is what the loss is in, ``loss_is`` what it is called.
    """

    takes_steps = True
    loss_is = "loss"
    unit = ""
    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(setting.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(setting.sd).view(1, 3, 1, 1), persistent=False)

    def labels_of(self, numbers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The labels of training pictures that the objective uses: ``labels``, unless it has others."""
        return labels

    def prepare(
        self, pictures: torch.Tensor, labels: torch.Tensor, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        """What `loss` is given: views, masks; everything that is random.

        Parameters
        ----------
        pictures : (n, y, x, 3) uint8, on the device of training
        labels : (n,)
        generator : of the processor, the only source of chance
        training : False where pictures are held out
        """
        raise NotImplementedError

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        """The loss of what `prepare` made."""
        raise NotImplementedError

    def standardised(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 3, y, x) from 0 to 1, with the training pictures' mean 0 and SD 1 per colour."""
        return (pictures - self.mean) / self.sd

    def plain(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (n, y, x, 3) uint8 as encoders are shown them: (n, 3, y, x), standardised."""
        return self.standardised(as_floats(pictures))


@dataclasses.dataclass(frozen=True)
class ObjectiveEntry:
    """An objective of the registry.

    Parameters
    ----------
    kind : the name by which a recipe asks for it
    options : its pydantic options, with ``kind: Literal[kind]``
    make : (options, setting) → the objective, its heads initialised from torch's generator
    title, citation : for card and page
    trained : how networks count that were trained so: ``self-supervised``, ``supervised`` or ``random``
    """

    kind: str
    options: type[ObjectiveOptions]
    make: Callable[[Any, Setting], Objective]
    title: str
    citation: str
    trained: str


OBJECTIVES: Registry[ObjectiveEntry] = Registry(
    "objective",
    (ObjectiveEntry,),
    "kind",
    {
        "contrastive": "pipeline.training.objectives.contrastive:CONTRASTIVE",
        "supervised": "pipeline.training.objectives.supervised:SUPERVISED",
        "shuffled_labels": "pipeline.training.objectives.supervised:SHUFFLED_LABELS",
        "masked_autoencoder": "pipeline.training.objectives.masked_autoencoder:MASKED_AUTOENCODER",
        "random": "pipeline.training.objectives.random_weights:RANDOM",
        "own": "pipeline.training.objectives.own:OWN",
    },
    group="layermap.objectives",
)
