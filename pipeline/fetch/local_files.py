"""Files that are on this machine already (``file://`` addresses): linked where that is possible, else copied."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import FetchError
from pipeline.fetch.annex import absent_contents, is_pointer, pointer_refused
from pipeline.fetch.checks.digests import digests_of
from pipeline.fetch.failures import WrongContents
from pipeline.fetch.http.part_file import PartFile


def local_path(url: str) -> Path | None:
    """The path of a ``file://`` address; None for any other."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no address at all, which is said where it is asked
        return None
    return Path(unquote(parts.path)) if parts.scheme == "file" and not parts.netloc else None


def needs_no_space(url: str, folder: Path) -> bool:
    """Whether a local file can be linked into a folder: both are on one file system."""
    source = local_path(url)
    if source is None:
        return False
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        return source.stat().st_dev == existing.stat().st_dev
    except OSError:
        return False


def take_local(source: Path, file: RawFile, destination: Path) -> str:
    """Link or copy a file whose size and SHA-256 the catalogue gives; returns its SHA-256.

    A hard link saves a copy of big movies, but an edit in place then changes both names: whoever reads the file
    later compares it with the receipt.

    Raises
    ------
    FetchError
        The file is gone, may not be read, is a git-annex pointer, or is not what it was when the catalogue was made.
    """
    again = "run: snakemake catalogue --forcerun catalogue_dataset"
    absent = absent_contents(source)
    if absent is not None:
        raise FetchError(f"{absent}, or leave it out of the study")
    if not source.is_file():
        raise FetchError(f"{source} is missing, which the catalogue names; put it back, or {again}")
    if not os.access(source, os.R_OK):
        raise FetchError(f"cannot read {source}: change its permissions")
    with open(source, "rb") as stream:
        if is_pointer(stream.read(512), source.stat().st_size):
            raise WrongContents(pointer_refused(str(source), file.path))
    part = PartFile(destination)
    part.discard()
    try:
        try:
            os.link(os.path.realpath(source), part.path)
        except OSError:  # another file system, one without links, or a file of somebody else
            shutil.copyfile(source, part.path)
        sha256 = digests_of(part.path, {"sha256"})["sha256"]
        if part.size() != file.bytes or sha256 != file.sha256:
            raise WrongContents(f"{source} changed since the catalogue was made; run again")
        # of two links to one file, a rename would leave both
        destination.unlink(missing_ok=True)
        part.finish(destination)
    except BaseException:
        part.discard()
        raise
    return sha256
