"""Trained networks built and shown pictures as they were in training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import LayermapError, in_one_line
from pipeline.core.registry import import_object
from pipeline.models.entry import ModelEntry, Twin
from pipeline.models.hub.own_factory import import_factory
from pipeline.models.networks.trainable import MODULES
from pipeline.models.shown.present_pictures import Optics, Pictures
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap

if TYPE_CHECKING:
    import torch


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    """The trained network, or a twin with its normalisation statistics recomputed on other photographs.

    ``entry.arguments`` holds ``factory`` (its address), ``arguments`` (what it is made with) and ``layers``.

    Raises
    ------
    LayermapError
        The network cannot be made, or has other layers than the training says.
    BrokenArtifact
        The weights are missing, or not of this network.
    """
    from pipeline.models.torch.torch_network import assemble, load_weights

    module = _module(entry)
    load_weights(module, weights_folder, entry.name)
    taps = _taps(entry, module)
    return assemble(entry, module, taps, Pictures(Optics.of(entry.preprocessing)), twin=twin, device=device)


def _module(entry: ModelEntry) -> torch.nn.Module:
    """The architecture; what its weights are is of no matter, and the run's own generator stays where it is."""
    import torch

    address, arguments = str(entry.arguments["factory"]), entry.arguments["arguments"]
    make: Any = import_object(address) if address in MODULES.values() else import_factory(address)
    with in_one_line(f"network '{entry.name}': {address} failed"), torch.random.fork_rng(devices=[]):
        module = make(**arguments)
    if not isinstance(module, torch.nn.Module):
        raise LayermapError(f"network '{entry.name}': {address} gave a {type(module).__name__}, no torch.nn.Module")
    module.requires_grad_(True)  # a twin has to replace all of them
    return module.eval()


def _taps(entry: ModelEntry, module: torch.nn.Module) -> dict[str, Tap]:
    """Layer → where it is taken, in order of depth."""
    names = entry.arguments["layers"]
    if entry.arguments["factory"] not in MODULES.values():
        return {name: Tap(name) for name in names}
    taps: dict[str, Tap] = module.taps()  # type: ignore[operator]
    if list(taps) != names:
        raise LayermapError(f"network '{entry.name}' has layers {', '.join(taps)}, its training {', '.join(names)}")
    return taps
