"""Artifacts of small studies that stay in memory between stages.

NetCDF keeps a table of every variable's dimensions, and going through them takes four times as long as all else in a
study of a few hundred samples. Within `kept_in_memory` scores go from stage to stage as they are (checked, as they
would be), and a recording is read from its file once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from pipeline.artifacts.storage.contract import Contract, read_netcdf

if TYPE_CHECKING:
    import xarray as xr


@contextlib.contextmanager
def kept_in_memory() -> Iterator[None]:
    """Until it ends, what is written as scores is read from memory, and recordings are read once."""
    scores: dict[Path, xr.Dataset] = {}
    recordings: dict[Path, xr.Dataset] = {}

    def write_scores(dataset: xr.Dataset, path: Path, contract: Contract) -> None:
        scores[path] = contract.check(dataset, path)

    def read_scores(path: Path, contract: Contract, *, without: Collection[str] = ()) -> xr.Dataset:
        return contract.check(scores[path], path).drop_vars(without, errors="ignore")

    def read_recording(path: Path, contract: Contract, *, in_file: Collection[str] = ()) -> xr.Dataset:
        if path not in recordings:
            recordings[path] = read_netcdf(path, contract, in_file=in_file).load()
            recordings[path].close()
        return recordings[path].copy()

    with (
        mock.patch("pipeline.artifacts.scores.write_netcdf", write_scores),
        mock.patch("pipeline.artifacts.scores.read_netcdf", read_scores),
        mock.patch("pipeline.artifacts.recording.read_netcdf", read_recording),
    ):
        yield
