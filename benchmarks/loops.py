"""The loops that are compared, and how they are timed: one after the other, over and over, in turning order."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.workloads import ATTRS, Workload
from pipeline.activations.options import Reduction

if TYPE_CHECKING:
    from pipeline.models.torch.hooked_network import HookedNetwork, Pass


@dataclasses.dataclass(frozen=True)
class Timed:
    """What one run took: on the wall clock, and of all cores together, in s."""

    wall_s: float
    cpu_s: float


def prepared_passes(workload: Workload, batch_size: int) -> list[Pass]:
    """Every input as a tensor in memory."""
    from pipeline.artifacts.stimulus import open_stimulus

    return list(workload.network.presenter.passes(open_stimulus(workload.stimulus), batch_size))


def bare_forward(network: HookedNetwork, passes: list[Pass]) -> None:
    """The network and nothing else: prepared inputs, no hooks, outputs discarded."""
    import torch

    with torch.inference_mode():
        for one in passes:
            _show(network, one)
    _finish(network)


def bare_with_preparation(workload: Workload, batch_size: int) -> None:
    """What any loop must do: open the stimulus, read and prepare each batch, run the network, discard its output."""
    import torch

    from pipeline.artifacts.stimulus import open_stimulus

    with torch.inference_mode():
        for one in workload.network.presenter.passes(open_stimulus(workload.stimulus), batch_size):
            _show(workload.network, one)
    _finish(workload.network)


def extraction(
    workload: Workload,
    output: Path,
    reduction: Reduction,
    batch_size: int | None,
    layers: tuple[str, ...] | None = None,
    precision: str = "float32",
) -> None:
    """All of `extract_activations` but reading weights: from the stimulus store to the checked activations store."""
    from pipeline.activations.stage import extract_activations

    extract_activations(
        stimulus_path=workload.stimulus,
        output=output,
        model=workload.entry.name,
        entry=workload.entry,
        twin=None,
        layers=layers,
        reduction=reduction,
        weights_folder=None,
        device=workload.network.device.type,
        attrs=ATTRS,
        precision=precision,
        batch_size=batch_size,
    )


def _show(network: HookedNetwork, one: Pass) -> None:
    if isinstance(one.inputs, Mapping):
        network.module(**{name: value.to(network.device) for name, value in one.inputs.items()})
    else:
        network.module(one.inputs.to(network.device))


def _finish(network: HookedNetwork) -> None:
    """Wait for what a GPU still computes."""
    import torch

    if network.device.type == "cuda":
        torch.cuda.synchronize(network.device)


def alternate(loops: Mapping[str, Callable[[], Any]], n_rounds: int) -> dict[str, list[Timed]]:
    """Run every loop once per round, starting with another one each round, so that no loop has the quiet moments."""
    names = list(loops)
    times: dict[str, list[Timed]] = {name: [] for name in names}
    for round_number in range(n_rounds):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            wall, cpu = time.perf_counter(), time.process_time()
            loops[name]()
            times[name].append(Timed(time.perf_counter() - wall, time.process_time() - cpu))
    return times


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Of two loops: the median over rounds, each round's own loops divided, and its range."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f}–{self.highest:.2f})"


def wall_ratio(times: list[Timed], base: list[Timed]) -> Ratio:
    return _ratio([one.wall_s / other.wall_s for one, other in zip(times, base, strict=True)])


def cpu_ratio(times: list[Timed], base: list[Timed]) -> Ratio:
    return _ratio([one.cpu_s / other.cpu_s for one, other in zip(times, base, strict=True)])


def _ratio(ratios: list[float]) -> Ratio:
    return Ratio(median(ratios), min(ratios), max(ratios))


def median_s(times: list[Timed]) -> float:
    return median(one.wall_s for one in times)
