"""Many files at once: in parallel but politely, with one progress bar and a receipt at the end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath

from pipeline.artifacts.catalogue import FetchedFile, RawFile, Receipt, open_receipt, write_json
from pipeline.errors import BrokenArtifact, FetchError
from pipeline.fetch.connections import Connections
from pipeline.fetch.download import download
from pipeline.fetch.failures import Stopped
from pipeline.fetch.local_files import needs_no_space
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.part_file import PartFile
from pipeline.fetch.progress import Progress, human_bytes
from pipeline.fetch.settings import FetchSettings


def fetch_files(
    files: Sequence[RawFile],
    folder: Path,
    *,
    mirror: Mirror | None,
    what: str,
    key: str,
    receipt_path: Path,
    settings: FetchSettings | None = None,
) -> Receipt:
    """Fetch files into a folder and write the receipt last.

    Parameters
    ----------
    folder : the files' ``path`` is relative to it
    what, key : the dataset (or model) and the key of the selection, for the receipt

    Returns
    -------
    Receipt
        Files sorted by path.

    Raises
    ------
    FetchError
        The first file that could not be had. The others stop and keep what they got.
    """
    settings = settings or FetchSettings()
    files = _distinct(files)
    check_disk_space(files, folder, what)
    earlier = _earlier_digests(receipt_path)
    progress = Progress(f"fetch {what}", sum(file.bytes or 0 for file in files))
    connections = Connections(settings)

    def one(file: RawFile) -> FetchedFile:
        connections.check()
        return download(
            file,
            folder / file.path,
            mirror=mirror,
            settings=settings,
            progress=progress,
            connections=connections,
            earlier_sha256=earlier.get((file.path, file.url)),
        )

    pool = ThreadPoolExecutor(settings.connections, thread_name_prefix="fetch")
    try:
        futures = [pool.submit(one, file) for file in files]
        wait(futures, return_when=FIRST_EXCEPTION)
        failed = [error for future in futures if future.done() and (error := future.exception()) is not None]
        if failed:
            raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])
        receipt = Receipt(what=what, key=key, files=tuple(future.result() for future in futures))
    finally:
        connections.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        connections.close()
        progress.close()
    write_json(receipt, receipt_path)
    return receipt


def _distinct(files: Sequence[RawFile]) -> list[RawFile]:
    """Sorted by path, each once, none outside the folder."""
    by_path: dict[str, RawFile] = {}
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise FetchError(f"'{file.path}' ({file.url}) would be written outside its folder; mend the catalogue")
        if by_path.setdefault(str(path), file) != file:
            raise FetchError(f"{path} stands in the catalogue twice, as {by_path[str(path)].url} and {file.url}")
    return [by_path[path] for path in sorted(by_path)]


def _earlier_digests(receipt_path: Path) -> dict[tuple[str, str], str]:
    try:
        return {(file.path, file.url): file.sha256 for file in open_receipt(receipt_path).files}
    except BrokenArtifact:
        return {}


def check_disk_space(files: Sequence[RawFile], folder: Path, what: str) -> None:
    """Refuse to start what cannot end.

    Raises
    ------
    FetchError
        The known sizes of missing files exceed the free space; the message names both.
    """
    missing = 0
    for file in files:
        destination = folder / file.path
        if not destination.exists() and not needs_no_space(file.url, folder):
            missing += max(0, (file.bytes or 0) - PartFile(destination).size())
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise FetchError(
            f"{what} needs {human_bytes(missing)} more in {folder}, where {human_bytes(free)} are free: "
            "free some space, or run in another folder with --directory"
        )
