"""Does a file open, and does it hold what it must? For files whose publishers give no digest."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pipeline.fetch.failures import WrongContents
from pipeline.formats.array_files import check_hdf5, check_npz

HDF5 = (".nwb", ".h5", ".hdf5")


def load_readers() -> None:
    """Import what ``check_inside`` needs, before it is called in several threads.

    Packages whose import has begun in another thread are seen half made: numpy by h5py, for instance.
    """
    import h5py  # noqa: F401
    import numpy.lib.format  # noqa: F401


def check_inside(path: Path, name: str, holds: tuple[str, ...], origin: str) -> None:
    """Open a HDF5 or npz file and look for its datasets.

    Parameters
    ----------
    path : the file, perhaps under a temporary name
    name : its final name, whose ending says what it is
    holds : paths of datasets
    origin : where the bytes came from, for the message

    Raises
    ------
    WrongContents
        It does not open, is cut short, or lacks a dataset.
    """
    if not holds:
        return
    suffix = Path(name).suffix.lower()
    try:
        if suffix in HDF5:
            check_hdf5(path, "take it from elsewhere", WrongContents, origin)
            missing = _missing_in_hdf5(path, holds)
        else:
            check_npz(path, "take it from elsewhere", WrongContents, origin)
            missing = _missing_in_archive(path, holds)
    except (WrongContents, MemoryError):
        raise
    except Exception as error:  # readers answer broken bytes with whatever they happen to cause
        raise WrongContents(
            f"{origin} does not open as {suffix} ({type(error).__name__}: {error}); it was cut short or altered there"
        ) from error
    if missing:
        raise WrongContents(f"{origin} lacks '{missing}', which {name} must hold; it is another file or cut short")


def _missing_in_hdf5(path: Path, holds: tuple[str, ...]) -> str | None:
    import h5py

    with h5py.File(path, "r") as file:
        for name in holds:
            found = file.get(name)
            if not isinstance(found, h5py.Dataset | h5py.Group):
                return name
            if isinstance(found, h5py.Dataset) and found.size and not found.id.get_storage_size():
                return name  # declared, but never written
    return None


def _missing_in_archive(path: Path, holds: tuple[str, ...]) -> str | None:
    with zipfile.ZipFile(path) as archive:
        if (broken := archive.testzip()) is not None:
            return broken
        names = set(archive.namelist())
    return next((name for name in holds if f"{name}.npy" not in names), None)
