"""PyTorch checkpoints of plain tensors to safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "model.safetensors"


def convert(source_file: Path, folder: Path) -> None:
    """Write a checkpoint's tensors as ``folder/model.safetensors``, under their own names."""
    save_weights(read_checkpoint(source_file), folder)


def read_checkpoint(source_file: Path) -> dict[str, torch.Tensor]:
    """Read a PyTorch checkpoint of tensors without executing anything in it.

    Raises
    ------
    BrokenArtifact
        The file is not such a checkpoint, or holds more than tensors.
    """
    import pickle

    import torch

    try:
        state = torch.load(source_file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise BrokenArtifact(f"{source_file} is not a checkpoint of plain tensors ({type(error).__name__})") from error
    return dict(state)


def save_weights(state: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write a state dict as safetensors; equal tensors give equal bytes."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: state[name].detach().cpu().clone().contiguous() for name in sorted(state)}
    save_file(tensors, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors leaves it readable to its owner only
