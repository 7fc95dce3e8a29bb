"""What an objective has to provide. New objective = one module and a registry entry.

An objective owns what is added to the encoder for training only (projection, classifier, decoder), and turns a batch
into a loss per sample. Importing this module imports torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.core.registry import Registry
from pipeline.core.section import Section
from pipeline.training.diets.entry import LabelSet, Modality, SampleForm
from pipeline.training.objectives.augment import as_floats

Labels = Mapping[str, torch.Tensor]
"""Label set → labels of a batch."""


class ObjectiveOptions(Section):
    """Options of an objective; its own class adds its fields and narrows ``kind``."""

    kind: str

    def label_sets(self) -> tuple[str, ...]:
        """Names of the label sets that are learned; a diet has to have them."""
        return ()

    def misfit(self, form: SampleForm) -> str | None:
        """Why it cannot learn from samples of a form, in words; None if it can."""
        return None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an objective makes of a batch.

    Parameters
    ----------
    loss : of each sample, (n,); their mean is what training lowers
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
    form : of samples
    labels : the diet's label sets
    train_labels : label set → (n_train,) or (n_train, longest) of the diet
    mean, sd : of the training samples' colours, 0 to 1; of sounds one value each
    seed : of the training
    """

    encoder: nn.Module
    n_features: int
    form: SampleForm
    labels: Mapping[str, LabelSet]
    train_labels: Mapping[str, np.ndarray]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    seed: int

    def n_classes(self, label_set: str) -> int:
        return len(self.labels[label_set].classes)


class Objective(nn.Module):
    """Base of all objectives: the parameters of a subclass are its heads.

    ``takes_steps`` is False where nothing is learned here, ``has_loss`` where there is nothing to measure either.
    ``unit`` is what the loss is in, ``loss_is`` what it is called.
    """

    takes_steps = True
    has_loss = True
    loss_is = "loss"
    unit = ""
    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        shape = (1, -1, *(1 for _ in setting.form.shown_shape[1:]))
        self.register_buffer("mean", torch.tensor(setting.mean).view(shape), persistent=False)
        self.register_buffer("sd", torch.tensor(setting.sd).view(shape), persistent=False)

    def labels_of(self, numbers: np.ndarray, labels: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The labels of training samples that the objective uses: ``labels``, unless it has others."""
        return labels

    def prepare(
        self, samples: torch.Tensor, labels: Labels, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        """What `loss` is given: views, masks; everything that is random.

        Parameters
        ----------
        samples : pictures (n, y, x, 3) or clips (n, frames, y, x, 3) uint8, or sounds (n, samples), on the device of
            training
        labels : label set → (n,) or (n, longest) int64; −1 where there is none
        generator : of the processor, the only source of chance
        training : False where samples are held out
        """
        raise NotImplementedError

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        """The loss of what `prepare` made."""
        raise NotImplementedError

    def load_published(self, encoder: nn.Module, mirror: str | None) -> bool:
        """Put weights that others trained into encoder and heads, where no steps are taken; whether there are any."""
        return False

    def standardised(self, floats: torch.Tensor) -> torch.Tensor:
        """Samples as `as_floats` makes them, with the training samples' mean 0 and SD 1 per colour."""
        return (floats - self.mean) / self.sd

    def plain(self, samples: torch.Tensor) -> torch.Tensor:
        """Samples as stored, as encoders are shown them: (n, 3, y, x), (n, 3, frames, y, x) or (n, samples)."""
        return self.standardised(as_floats(samples))


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
    modalities : of the samples that it can learn from
    takes_steps : False where nothing is learned
    """

    kind: str
    options: type[ObjectiveOptions]
    make: Callable[[Any, Setting], Objective]
    title: str
    citation: str
    trained: str
    modalities: tuple[Modality, ...] = ("pictures",)
    takes_steps: bool = True


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
        "predictive_coding": "pipeline.training.objectives.predictive_coding:PREDICTIVE_CODING",
        "labels": "pipeline.training.objectives.clip_labels:LABELS",
        "published": "pipeline.training.objectives.published:PUBLISHED",
        "own": "pipeline.training.objectives.own:OWN",
    },
    group="layermap.objectives",
)
