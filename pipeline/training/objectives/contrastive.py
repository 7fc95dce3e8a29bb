"""Contrastive learning: two views of a picture are to be told from all other pictures' views (SimCLR).

References
----------
Chen, Kornblith, Norouzi & Hinton 2020, A simple framework for contrastive learning of visual representations, ICML;
temperature 0.5 and no blur for small pictures: its appendix B.9.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from pipeline.training.objectives.augment import Views, as_floats, random_views
from pipeline.training.objectives.objective import (
    Labels,
    Objective,
    ObjectiveEntry,
    ObjectiveOptions,
    Outcome,
    Setting,
)
from pipeline.training.ranks import gathered_views


class ContrastiveOptions(ObjectiveOptions):
    """SimCLR."""

    kind: Literal["contrastive"] = "contrastive"
    temperature: float = Field(0.5, gt=0, description="by which similarities are divided")
    n_projected: int = Field(128, ge=2, description="features of the projection in which views are compared")
    views: Views = Field(default_factory=Views, description="how views of one picture differ")


def nt_xent(first: torch.Tensor, second: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised temperature-scaled cross-entropy of pairs of views.

    Parameters
    ----------
    first, second : (n, feature) of the two views of n pictures; compared by their cosines

    Returns
    -------
    loss of each picture, mean of its two views, (n,), in nats; and whether both views found each other, (n,) bool
    """
    n = len(first)
    both = normalize(torch.cat([first, second]).float(), dim=1)
    similarity = both @ both.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * n, device=both.device).roll(n)
    loss = cross_entropy(similarity, partner, reduction="none")
    found = similarity.argmax(1) == partner
    return loss.view(2, n).mean(0), found.view(2, n).all(0)


class Contrastive(Objective):
    """A projection of two layers, and the loss in it. Pictures of one batch are each other's negatives."""

    loss_is = "NT-Xent"
    unit = "nats"

    def __init__(self, options: ContrastiveOptions, setting: Setting) -> None:
        super().__init__(setting)
        self.options = options
        width = setting.n_features
        self.projection = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, options.n_projected),
        )

    def prepare(
        self, samples: torch.Tensor, labels: Labels, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        floats = as_floats(samples)
        return tuple(self.standardised(random_views(floats, self.options.views, generator)) for _ in range(2))

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        n = len(prepared[0])
        features = encoder(torch.cat(prepared))
        projected = self.projection(features)
        first, second, own = gathered_views(projected[:n], projected[n:])
        loss, found = nt_xent(first, second, self.options.temperature)
        return Outcome(loss[own], features[:n], {"identified": found[own].float().mean()})


CONTRASTIVE = ObjectiveEntry(
    kind="contrastive",
    options=ContrastiveOptions,
    make=Contrastive,
    title="contrastive (SimCLR)",
    citation="Chen, Kornblith, Norouzi & Hinton 2020, ICML",
    trained="self-supervised",
)
