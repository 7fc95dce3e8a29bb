"""Named things that can be added without touching this repository: datasets, models, metrics.

A registry maps a name to ``package.module:attribute`` and imports it when it is asked for, so that
listing what exists costs nothing. Other packages add entries through the entry-point group named
by the registry, e.g. ``layermap.datasets``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline.core.errors import LayermapError, UnknownName, first_line

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


def import_function(address: str, what: str) -> Any:
    """Import ``FILE.py:function`` (a file of the user's own, absolute) or ``package.module:function``.

    Parameters
    ----------
    what : the file becomes the module ``layermap_own_<what>_<stem>``, so that files of one name do not meet; it may
        import the files beside it

    Raises
    ------
    LayermapError
        Names the file or module, and what Python said.
    """
    file, _, function = address.rpartition(":")
    if not file.endswith(".py"):
        return import_object(address)
    name = f"layermap_own_{what}_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LayermapError(f"{file} cannot be imported; expected FILE.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look their module up there
    if str(Path(file).parent) not in sys.path:
        sys.path.append(str(Path(file).parent))
    try:
        spec.loader.exec_module(module)
        return getattr(module, function)
    except (Exception, SystemExit) as error:  # the file is the user's: whatever it raises, the user has to mend
        raise LayermapError(
            f"{file} cannot be imported ({type(error).__name__}: {first_line(error)}); expected FILE.py:function"
        ) from error


class Registry(Generic[Entry]):
    """Name to entry, imported on first use.

    Parameters
    ----------
    what : what an entry is called in error messages, e.g. ``dataset``
    classes : of its entries
    called : attribute in which an entry has the name that it is registered by
    builtin : name → ``package.module:attribute``
    group : entry-point group through which other packages add entries
    """

    def __init__(
        self, what: str, classes: tuple[type[Entry], ...], called: str, builtin: dict[str, str], group: str
    ) -> None:
        self.what = what
        self._classes = classes
        self._called = called
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
        """The entry, imported.

        Raises
        ------
        UnknownName
            No such entry; the message names the closest.
        LayermapError
            It cannot be imported, is nothing that this registry holds, or calls itself otherwise than it is registered.
        """
        if name not in self._entries:
            self._entries[name] = self._imported(name)
        return self._entries[name]

    def _imported(self, name: str) -> Entry:
        address = self.address(name)
        entry: Entry = import_object(address)
        if not isinstance(entry, self._classes):
            made = f"the class {entry.__name__}" if isinstance(entry, type) else f"a {type(entry).__name__}"
            expected = " or ".join(one.__name__ for one in self._classes)
            raise LayermapError(
                f"{self.what} '{name}': {address} is {made}, expected {expected}; give the address of its entry"
            )
        own = getattr(entry, self._called)
        if own != name:
            raise LayermapError(
                f"{self.what} '{name}': {address} has {self._called} '{own}'; register it under the name that it has"
            )
        return entry
