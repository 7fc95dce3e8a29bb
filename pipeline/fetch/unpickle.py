"""Pickles that are read without letting them run anything.

A pickle is a program; the globals it names are the functions it may call. Only those on a short list
are let through, and each list below was read off a real file with ``pickletools``.
"""

from __future__ import annotations

import importlib
import pickle
import re
import zipfile
from collections.abc import Set
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import BrokenArtifact

Globals = Set[tuple[str, str]]

# rdms_reliable.pkl of ColinConwell/DeepMouseTrap: dicts of area → layer → (item, item2) float64 arrays
SIMILARITY_MATRICES: Globals = frozenset(
    {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
)
# numbers that training scripts leave beside the tensors (cpc_p2.pth.tar)
NUMPY_SCALARS: Globals = frozenset(
    {("numpy.core.multiarray", "scalar"), ("numpy", "dtype"), ("numpy.dtypes", "Float64DType")}
)


def _resolve(module: str, name: str) -> Any:
    """Import a global that is on a list; numpy moved ``numpy.core`` to ``numpy._core`` in version 2."""
    if module.startswith("numpy.core."):
        try:
            return getattr(importlib.import_module(module.replace("numpy.core.", "numpy._core.", 1)), name)
        except ModuleNotFoundError:
            pass
    return getattr(importlib.import_module(module), name)


class _Restricted(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, path: Path, allowed: Globals) -> None:
        super().__init__(stream)
        self._path = path
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise BrokenArtifact(
                f"{self._path} is a pickle that asks for {module}.{name}, which is not on the list of what it may use; "
                "it was not read: get the file from its publisher again"
            )
        return _resolve(module, name)


def load_restricted(path: Path, allowed: Globals) -> Any:
    """Read a pickle that may name only the given globals.

    Parameters
    ----------
    allowed : of (module, name), e.g. ``SIMILARITY_MATRICES``

    Raises
    ------
    BrokenArtifact
        Missing, truncated, no pickle, or it names something else; the message names file and global.
    """
    try:
        with open(path, "rb") as stream:
            return _Restricted(stream, path, allowed).load()
    except FileNotFoundError as error:
        raise BrokenArtifact(
            f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_recordings"
        ) from error
    except (BrokenArtifact, OSError, MemoryError):
        raise
    except Exception as error:  # the unpickler answers broken bytes with whatever they happen to cause
        raise BrokenArtifact(
            f"{path} is no whole pickle ({error}); delete it and run: snakemake fetch --forcerun fetch_recordings"
        ) from error


def load_torch_state(path: Path, allowed: Globals = frozenset()) -> Any:
    """Read a torch checkpoint onto the CPU with ``weights_only=True``.

    Parameters
    ----------
    allowed : globals beyond torch's own list, e.g. ``NUMPY_SCALARS``

    Raises
    ------
    BrokenArtifact
        Missing, truncated, or it asks for more than tensors; the message names the file and what it asked for.
    """
    import torch

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_recordings")
    extra: list[Any] = [(_resolve(module, name), f"{module}.{name}") for module, name in sorted(allowed)]
    try:
        with torch.serialization.safe_globals(extra):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # KeyError, IndexError, RuntimeError … according to which byte is broken
        raise BrokenArtifact(
            f"{path} is no checkpoint of plain tensors ({_torch_reason(error, path)}); "
            "delete it and fetch it again, or use weights in safetensors"
        ) from error


def _torch_reason(error: Exception, path: Path) -> str:
    text = str(error)
    refused = re.search(r"\bGLOBAL ([\w.]+)", text)
    if refused:
        return f"it asks for {refused[1].rstrip('.')}"
    if isinstance(error, pickle.UnpicklingError) or not zipfile.is_zipfile(path):
        return "it is cut short or altered"
    return text.splitlines()[0][:120] if text else type(error).__name__
