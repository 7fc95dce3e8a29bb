"""Recording artifact: responses ``(repeat, sample, target)`` float32, in the stated unit.

``sample`` carries ``run`` (name of the run), ``stimulus`` and either ``time_s`` (end of the sample's
bin on the **stimulus** clock, in s) or ``item`` (name of the image or clip). ``target`` carries
``target`` (unique name), ``region``, ``subject`` and, where known, ``compartment``, ``depth_um``,
``cell_id``, ``x_mm``/``y_mm``/``z_mm``. ``n_repeats (sample, target)`` counts the repeats present;
missing ones are NaN, the only legal NaN.

``subject`` is ``mean`` for targets that are the average of several subjects' responses.

Where known, a recording also carries

* ``running_speed_cm_s (repeat, sample)`` and ``pupil_area (repeat, sample)``: what the animal did during each response,
  NaN where it was not measured;
* ``blank (sample)``: 1 where the item is a grey screen. Such samples stay in the recording; encode and compare leave
  them out;
* ``reliability (target)``: of the mean over this recording's repeats, NaN with fewer than two;
* attr ``member``: recordings of one member (an imaged field of view over several sessions, a probe session) share their
  targets; those that not all of them have are left out when they are joined. Different members of a group saw the same
  stimuli; their targets are stacked.

Attrs: ``units``; ``sample_kind`` (``time`` or ``item``); ``sample_interval_s`` (time only);
``high_pass_s`` (period of the high-pass filter already applied to the responses, 0 for none: encode
applies the same filter to the features); ``z_scored`` (0/1, per run); ``n_subjects``.

A recording of human cortex also carries ``hemisphere (target)`` (left, right or empty), ``unit (target)`` (the same
name in every listener), ``parcel (target)`` and ``vertex (target)``; if its targets lie on a surface, ``surface_unit
(surface_vertex)``: the unit painted on each vertex of the mesh that attr ``surface_mesh`` names, left hemisphere first.

Recordings too large for memory are written from `RecordingParts`, block by block.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.storage.checksums import append_checksums, broken_if_unreadable
from pipeline.artifacts.storage.contract import Contract, altered, blocks_in, read_netcdf, write_netcdf
from pipeline.artifacts.storage.store import write_whole
from pipeline.core.errors import BrokenArtifact
from pipeline.core.spreadsheet import check_cells

if TYPE_CHECKING:
    import h5netcdf
    import numpy as np
    import xarray as xr

IN_BLOCKS = ("responses", "n_repeats")
COUNT = "int16"
"""Of repeats: they are read as often as the responses, so they take two bytes and not eight."""
RECORDING = Contract(
    "recording",
    "prepare",
    {
        "responses": ("repeat", "sample", "target"),
        "run": ("sample",),
        "stimulus": ("sample",),
        "target": ("target",),
        "region": ("target",),
        "subject": ("target",),
        "n_repeats": ("sample", "target"),
    },
    ("units", "sample_kind", "high_pass_s", "z_scored", "n_subjects"),
    compressed=False,
    in_blocks=IN_BLOCKS,
)
IN_THE_MAP = ("region", "subject", "compartment", "hemisphere", "unit", "surface_unit")
"""Names that the map's tables hold, which people open in a spreadsheet."""
HEADER = dataclasses.replace(
    RECORDING, variables={name: dims for name, dims in RECORDING.variables.items() if name not in IN_BLOCKS}
)


@dataclasses.dataclass(frozen=True)
class RecordingParts:
    """A recording of one repeat that is never in memory as a whole.

    Parameters
    ----------
    header : the recording without ``responses`` and ``n_repeats``, which is 1 everywhere
    blocks : float32 arrays (1, n_samples, n) without NaN, side by side along ``target``, in order; read once
    closing_attrs : called after the last block: attributes that are known only then; they replace those of the header
    """

    header: xr.Dataset
    blocks: Iterator[np.ndarray]
    closing_attrs: Callable[[], Mapping[str, Any]] = dict

    def with_attrs(self, attrs: Mapping[str, Any]) -> RecordingParts:
        """The same with more attributes of the header."""
        return dataclasses.replace(self, header=self.header.assign_attrs(attrs))

    def whole(self) -> xr.Dataset:
        """All blocks in memory; they are read, so this can be called once."""
        import numpy as np

        responses = np.concatenate(list(self.blocks), axis=2)
        shape = (self.header.sizes["sample"], self.header.sizes["target"])
        return self.header.assign(
            responses=(("repeat", "sample", "target"), responses),
            n_repeats=(("sample", "target"), np.ones(shape, dtype=COUNT)),
        ).assign_attrs(self.closing_attrs())


def check_recording(dataset: xr.Dataset, source: Path) -> xr.Dataset:
    """Check what the variables' names and dims cannot say: clocks, NaN and unique targets."""
    import numpy as np

    RECORDING.check(dataset, source)
    _check_clock_and_names(dataset, source)
    present = np.isfinite(dataset["responses"].values).sum(axis=0)
    check_counts(dataset, (present != dataset["n_repeats"].values).any(axis=0), source)
    return dataset


def check_counts(recording: xr.Dataset, odd: np.ndarray, source: Path) -> None:
    """Refuse a recording with ``odd`` targets (bool of shape (n_targets,)), whose responses are not as many as stated.

    Raises
    ------
    BrokenArtifact
        Any is odd; the message names the first.
    """
    if odd.any():
        bad = recording["target"].values[odd][0]
        raise BrokenArtifact(f"{source}: target '{bad}' has NaN or infinite responses where n_repeats counts a repeat")


def _check_clock_and_names(dataset: xr.Dataset, source: Path) -> None:
    kind = dataset.attrs["sample_kind"]
    clock = {"time": "time_s", "item": "item"}.get(kind)
    if clock is None:
        raise BrokenArtifact(f"{source}: attribute sample_kind is '{kind}', expected 'time' or 'item'")
    if clock not in dataset.variables or dataset[clock].dims != ("sample",):
        raise BrokenArtifact(
            f"{source} lacks variable '{clock}' with dims ('sample',), needed as sample_kind is '{kind}'"
        )
    if kind == "time" and "sample_interval_s" not in dataset.attrs:
        raise BrokenArtifact(f"{source} lacks attribute 'sample_interval_s', needed as sample_kind is 'time'")
    names = dataset["target"].values
    if len(set(names.tolist())) != names.size:
        raise BrokenArtifact(
            f"{source}: targets must have unique names; {names.size - len(set(names.tolist()))} are repeated"
        )


def write_recording(recording: xr.Dataset | RecordingParts, path: Path) -> None:
    """Write ``…/recordings/<recording>.nc``, whole or not at all; names that a spreadsheet would run are refused."""
    import numpy as np

    header = recording.header if isinstance(recording, RecordingParts) else recording
    for name in IN_THE_MAP:
        if name in header.variables:
            check_cells(np.unique(header[name].values).tolist(), name, str(path))
    if isinstance(recording, RecordingParts):
        _write_parts(recording, path)
    else:
        checked = check_recording(recording, path)
        write_netcdf(checked.assign(n_repeats=checked["n_repeats"].astype(COUNT)), path, RECORDING)


def open_recording(path: Path) -> xr.Dataset:
    """Read a recording; raises `BrokenArtifact` naming the file, the variable and what was expected."""
    return check_recording(read_netcdf(path, RECORDING), path)


def open_recording_blocks(path: Path) -> xr.Dataset:
    """Open a recording whose `IN_BLOCKS` stay in the file until the dataset is closed.

    They are read by `read_samples`, and whoever reads them calls `check_counts`.
    """
    recording = read_netcdf(path, RECORDING, in_file=IN_BLOCKS)
    try:
        _check_clock_and_names(recording, path)
    except BaseException:
        recording.close()
        raise
    return recording


def blocks_of_samples(recording: xr.Dataset, n_bytes: int) -> Iterator[slice]:
    """Slices of the samples whose responses, of all repeats and targets, take about ``n_bytes``.

    Each is at least one block that has a checksum, so that none is read for a part of it.
    """
    responses = recording["responses"]
    n_samples = responses.sizes["sample"]
    per_sample = max(1, responses.nbytes // max(1, n_samples))
    rows = blocks_in(recording)["responses"].rows
    step = max(1, n_bytes // per_sample // rows) * rows
    for start in range(0, n_samples, step):
        yield slice(start, min(start + step, n_samples))


def read_samples(recording: xr.Dataset, path: Path, name: str, samples: slice) -> np.ndarray:
    """Some samples of ``responses`` or ``n_repeats``; raises `BrokenArtifact` for a damaged file."""
    blocks = blocks_in(recording).get(name)  # none where all values are the fill value
    with broken_if_unreadable(path, RECORDING.stage):
        whole = blocks.around(samples, recording.sizes["sample"]) if blocks else samples
        values: np.ndarray = recording[name].isel(sample=whole).values
        if blocks and not blocks.hold(whole.start // blocks.rows, values):
            span = f"samples {whole.start} to {whole.stop} of variable '{name}'"
            raise altered(path, RECORDING, f"{span} do not fit their checksum")
    return values[..., samples.start - whole.start : samples.stop - whole.start, :]


def _write_parts(parts: RecordingParts, path: Path) -> None:
    """The header first, then each block into its place, then the attributes that are known last, and checksums."""
    import h5netcdf

    header = HEADER.check(parts.header, path)
    _check_clock_and_names(header, path)
    contents = header.to_netcdf(engine="h5netcdf")
    with write_whole(path) as temporary:
        temporary.write_bytes(contents)
        with h5netcdf.File(temporary, "r+") as file:
            _add_variables(file)
        _write_blocks(parts, temporary, path)
        with h5netcdf.File(temporary, "r+") as file:
            for name, value in parts.closing_attrs().items():
                file.attrs[name] = value
        append_checksums(temporary, IN_BLOCKS)


def _add_variables(file: h5netcdf.File) -> None:
    """Room for ``responses`` in one piece; ``n_repeats`` is 1 by its fill value and takes none."""
    import h5py

    file.dimensions["repeat"] = 1
    for name, dtype in (("responses", "<f4"), ("n_repeats", COUNT)):
        room = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        room.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY if name == "responses" else h5py.h5d.ALLOC_TIME_LATE)
        room.set_fill_time(h5py.h5d.FILL_TIME_NEVER if name == "responses" else h5py.h5d.FILL_TIME_IFSET)
        fill = None if name == "responses" else 1
        file.create_variable(name, RECORDING.variables[name], dtype=dtype, fillvalue=fill, dcpl=room)
    # With the attribute, readers would take 1 for a missing value.
    del file["n_repeats"].attrs["_FillValue"]


def _write_blocks(parts: RecordingParts, temporary: Path, path: Path) -> None:
    """Write blocks by ordinary means: HDF5 prints tracebacks of its own when the disk is full beneath it."""
    import h5py
    import numpy as np

    with h5py.File(temporary, "r") as file:
        offset = file["responses"].id.get_offset()
    names = parts.header["target"].values
    n_samples, n_targets = parts.header.sizes["sample"], names.size
    done = 0
    descriptor = os.open(temporary, os.O_WRONLY)
    try:
        for block in parts.blocks:
            n = block.shape[-1]
            if block.shape != (1, n_samples, n) or done + n > n_targets:
                raise BrokenArtifact(
                    f"{path}: a block of shape {block.shape} after {done} of {n_targets} targets does not fit "
                    f"(1, {n_samples}, ≤ {n_targets - done}); report it, this is a defect of the dataset's module"
                )
            rows = np.ascontiguousarray(block[0], dtype="<f4")
            finite = np.isfinite(rows).all(axis=0)
            if not finite.all():
                bad = names[done + int(finite.argmin())]
                raise BrokenArtifact(f"{path}: target '{bad}' has NaN or infinite responses; leave it out")
            for number, row in enumerate(rows):
                _write_all(descriptor, memoryview(row).cast("B"), offset + 4 * (number * n_targets + done))
            done += n
            del block, rows  # so that the next one need not find room beside it
    finally:
        os.close(descriptor)
    if done != n_targets:
        raise BrokenArtifact(
            f"{path}: blocks have {done} targets and the header {n_targets}; "
            "report it, this is a defect of the dataset's module"
        )


def _write_all(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
