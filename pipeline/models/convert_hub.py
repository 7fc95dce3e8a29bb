"""Weights as the Hugging Face hub distributes them, in shards or as a checkpoint, to one safetensors file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import BrokenArtifact
from pipeline.fetch.shards import INDEXES, SAFETENSORS, read_index
from pipeline.fetch.unpickle import load_torch_state

COPY_BYTES = 1 << 20
METADATA = {"format": "pt"}
"""Older versions of transformers read no safetensors file that does not say so."""


class _Stored(NamedTuple):
    """Where a tensor's bytes are."""

    path: Path
    start: int
    n_bytes: int
    dtype: str
    shape: list[int]


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
    tensors: dict[str, _Stored] = {}
    for name, path in file_of.items():
        if name not in headers[path]:
            raise BrokenArtifact(f"{path} holds no tensor '{name}', which {index} says it does; use another revision")
        tensors[name] = headers[path][name]
    # as the safetensors library orders them: wide types first, so that every tensor stays aligned
    order = sorted(tensors, key=lambda name: (-_bits(tensors[name].dtype), name))
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


def _copy(stored: _Stored, write: Callable[[bytes], object]) -> None:
    left = stored.n_bytes
    with open(stored.path, "rb") as stream:
        stream.seek(stored.start)
        while left:
            piece = stream.read(min(left, COPY_BYTES))
            if not piece:
                raise BrokenArtifact(f"{stored.path} ends before its tensors do; fetch it again")
            write(piece)
            left -= len(piece)


def _bits(dtype: str) -> int:
    """``BF16`` → 16, ``F8_E4M3`` → 8, ``BOOL`` → 8."""
    found = re.search(r"\d+", dtype)
    return int(found[0]) if found else 8


def _read_header(path: Path) -> dict[str, _Stored]:
    """Tensor → where its bytes are in a safetensors file."""
    try:
        with open(path, "rb") as stream:
            n_header = int.from_bytes(stream.read(8), "little")
            if n_header > path.stat().st_size - 8:
                raise ValueError("its header does not fit into the file")
            header = json.loads(stream.read(n_header))
        stored = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = (int(offset) for offset in entry["data_offsets"])
            if not 0 <= start <= end:
                raise ValueError(f"'{name}' lies at {start} to {end}")
            stored[name] = _Stored(path, 8 + n_header + start, end - start, str(entry["dtype"]), list(entry["shape"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenArtifact(f"{path} is no whole safetensors file ({error}); fetch it again") from error
    return stored
