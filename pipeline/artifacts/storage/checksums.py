"""Checksums inside NetCDF artifacts: what is read is what was written, or an error that names the file.

They are CRC32C (Castagnoli), which a processor computes at about 10 GB/s, ten times as fast as SHA-256. Flipped
bits, lost blocks and files that took each other's place are found; somebody who forges an artifact can forge its
checksums too.

Behind the end of the HDF5 file, where other programs do not look, stands a footer: JSON, its length in bytes, one
CRC32C over all bytes before it, and a mark. Bytes are compared before HDF5 sees them, since it may crash or hang on
damaged ones. Large variables that lie in one piece and are read in blocks of samples (a recording's responses) are left
out of that sum: the JSON has the CRC32C of each of their blocks, which are compared as they are read.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    import h5py
    import numpy as np

BLOCK_BYTES = 1 << 20
MARK = b"layermap"
_TAIL_BYTES = 16 + len(MARK)
"""Length and CRC32C, 8 hex digits each, and the mark."""


class NotAsWritten(ValueError):
    """Bytes that do not fit their checksum; the message says which, without the file's name."""


def crc32c(data: Any, before: int = 0) -> int:
    """CRC32C of bytes, or of the memory of a C-contiguous array.

    Parameters
    ----------
    before : CRC32C of what comes before them

    References
    ----------
    RFC 3720, appendix B.4
    """
    import google_crc32c

    return int(google_crc32c.extend(before, data))


@dataclass(frozen=True)
class Blocks:
    """The checksums of a variable ``([repeat,] sample, target)`` that lies in one piece.

    Parameters
    ----------
    offset, n_bytes : where it lies in the file
    rows : samples in each block
    crc32c : of each block, 8 hex digits each, one after another; of all its repeats
    """

    offset: int
    n_bytes: int
    rows: int
    crc32c: str

    def hold(self, first: int, values: np.ndarray) -> bool:
        """Whether whole blocks are as they were written.

        Parameters
        ----------
        first : number of the first block
        values : ``([repeat,] sample, target)``, from the first sample of that block on
        """
        found = _of_blocks(values, self.rows)
        return self.crc32c[8 * first : 8 * first + len(found)] == found

    def around(self, samples: slice, n_samples: int) -> slice:
        """The whole blocks that some samples lie in."""
        start, stop = samples.start // self.rows, -(-samples.stop // self.rows)
        return slice(start * self.rows, min(stop * self.rows, n_samples))


def _of_blocks(values: np.ndarray | h5py.Dataset, rows: int) -> str:
    """Checksums of every ``rows`` samples of ``([repeat,] sample, target)``, 8 hex digits each.

    A variable in a file is read block by block: mapped, all of it would count as the program's memory.
    """
    import numpy as np

    found = []
    for start in range(0, values.shape[-2], rows):
        block = values[..., start : start + rows, :]
        checksum = 0
        for repeat in block if block.ndim == 3 else [block]:
            little = np.ascontiguousarray(repeat, dtype=repeat.dtype.newbyteorder("<"))
            checksum = crc32c(little.reshape(-1).view(np.uint8), checksum)
        found.append(f"{checksum:08x}")
    return "".join(found)


def append_checksums(path: Path, in_blocks: Collection[str]) -> None:
    """Put the footer behind a finished NetCDF file.

    Parameters
    ----------
    in_blocks : variables ``([repeat,] sample, target)`` that are read in blocks of samples, the same for all of them
    """
    import h5py

    with h5py.File(path, "r") as file:
        large = {name: file[name] for name in in_blocks if _in_one_piece(file[name])}
        rows = min((_rows_of_blocks(variable) for variable in large.values()), default=0)
        blocks = {
            name: Blocks(one.id.get_offset(), one.id.get_storage_size(), rows, _of_blocks(one, rows))
            for name, one in large.items()
        }
    footer = json.dumps({name: asdict(one) for name, one in blocks.items()}, sort_keys=True).encode()
    footer += f"{len(footer):08x}".encode()
    with open(path, "r+b") as stream:
        checksum = crc32c(footer, _of_the_rest(stream.fileno(), path.stat().st_size, list(blocks.values())))
        stream.seek(0, os.SEEK_END)
        stream.write(footer + f"{checksum:08x}".encode() + MARK)


def _in_one_piece(variable: h5py.Dataset) -> bool:
    """Not in chunks, and written: a variable of nothing but its fill value takes no room."""
    return variable.chunks is None and variable.size > 0 and variable.id.get_offset() is not None


def _rows_of_blocks(variable: h5py.Dataset) -> int:
    """Samples in each block: about `BLOCK_BYTES` of one repeat."""
    return max(1, BLOCK_BYTES // max(1, variable.shape[-1] * variable.dtype.itemsize))


def _of_the_rest(descriptor: int, n_bytes: int, blocks: Collection[Blocks]) -> int:
    """CRC32C of the first ``n_bytes`` of a file, those of the blocks left out."""
    checksum = 0
    for start, stop in _between(n_bytes, blocks):
        for place in range(start, stop, BLOCK_BYTES):
            data = os.pread(descriptor, min(BLOCK_BYTES, stop - place), place)
            checksum = crc32c(data, checksum)
    return checksum


def _between(n_bytes: int, blocks: Collection[Blocks]) -> Iterator[tuple[int, int]]:
    place = 0
    for one in sorted(blocks, key=lambda one: one.offset):
        yield place, one.offset
        place = one.offset + one.n_bytes
    yield place, n_bytes


def compare_with_checksums(path: Path) -> dict[str, Blocks]:
    """Compare a NetCDF artifact with its footer, but for the variables that are read in blocks, which it returns.

    Raises
    ------
    NotAsWritten
        No footer (cut short, or of an older layermap), or other bytes than were written.
    OSError
        The file cannot be read.
    """
    with open(path, "rb") as stream:
        n_bytes = os.fstat(stream.fileno()).st_size
        tail = os.pread(stream.fileno(), _TAIL_BYTES, max(0, n_bytes - _TAIL_BYTES))
        try:
            length, stated, mark = int(tail[:8], 16), int(tail[8:16], 16), tail[16:]
            start = n_bytes - _TAIL_BYTES - length
            if mark != MARK or start < 0:
                raise ValueError
            footer = os.pread(stream.fileno(), length, start)
            blocks = {name: Blocks(**one) for name, one in json.loads(footer).items()}
            checksum = crc32c(footer + tail[:8], _of_the_rest(stream.fileno(), start, list(blocks.values())))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise NotAsWritten("its checksums are not there: it is cut short, or of an older layermap") from error
    if checksum != stated:
        raise NotAsWritten("its bytes do not fit their checksum")
    return blocks


@contextlib.contextmanager
def broken_if_unreadable(path: Path, stage: str, form: str = "NetCDF", damage: str = "truncated") -> Iterator[None]:
    """Turn what reading a damaged artifact raises into `BrokenArtifact`."""
    try:
        yield
    except BrokenArtifact:
        raise
    except Exception as error:  # h5py, zarr and xarray answer broken bytes with whatever they happen to cause
        raise BrokenArtifact(
            f"{path} cannot be read as {form} ({type(error).__name__}: {damage} or altered); "
            f"delete it and run: snakemake {stage}"
        ) from error
