"""PyTorch checkpoints of plain tensors to safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.unpickle import NUMPY_SCALARS, load_torch_state

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
TOKENIZER_FILE = "tokenizer.json"
REMEDY = "save it again with torch.save(module.state_dict(), ...), or as safetensors"
"""What to do about a file that may be the user's only copy."""
PREFIX = "module."
"""Of the tensors of a network that was trained on several GPUs."""
CELL = "agg.ConvGRUCell_00."
SECOND_CELL = "agg.cell_list.0."
"""The recurrent cell is stored twice, under both names."""
FETCH_AGAIN = "delete it and run: snakemake fetch"
"""What to do about a file that was fetched."""


def convert(source_file: Path, folder: Path) -> None:
    """Write a checkpoint's tensors as ``folder/model.safetensors``, under their own names.

    Training scripts keep them under ``state_dict`` or ``model``, and behind ``module.`` where they ran on several GPUs.
    """
    save_weights(state_of(load_torch_state(source_file, remedy=REMEDY), source_file), folder)


def state_of(checkpoint: Any, source_file: Path) -> dict[str, torch.Tensor]:
    """The state dict within a checkpoint.

    Raises
    ------
    BrokenArtifact
        There is none.
    """
    import torch

    for name in ("state_dict", "model_state_dict", "model"):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(name), Mapping):
            checkpoint = checkpoint[name]
    if not isinstance(checkpoint, Mapping) or not any(isinstance(one, torch.Tensor) for one in checkpoint.values()):
        raise BrokenArtifact(f"{source_file} holds no state dict; save the network's own with: module.state_dict()")
    tensors = {str(name): one for name, one in checkpoint.items() if isinstance(one, torch.Tensor)}
    if all(name.startswith(PREFIX) for name in tensors):
        tensors = {name.removeprefix(PREFIX): one for name, one in tensors.items()}
    return tensors


def convert_two_pathway(source_file: Path, folder: Path) -> None:
    """Write the two-pathway video network's tensors, each of them once, without the prefix of parallel training.

    Raises
    ------
    BrokenArtifact
        The pickle asks for more than tensors and numbers, holds no state of a network, or its two copies of the
        recurrent cell differ.
    """
    import torch

    checkpoint = load_torch_state(source_file, NUMPY_SCALARS)
    stored = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(stored, dict) or not all(isinstance(values, torch.Tensor) for values in stored.values()):
        raise BrokenArtifact(f"{source_file} holds no 'state_dict' of tensors; {FETCH_AGAIN}")
    state = {name.removeprefix(PREFIX): values for name, values in stored.items()}
    cells = [
        {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}
        for prefix in (CELL, SECOND_CELL)
    ]
    if not cells[0] or cells[0].keys() != cells[1].keys():
        raise BrokenArtifact(
            f"{source_file} should hold one recurrent cell under two names, {CELL}* and {SECOND_CELL}*, "
            f"but has {len(cells[0])} and {len(cells[1])} tensors there; {FETCH_AGAIN}"
        )
    for name, values in cells[0].items():
        if not torch.equal(values, cells[1][name]):
            raise BrokenArtifact(f"{source_file}: {CELL}{name} and {SECOND_CELL}{name} differ; {FETCH_AGAIN}")
    save_weights({name: values for name, values in state.items() if not name.startswith(SECOND_CELL)}, folder)


def save_weights(state: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write a state dict as safetensors; equal tensors give equal bytes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: state[name].detach().cpu().clone().contiguous() for name in sorted(state)}
    save_file(tensors, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it readable to its owner only


def write_config(settings: Mapping[str, Any], folder: Path) -> None:
    """Write what a network is beside its weights, as ``folder/config.json``."""
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
