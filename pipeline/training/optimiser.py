"""Optimisers and the course of their learning rate: warm-up, then half a cosine.

The rate of a step is a function of the step alone, so that nothing of a schedule has to be kept in a checkpoint.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.core.section import Section

if TYPE_CHECKING:
    import torch
    from torch import nn


class AdamW(Section):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, ICLR)."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0, description="highest rate, right after warm-up")
    weight_decay: float = Field(0.05, ge=0, description="of weights; norms and biases have none")
    betas: tuple[float, float] = Field((0.9, 0.999), description="of the means of gradient and squared gradient")


class SGD(Section):
    """Stochastic gradient descent with Nesterov's momentum."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(0.1, gt=0, description="highest rate, right after warm-up")
    weight_decay: float = Field(5e-4, ge=0, description="of weights; norms and biases have none")
    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step that is kept")


class Adam(Section):
    """Adam, with decay as a part of the gradient, of all parameters (Kingma & Ba 2015, ICLR)."""

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(1e-3, gt=0, description="highest rate, right after warm-up")
    weight_decay: float = Field(1e-5, ge=0, description="of all parameters, norms and biases included")
    betas: tuple[float, float] = Field((0.9, 0.999), description="of the means of gradient and squared gradient")


Optimiser = Annotated[Adam | AdamW | SGD, Field(discriminator="kind")]


class Course(Section):
    """How long, and in which steps."""

    steps: int = Field(ge=0, description="steps of the optimiser; 0 for objectives that take none")
    batch: int = Field(256, ge=2, description="samples of one step, all processes and accumulated parts together")
    accumulation: int = Field(1, ge=1, description="parts that a batch is gone through in, where memory is short")
    warmup_steps: int = Field(0, ge=0, description="in which the rate rises in a straight line")
    final_rate: float = Field(0.0, ge=0, le=1, description="last rate, as a share of the highest")
    largest_gradient: float | None = Field(None, gt=0, description="longer gradients are scaled to this norm")
    checkpoint_steps: int = Field(200, ge=1, description="between checkpoints, about; changes no number")

    @model_validator(mode="after")
    def _fits(self) -> Course:
        if self.batch % self.accumulation:
            raise ValueError(f"a batch of {self.batch} cannot be gone through in {self.accumulation} equal parts")
        if self.steps and self.warmup_steps >= self.steps:
            raise ValueError(f"warm-up of {self.warmup_steps} steps leaves none of {self.steps}; make it shorter")
        return self

    @property
    def log_steps(self) -> int:
        """Steps that are one point of the loss curve."""
        return max(1, self.steps // 200)

    def share_of_rate(self, step: int) -> float:
        """The rate of a step, from 0, as a share of the highest."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        course = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.final_rate + (1 - self.final_rate) * (1 + math.cos(math.pi * course)) / 2


def make_optimiser(options: Adam | AdamW | SGD, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a module's parameters; those of one dimension (norms, biases) decay in Adam only."""
    import torch

    trained = [weights for weights in module.parameters() if weights.requires_grad]
    if isinstance(options, Adam):
        rate, decay = options.learning_rate, options.weight_decay
        return torch.optim.Adam(trained, lr=rate, betas=options.betas, weight_decay=decay)
    groups = [
        {"params": [weights for weights in trained if weights.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [weights for weights in trained if weights.ndim <= 1], "weight_decay": 0.0},
    ]
    if isinstance(options, AdamW):  # not torch's fused kernel, whose bits differ once its state has been put back
        return torch.optim.AdamW(groups, lr=options.learning_rate, betas=options.betas)
    return torch.optim.SGD(groups, lr=options.learning_rate, momentum=options.momentum, nesterov=options.momentum > 0)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Its state as ``NUMBER.NAME`` → tensor."""
    import torch

    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give it back the state that `optimiser_tensors` gave."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        number, _, called = name.partition(".")
        state.setdefault(int(number), {})[called] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
