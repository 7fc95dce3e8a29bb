"""A network of the user's own: any function that makes a torch module in a file, or what a package makes networks with.

Only `load` and `layers_and_modules` import and call what the study names (`pipeline.models.hub.own_factory`); studies
are listed and planned without either.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import LayermapError, in_one_line
from pipeline.models.entry import ModelEntry, Network, Twin, evenly_deep
from pipeline.models.hub.own_factory import import_factory
from pipeline.models.shown.present_audio import Waveforms, Windows
from pipeline.models.shown.present_pictures import Clips, Optics, Pictures
from pipeline.models.torch.hooked_network import Presenter
from pipeline.models.torch.hooks import Tap, match_modules

if TYPE_CHECKING:
    import torch

    from pipeline.artifacts.activations import LayerInfo


WHOLE = "output"
"""What the layer is called that is the whole network's output."""


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> Network:
    """Build the module, load its checkpoint strictly if there is one, and hook the layers that the study names.

    ``entry.arguments`` holds ``factory`` (``FILE.py:function`` or ``package.module:function``), its ``arguments``,
    ``layers`` (per layer or pattern: module, side, select, tokens, n_prefix) and ``input`` (the network's argument).

    Raises
    ------
    LayermapError
        The file cannot be imported, the function fails or makes no module, or a pattern fits no module.
    """
    import torch

    from pipeline.models.torch.torch_network import assemble, load_weights

    made = _make(entry)
    if not isinstance(made, torch.nn.Module):
        if hasattr(made, "clock") and hasattr(made, "batches"):
            if twin is not None or entry.weights is not None:
                raise LayermapError(
                    f"network '{entry.name}': {entry.arguments['factory']} gave a {type(made).__name__}, whose weights "
                    "layermap cannot set; leave out weights and twins, or make it a torch.nn.Module"
                )
            return made  # a Network of its own kind
        raise LayermapError(
            f"network '{entry.name}': {entry.arguments['factory']} gave a {type(made).__name__}, "
            "expected a torch.nn.Module"
        )
    module = made.eval()
    # frozen by its author's code it was trained all the same: a twin has to replace its weights, too
    module.requires_grad_(True)
    if entry.weights is not None:
        load_weights(module, weights_folder, entry.name)
    taps = taps_of(entry, module)
    presenter = _presenter(entry)
    shown = "movie" if isinstance(presenter, Clips) else entry.modalities[-1]
    network = assemble(entry, module, taps, presenter, twin=twin, device=device, calibration=shown)
    network.layers = evenly_deep(list(taps))
    return network


def layers_and_modules(entry: ModelEntry) -> tuple[tuple[LayerInfo, ...], list[str]]:
    """The layers that the study names, and the names of all modules; the module is built, without its weights."""
    import torch

    made = _make(entry)
    if not isinstance(made, torch.nn.Module):
        raise LayermapError(f"network '{entry.name}' is no torch module: its layers are known once it has run")
    return evenly_deep(list(taps_of(entry, made))), [name for name, _ in made.named_modules() if name]


def _make(entry: ModelEntry) -> Any:
    address = str(entry.arguments["factory"])
    name = address.rpartition(":")[2]
    function = import_factory(f"{entry.code[0]}:{name}" if entry.code else address)
    import torch

    # initial weights that nobody seeds would be others in every run
    with in_one_line(f"network '{entry.name}': {address} failed"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(entry.arguments.get("seed", 0)))
        return function(**entry.arguments.get("arguments", {}))


def taps_of(entry: ModelEntry, module: torch.nn.Module) -> dict[str, Tap]:
    """Layer → where it is taken, in the order of the study's list and, within a pattern, of the network's modules.

    Raises
    ------
    UnknownName
        A pattern that fits no module.
    """
    taps: dict[str, Tap] = {}
    for one in entry.arguments["layers"]:
        modules = match_modules(module, [one["module"]], entry.name) if one["module"] else ("",)
        for name in modules:
            layer = one["name"] if one["name"] and len(modules) == 1 else name or WHOLE
            tap = Tap(name, one["side"], one["select"], one["tokens"], one["n_prefix"])
            if taps.setdefault(layer, tap) != tap:
                raise LayermapError(
                    f"network '{entry.name}': two of its layers are called '{layer}'; give one another name"
                )
    return taps


def _presenter(entry: ModelEntry) -> Presenter:
    shown, argument = entry.preprocessing, str(entry.arguments.get("input", ""))
    if "audio" in entry.modalities:
        return Waveforms(entry.name, Windows.of(shown), standardise=bool(shown["standardise"]), argument=argument)
    optics = Optics.of(shown)
    if shown.get("n_frames"):
        return Clips(
            optics,
            int(shown["n_frames"]),
            float(shown["frame_interval_s"]),
            time_axis=int(shown["time_axis"]),
            argument=argument,
        )
    return Pictures(optics, argument)
