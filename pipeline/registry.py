"""Named things that can be added without touching this repository: datasets, models, metrics.

A registry maps a name to ``package.module:attribute`` and imports it when it is asked for, so that
listing what exists costs nothing. Other packages add entries through the entry-point group named
by the registry, e.g. ``layermap.datasets``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pipeline.errors import LayermapError, UnknownName

Entry = TypeVar("Entry")


def import_object(address: str) -> Any:
    """Import ``package.module:attribute``.

    Raises
    ------
    LayermapError
        The module or the attribute does not exist; the message names both.
    """
    module_name, _, attribute = address.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise LayermapError(f"'{address}' cannot be imported ({error}); expected package.module:attribute") from error


class Registry(Generic[Entry]):
    """Name to entry, imported on first use.

    Parameters
    ----------
    what : what an entry is called in error messages, e.g. ``dataset``
    builtin : name → ``package.module:attribute``
    group : entry-point group through which other packages add entries
    """

    def __init__(self, what: str, builtin: dict[str, str], group: str) -> None:
        self.what = what
        self._addresses = dict(builtin)
        self._entries: dict[str, Entry] = {}
        for point in entry_points(group=group):
            self._addresses.setdefault(point.name, point.value)

    def names(self) -> list[str]:
        return sorted(self._addresses)

    def __contains__(self, name: str) -> bool:
        return name in self._addresses

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def address(self, name: str) -> str:
        if name not in self._addresses:
            raise UnknownName(self.what, name, self._addresses)
        return self._addresses[name]

    def get(self, name: str) -> Entry:
        if name not in self._entries:
            self._entries[name] = import_object(self.address(name))
        return self._entries[name]
