"""The one door for JSON: UTF-8, every key once, no NaN, and neither huge nor deep. YAML has its own in `yaml_text`.

Python's reader takes the last of two equal keys, and raises unnamed errors for deep documents and for text that cannot
be encoded. Here each is one line that names the file and, where it is known, the line.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import BadConfiguration, BrokenArtifact, LayermapError
from pipeline.core.limits import DOCUMENT_DEPTH, JSON_BYTES, YAML_BYTES, read_bounded, size_in_words
from pipeline.core.names import unwritable
from pipeline.formats.yaml_text import parse_yaml


class _Refused(ValueError):
    """Why a document is not taken."""


class _KeyTwice(_Refused):
    """A key that an object has twice."""


def read_yaml(path: Path, remedy: str = "correct it") -> Any:
    """The contents of a YAML file; what a plain value means is said in `pipeline.formats.yaml_text`.

    Raises
    ------
    BadConfiguration
        It is missing, no YAML, has a key twice, or is too large or deep.
    """
    contents = read_bounded(path, YAML_BYTES, "a YAML file", remedy, BadConfiguration)
    return parse_yaml(_decoded(contents, str(path), "valid YAML", f"; {remedy}", BadConfiguration), str(path))


def read_json(
    path: Path,
    remedy: str = "correct it",
    *,
    error: type[LayermapError] = BrokenArtifact,
    constants: bool = False,
) -> Any:
    """The contents of a JSON file; parameters and errors as in `parse_json`, and for a file that is missing."""
    contents = read_bounded(path, JSON_BYTES, "a JSON file", remedy, error)
    return parse_json(contents, str(path), remedy, error=error, constants=constants)


def read_object(
    path: Path,
    remedy: str = "correct it",
    *,
    source: str = "",
    error: type[LayermapError] = BrokenArtifact,
    constants: bool = False,
) -> dict[str, Any]:
    """The object in a JSON file; as `read_json`, and anything else than an object is refused.

    Parameters
    ----------
    source : what the file is called in messages, where its path tells nothing
    """
    contents = read_bounded(path, JSON_BYTES, "a JSON file", remedy, error)
    document = parse_json(contents, source or str(path), remedy, error=error, constants=constants)
    if not isinstance(document, dict):
        raise error(f"{source or path} holds {type(document).__name__}, expected a JSON object; {remedy}")
    return document


def digest_of(contents: Any) -> str:
    """SHA-256, hex, of the contents of a JSON document, however they are laid out."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_json(
    text: str | bytes,
    source: str,
    remedy: str = "correct it",
    *,
    error: type[LayermapError] = BrokenArtifact,
    constants: bool = False,
    max_bytes: int = JSON_BYTES,
) -> Any:
    """A JSON document.

    Parameters
    ----------
    text : bytes are UTF-8, with or without a byte order mark
    source : where it comes from, for messages: a file, an address
    remedy : what to do where it is refused, for messages
    error : what is raised
    constants : whether NaN and Infinity are taken; others' programs write them for values that nobody reads here
    max_bytes : how large it may be

    Raises
    ------
    BrokenArtifact
        Or ``error``: it is no JSON, has a key twice, a NaN, text that cannot be encoded, or is too large or deep.
    """
    end = f"; {remedy}" if remedy else ""
    if len(text) > max_bytes:
        most = size_in_words(max_bytes)
        raise error(f"{source} has {size_in_words(len(text))}, more than the {most} that are read{end}")
    text = _decoded(text, source, "JSON", end, error) if isinstance(text, bytes) else text
    try:
        document = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=None if constants else _refuse_constant,
        )
        _check_values(document, constants)
    except RecursionError:
        raise error(f"{source} is over {DOCUMENT_DEPTH} levels deep{end}") from None
    except _KeyTwice as twice:
        raise error(f"{source}{_line_of_second(text)} has the key {str(twice)!r} twice{end}") from None
    except _Refused as why:
        raise error(f"{source} {why}{end}") from None
    except ValueError as why:
        raise error(f"{source} is not JSON ({why}){end}") from why
    return document


def _decoded(contents: bytes, source: str, what: str, end: str, error: type[LayermapError]) -> str:
    try:
        return contents.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise error(f"{source} is not {what}: it is not UTF-8 ({why.reason} at byte {why.start}){end}") from why


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _KeyTwice(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return found


def _refuse_constant(name: str) -> Any:
    raise _Refused(f"holds {name}, which is no JSON number")


def _check_values(document: Any, constants: bool) -> None:
    """Refuse what the reader lets pass: depth, numbers beyond a float, text with NUL or half a surrogate pair."""
    level = [document]
    for _ in range(DOCUMENT_DEPTH + 1):
        level = list(_inside(level, constants))
        if not level:
            return
    raise _Refused(f"is over {DOCUMENT_DEPTH} levels deep")


def _inside(level: list[Any], constants: bool) -> Iterator[Any]:
    """Mappings and lists within those of a level; other values are checked."""
    for outer in level:
        if isinstance(outer, dict):
            for key in outer:
                _check_scalar(key, constants)
        for value in outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else (outer,):
            if isinstance(value, dict | list):
                yield value
            else:
                _check_scalar(value, constants)


def _check_scalar(value: Any, constants: bool) -> None:
    if isinstance(value, str):
        if (wrong := unwritable(value)) is not None:
            raise _Refused(f"holds the text {value!a:.60}, which has {wrong}")
    elif isinstance(value, float) and not constants and not math.isfinite(value):
        raise _Refused("holds a number that is too large")


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]', re.DOTALL)


def _line_of_second(text: str) -> str:
    """`` (line N)`` of the first key that an object has twice. Only for messages: the C reader tells no places."""
    keys: list[set[str] | None] = []
    is_key = False
    for token in _TOKEN.finditer(text):
        kind = token[0][0]
        if kind in "{[":
            keys.append(set() if kind == "{" else None)
        elif kind in "}]" and keys:
            keys.pop()
        elif kind == '"' and is_key and keys and keys[-1] is not None:
            key = json.loads(token[0], strict=False)
            if key in keys[-1]:
                return f", line {text.count(chr(10), 0, token.start()) + 1},"
            keys[-1].add(key)
        is_key = kind in "{,"
    return ""
