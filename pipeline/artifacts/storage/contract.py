"""What every labelled artifact must hold, and the check that says which file breaks it and how."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.storage.checksums import (
    Blocks,
    NotAsWritten,
    append_checksums,
    broken_if_unreadable,
    compare_with_checksums,
)
from pipeline.artifacts.storage.reserved_file import ReservedFile
from pipeline.artifacts.storage.store import SCHEMA_VERSION, write_whole
from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    import xarray as xr


CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Contract:
    """The variables (name → dims) and attributes that an artifact of one kind must have.

    Parameters
    ----------
    kind : the artifact's kind, as in its ``kind`` attribute; empty for any
    stage : the stage that makes it, named in the remedy
    variables : name → dims, in order; coordinates count as variables
    attrs : names of the attributes beyond the standard ones
    compressed : whether numbers are deflated when they are written as NetCDF; noisy responses hardly shrink
    in_blocks : variables that may stay in the file, to be read in blocks of samples
    """

    kind: str
    stage: str
    variables: dict[str, tuple[str, ...]]
    attrs: tuple[str, ...] = ()
    compressed: bool = True
    in_blocks: tuple[str, ...] = ()

    def check(self, dataset: xr.Dataset, source: Path | str) -> xr.Dataset:
        """Return the dataset unchanged, or raise `BrokenArtifact` naming file, variable and remedy."""
        remedy = f"delete it and run: snakemake {self.stage}"
        kind = dataset.attrs.get("kind")
        if self.kind and kind != self.kind:
            raise BrokenArtifact(f"{source} is of kind '{kind}', expected '{self.kind}'; {remedy}")
        version = dataset.attrs.get("schema_version")
        if version != SCHEMA_VERSION:
            raise BrokenArtifact(
                f"{source} has schema version {version}, this layermap reads {SCHEMA_VERSION}; {remedy}"
            )
        for name in ("created_by", "config_sha", "inputs_sha", *self.attrs):
            if name not in dataset.attrs:
                raise BrokenArtifact(f"{source} lacks attribute '{name}'; {remedy}")
        for name, dims in self.variables.items():
            if name not in dataset.variables:
                raise BrokenArtifact(f"{source} lacks variable '{name}' with dims {dims}; {remedy}")
            if dataset[name].dims != dims:
                raise BrokenArtifact(
                    f"{source}: variable '{name}' has dims {dataset[name].dims}, expected {dims}; {remedy}"
                )
        return dataset


def read_netcdf(
    path: Path, contract: Contract, *, without: Collection[str] = (), in_file: Collection[str] = ()
) -> xr.Dataset:
    """Read a NetCDF artifact and check it.

    Parameters
    ----------
    without : variables that are checked, but not read
    in_file : variables that stay in the file: each selection is read when its values are asked for, until the dataset
        is closed; whoever reads them compares them with the checksums that `blocks_in` gives

    Raises
    ------
    BrokenArtifact
        The file is missing, cannot be read (truncated), breaks its contract, or holds what was not written.
    """
    with broken_if_unreadable(path, contract.stage):
        opened = _opened(path, contract, cache=not in_file)
        try:
            kept = opened.drop_vars(without, errors="ignore")
            for name, variable in kept.variables.items():
                if name not in in_file:
                    variable.load()
            for name, blocks in blocks_in(kept).items():
                if name in kept.variables and name not in in_file and not blocks.hold(0, kept[name].values):
                    raise altered(path, contract, f"variable '{name}' does not fit its checksum")
        except BaseException:
            opened.close()
            raise
        if in_file:
            kept.set_close(opened.close)
        else:
            opened.close()
        return kept


def read_attrs(path: Path, stage: str) -> dict[str, Any]:
    """The attributes of a NetCDF artifact of any kind, and nothing else of it; errors as in `read_netcdf`.

    Parameters
    ----------
    stage : the stage that makes it, named in the remedy
    """
    with broken_if_unreadable(path, stage), _opened(path, Contract("", stage, {}), cache=False) as opened:
        return dict(opened.attrs)


def _opened(path: Path, contract: Contract, *, cache: bool) -> xr.Dataset:
    """A NetCDF artifact whose values are still in the file; all other bytes are those that were written."""
    import xarray as xr

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; make it with: snakemake {contract.stage}")
    try:
        blocks = compare_with_checksums(path)
    except NotAsWritten as error:
        raise altered(path, contract, str(error)) from error
    opened = xr.open_dataset(path, engine="h5netcdf", cache=cache)
    try:
        contract.check(opened, path)
        opened.encoding[_BLOCKS] = blocks
        return opened
    except BaseException:
        opened.close()
        raise


_BLOCKS = "checksums_of_blocks"


def blocks_in(dataset: xr.Dataset) -> dict[str, Blocks]:
    """The checksums of an artifact's variables that are read in blocks of samples."""
    blocks: dict[str, Blocks] = dataset.encoding[_BLOCKS]
    return blocks


def altered(path: Path, contract: Contract, what: str) -> BrokenArtifact:
    """What is raised where contents and checksum differ."""
    return BrokenArtifact(
        f"{path} was altered since it was written: {what}; delete it and run: snakemake {contract.stage}"
    )


def write_netcdf(dataset: xr.Dataset, path: Path, contract: Contract) -> None:
    """Check a dataset and write it as NetCDF 4, whole or not at all; equal contents give equal bytes.

    Arrays that are mapped from files are written from there: they are never in memory as a whole.
    """
    contract.check(dataset, path)
    encoding = {
        name: {"zlib": True, "complevel": 1}
        for name, variable in dataset.variables.items()
        if contract.compressed and variable.dtype.kind in "fiu" and variable.size > 1000
    }
    # before it is deflated, and with the tables that HDF5 keeps of chunks and of each text
    room = sum(variable.nbytes + 100 * variable.size * (variable.dtype.kind == "O") for variable in _all(dataset))
    with write_whole(path) as temporary:
        with ReservedFile(temporary, int(1.02 * room) + (1 << 20)) as file:
            dataset.to_netcdf(file, engine="h5netcdf", encoding=encoding)
        append_checksums(temporary, contract.in_blocks)


def _all(dataset: xr.Dataset) -> list[xr.Variable]:
    return list(dataset.variables.values())


def read_zarr(path: Path, contract: Contract) -> xr.Dataset:
    """Open a Zarr artifact lazily and check it; errors as in `read_netcdf`, also when values are read later."""
    import xarray as xr

    from pipeline.artifacts.storage.sealed_zarr import broken_zarr, open_sealed

    if not path.is_dir():
        raise BrokenArtifact(f"{path} is missing; make it with: snakemake {contract.stage}")
    group = open_sealed(path, contract.stage)
    with broken_zarr(path, contract.stage):
        dataset = xr.open_zarr(group.store, consolidated=False, chunks=None)
    return contract.check(dataset, path)


def write_zarr(dataset: xr.Dataset, path: Path, contract: Contract) -> None:
    """Check a dataset and write it as a Zarr group, whole or not at all."""
    from pipeline.artifacts.storage.sealed_zarr import compressors, seal

    contract.check(dataset, path)
    # fixed-length text has no Zarr 3 specification; text of any length has
    text = {name: variable.astype(object) for name, variable in dataset.variables.items() if variable.dtype.kind == "U"}
    dataset = dataset.assign(text)
    encoding: dict[Any, dict[str, Any]] = {name: {"compressors": compressors()} for name in dataset.variables}
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "fiu" and variable.ndim > 1:
            encoding[name]["chunks"] = chunks_of(variable.shape, variable.dtype.itemsize)
    with write_whole(path) as temporary:
        dataset.to_zarr(
            temporary, mode="w", consolidated=False, zarr_format=3, encoding=encoding, write_empty_chunks=True
        )
        seal(temporary)


def chunks_of(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Chunks of about `CHUNK_BYTES` that hold whole pictures or clips, a power of two of them.

    Batches are read in order and are powers of two, so no chunk is decompressed for a part of it. A single clip
    that is larger is cut along its length.
    """
    row_bytes = item_bytes * math.prod(shape[1:])
    if row_bytes > CHUNK_BYTES:
        step = max(1, CHUNK_BYTES // max(1, row_bytes // shape[1]))
        return (1, min(shape[1], step), *shape[2:])
    rows = 1 << int(math.log2(CHUNK_BYTES // max(1, row_bytes)))
    return (max(1, min(rows, shape[0])), *shape[1:])
