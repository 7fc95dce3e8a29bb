"""Files of weights, read strictly: the claims of a safetensors header, and the index of weights in shards."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import BrokenArtifact
from pipeline.core.limits import SAFETENSORS_HEADER_BYTES, size_in_words
from pipeline.formats.documents import parse_json, read_object

SAFETENSORS = "model.safetensors"
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SHARD = re.compile(r"[A-Za-z0-9_][\w.-]*\.(safetensors|bin)", re.ASCII)


class NotSafetensors(BrokenArtifact):
    """Why a file is not a whole safetensors file, in half a sentence."""


class StoredTensor(NamedTuple):
    """Where a tensor's bytes are; ``start`` counts from the beginning of the file."""

    path: Path
    start: int
    n_bytes: int
    dtype: str
    shape: list[int]


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Tensor → where it is. The tensors fill the file without gap or overlap, as the format demands.

    Raises
    ------
    NotSafetensors
        The file is cut short, or its header does not describe it.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        n_header = int.from_bytes(stream.read(8), "little")
        if size < 8 or n_header > size - 8:
            raise NotSafetensors("its header does not fit into the file")
        if n_header > SAFETENSORS_HEADER_BYTES:
            allowed = size_in_words(SAFETENSORS_HEADER_BYTES)
            raise NotSafetensors(f"its header has {size_in_words(n_header)}, the format allows {allowed}")
        text = stream.read(n_header)
    header = parse_json(text, "its header", "", max_bytes=SAFETENSORS_HEADER_BYTES, error=NotSafetensors)
    try:
        tensors = {
            str(name): _stored(path, 8 + n_header, str(name), entry)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NotSafetensors("its header is not that of a safetensors file") from error
    end = 8 + n_header
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].n_bytes)):
        if tensor.start != end:
            raise NotSafetensors(f"'{name}' begins at byte {tensor.start}, but the one before it ends at {end}")
        end += tensor.n_bytes
    if size != end:
        raise NotSafetensors(f"it has {size} bytes, its header says {end}")
    return tensors


def _stored(path: Path, begin: int, name: str, entry: Any) -> StoredTensor:
    start, end = (int(offset) for offset in entry["data_offsets"])
    shape = [int(length) for length in entry["shape"]]
    tensor = StoredTensor(path, begin + start, end - start, str(entry["dtype"]), shape)
    if start < 0 or min(shape, default=0) < 0 or math.prod(shape) * bits_of(tensor.dtype) != 8 * tensor.n_bytes:
        raise NotSafetensors(f"'{name}' is {tensor.dtype} of shape {shape}, but lies at {start} to {end}")
    return tensor


def bits_of(dtype: str) -> int:
    """``BF16`` → 16, ``F8_E4M3`` → 8, ``BOOL`` → 8."""
    found = re.search(r"\d+", dtype)
    return int(found[0]) if found else 8


def read_index(path: Path) -> dict[str, str]:
    """Tensor → the shard that holds it, from ``*.index.json``.

    Raises
    ------
    BrokenArtifact
        Not JSON, no such table, or a shard whose name would lead out of the folder.
    """
    try:
        table = read_object(path, "delete it and fetch it again", constants=True)["weight_map"]
        shards = {str(tensor): str(shard) for tensor, shard in table.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise BrokenArtifact(
            f"{path} is no index of weights ({type(error).__name__}: {error}); delete it and fetch it again"
        ) from error
    for shard in shards.values():
        if not _SHARD.fullmatch(shard):
            raise BrokenArtifact(f"{path} names a shard '{shard}', which is no file beside it; use another revision")
    if not shards:
        raise BrokenArtifact(f"{path} names no weights; use another revision")
    return shards
