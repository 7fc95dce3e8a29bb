"""Archives of arrays (``.npz``): what they state is compared with what they hold before anything is unpacked."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.limits import ARCHIVE_MEMBERS, check_backed, check_plain_file, check_room, size_in_words


def check_npz(path: Path, remedy: str, error: type[LayermapError] = BrokenArtifact, source: str = "") -> None:
    """Look at the directory of an archive and the header of each array.

    Parameters
    ----------
    source : what the file is called in messages, where its path tells nothing

    Raises
    ------
    BrokenArtifact
        Or ``error``: an array is too large, or states another size than its member has, or there are too many.
    OSError, ValueError, zipfile.BadZipFile
        It is no such archive.
    """
    check_plain_file(path, remedy, error)
    source = source or str(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > ARCHIVE_MEMBERS:
            raise error(f"{source} has {len(members):,} members, {ARCHIVE_MEMBERS:,} are read at most; {remedy}")
        for member in members:
            check_backed(f"{source}: {member.filename}", member.file_size, member.compress_size, remedy, error)
            if member.filename.endswith(".npy"):
                with archive.open(member) as stream:
                    stated = _stated_bytes(stream)
                if stated != member.file_size:
                    raise error(
                        f"{source}: {member.filename} has {size_in_words(member.file_size)}, its header states "
                        f"{size_in_words(stated)}; {remedy}"
                    )
        check_room(source, sum(member.file_size for member in members), remedy, error)


def _stated_bytes(stream: IO[bytes]) -> int:
    """Bytes of a ``.npy`` file by its header, the header with them."""
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return stream.tell() + math.prod(shape) * dtype.itemsize
