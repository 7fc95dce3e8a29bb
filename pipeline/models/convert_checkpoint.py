"""PyTorch checkpoints of plain tensors to safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.fetch.unpickle import load_torch_state

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "model.safetensors"


def convert(source_file: Path, folder: Path) -> None:
    """Write a checkpoint's tensors as ``folder/model.safetensors``, under their own names."""
    save_weights(load_torch_state(source_file), folder)


def save_weights(state: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write a state dict as safetensors; equal tensors give equal bytes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: state[name].detach().cpu().clone().contiguous() for name in sorted(state)}
    save_file(tensors, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it readable to its owner only
