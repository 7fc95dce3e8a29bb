"""Outputs appear whole or not at all.

Every artifact is written under a temporary name beside its final one, checked, and renamed; a lock
keeps two runs from writing the same output. What a full disk or a missing permission leaves behind
is removed, and the user gets one line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.core.errors import AlreadyRunning, LayermapError

SCHEMA_VERSION = "2"

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space or run in another folder (snakemake --directory FOLDER)",
    errno.EFBIG: "the file system takes no file of that size: run in another folder (snakemake --directory FOLDER)",
    errno.EDQUOT: "your disk quota is used up: free some space or run in another folder (snakemake --directory FOLDER)",
    errno.EACCES: "no permission: change its owner or mode, or run in another folder (snakemake --directory FOLDER)",
    errno.EPERM: "no permission: change its owner or mode, or run in another folder (snakemake --directory FOLDER)",
    errno.EROFS: "this file system is read-only: run in another folder (snakemake --directory FOLDER)",
}


def explain_os_error(error: OSError, path: Path | str, doing: str = "write") -> LayermapError | None:
    """The one-line form of a full disk, a missing permission and the like; None for other errors."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None and "No space left" in str(error):  # HDF5 wraps the errno in a message
        remedy = _REMEDIES[errno.ENOSPC]
    if remedy is None and "Permission denied" in str(error):
        remedy = _REMEDIES[errno.EACCES]
    return None if remedy is None else LayermapError(f"cannot {doing} {path}: {remedy}")


def explain_lock_error(error: OSError, path: Path | str) -> LayermapError | None:
    """As `explain_os_error`, of a lock that could not be taken: some network file systems have none."""
    if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return explain_os_error(error, path)
    return LayermapError(
        f"cannot lock {path}: its file system has no locks (flock: {os.strerror(error.errno)}), without which two runs "
        "would write over each other; mount it with locks (Lustre: -o flock, NFS: a running lockd), or run in another "
        "folder (snakemake --directory FOLDER)"
    )


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing happens if it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(output: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock of an output.

    Raises
    ------
    AlreadyRunning
        Another run holds it; the message names the output. Locks die with their process.
    """
    lock_path = output.parent / f".{output.name}.lock"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path)
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise AlreadyRunning(
            f"{output} is being written by another run; wait for it to end, or stop it and start again"
        ) from error
    except OSError as error:
        raise explain_lock_error(error, output) or error from error
    try:
        yield
    finally:
        lock_path.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def write_whole(output: Path, wait_s: float = 0.0) -> Iterator[Path]:
    """Yield a temporary path (file or folder); on success it becomes ``output`` in one rename.

    Parameters
    ----------
    output : the artifact's final path; an older one there is replaced
    wait_s : how long to wait for another run that writes the same output, in s
    """
    temporary = _temporary(output)
    with locked(output, wait_s):
        remove(temporary)
        try:
            yield temporary
            _flush(temporary)
            _replace(temporary, output)
        except OSError as error:
            remove(temporary)
            raise explain_os_error(error, output) or error from error
        except BaseException:
            remove(temporary)
            raise


def discard_leftovers(output: Path) -> None:
    """Remove what a killed run left beside an output; whoever holds its lock may call this."""
    remove(_temporary(output))
    remove(_older(output))


def _temporary(output: Path) -> Path:
    return output.parent / f".{output.name}.part"


def _older(output: Path) -> Path:
    return output.parent / f".{output.name}.old"


def _replace(temporary: Path, output: Path) -> None:
    """Rename; an older folder moves out of the way first, so that a kill never leaves half of it under its name."""
    older = _older(output)
    remove(older)
    if output.is_dir() and not output.is_symlink():
        os.replace(output, older)
    os.replace(temporary, output)
    remove(older)


def _flush(path: Path) -> None:
    """Force the bytes to disk, so that a rename never outlives its contents after a power cut."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def standard_attrs(kind: str, created_by: str, config_sha: str, inputs_sha: str) -> dict[str, Any]:
    """The attributes every artifact carries."""
    return {
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "created_by": created_by,
        "config_sha": config_sha,
        "inputs_sha": inputs_sha,
    }
