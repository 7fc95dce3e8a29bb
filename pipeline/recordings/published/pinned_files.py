"""Pinned file lists: which bytes a dataset consists of, read from ``pinned_lists/<dataset>.tsv``.

Each row gives ``path`` (within ``data/raw/<dataset>/``), ``url`` (an address that contains the commit, so
that it never changes), ``bytes`` and ``sha256``. A catalogue made from such a list asks nobody.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import BrokenArtifact
from pipeline.formats.tables import read_table

FILES = Path(__file__).parent / "pinned_lists"
COLUMNS = ("path", "url", "bytes", "sha256")


def pinned_files(dataset: str) -> tuple[RawFile, ...]:
    """The files of a dataset, in the order of the list.

    Raises
    ------
    BrokenArtifact
        The list is missing, has other columns, or a row whose size is no number; layermap is then not
        installed as published.
    """
    source = FILES / f"{dataset}.tsv"
    remedy = "install layermap again"
    table = read_table(source, remedy=remedy, may_be_empty=True)
    if table.columns != COLUMNS:
        raise BrokenArtifact(f"{source} has columns {list(table.columns)}, expected {list(COLUMNS)}; {remedy}")
    for line, (path, _, n_bytes, sha256) in zip(table.lines, table.rows, strict=True):
        if not n_bytes.isdigit() or len(sha256) != 64:
            raise BrokenArtifact(f"{source} line {line}: no size and SHA-256 for '{path}'; {remedy}")
    return tuple(
        RawFile(path=path, url=url, bytes=int(n_bytes), sha256=sha256) for path, url, n_bytes, sha256 in table.rows
    )
