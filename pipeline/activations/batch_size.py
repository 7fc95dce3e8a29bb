"""How many samples go through a network at once: as many as memory allows, and no more than help.

The size is a power of two, so that a few bytes more or less of free memory do not change it; it changes no number
beyond rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.models.torch.execution import is_out_of_memory

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from pipeline.models.torch.hooked_network import HookedNetwork, Pass

LARGEST = {"cpu": 32, "cuda": 256}
"""Beyond these a network runs no faster."""
LIVE_TENSORS = 3
"""Tensors of the largest module's size that are alive at once: its input, its output, and what a kernel needs."""
LARGEST_REUSED_BYTES = 32 << 20
"""The C library reuses memory up to this size (glibc's ``DEFAULT_MMAP_THRESHOLD_MAX``). Larger tensors get fresh pages
from the system each time, whose clearing took a third of the time of EfficientNet-Lite0 in batches of 8 and more."""
CPU_BUDGET_BYTES = LIVE_TENSORS * LARGEST_REUSED_BYTES
CPU_SHARE = 0.25
GPU_SHARE = 0.5
"""Of the free memory; the rest is for kernels' workspaces and for other processes."""


def choose_batch_size(network: HookedNetwork, stimulus: xr.Dataset, budget: int | None = None) -> int:
    """Largest power of two whose batch fits into a budget, from a trial pass of one sample.

    Parameters
    ----------
    budget : bytes that a batch may take; None takes a share of the free memory
    """
    try:
        trial = trial_pass(network, stimulus)
        if trial is None:
            return 1
        bytes_per_sample = LIVE_TENSORS * largest_module_bytes(network, trial)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return 1  # the extraction itself says that a single sample does not fit
    budget = budget_bytes(network.device) if budget is None else budget
    limit = LARGEST.get(network.device.type, LARGEST["cpu"])
    size = 1
    while 2 * size <= limit and 2 * size * bytes_per_sample <= budget:
        size *= 2
    return size


def trial_pass(network: HookedNetwork, stimulus: xr.Dataset) -> Pass | None:
    """One sample with the largest input: windows of a recording grow from its start, and clips differ in length."""
    kind, clock = network.clock(stimulus)
    places = {0, max(0, len(clock) - 1)}
    if kind == "item" and "n_samples" in stimulus:
        places = {int(stimulus["n_samples"].values.argmax())}
    found = [next(iter(network.presenter.passes(stimulus, 1, place)), None) for place in sorted(places)]
    return max((one for one in found if one is not None), key=lambda one: _input_bytes(one.inputs), default=None)


def _input_bytes(inputs: Any) -> int:
    values = inputs.values() if isinstance(inputs, Mapping) else (inputs,)
    return sum(int(getattr(value, "nbytes", 0)) for value in values)


def largest_module_bytes(network: HookedNetwork, trial: Pass) -> int:
    """Bytes of the largest output of any module in one pass."""
    import torch

    largest = 1

    def measure(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        nonlocal largest
        for part in output if isinstance(output, tuple | list) else (output,):
            if isinstance(part, torch.Tensor):
                largest = max(largest, part.nbytes)

    handles = [module.register_forward_hook(measure) for module in network.module.modules()]
    try:
        network.run(trial, (), _nothing)
    finally:
        for handle in handles:
            handle.remove()
    return largest


def budget_bytes(device: torch.device) -> int:
    """Memory that a batch may take."""
    import torch

    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(GPU_SHARE * free)
    return min(CPU_BUDGET_BYTES, int(CPU_SHARE * free_memory_bytes()))


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Memory that this process can still have: what the system has available, within the limits of its container.

    Where neither can be read (macOS), `CPU_BUDGET_BYTES` is taken to be affordable.

    Parameters
    ----------
    root : where ``proc`` and ``sys`` are
    """
    found = []
    try:
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
        limit = (root / "sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        used = int((root / "sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        if limit != "max":
            found.append(max(0, int(limit) - used))
    except (OSError, ValueError):
        pass
    return min(found) if found else round(CPU_BUDGET_BYTES / CPU_SHARE)


def _nothing(layer: str, values: Any, n_prefix: int = 0) -> Any:
    return None
