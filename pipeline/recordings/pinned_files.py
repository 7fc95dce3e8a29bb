"""Pinned file lists: which bytes a dataset consists of, read from ``pinned_lists/<dataset>.tsv``.

Each row gives ``path`` (within ``data/raw/<dataset>/``), ``url`` (an address that contains the commit, so
that it never changes), ``bytes`` and ``sha256``. A catalogue made from such a list asks nobody.
"""

from __future__ import annotations

import csv
from pathlib import Path

from pipeline.artifacts.catalogue import RawFile
from pipeline.errors import BrokenArtifact

FILES = Path(__file__).parent / "pinned_lists"
COLUMNS = ["path", "url", "bytes", "sha256"]


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
    if not source.is_file():
        raise BrokenArtifact(f"{source} is missing; {remedy}")
    with open(source, encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t")
        if reader.fieldnames != COLUMNS:
            raise BrokenArtifact(f"{source} has columns {reader.fieldnames}, expected {COLUMNS}; {remedy}")
        rows = list(reader)
    for number, row in enumerate(rows, start=2):
        if not (row["bytes"] or "").isdigit() or len(row["sha256"] or "") != 64:
            raise BrokenArtifact(f"{source} line {number}: no size and SHA-256 for '{row['path']}'; {remedy}")
    return tuple(
        RawFile(path=row["path"], url=row["url"], bytes=int(row["bytes"]), sha256=row["sha256"]) for row in rows
    )
