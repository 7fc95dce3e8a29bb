"""Every random choice of a training is drawn from its seed and its place: what it is for, and the step.

A training that was stopped and goes on from a checkpoint draws what it would have drawn, without any state of a
generator being kept.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def stream(*place: int | str) -> int:
    """A seed of 63 bits for a place, e.g. ``stream(seed, "batch", step)``: near places are as unlike as far ones."""
    return int.from_bytes(hashlib.sha256(":".join(map(str, place)).encode()).digest()[:8], "big") >> 1


def generator_for(*place: int | str) -> torch.Generator:
    """A generator on the processor, whatever the device: the same draws everywhere."""
    import torch

    return torch.Generator().manual_seed(stream(*place))


def batch_of_step(n_samples: int, batch: int, seed: int, step: int) -> np.ndarray:
    """The samples of one step: every epoch is a new order of all, of which whole batches are taken.

    Parameters
    ----------
    batch : samples of a step, all processes together
    step : from 0

    Returns
    -------
    (batch,) numbers of samples
    """
    per_epoch = max(1, n_samples // batch)
    epoch, within = divmod(step, per_epoch)
    return _order(n_samples, seed, epoch)[within * batch : (within + 1) * batch]


@functools.lru_cache(maxsize=1)
def _order(n_samples: int, seed: int, epoch: int) -> np.ndarray:
    import numpy as np

    return np.random.default_rng(stream(seed, "order", epoch)).permutation(n_samples)
