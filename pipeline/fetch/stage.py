"""The fetch stage: many files at once, in parallel but politely, with one progress bar and a receipt at the end."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path, PurePosixPath

from pipeline.artifacts.catalogue import Catalogue, FetchedFile, RawFile, Receipt, write_json
from pipeline.core.errors import FetchError
from pipeline.core.keys import slug
from pipeline.core.progress import Progress
from pipeline.fetch.checks.inner_checks import load_readers
from pipeline.fetch.download import download
from pipeline.fetch.failures import Stopped
from pipeline.fetch.http.connections import Connections
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.space import check_disk_space
from pipeline.fetch.weights.resolve import WeightSource, fetch_weights


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
    plan = check_disk_space(files, folder, what)
    progress = Progress(f"fetch {what}", sum(file.bytes or 0 for file in files))
    progress.say(plan)
    connections = Connections(settings)
    if any(file.holds for file in files):
        load_readers()

    def one(file: RawFile) -> FetchedFile:
        connections.check()
        return download(
            file,
            folder / file.path,
            mirror=mirror,
            settings=settings,
            progress=progress,
            connections=connections,
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
    """Sorted by path, each once."""
    by_path: dict[str, RawFile] = {}
    for file in files:
        path = PurePosixPath(file.path)
        if by_path.setdefault(str(path), file) != file:
            raise FetchError(f"{path} stands in the catalogue twice, as {by_path[str(path)].url} and {file.url}")
    return [by_path[path] for path in sorted(by_path)]


def run_fetch(
    catalogue: Catalogue,
    raw_folder: Path,
    receipt_path: Path,
    *,
    mirror: Mirror | None = None,
    settings: FetchSettings | None = None,
) -> Receipt:
    """Fetch every file of a catalogue.

    Parameters
    ----------
    raw_folder : ``data/raw/<dataset>``
    receipt_path : ``data/raw/<dataset>/receipt-<key>.json``, written last
    """
    return fetch_files(
        catalogue.files,
        raw_folder,
        mirror=mirror,
        what=catalogue.dataset,
        key=catalogue.key,
        receipt_path=receipt_path,
        settings=settings,
    )


def run_fetch_weights(
    model_id: str,
    source: WeightSource,
    weights_folder: Path,
    *,
    mirror: Mirror | None = None,
    settings: FetchSettings | None = None,
) -> Receipt:
    """Fetch one network's weights into ``weights_folder/<model_id>``, usually ``data/raw/weights/<model_id>``."""
    return fetch_weights(model_id, source, weights_folder / slug(model_id), mirror=mirror, settings=settings)
