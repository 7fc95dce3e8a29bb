"""One Snakemake run at a time over the folders that it deletes from and writes to, wherever links lead.

Snakemake removes what a job is about to make, and what a failed job left. Two runs over one ``data/`` would remove
each other's results, also where they were started in two folders of which one's ``data/`` is a link. Stages as plain
commands are not concerned: they hold the lock of each output (`pipeline.artifacts.storage.store.locked`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pipeline.artifacts.storage.store import explain_lock_error, explain_os_error
from pipeline.core.errors import AlreadyRunning, LayermapError

LOCK_NAME = ".layermap.lock"


def claim_folders(data: Path, others: Sequence[Path]) -> list[TextIO]:
    """Hold the data folder, and whatever else is a link to a place that other folders may share.

    Parameters
    ----------
    data : made if it is not there
    others : further folders that a run writes to; held where they are links

    Returns
    -------
    list of TextIO
        The open locks. They die with the process, or when they are closed; the files stay, and change nothing.

    Raises
    ------
    AlreadyRunning
        Another run holds one of them; the message has its process and the folder that it was started in.
    LayermapError
        A link leads nowhere, a folder cannot be written to, or its file system has no locks.
    """
    places = [_there(data)]
    linked = [_there(path) for path in (*sorted(data.iterdir()), *others) if path.is_symlink()]
    # a shared folder that may only be read is safe from us, and cannot hold a lock
    places += [place for place in linked if place.is_dir() and os.access(place, os.W_OK)]
    return [_hold(place) for place in dict.fromkeys(places)]


def _there(folder: Path) -> Path:
    if folder.is_symlink() and not folder.exists():
        raise LayermapError(
            f"{folder} is a link to {os.readlink(folder)}, which is not there; mount or make that, or remove the link"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if folder.is_symlink():  # to a file: nothing that runs would share
            return folder.resolve()
        raise LayermapError(f"{folder} is a file where a folder belongs; move it away") from None
    except OSError as error:
        raise explain_os_error(error, folder) or error from error
    return folder.resolve()


def _hold(folder: Path) -> TextIO:
    path = folder / LOCK_NAME
    try:
        stream = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115  (held on to)
    except OSError as error:
        raise explain_os_error(error, path) or error from error
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # held; some file systems say EACCES
        with stream:
            raise AlreadyRunning(_who(stream, folder)) from error
    except OSError as error:
        stream.close()
        raise explain_lock_error(error, path) or error from error
    with contextlib.suppress(PermissionError):  # made by somebody else, who let us write
        # whoever may run in the folder may hold its lock, also after somebody else did
        os.fchmod(stream.fileno(), 0o644 | folder.stat().st_mode & 0o022)
    stream.truncate(0)
    stream.write(f"{os.getpid()}\n{Path.cwd()}\n{socket.gethostname()}\n")
    stream.flush()
    return stream


def _who(stream: TextIO, folder: Path) -> str:
    """Who works there: process, folder and, where it is another one, machine, as the holder wrote them down."""
    stream.seek(0)
    process, where, machine = (*stream.read().splitlines(), "", "", "")[:3]
    on = f" on {machine}" if machine and machine != socket.gethostname() else ""
    shared = "" if Path(where or folder) == Path.cwd() else f", which shares {folder} with {Path.cwd()}"
    return (
        f"another run (process {process or 'unknown'}{on}) works in {where or folder}{shared}; wait for it to end, "
        "or stop it first"
    )
