"""Weights as the Hugging Face hub distributes them, in shards or as a checkpoint, to one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.unpickle import load_torch_state
from pipeline.formats.weight_files import (
    INDEXES,
    SAFETENSORS,
    NotSafetensors,
    StoredTensor,
    bits_of,
    read_header,
    read_index,
)

COPY_BYTES = 1 << 20
METADATA = {"format": "pt"}
"""Older versions of transformers read no safetensors file that does not say so."""


def convert(source_file: Path, folder: Path) -> None:
    """Make ``folder/model.safetensors`` of a checkpoint, or of an index whose shards lie in ``folder``.

    Checkpoints are read with ``weights_only``. Shards are joined as a stream: memory holds one shard of a checkpoint
    at most, and nothing of safetensors. What was joined is removed.

    Raises
    ------
    BrokenArtifact
        A checkpoint that holds or asks for more than tensors, or a shard that is not what the index says.
    """
    output = folder / SAFETENSORS
    if source_file.name not in INDEXES:
        return _save_checkpoint(source_file, output)
    shard_of = read_index(source_file)
    readable = {}
    for shard in sorted(set(shard_of.values())):
        path = folder / shard
        if path.suffix != ".safetensors":
            path = path.with_suffix(".safetensors")
            _save_checkpoint(folder / shard, path)
            (folder / shard).unlink()
        readable[shard] = path
    _join({tensor: readable[shard] for tensor, shard in shard_of.items()}, source_file, output)
    for path in readable.values():
        path.unlink()


def _save_checkpoint(checkpoint: Path, output: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state: Any = load_torch_state(checkpoint)
    if not isinstance(state, Mapping) or not state:
        raise BrokenArtifact(f"{checkpoint} holds no table of tensors; use a revision with model.safetensors")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise BrokenArtifact(
                f"{checkpoint}: '{name}' is a {type(tensor).__name__}, not a tensor; use a revision with "
                "model.safetensors"
            )
    # tied weights share memory, which safetensors refuses
    tensors = {name: state[name].detach().clone().contiguous() for name in sorted(state)}
    save_file(tensors, output, metadata=METADATA)
    output.chmod(0o644)  # safetensors leaves it readable to its owner only


def _join(file_of: Mapping[str, Path], index: Path, output: Path) -> None:
    """One safetensors file of tensors in several; equal tensors give equal bytes, however they were split."""
    headers = {path: _read_header(path) for path in sorted(set(file_of.values()))}
    tensors: dict[str, StoredTensor] = {}
    for name, path in file_of.items():
        if name not in headers[path]:
            raise BrokenArtifact(f"{path} holds no tensor '{name}', which {index} says it does; use another revision")
        tensors[name] = headers[path][name]
    # as the safetensors library orders them: wide types first, so that every tensor stays aligned
    order = sorted(tensors, key=lambda name: (-bits_of(tensors[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": METADATA}
    end = 0
    for name in order:
        stored = tensors[name]
        start, end = end, end + stored.n_bytes
        header[name] = {"dtype": stored.dtype, "shape": stored.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(output, "wb") as joined:
        joined.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            _copy(tensors[name], joined.write)


def _copy(stored: StoredTensor, write: Callable[[bytes], object]) -> None:
    left = stored.n_bytes
    with open(stored.path, "rb") as stream:
        stream.seek(stored.start)
        while left:
            piece = stream.read(min(left, COPY_BYTES))
            if not piece:
                raise BrokenArtifact(f"{stored.path} ends before its tensors do; fetch it again")
            write(piece)
            left -= len(piece)


def _read_header(path: Path) -> dict[str, StoredTensor]:
    try:
        return read_header(path)
    except NotSafetensors as reason:
        raise BrokenArtifact(f"{path} is no whole safetensors file ({reason}); fetch it again") from reason
