"""Arrays in files of others (HDF5, ``.npz``): refused where they lead to other files, or state more than they can hold.

An HDF5 file can name another file (an external link, external storage of a dataset, a virtual dataset), and readers
follow without a word: what is then read is not in the file that was checked. And a dataset of a few bytes, or a member
of an archive, can state a shape of terabytes, which readers allocate.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.limits import (
    ARCHIVE_MEMBERS,
    DEFLATE_RATIO,
    HDF5_OBJECTS,
    UNBACKED_BYTES,
    check_backed,
    check_plain_file,
    check_room,
    size_in_words,
)

if TYPE_CHECKING:
    import h5py


def check_hdf5(path: Path, remedy: str, error: type[LayermapError] = BrokenArtifact, source: str = "") -> None:
    """Look at every link and every dataset's layout, at no data, before a file is read by h5py, pynwb or allensdk.

    Parameters
    ----------
    source : what the file is called in messages, where its path tells nothing

    Raises
    ------
    BrokenArtifact
        Or ``error``: it leads to another file, states a dataset that its bytes cannot hold, or has too many objects.
    OSError
        It is no HDF5 file, or cut short.
    """
    import h5py

    check_plain_file(path, remedy, error)
    with h5py.File(path, "r") as file:
        for n_seen, (name, found) in enumerate(_links(file)):
            if n_seen > HDF5_OBJECTS:
                raise error(f"{source or path} has over {HDF5_OBJECTS:,} objects; {remedy}")
            reason = _leads_out(found) or (_overstated(found) if isinstance(found, h5py.Dataset) else None)
            if reason is not None:
                raise error(f"{source or path}: {name} {reason}; {remedy}")


def _links(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Every link by its name: the object of a hard link, once, and other links themselves."""
    import h5py

    seen = {h5py.h5o.get_info(file.id).addr}
    waiting: list[tuple[str, Any]] = [("", file)]
    while waiting:
        prefix, group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            place = f"{prefix}/{name}"
            if not isinstance(link, h5py.HardLink):
                yield place, link
                continue
            found = group[name]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:
                continue
            seen.add(address)
            yield place, found
            if isinstance(found, h5py.Group):
                waiting.append((place, found))


def _leads_out(found: Any) -> str | None:
    """Half a sentence about what lies in another file; None for what does not. Soft links stay in their file."""
    import h5py

    if isinstance(found, h5py.ExternalLink):
        return f"is a link to another file ({found.filename!r:.300})"
    if not isinstance(found, h5py.Dataset):
        return None
    if found.is_virtual:
        return f"is put together from other files ({found.virtual_sources()[0].file_name!r:.300})"
    if found.external:
        return f"has its values in another file ({found.external[0][0]!r:.300})"
    return None


def _overstated(found: h5py.Dataset) -> str | None:
    """Half a sentence about a dataset whose bytes, however well compressed, cannot come to what it states."""
    stated = (found.size or 0) * found.dtype.itemsize
    if stated <= max(UNBACKED_BYTES, DEFLATE_RATIO * found.id.get_storage_size()):
        return None
    stored = size_in_words(found.id.get_storage_size())
    return f"states an array of {size_in_words(stated)} (shape {found.shape}), but has {stored} for it"


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
