"""What can happen to the bytes of a file; each function changes one and says how."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Damage = Callable[[Path, np.random.Generator], str]


def _rewrite(path: Path, contents: bytes) -> None:
    """A new file, so that no other link to the old one changes."""
    path.unlink()
    path.write_bytes(contents)


def flip_bit(path: Path, rng: np.random.Generator) -> str:
    contents = bytearray(path.read_bytes())
    if not contents:
        return append(path, rng)
    at, bit = int(rng.integers(len(contents))), int(rng.integers(8))
    contents[at] ^= 1 << bit
    _rewrite(path, bytes(contents))
    return f"bit {bit} of byte {at} of {len(contents)} flipped"


def scramble(path: Path, rng: np.random.Generator) -> str:
    contents = bytearray(path.read_bytes())
    start, end = _stretch(len(contents), rng)
    contents[start:end] = rng.bytes(end - start)
    _rewrite(path, bytes(contents))
    return f"bytes {start} to {end} of {len(contents)} replaced by noise"


def zero(path: Path, rng: np.random.Generator) -> str:
    contents = bytearray(path.read_bytes())
    start, end = _stretch(len(contents), rng)
    contents[start:end] = bytes(end - start)
    _rewrite(path, bytes(contents))
    return f"bytes {start} to {end} of {len(contents)} zeroed"


def _stretch(n: int, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(max(1, n)))
    return start, min(n, start + int(rng.choice([4, 64, 512, 4096])))


def truncate(path: Path, rng: np.random.Generator) -> str:
    contents = path.read_bytes()
    kept = int(rng.integers(max(1, len(contents)))) if rng.random() < 0.8 else 0
    _rewrite(path, contents[:kept])
    return f"cut to {kept} of {len(contents)} bytes"


def append(path: Path, rng: np.random.Generator) -> str:
    contents = path.read_bytes()
    more = rng.bytes(int(rng.choice([1, 16, 5000]))) if rng.random() < 0.7 else contents
    _rewrite(path, contents + more)
    return f"{len(more)} bytes appended to {len(contents)}"


def insert(path: Path, rng: np.random.Generator) -> str:
    contents = path.read_bytes()
    at = int(rng.integers(len(contents) + 1))
    _rewrite(path, contents[:at] + rng.bytes(1) + contents[at:])
    return f"a byte put in at {at} of {len(contents)}"


def edit_json(path: Path, rng: np.random.Generator) -> str:
    """One value changed, removed, or of another type; or only spaces."""
    document = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(document))
    holder, key = places[int(rng.integers(len(places)))]
    where = f"the value of '{key}'"
    way = str(rng.choice(["spaces", "removed", "null", "other", "nested"], p=[0.1, 0.2, 0.1, 0.5, 0.1]))
    if way == "removed":
        del holder[key]
    elif way == "null":
        holder[key] = None
    elif way == "nested":
        holder[key] = {"value": holder[key]}
    elif way == "other":
        holder[key] = _other(holder[key], rng)
    text = json.dumps(document, indent=int(rng.integers(5)) if way == "spaces" else 1)
    _rewrite(path, (text + "\n").encode())
    return "only other spaces" if way == "spaces" else f"{where}: {way}"


def _places(value: Any) -> Any:
    """(holder, key) of every value within a document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _other(value: Any, rng: np.random.Generator) -> Any:
    """A value of the same type that is not the same."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + int(rng.integers(1, 3))
    if isinstance(value, str) and value:
        at = int(rng.integers(len(value)))
        return value[:at] + ("a" if value[at] != "a" else "b") + value[at + 1 :]
    if isinstance(value, list) and len(value) > 1:
        return value[::-1] if value[::-1] != value else value[1:]
    return 7


def swap(one: Path, other: Path) -> None:
    """Two files or folders take each other's place."""
    aside = one.with_name(f"{one.name}.aside")
    os.replace(one, aside)
    os.replace(other, one)
    os.replace(aside, other)
