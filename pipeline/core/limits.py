"""How large a file, and what it says of itself, may be: one place for all limits, and one line where one is passed.

A file of some kB can state terabytes: a header with a huge shape, an archive of zeros, an alias of an alias. What is
stated is compared with a limit before room is taken or bytes are unpacked.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.core.errors import BrokenArtifact, LayermapError

YAML_BYTES = 1 << 20
"""A study file; the longest one that comes with layermap has 4 kB."""
YAML_NODES = 100_000
"""Keys and values of a YAML file, with every alias written out."""
JSON_BYTES = 64 << 20
"""A list of some hundred thousand files."""
TABLE_BYTES = 512 << 20
"""More is no table that somebody wrote, and its cells would not fit into memory."""
TEXT_BYTES = 256 << 20
"""Another text that is read whole."""
SAFETENSORS_HEADER_BYTES = 100_000_000
"""What the safetensors library takes."""
DOCUMENT_DEPTH = 50
"""Mappings and lists within each other, in YAML and JSON."""
DEFLATE_RATIO = 1032
"""What gzip, zip and HDF5's gzip filter can shrink zeros by, and no more."""
UNBACKED_BYTES = 1 << 30
"""A dataset of HDF5 that states more than this must have the bytes for it; smaller ones may be of fill values only."""
ARRAY_BYTES = 32 << 30
"""One array that is read whole: events of an experiment, a volume of a scan, an atlas."""
HDF5_OBJECTS = 1_000_000
"""Groups, datasets and links of one HDF5 file."""
NIFTI_EXTENSION_BYTES = 256 << 20
"""What may stand between the header of a NIfTI file and its voxels."""
ARCHIVE_MEMBERS = 10_000
FILE_BYTES = 10**15
"""No file of a dataset is larger, whatever a list says."""
FOLDER_ENTRIES = 2_000_000
"""Files and folders of a dataset's folder that are listed."""
FOLDER_DEPTH = 40
"""Folders within each other."""


def size_in_words(n_bytes: float) -> str:
    """Bytes as people say them: 512 B, 3.1 MB, 2.0 TB."""
    if n_bytes >= 1000**6:
        return "over 1,000 PB"  # a file can state numbers that no float holds
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if n_bytes < 1000 or unit == "PB":
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:,.1f} {unit}"
        n_bytes /= 1000
    raise AssertionError


def check_backed(
    path: Path | str, stated: int, stored: int, remedy: str, error: type[LayermapError] = BrokenArtifact
) -> None:
    """Refuse an array that states more than its bytes can come to.

    Parameters
    ----------
    path : what is read, for the message
    stated : bytes that the file says the array has
    stored : bytes that are there for it, compressed by gzip at most

    Raises
    ------
    BrokenArtifact
        Or ``error``.
    """
    if stated > DEFLATE_RATIO * stored:
        most = size_in_words(DEFLATE_RATIO * stored)
        raise error(
            f"{path} states an array of {size_in_words(stated)}, but has {size_in_words(stored)} for it, which come to "
            f"{most} at most; {remedy}"
        )


def check_room(path: Path | str, stated: int, remedy: str, error: type[LayermapError] = BrokenArtifact) -> None:
    """Refuse an array that is too large to be read at once, before room is taken for it; as `check_backed`."""
    most = min(ARRAY_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    if stated > most:
        allowed = f"{size_in_words(most)} are read at once on this machine"
        raise error(f"{path} states an array of {size_in_words(stated)}, at most {allowed}; {remedy}")


def check_plain_file(path: Path, remedy: str, error: type[LayermapError] = BrokenArtifact) -> os.stat_result:
    """Refuse what is no ordinary file before it is opened: to open a pipe waits for ever.

    Returns
    -------
    its status, links followed

    Raises
    ------
    BrokenArtifact
        Or ``error``: it is missing, a folder, a pipe, socket or device, or may not be looked at.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise error(f"{path} does not exist; {remedy}") from None
    except (OSError, ValueError) as failure:  # a loop of links, a folder without permission, a NUL in the name
        raise error(f"{str(path)!r} cannot be opened ({failure}); {remedy}") from failure
    if not stat.S_ISREG(status.st_mode):
        raise error(f"{path} is {_kind(status.st_mode)}, expected a file; {remedy}")
    return status


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "no ordinary file")


def read_bounded(
    path: Path, n_bytes: int, what: str, remedy: str, error: type[LayermapError] = BrokenArtifact
) -> bytes:
    """All bytes of an ordinary file that may have ``n_bytes`` at most.

    Parameters
    ----------
    what : what a file of that size is not, for the message: ``a study file``

    Raises
    ------
    BrokenArtifact
        Or ``error``: it is larger, no ordinary file, or cannot be read.
    """
    size = check_plain_file(path, remedy, error).st_size
    if size <= n_bytes:
        try:
            with open(path, "rb") as stream:
                contents = stream.read(n_bytes + 1)
        except OSError as failure:
            raise error(f"{path} cannot be read ({failure.strerror or failure}); {remedy}") from failure
        if len(contents) <= n_bytes:
            return contents
        size = len(contents)
    raise error(f"{path} has {size_in_words(size)}, more than {what} may have ({size_in_words(n_bytes)}); {remedy}")
