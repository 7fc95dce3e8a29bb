"""Several processes that train one network, as torchrun starts them; one process where it does not.

Each takes its part of every batch, and gradients are averaged. Batch normalisation is each process's own, views are
told from those of all processes. Only the first writes, logs and measures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class Ranks:
    """Which process this is, of how many."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def part(self, numbers: np.ndarray) -> np.ndarray:
        """This process's part of a batch; parts are of one size."""
        whole = len(numbers) // self.world * self.world
        return numbers[:whole].reshape(self.world, -1)[self.rank]

    def wrapped(self, learner: nn.Module) -> nn.Module:
        """The module whose gradients are averaged over all processes."""
        if self.world == 1:
            return learner
        return torch.nn.parallel.DistributedDataParallel(learner)

    def first_before_others(self, make: Callable[[], Made]) -> Made:
        """What a function makes, called by the first process and, once it is done, by the others."""
        made = make() if self.is_first else None
        if self.world > 1:
            distributed.barrier()
        return made if made is not None else make()

    def first_decides(self, decision: bool) -> bool:
        """The first process's decision, in all of them."""
        if self.world == 1:
            return decision
        told = [decision]
        distributed.broadcast_object_list(told, src=0)
        return told[0]

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Of one number per process and place."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.world
        return values


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torchrun started (variables RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT)."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world)
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def gathered_views(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, slice]:
    """The views of all processes while training, through which gradients flow, and which of them are this one's."""
    if not (torch.is_grad_enabled() and distributed.is_initialized()):
        return first, second, slice(None)
    rank, n = distributed.get_rank(), len(first)
    return _Gathered.apply(first), _Gathered.apply(second), slice(rank * n, (rank + 1) * n)


class _Gathered(torch.autograd.Function):
    """Rows of all processes, one after another; of their gradient each gets its own rows, summed over processes."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        summed = gradient.contiguous().clone()
        distributed.all_reduce(summed)
        return summed.chunk(distributed.get_world_size())[distributed.get_rank()]
