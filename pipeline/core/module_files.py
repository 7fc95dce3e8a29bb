"""Where the source of an installed module lies, found without importing it or the packages around it.

``importlib.util.find_spec("a.b")`` imports ``a``, which runs code. Studies are listed and planned without running any
that they name.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class ModuleFile:
    """A module's source.

    Parameters
    ----------
    path : None for folders without ``__init__.py``, and for what is compiled or built in
    folders : where its submodules lie; empty where it is no package
    """

    path: Path | None
    folders: tuple[Path, ...] = ()


def find_module(name: str) -> ModuleFile | None:
    """The source of ``package.module``; None where nothing of that name is installed."""
    top, *parts = name.split(".")
    if not all(part.isidentifier() for part in (top, *parts)):
        return None
    found = _find_top(top)
    for part in parts:
        found = _find_in(found.folders, part) if found is not None else None
    return found


def _find_top(name: str) -> ModuleFile | None:
    try:
        spec = importlib.util.find_spec(name)  # of a name without dots: nothing is imported
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None:
        return None
    path = Path(spec.origin) if spec.origin is not None and spec.origin.endswith(".py") else None
    return ModuleFile(path, tuple(Path(folder) for folder in spec.submodule_search_locations or ()))


def _find_in(folders: Iterable[Path], name: str) -> ModuleFile | None:
    """As the import system looks: a package before a module, folders without ``__init__.py`` last."""
    bare = []
    for folder in folders:
        if (folder / name / "__init__.py").is_file():
            return ModuleFile(folder / name / "__init__.py", (folder / name,))
        if (folder / f"{name}.py").is_file():
            return ModuleFile(folder / f"{name}.py")
        if any(folder.glob(f"{name}.*.so")) or (folder / f"{name}.so").is_file():
            return ModuleFile(None)
        if (folder / name).is_dir():
            bare.append(folder / name)
    return ModuleFile(None, tuple(bare)) if bare else None
