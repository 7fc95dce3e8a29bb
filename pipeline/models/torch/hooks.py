"""Forward hooks: the output (or input) of any module of a network, by name or pattern, whatever its structure."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pipeline.core.errors import LayermapError, UnknownName

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class Tap:
    """Where a layer's values are taken from.

    Parameters
    ----------
    module : dotted name within the network; empty for the network itself
    side : ``output`` of the module, or its first ``input``: a network's embedding is what its first block is given
    select : which part of a tuple or dict, as a dotted path (``0``, ``features.1``); None takes a lone tensor,
        ``last_hidden_state``, or the first tensor
    tokens : values are (n, position, feature), as in transformers; else (n, feature, position …)
    n_prefix : leading positions that are no part of the input's extent (class tokens): pooling leaves them out
    """

    module: str
    side: Literal["output", "input"] = "output"
    select: str | None = None
    tokens: bool = False
    n_prefix: int = 0


def transformer_taps(blocks: Sequence[str], norm: str | None = None, n_prefix: int = 0) -> dict[str, Tap]:
    """Layers of a stack of blocks on tokens: ``embedding`` is what the first block is given, ``blockK`` the output of
    block K, ``norm`` the final norm, which the library's own last hidden state already has behind it.

    Parameters
    ----------
    blocks : module names in order of depth
    n_prefix : tokens before the input's own, such as a class token
    """
    taps = {"embedding": Tap(blocks[0], "input", tokens=True, n_prefix=n_prefix)}
    taps |= {f"block{number + 1}": Tap(name, tokens=True, n_prefix=n_prefix) for number, name in enumerate(blocks)}
    if norm is not None:
        taps["norm"] = Tap(norm, tokens=True, n_prefix=n_prefix)
    return taps


def match_modules(module: torch.nn.Module, patterns: Sequence[str], network: str) -> tuple[str, ...]:
    """Names of the modules that any of the patterns fits, in the network's own order, parts before their whole.

    ``*`` stands for one part of a dotted name (``blocks.*`` is every block, not their insides), ``**`` for any number.
    Lists and dicts of modules never run and are left out.

    Raises
    ------
    UnknownName
        A pattern that fits nothing; the message names the closest module.
    """
    import torch

    names = _parts_first(module)
    containers = (torch.nn.ModuleList, torch.nn.ModuleDict)
    names = [name for name in names if not isinstance(module.get_submodule(name), containers)]
    found: set[str] = set()
    for pattern in patterns:
        parts = [".+" if part == "**" else re.escape(part).replace(r"\*", "[^.]*") for part in pattern.split(".")]
        fits = re.compile(r"\.".join(parts))
        matched = {name for name in names if fits.fullmatch(name)}
        if not matched:
            raise UnknownName(f"module of {network}", pattern, names, "a pattern such as blocks.* takes several")
        found |= matched
    return tuple(name for name in names if name in found)


def _parts_first(module: torch.nn.Module, prefix: str = "") -> list[str]:
    """Names of all modules within a module: what is inside a block runs before the block is done."""
    names = []
    for name, child in module.named_children():
        names += [*_parts_first(child, f"{prefix}{name}."), f"{prefix}{name}"]
    return names


@contextlib.contextmanager
def tapped(
    module: torch.nn.Module, taps: Mapping[str, Tap], keep: Callable[[str, torch.Tensor], None], network: str
) -> Iterator[None]:
    """While this lasts, ``keep(layer, values)`` is called as soon as a layer's values exist.

    ``values`` may be overwritten by the next module: what is to stay has to be copied.

    Raises
    ------
    UnknownName
        A module that the network does not have.
    """
    handles = []
    try:
        for layer, tap in taps.items():
            try:
                target = module.get_submodule(tap.module)
            except AttributeError as error:
                names = [name for name, _ in module.named_modules()]
                raise UnknownName(f"module of {network}", tap.module, names) from error
            if tap.side == "output":
                handles.append(target.register_forward_hook(_on_output(layer, tap, keep, network)))
            else:
                hook = _on_input(layer, tap, keep, network)
                handles.append(target.register_forward_pre_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _on_output(layer: str, tap: Tap, keep: Callable[[str, torch.Tensor], None], network: str) -> Any:
    def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        keep(layer, pick_tensor(output, tap.select, f"layer '{layer}' of {network}: its output"))

    return hook


def _on_input(layer: str, tap: Tap, keep: Callable[[str, torch.Tensor], None], network: str) -> Any:
    def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args if args else tuple(kwargs.values())
        keep(layer, pick_tensor(given, tap.select, f"layer '{layer}' of {network}: its input"))

    return hook


def pick_tensor(output: Any, select: str | None, what: str) -> torch.Tensor:
    """The tensor meant in a module's output: a tensor, or the named part of tuples, lists, dicts and dataclasses.

    Raises
    ------
    LayermapError
        No such part, or no tensor there; the message says what there is.
    """
    import torch

    part = output
    for step in select.split(".") if select else ():
        parts = _parts(part)
        if step not in parts:
            raise LayermapError(f"{what} has no part '{step}' (it has: {', '.join(parts) or 'none'})")
        part = parts[step]
    while not isinstance(part, torch.Tensor):
        parts = _parts(part)
        found = parts.get("last_hidden_state", next((p for p in parts.values() if isinstance(p, torch.Tensor)), None))
        if found is None and len(parts) == 1:
            found = next(iter(parts.values()))
        if found is None:
            named = f"{type(part).__name__} with parts {', '.join(parts)}" if parts else type(part).__name__
            raise LayermapError(f"{what} is a {named}, not a tensor; say which part with select: PART")
        part = found
    return part


def _parts(value: Any) -> dict[str, Any]:
    """The parts of a container by name or number."""
    if isinstance(value, Mapping):
        return {str(name): part for name, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, tuple | list):
        return {str(number): part for number, part in enumerate(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}
