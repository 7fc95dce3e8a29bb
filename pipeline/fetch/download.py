"""One file from a mirror or its public address to its place, checked before it gets its name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.artifacts.catalogue import FetchedFile, RawFile
from pipeline.artifacts.storage.store import explain_os_error, locked
from pipeline.core.errors import AlreadyRunning, FetchError
from pipeline.core.progress import Progress
from pipeline.fetch.annex import absent_contents
from pipeline.fetch.checks.digests import check_contents, digest_file, is_pinned, read_digest, record_digest
from pipeline.fetch.checks.inner_checks import check_inside
from pipeline.fetch.failures import Unavailable, WrongContents
from pipeline.fetch.http.addresses import split_address
from pipeline.fetch.http.connections import Connections
from pipeline.fetch.http.part_file import PartFile, PartNote
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.http.transfer import HttpTransfer
from pipeline.fetch.hub_files import at_endpoint
from pipeline.fetch.local_files import local_path, take_local
from pipeline.fetch.mirror import Mirror, parse_mirror


def download(
    file: RawFile,
    destination: Path,
    *,
    mirror: Mirror | None = None,
    settings: FetchSettings | None = None,
    progress: Progress | None = None,
    connections: Connections | None = None,
) -> FetchedFile:
    """Make ``destination`` the file that was asked for; what is right already is only checked.

    The mirror is asked first; what it does not hold comes from the public address. A file without a published digest
    has its own recorded beside it when it first comes, and is held to that ever after.

    Parameters
    ----------
    destination : final path; ``NAME.part`` beside it is resumed and left after an interruption
    connections : shared by the files of a batch

    Raises
    ------
    FetchError
        Neither mirror nor public address gave the file, or it is not the expected one; one line with both.
    LayermapError
        The disk is full or there is no permission to write.
    """
    settings = settings or FetchSettings()
    with contextlib.ExitStack() as stack:
        if progress is None:
            progress = Progress(f"fetch {file.path}", file.bytes or 0)
            stack.callback(progress.close)
        if connections is None:
            connections = Connections(settings)
            stack.callback(connections.close)
        with _explained(destination):
            known = _known_digest(file, destination)
            expected = file if known is None else file.model_copy(update={"sha256": known})
            if destination.exists() and not os.access(destination.parent, os.W_OK):
                # data that somebody else keeps: nothing can be mended, so no lock is needed
                return _fetched(file, destination, check_contents(destination, expected, str(destination)))
            with lock_or_wait(destination, settings, progress):
                sha256 = _intact(expected, destination, progress)
                if sha256 is None:
                    with _recorded(destination, known):
                        sha256 = _fetch(expected, destination, mirror, settings, progress, connections)
                else:
                    _count(file, destination.stat().st_size, progress)
                if not is_pinned(file) and read_digest(destination) != sha256:
                    record_digest(destination, sha256)
                return _fetched(file, destination, sha256)


@contextlib.contextmanager
def passing_file(file: RawFile, mirror: str | None) -> Iterator[Path]:
    """A small file that a catalogue is made from, in a folder that is gone afterwards; see `download` for errors.

    Parameters
    ----------
    mirror : as ``--config mirror=`` has it; None takes that of the environment
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file.path).name
        download(file, path, mirror=parse_mirror(mirror))
        yield path


def _known_digest(file: RawFile, destination: Path) -> str | None:
    """What a file without a published digest must have: its own of before, or that of what the catalogue brings."""
    if is_pinned(file):
        return None
    if file.contents is not None:
        return hashlib.sha256(file.contents.encode()).hexdigest()
    return read_digest(destination)


def _count(file: RawFile, n_bytes: int, progress: Progress) -> None:
    if file.bytes is None:
        progress.expect(n_bytes)
    progress.advance(n_bytes)


def _fetched(file: RawFile, destination: Path, sha256: str) -> FetchedFile:
    return FetchedFile(path=file.path, url=file.url, bytes=destination.stat().st_size, sha256=sha256)


@contextlib.contextmanager
def _recorded(destination: Path, known: str | None) -> Iterator[None]:
    """Say where the digest that a file was held to comes from."""
    try:
        yield
    except WrongContents as error:
        if known is None:
            raise
        raise WrongContents(
            f"{error} (recorded when it was first fetched; if it was published anew, delete {digest_file(destination)} "
            "and what was prepared from it)"
        ) from error


def _intact(file: RawFile, destination: Path, progress: Progress) -> str | None:
    """SHA-256 of a finished file that is right; None, after a line that says why, otherwise."""
    if not destination.exists():
        return None
    try:
        sha256 = check_contents(destination, file, str(destination))
        if not is_pinned(file):
            check_inside(destination, file.path, file.holds, str(destination))
    except WrongContents as error:
        progress.say(f"warning: {str(error).partition(': ')[0]}; it is fetched again")
        return None
    PartFile(destination).discard()  # a run killed right after its rename leaves the note behind
    return sha256


def _fetch(
    file: RawFile,
    destination: Path,
    mirror: Mirror | None,
    settings: FetchSettings,
    progress: Progress,
    connections: Connections,
) -> str:
    if file.contents is not None:
        part = PartFile(destination)
        with part.start(PartNote(url=file.url, validator=None, total=None)) as stream:
            stream.write(file.contents.encode())
        return _settle(part, destination, file, "the catalogue")
    local = local_path(file.url)
    if local is not None:
        sha256 = take_local(local, file, destination)
        _count(file, destination.stat().st_size, progress)
        return sha256
    missing: list[str] = []
    addresses = [at_endpoint(file.url)]
    if mirror is not None and mirror.folder is not None:
        path = mirror.path_of(file.url)
        if path.is_file() and not os.access(path, os.R_OK):
            raise FetchError(f"cannot read {path}: change its permissions or give another mirror")
        if path.is_file():
            return _copy(path, file, destination, settings, progress)
        missing.append(absent_contents(path) or f"{path} is missing")
    elif mirror is not None:
        addresses.insert(0, mirror.url_of(file.url))
    for url in addresses:
        split_address(url)
        try:
            return _transfer(url, file, destination, settings, progress, connections)
        except Unavailable as error:
            missing.append(str(error))
    if mirror is not None:
        raise Unavailable(
            f"{file.path} is neither in the mirror nor at its public address ({'; '.join(missing)}); "
            f"add it to the mirror {mirror} or connect to {urlsplit(file.url).netloc}",
            missing,
        )
    raise Unavailable(f"cannot fetch {missing[0]}; give a mirror with --config mirror=FOLDER or connect", missing)


def _transfer(
    url: str,
    file: RawFile,
    destination: Path,
    settings: FetchSettings,
    progress: Progress,
    connections: Connections,
) -> str:
    """Over http into ``.part``; wrong bytes are asked for once more, from the first one."""
    part = PartFile(destination)
    transfer = HttpTransfer(url, part, file, settings=settings, connections=connections, progress=progress)
    try:
        try:
            transfer.run()
            return _settle(part, destination, file, url)
        except WrongContents:
            part.discard()
            transfer.run()
            return _settle(part, destination, file, url)
    except WrongContents:
        part.discard()
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            part.discard()  # a disk filled to the brim helps nobody
        raise


def _settle(part: PartFile, destination: Path, file: RawFile, origin: str) -> str:
    """Give the bytes that came their name, once size, digests and what they must hold are right; their SHA-256.

    The digest is recorded first: a run killed in between fetches the file again, and the same bytes of it.
    """
    note = None if is_pinned(file) else part.noted()
    expected = file if note is None or note.md5 is None else file.model_copy(update={"md5": note.md5})
    sha256 = check_contents(part.path, expected, origin)
    check_inside(part.path, file.path, file.holds, origin)
    if not is_pinned(file):
        record_digest(destination, sha256)
    part.finish(destination)
    return sha256


def _copy(source: Path, file: RawFile, destination: Path, settings: FetchSettings, progress: Progress) -> str:
    """From a mirror folder. Never a hard link: editing one of the two names would change the other."""
    part = PartFile(destination)
    part.discard()
    size = source.stat().st_size
    try:
        if settings.link_from_bytes is not None and size >= settings.link_from_bytes:
            part.path.symlink_to(source)
        else:
            shutil.copyfile(source, part.path)
        sha256 = _settle(part, destination, file, str(source))
    except BaseException:
        part.discard()
        raise
    _count(file, size, progress)
    return sha256


@contextlib.contextmanager
def lock_or_wait(destination: Path, settings: FetchSettings, progress: Progress) -> Iterator[None]:
    """Hold the lock of a file or folder, waiting with a line for another run that fetches the same."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(destination))
        except AlreadyRunning:
            progress.say(f"{destination} is being fetched by another run; waiting for it")
            stack.enter_context(locked(destination, settings.lock_wait_s))
        yield


@contextlib.contextmanager
def _explained(destination: Path) -> Iterator[None]:
    """A full disk, a missing permission and the like in one line."""
    try:
        yield
    except OSError as error:
        explained = explain_os_error(error, destination)
        raise explained or FetchError(f"cannot write {destination}: {error.strerror or error}") from error
