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
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.contract import Contract, read_netcdf, write_netcdf
from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    import xarray as xr

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
)


def check_recording(dataset: xr.Dataset, source: Path) -> xr.Dataset:
    """Check what the variables' names and dims cannot say: clocks, NaN and unique targets."""
    import numpy as np

    RECORDING.check(dataset, source)
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
    present = np.isfinite(dataset["responses"].values).sum(axis=0)
    if not np.array_equal(present, dataset["n_repeats"].values):
        bad = dataset["target"].values[(present != dataset["n_repeats"].values).any(0)][0]
        raise BrokenArtifact(f"{source}: target '{bad}' has NaN or infinite responses where n_repeats counts a repeat")
    return dataset


def write_recording(dataset: xr.Dataset, path: Path) -> None:
    """Write ``…/recordings/<recording>.nc``."""
    write_netcdf(check_recording(dataset, path), path, RECORDING)


def open_recording(path: Path) -> xr.Dataset:
    """Read a recording; raises `BrokenArtifact` naming the file, the variable and what was expected."""
    return check_recording(read_netcdf(path, RECORDING), path)
