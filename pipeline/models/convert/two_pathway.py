"""The two-pathway video network's checkpoint to safetensors: the tensors of the network, and each of them once."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.unpickle import NUMPY_SCALARS, load_torch_state
from pipeline.models.convert.checkpoint import save_weights

PREFIX = "module."
CELL = "agg.ConvGRUCell_00."
SECOND_CELL = "agg.cell_list.0."
"""The recurrent cell is stored twice, under both names."""
REMEDY = "delete it and run: snakemake fetch"


def convert(source_file: Path, folder: Path) -> None:
    """Write the network's tensors as ``folder/model.safetensors``, without the prefix of parallel training.

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
        raise BrokenArtifact(f"{source_file} holds no 'state_dict' of tensors; {REMEDY}")
    state = {name.removeprefix(PREFIX): values for name, values in stored.items()}
    cells = [
        {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}
        for prefix in (CELL, SECOND_CELL)
    ]
    if not cells[0] or cells[0].keys() != cells[1].keys():
        raise BrokenArtifact(
            f"{source_file} should hold one recurrent cell under two names, {CELL}* and {SECOND_CELL}*, "
            f"but has {len(cells[0])} and {len(cells[1])} tensors there; {REMEDY}"
        )
    for name, values in cells[0].items():
        if not torch.equal(values, cells[1][name]):
            raise BrokenArtifact(f"{source_file}: {CELL}{name} and {SECOND_CELL}{name} differ; {REMEDY}")
    save_weights({name: values for name, values in state.items() if not name.startswith(SECOND_CELL)}, folder)
