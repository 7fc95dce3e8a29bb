"""Twins: a network's architecture with its weights redrawn or shuffled, tensor by tensor.

A **random** twin draws each weight tensor from a normal distribution with the trained tensor's mean and SD, a
**shuffled** one permutes the trained values within each tensor, which keeps their whole distribution. Both have the
trained network's scale of weights and none of what it learned. Batch normalisation then gets the mean and variance
of its own inputs on stimuli outside every study; without that a twin's layers saturate or vanish and are no fair
control.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.models.entry import Twin

if TYPE_CHECKING:
    import torch


def replace_weights(module: torch.nn.Module, twin: Twin) -> None:
    """Replace every trained tensor by normal draws of equal mean and SD, or by its own values in another order.

    Each tensor has its own generator, seeded by the twin's seed and the tensor's name, so that the order of the
    tensors and the device do not matter. Parameters that are not trained (``requires_grad`` False, such as
    Whisper's sinusoidal positions) belong to the architecture and stay. A constant tensor stays as well.
    """
    import torch

    with torch.no_grad():
        for name, weights in module.named_parameters():
            if not weights.requires_grad:
                continue
            digest = hashlib.sha256(f"{twin.seed}:{name}".encode()).digest()
            generator = torch.Generator(device="cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            trained = weights.detach().cpu()
            if twin.kind == "shuffled":
                order = torch.randperm(trained.numel(), generator=generator)
                weights.copy_(trained.flatten()[order].reshape(trained.shape))
                continue
            trained = trained.double()
            draws = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
            weights.copy_(trained.mean() + trained.std(correction=0) * draws)


def has_batch_statistics(module: torch.nn.Module) -> bool:
    """Whether any layer normalises by statistics of its training inputs."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(layer, _BatchNorm) for layer in module.modules())


def recompute_normalisation(module: torch.nn.Module, show: Callable[[], object]) -> None:
    """Give every batch-normalisation layer the mean and variance of its inputs while ``show`` runs the network.

    Only these layers are in training mode meanwhile: no dropout, no stochastic depth.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    module.eval()
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain average over batches
        layer.train()
    with torch.no_grad():
        show()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    module.eval()
