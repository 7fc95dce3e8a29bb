"""Pickles that are read without letting them run anything.

A pickle is a program; the globals it names are the functions it may call. Here it may build dicts, lists, tuples, texts
and numbers, and names only what is on a short list, each read off a real file with ``pickletools``. What is on the list
is not numpy's, but stands in for it (`pickled_arrays`).
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.checkpoint_sizes import check_records, check_tensors
from pipeline.formats.pickled_arrays import NotPlain, PickledArray, PickledDtype, reconstruct, scalar

Globals = Mapping[tuple[str, str], Any]
"""(module, name) as a pickle has them → what stands in for it."""

# rdms_reliable.pkl of ColinConwell/DeepMouseTrap: dicts of area → layer → (item, item2) float64 arrays
SIMILARITY_MATRICES: Globals = {
    ("numpy.core.multiarray", "_reconstruct"): reconstruct,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledDtype,
}
# numbers that training scripts leave beside the tensors (cpc_p2.pth.tar)
NUMPY_SCALARS: Globals = {
    ("numpy.core.multiarray", "scalar"): scalar,
    ("numpy", "dtype"): PickledDtype,
}
MOST_PICKLE_BYTES = 256_000_000
DEEPEST = 16
"""Dicts and lists within one another."""
_READ = (
    *("PROTO", "FRAME", "MARK", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG"),
    *("LONG1", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES"),
    *("SHORT_BINBYTES", "BINBYTES8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST"),
    *("APPEND", "APPENDS", "EMPTY_DICT", "GET", "BINGET", "LONG_BINGET", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("GLOBAL", "STACK_GLOBAL"),
)
"""Instructions of `pickletools` that build plain values, as Python carries them out; five more are carried out here."""


class _PlainUnpickler(pickle._Unpickler):
    """Python's own unpickler (the one in Python, whose memory no file can break) with few of its instructions."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, stream: io.BytesIO, path: Path, allowed: Globals) -> None:
        super().__init__(stream)
        self._path = path
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise BrokenArtifact(
                f"{self._path} is a pickle that asks for {module}.{name}, which is not on the list of what it may use; "
                "it was not read: get the file from its publisher again"
            )
        return self._allowed[module, name]

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        if not any(self.stack[-1] is one for one in self._allowed.values()):
            raise NotPlain("it calls what is no function")
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], PickledArray | PickledDtype):
            raise NotPlain("it fills in what is no array")
        self.stack[-1].__setstate__(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [key, value])

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _put(self.stack[-1], items)

    def load_dict(self) -> None:
        items = self.pop_mark()
        made: dict[Any, Any] = {}
        _put(made, items)
        self.stack.append(made)

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _READ
    } | {
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }


def _put(table: object, items: list[Any]) -> None:
    """Keys and values in turn, into a dict. Keys are texts and numbers: those of deep tuples take the stack down."""
    if not isinstance(table, dict) or len(items) % 2:
        raise NotPlain("it puts values into what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):
            raise NotPlain(f"a key in it is a {type(key).__name__}, neither a text nor a number")
        table[key] = value


def _with_arrays(value: Any, most_bytes: int) -> Any:
    """The same values with arrays in place of what stands in for them.

    Parameters
    ----------
    most_bytes : of all arrays together: a pickle can name the bytes of one array for a thousand
    """
    made: dict[int, Any] = {}
    left = most_bytes

    def one(value: Any, depth: int) -> Any:
        nonlocal left
        if value is None or isinstance(value, str | int | float | bytes):
            return value
        if id(value) not in made:
            if depth > DEEPEST:
                raise NotPlain(f"it holds dicts and lists more than {DEEPEST} deep")
            if isinstance(value, PickledArray):
                left -= len(value.raw)
                if left < 0:
                    raise NotPlain("its arrays have more bytes than the file")
                made[id(value)] = value.array()
            elif isinstance(value, dict):
                made[id(value)] = {key: one(inner, depth + 1) for key, inner in value.items()}
            elif isinstance(value, list | tuple):
                made[id(value)] = type(value)([one(inner, depth + 1) for inner in value])
            else:
                raise NotPlain("it holds what is neither a number, a text nor an array")
        return made[id(value)]

    return one(value, 0)


def load_restricted(path: Path, allowed: Globals) -> Any:
    """Read a pickle of plain values and arrays that may name only the given globals.

    Parameters
    ----------
    allowed : e.g. ``SIMILARITY_MATRICES``

    Raises
    ------
    BrokenArtifact
        Missing, truncated, too long, no pickle, or it names or describes something else; the message names file and
        global.
    """
    again = "delete it and run: snakemake fetch --forcerun fetch_recordings"
    try:
        with open(path, "rb") as stream:
            content = stream.read(MOST_PICKLE_BYTES + 1)
    except FileNotFoundError as error:
        raise BrokenArtifact(
            f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_recordings"
        ) from error
    if len(content) > MOST_PICKLE_BYTES:
        raise BrokenArtifact(f"{path} has more than the {MOST_PICKLE_BYTES} bytes that a pickle may have; {again}")
    try:
        return _with_arrays(_PlainUnpickler(io.BytesIO(content), path, allowed).load(), len(content))
    except (BrokenArtifact, MemoryError):
        raise
    except Exception as error:  # the unpickler answers broken bytes with whatever they happen to cause
        raise BrokenArtifact(f"{path} is no whole pickle ({error}); {again}") from error


def load_torch_state(
    path: Path,
    allowed: Globals | None = None,
    remedy: str = "delete it and fetch it again, or use weights in safetensors",
) -> Any:
    """Read a torch checkpoint onto the CPU with ``weights_only=True``.

    Parameters
    ----------
    allowed : globals beyond torch's own list, e.g. ``NUMPY_SCALARS``, whose numbers come as Python's
    remedy : what to do where it is refused, for messages

    Raises
    ------
    BrokenArtifact
        Missing, truncated, it asks for more than tensors, or its tensors have more bytes than the file; the message
        names the file and what it asked for.
    """
    import torch

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_recordings")
    extra: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (stand_in, f"{module}.{name}") for (module, name), stand_in in (allowed or {}).items()
    ]
    try:
        check_records(path)
        with torch.serialization.safe_globals(extra):
            state = torch.load(path, map_location="cpu", weights_only=True)
        check_tensors(state, path.stat().st_size)
        return state
    except (OSError, MemoryError):
        raise
    except Exception as error:  # KeyError, IndexError, RuntimeError … according to which byte is broken
        raise BrokenArtifact(
            f"{path} is no checkpoint of plain tensors ({_torch_reason(error, path)}); {remedy}"
        ) from error


def _torch_reason(error: Exception, path: Path) -> str:
    text = str(error)
    refused = re.search(r"\bGLOBAL ([\w.]+)", text)
    if refused:
        return f"it asks for {refused[1].rstrip('.')}"
    if isinstance(error, NotPlain):
        return text
    if isinstance(error, pickle.UnpicklingError) or not zipfile.is_zipfile(path):
        return "it is cut short or altered"
    return text.splitlines()[0][:120] if text else type(error).__name__
