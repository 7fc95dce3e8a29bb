"""The index of weights in shards. Apart from the downloader: the code that reads weights is part of their key."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.documents import read_object

SAFETENSORS = "model.safetensors"
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SHARD = re.compile(r"[A-Za-z0-9_][\w.-]*\.(safetensors|bin)", re.ASCII)


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
