"""Any torch module as a network: shown a stimulus pass by pass, its layers taken by hooks and reduced at once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.core.errors import LayermapError, UnknownName
from pipeline.models.torch.execution import (
    give_memory_back,
    is_out_of_memory,
    prefetched,
    reproducible_inference,
)
from pipeline.models.torch.hooks import Tap, tapped

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr

    from pipeline.artifacts.activations import LayerInfo

HALF_BOUND = 0.02
"""Largest deviation of half from single precision that is let through: RMS over a pass, per SD of the layer."""


@dataclasses.dataclass(frozen=True)
class Pass:
    """One forward pass of the network.

    Parameters
    ----------
    first, n_samples : which samples it gives
    inputs : keyword arguments of the network, or its one positional argument, on the CPU
    select : a layer's values (row, feature, *positions) of the pass → (n_samples, feature, *positions); None where
        each row is a sample
    """

    first: int
    n_samples: int
    inputs: Mapping[str, Any] | torch.Tensor
    select: Callable[[torch.Tensor], torch.Tensor] | None = None


class Presenter(Protocol):
    """How a stimulus is shown to a network."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        """(``time``, end of each sample's input in s) or (``item``, item names)."""
        ...

    def passes(self, stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[Pass]:
        """Passes in the order of their samples, starting with sample ``first``."""
        ...


class Reduce(Protocol):
    """Brings a layer's values (n, feature, *positions) to (n, n_features) float32."""

    def __call__(self, layer: str, values: Any, n_prefix: int = 0) -> np.ndarray: ...


class HookedNetwork:
    """A torch module with its layers and the way it is shown a stimulus.

    Parameters
    ----------
    name : for messages
    module : in evaluation mode from here on
    taps : layer → where its values are taken from, in order of depth
    presenter : makes the passes
    device : where the module runs
    precision : of the forward passes; anything but ``float32`` is checked against it on the first pass
    """

    def __init__(
        self,
        name: str,
        module: torch.nn.Module,
        taps: Mapping[str, Tap],
        presenter: Presenter,
        device: torch.device,
        precision: str = "float32",
    ) -> None:
        self.name = name
        self.module = module.to(device).eval()
        self.taps = dict(taps)
        self.presenter = presenter
        self.device = device
        self.precision = precision
        self.layers: tuple[LayerInfo, ...] = ()
        """Where the entry does not list them: the layers found when the network was built."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        return self.presenter.clock(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield (first sample, layer → float32 (n, feature, *positions)), unreduced."""
        return self.extract(stimulus, batch_size, tuple(self.taps), _whole)

    def extract(
        self, stimulus: xr.Dataset, batch_size: int, layers: Sequence[str], reduce: Reduce
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield (first sample, layer → (n, n_features) float32) in sample order.

        Each layer is reduced as soon as its module has run, so that no two layers are in memory at once. A batch
        that does not fit into memory is halved, and extraction goes on with the smaller size.

        Raises
        ------
        LayermapError
            A single sample does not fit into memory, or the network refuses its input.
        """
        first = 0
        if self.precision != "float32":
            self._check_precision(next(iter(self.presenter.passes(stimulus, 1))), layers)
        while True:
            try:
                with contextlib.closing(prefetched(self.presenter.passes(stimulus, batch_size, first))) as passes:
                    for one in passes:
                        features = self.run(one, layers, reduce)
                        first = one.first + one.n_samples
                        yield one.first, features
                return
            except (MemoryError, RuntimeError) as error:  # in a pass, or while the next one was made
                if not is_out_of_memory(error):
                    raise
                if batch_size == 1:
                    raise LayermapError(
                        f"{self.name} runs out of memory on {self.device} with a single sample; "
                        "show it smaller input (size_px, window_s), or run it on a machine with more memory"
                    ) from error
            batch_size //= 2
            _say(f"{self.name}: out of memory on {self.device}; going on with batches of {batch_size}")
            give_memory_back(self.device)

    def run(self, one: Pass, layers: Sequence[str], reduce: Reduce, precision: str | None = None) -> dict[str, Any]:
        """One pass: layer → reduced values.

        Raises
        ------
        MemoryError
            The pass does not fit into memory.
        """
        found: dict[str, Any] = {}

        def keep(layer: str, values: torch.Tensor) -> None:
            if layer in found:
                raise LayermapError(
                    f"layer '{layer}' of {self.name}: module '{self.taps[layer].module}' runs more than once in a "
                    "pass; name a module that runs once, such as the block around it"
                )
            tap = self.taps[layer]
            n_rows = _n_rows(one.inputs)
            if values.ndim < 2 + tap.tokens or values.shape[0] != n_rows:
                raise LayermapError(
                    f"layer '{layer}' of {self.name} has values of shape {tuple(values.shape)} for {n_rows} inputs, "
                    f"expected ({n_rows}, {'position, feature' if tap.tokens else 'feature, …'}); choose another module"
                )
            values = values.transpose(1, 2) if tap.tokens else values
            values = values if one.select is None else one.select(values)
            found[layer] = reduce(layer, values.float(), tap.n_prefix)

        taps = {layer: self._tap(layer) for layer in layers}
        cast = self._cast(precision or self.precision)
        with reproducible_inference(), cast, tapped(self.module, taps, keep, self.name):
            self._forward(one)
        for layer in layers:
            if layer not in found:
                raise LayermapError(
                    f"layer '{layer}' of {self.name}: module '{self.taps[layer].module}' did not run; "
                    "name one that does, or leave the layer out"
                )
        return {layer: found[layer] for layer in layers}

    def _tap(self, layer: str) -> Tap:
        if layer not in self.taps:
            raise UnknownName(f"layer of {self.name}", layer, self.taps)
        return self.taps[layer]

    def show(self, stimulus: xr.Dataset, batch_size: int) -> None:
        """Run the network on a stimulus without taking anything (to recompute its normalisation statistics)."""
        for one in self.presenter.passes(stimulus, batch_size):
            self._forward(one)

    def _forward(self, one: Pass) -> None:
        import torch

        try:
            if isinstance(one.inputs, torch.Tensor):
                self.module(one.inputs.to(self.device, non_blocking=True))
            else:
                self.module(
                    **{
                        name: value.to(self.device, non_blocking=True) if isinstance(value, torch.Tensor) else value
                        for name, value in one.inputs.items()
                    }
                )
        except (LayermapError, MemoryError):
            raise
        except Exception as error:  # a module may be anybody's code
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise LayermapError(
                f"{self.name} refuses input of shape {_shapes(one.inputs)} ({reason}); "
                "check size_px, modality and arguments of the network"
            ) from error

    def _cast(self, precision: str) -> Any:
        import torch

        if precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, precision))

    def _check_precision(self, one: Pass, layers: Sequence[str]) -> None:
        """Refuse half precision where it changes a layer by more than `HALF_BOUND`."""
        single = self.run(one, layers, _whole, "float32")
        half = self.run(one, layers, _whole, self.precision)
        for layer in layers:
            spread = float(single[layer].std()) or 1.0
            deviation = float(((half[layer] - single[layer]) ** 2).mean() ** 0.5) / spread
            if not deviation <= HALF_BOUND:
                raise LayermapError(
                    f"layer '{layer}' of {self.name} differs by {deviation:.3g} of its SD between {self.precision} "
                    f"and float32, where {HALF_BOUND} is allowed; take precision: float32"
                )


def _whole(layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
    import numpy as np

    # a copy: the next module may overwrite what it was given
    return np.array(values.cpu().numpy(), dtype=np.float32)


def _n_rows(inputs: Any) -> int:
    """Length of the inputs' first axis."""
    import torch

    values = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs.values())
    return int(next(value for value in values if isinstance(value, torch.Tensor)).shape[0])


def _shapes(inputs: Any) -> str:
    if isinstance(inputs, Mapping):
        return ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items() if hasattr(value, "shape"))
    return str(tuple(inputs.shape))


def _say(message: str) -> None:
    import sys

    sys.stderr.write(f"layermap activate: {message}\n")
