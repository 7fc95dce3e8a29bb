"""How fast a network could be trained if nothing but it took time: passes forward and backward on one batch."""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.training.streams import generator_for
from pipeline.training.trainer import half_precision

if TYPE_CHECKING:
    from pipeline.training.diets.decoded import Pictures
    from pipeline.training.trainer import Learner

WARM_UP = 2
MOST_PASSES = 20
MOST_S = 2.0


def clock(device: torch.device) -> float:
    """Seconds of this process's processors, which others do not lengthen; on a GPU, seconds that pass."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def bare_rate(learner: Learner, pictures: Pictures, batch: int, device: torch.device) -> float:
    """Pictures per second of passes forward and backward alone: no reading, no views, no optimiser.

    Parameters
    ----------
    batch : pictures of one pass, as in training
    """
    copied = copy.deepcopy(learner).train()
    numbers = np.arange(batch) % len(pictures.labels)
    shown = torch.from_numpy(pictures.pictures[numbers]).to(device)
    labels = torch.from_numpy(pictures.labels[numbers].astype(np.int64)).to(device)
    prepared = copied.objective.prepare(shown, labels, generator_for("throughput"), training=True)
    began, n_passes = 0.0, 0
    for number in range(WARM_UP + MOST_PASSES):
        if number == WARM_UP:
            began = clock(device)
        with half_precision(device):
            loss, _, _ = copied(*prepared)
        loss.float().mean().backward()
        copied.zero_grad(set_to_none=True)
        n_passes += number >= WARM_UP
        if n_passes and clock(device) - began > MOST_S:
            break
    return batch * n_passes / (clock(device) - began)
