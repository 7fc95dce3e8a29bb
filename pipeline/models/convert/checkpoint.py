"""PyTorch checkpoints of plain tensors to safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact
from pipeline.fetch.weights.unpickle import load_torch_state

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PREPROCESSOR_FILE = "preprocessor_config.json"
TOKENIZER_FILE = "tokenizer.json"
REMEDY = "save it again with torch.save(module.state_dict(), ...), or as safetensors"
"""What to do about a file that may be the user's only copy."""


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
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): one for name, one in tensors.items()}
    return tensors


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
