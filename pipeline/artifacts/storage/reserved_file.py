"""Files whose bytes are taken on the disk before they are written, so that a full disk is an error at once."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


def reserve(descriptor: int, n_bytes: int) -> None:
    """Take bytes for an open file; raises `OSError` where the disk has not as many."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, n_bytes)
    else:  # macOS
        os.ftruncate(descriptor, n_bytes)


class ReservedFile(io.RawIOBase):
    """A new file for HDF5 to write: HDF5 prints tracebacks of its own when the disk is full beneath it.

    Parameters
    ----------
    path : an older file there is replaced
    n_bytes : that are taken; what is not written is given back on closing
    """

    def __init__(self, path: Path, n_bytes: int) -> None:
        self._size = 0
        self._place = 0
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            reserve(self._descriptor, n_bytes)
        except OSError:
            self.close()
            raise

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        n = os.preadv(self._descriptor, [view[: max(0, self._size - self._place)]], self._place)
        self._place += n
        return n

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")
        n = view.nbytes
        while view:
            written = os.pwrite(self._descriptor, view, self._place)
            view, self._place = view[written:], self._place + written
        self._size = max(self._size, self._place)
        return n

    def truncate(self, size: int | None = None) -> int:
        self._size = self._place if size is None else size
        return self._size

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1  # also called when the object goes, perhaps half made
        if descriptor >= 0:
            try:
                os.ftruncate(descriptor, self._size)
            finally:
                os.close(descriptor)
        super().close()
