"""Torch checkpoints whose tensors have no more bytes than the file: a few bytes can state a tensor of any size."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.formats.pickled_arrays import NotPlain

if TYPE_CHECKING:
    import torch


MOST_SHARED = 8
"""How many times the bytes of the file all tensors may have, as some share theirs: each is written by itself."""


def check_records(path: Path) -> None:
    """Of the zip that torch saves, before anything of it is read; older checkpoints are no zip.

    Raises
    ------
    NotPlain
        A record is compressed, which torch never does, or they overlap.
    """
    if not zipfile.is_zipfile(path):
        return
    n_bytes = 0
    with zipfile.ZipFile(path) as records:
        for record in records.infolist():
            if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
                raise NotPlain(f"its record {record.filename!r} is compressed, as torch saves none")
            n_bytes += record.file_size
    if n_bytes > path.stat().st_size:
        raise NotPlain("its records have more bytes than the file")


def check_tensors(state: Any, file_bytes: int) -> None:
    """Of what was loaded, before it is copied or written.

    Tensors may share a storage (tied weights), which is counted once; each must fit into its own.

    Raises
    ------
    NotPlain
        A tensor is sparse or has no values, has more bytes than its storage, or all together have more than the file.
    """
    import torch

    storages: dict[int, int] = {}
    n_bytes = 0
    for name, tensor in _tensors(state):
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise NotPlain(f"its tensor {name!r} is sparse or has no values")
        stored = tensor.untyped_storage()
        n_bytes += tensor.numel() * tensor.element_size()
        if tensor.numel() * tensor.element_size() > stored.nbytes():
            raise NotPlain(f"its tensor {name!r} of {list(tensor.shape)} has more bytes than are stored of it")
        storages[stored.data_ptr()] = stored.nbytes()
    if sum(storages.values()) > file_bytes:
        raise NotPlain("its tensors have more bytes than the file")
    if n_bytes > MOST_SHARED * file_bytes:
        raise NotPlain(f"its tensors have more than {MOST_SHARED} times the bytes of the file")


def _tensors(state: Any) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    seen: set[int] = set()
    waiting = [("", state)]
    while waiting:
        name, one = waiting.pop()
        if isinstance(one, torch.Tensor):
            yield name, one
        elif isinstance(one, Mapping | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            inside = one.items() if isinstance(one, Mapping) else enumerate(one)
            waiting += [(str(key)[:80], inner) for key, inner in inside]
