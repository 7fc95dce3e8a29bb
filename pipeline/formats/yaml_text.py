"""YAML as study files are written: every key once, and no plain value that means different things to different readers.

What a value gives
------------------
* Keys are text, as they are written: ``1``, ``on`` and ``2020-01-01`` name what they say.
* ``true`` and ``false`` are truth values, ``null``, ``~`` and nothing are none.
* ``12``, ``-0.5`` and ``1e3`` are numbers. A date such as ``2020-01-01`` is text.
* ``yes``, ``no``, ``on``, ``off``, ``010``, ``0x1F``, ``1_000``, ``1:30``, ``.nan`` and ``.inf`` are refused, for YAML
  1.1 and 1.2 read them differently, or no option takes them; in quotes they are text.
* Anchors, aliases and ``<<`` are followed, with a limit on what they come to. Tags other than ``!!str``, a second
  document, and an alias of what it stands in are refused.
"""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import yaml

from pipeline.core.errors import BadConfiguration
from pipeline.core.limits import DOCUMENT_DEPTH, YAML_NODES
from pipeline.core.names import unwritable

Event = Any
"""An event of PyYAML; its stubs know only some of the attributes."""

_STR = "tag:yaml.org,2002:str"
LONGEST_NUMBER = 40
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_NONE = re.compile(r"(?:null|~|)\Z", re.IGNORECASE)
_TRUTH = re.compile(r"(?:true|false)\Z", re.IGNORECASE)
_UNCLEAR = (
    (re.compile(r"(?:yes|no|on|off)\Z", re.IGNORECASE), "write true or false"),
    (re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?\Z"), "write the number without '_'"),
    (re.compile(r"[-+]?0[xob][0-9a-f_]+\Z", re.IGNORECASE), "write the number in decimal digits"),
    (re.compile(r"[-+]?0[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?\Z"), "write the number without the leading 0"),
    (re.compile(r"[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?\Z"), "write one number"),
    (re.compile(r"[-+]?\.(?:inf|nan)\Z", re.IGNORECASE), "write a finite number"),
)


def parse_yaml(text: str, source: str) -> Any:
    """The one document of a YAML text; None for an empty one.

    Raises
    ------
    BadConfiguration
        It is no YAML, or holds what the module's docstring refuses; the message names the line.
    """
    try:
        return _Builder(yaml.parse(text, Loader=yaml.SafeLoader)).document()
    except _Refused as error:
        raise BadConfiguration(f"{source}, line {error.line}: {error.problem}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}:" if mark is not None else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise BadConfiguration(f"{source} is not valid YAML:{where} {problem}") from error
    except yaml.YAMLError as error:
        raise BadConfiguration(f"{source} is not valid YAML: {error}") from error


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that is not taken."""

    def __init__(self, problem: str, event: Event) -> None:
        super().__init__(problem=problem)
        self.line = event.start_mark.line + 1


@dataclasses.dataclass(frozen=True)
class _Built:
    """A value, how many nodes it has with every alias written out, and how many levels."""

    value: Any
    n_nodes: int = 1
    n_levels: int = 0


class _Builder:
    """Values from PyYAML's events. What a document comes to is counted on the way, so that bombs end early."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = (event for event in events if not isinstance(event, yaml.StreamStartEvent))
        self._anchors: dict[str, _Built | None] = {}
        self._n_nodes = 0

    def document(self) -> Any:
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        built = self._node(next(self._events), 0)
        next(self._events)  # the document's end
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise _Refused("a second document begins here; a file holds one", following)
        return built.value

    def _node(self, event: Event, level: int) -> _Built:
        if isinstance(event, yaml.AliasEvent):
            return self._counted(self._aliased(event), event, level)
        if event.tag is not None and not (event.tag == _STR and isinstance(event, yaml.ScalarEvent)):
            raise _Refused(f"the tag {event.tag!r} is not taken; remove it", event)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise _Refused(f"the anchor '{event.anchor}' stands twice; rename one", event)
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            built = self._counted(_Built(_scalar(event)), event, level)
        elif level >= DOCUMENT_DEPTH:
            raise _Refused(f"over {DOCUMENT_DEPTH} levels deep", event)
        else:
            self._counted(_Built(None), event, level)
            built = self._sequence(level) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(level)
        if event.anchor is not None:
            self._anchors[event.anchor] = built
        return built

    def _aliased(self, event: Event) -> _Built:
        if event.anchor not in self._anchors:
            raise _Refused(f"the alias '*{event.anchor}' has no anchor above it; add or correct it", event)
        built = self._anchors[event.anchor]
        if built is None:
            raise _Refused(f"the alias '*{event.anchor}' stands within its own anchor; remove it", event)
        return built

    def _counted(self, built: _Built, event: Event, level: int) -> _Built:
        self._n_nodes += built.n_nodes
        if self._n_nodes > YAML_NODES:
            raise _Refused(f"comes to over {YAML_NODES:,} values with its aliases written out", event)
        if level + built.n_levels > DOCUMENT_DEPTH:
            raise _Refused(f"over {DOCUMENT_DEPTH} levels deep", event)
        return built

    def _sequence(self, level: int) -> _Built:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, level + 1))
        return _outer([item.value for item in items], items)

    def _mapping(self, level: int) -> _Built:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        inside = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = _key(event)
            self._counted(_Built(key), event, level + 1)
            same = unicodedata.normalize("NFC", key)
            if same in lines:
                raise _Refused(f"the key '{key}' stands twice, first in line {lines[same]}; keep one", event)
            lines[same] = event.start_mark.line + 1
            built = self._node(next(self._events), level + 1)
            inside.append(built)
            if key == "<<" and event.style is None:
                merged = _merged(built.value, event)
            else:
                own[key] = built.value
        return _outer({**merged, **own}, inside)


def _outer(value: Any, inside: list[_Built]) -> _Built:
    n_keys = len(inside) if isinstance(value, dict) else 0
    levels = 1 + max((built.n_levels for built in inside), default=0)
    return _Built(value, 1 + n_keys + sum(built.n_nodes for built in inside), levels)


def _merged(value: Any, event: Event) -> dict[str, Any]:
    """What ``<<`` brings: a mapping, or several of which the first wins."""
    mappings = value if isinstance(value, list) else [value]
    if not all(isinstance(mapping, dict) for mapping in mappings):
        raise _Refused("'<<' takes a mapping or a list of mappings", event)
    return {key: one for mapping in reversed(mappings) for key, one in mapping.items()}


def _key(event: Event) -> str:
    """A key as it is written: neither a number nor a truth value."""
    if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None:
        raise _Refused("a key is plain text, without anchor or alias", event)
    if event.tag not in (None, _STR):
        raise _Refused(f"the tag {event.tag!r} is not taken; remove it", event)
    if not event.value and event.implicit[0]:
        raise _Refused("a key is empty; write it before the ':'", event)
    return _text(event)


def _text(event: Event) -> str:
    if (wrong := unwritable(event.value)) is not None:
        raise _Refused(f"the text {event.value!a:.60} has {wrong}; remove it", event)
    return str(event.value)


def _scalar(event: Event) -> Any:
    """A value by the rules of the module's docstring."""
    text = event.value
    if not event.implicit[0]:  # quoted, a block, or tagged as text
        return _text(event)
    if _NONE.match(text):
        return None
    if _TRUTH.match(text):
        return text.lower() == "true"
    if _NUMBER.match(text):
        return _number(event)
    for unclear, remedy in _UNCLEAR:
        if unclear.match(text):
            raise _Refused(f"'{text:.60}' means different things in YAML; {remedy}, or quotes around a name", event)
    return _text(event)


def _number(event: Event) -> int | float:
    if len(event.value) <= LONGEST_NUMBER and _WHOLE.match(event.value):
        return int(event.value)
    number = float(event.value)
    if not math.isfinite(number) or len(event.value) > LONGEST_NUMBER:
        raise _Refused(f"the number '{event.value:.60}' is too large or long", event)
    return number
