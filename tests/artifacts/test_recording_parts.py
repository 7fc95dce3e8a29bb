"""A recording written block by block is the one written at once, and never in memory as a whole."""

import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.recording import RecordingParts, open_recording, write_recording
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact

N_SAMPLES, N_TARGETS = 40, 9


def header(n_samples=N_SAMPLES, n_targets=N_TARGETS, **changes):
    return xr.Dataset(
        coords={
            "run": ("sample", ["r"] * n_samples),
            "stimulus": ("sample", ["s"] * n_samples),
            "time_s": ("sample", np.arange(float(n_samples)), {"units": "s"}),
            "target": ("target", [f"t{number}" for number in range(n_targets)]),
            "region": ("target", ["STG"] * n_targets),
            "subject": ("target", ["é"] * n_targets),
            "surface_unit": ("surface_vertex", np.array(["", "lh-A"], dtype=object)),
        },
        attrs={
            **standard_attrs("recording", "test", "c", "i"),
            "units": "z",
            "sample_kind": "time",
            "sample_interval_s": 1.0,
            "high_pass_s": 0.0,
            "z_scored": 1,
            "n_subjects": 5,
        },
    ).assign_attrs(changes)


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(1, N_SAMPLES, N_TARGETS)).astype(np.float32)


def parts(values, cuts=(2, 7), **changes):
    blocks = np.split(values, cuts, axis=2)
    return RecordingParts(header(**changes), iter(blocks), lambda: {"n_subjects": 4, "constant_targets": "t1"})


def test_streamed_and_whole_are_one_dataset_and_bytes_repeat(tmp_path, values):
    write_recording(parts(values), tmp_path / "streamed.nc")
    write_recording(parts(values, cuts=(4,)), tmp_path / "again.nc")
    write_recording(parts(values).whole(), tmp_path / "whole.nc")
    streamed, whole = open_recording(tmp_path / "streamed.nc"), open_recording(tmp_path / "whole.nc")
    xr.testing.assert_identical(streamed, whole)
    np.testing.assert_array_equal(streamed["responses"].values, values)
    assert {name: variable.dtype for name, variable in streamed.variables.items()} == {
        name: variable.dtype for name, variable in whole.variables.items()
    }
    assert streamed["n_repeats"].dtype == np.int16 and (streamed["n_repeats"].values == 1).all()
    assert streamed.attrs["n_subjects"] == 4 and streamed.attrs["constant_targets"] == "t1"
    assert (tmp_path / "streamed.nc").read_bytes() == (tmp_path / "again.nc").read_bytes()


def test_repeats_take_no_room(tmp_path):
    shape = (1, 500, 4000)
    block = np.ones(shape, np.float32)
    write_recording(RecordingParts(header(*shape[1:]), iter([block])), tmp_path / "r.nc")
    assert (tmp_path / "r.nc").stat().st_size - block.nbytes < 0.4 * shape[1] * shape[2]
    assert (open_recording(tmp_path / "r.nc")["n_repeats"].values == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: parts(v, sample_kind="frame"), "sample_kind is 'frame'"),
        (lambda v: parts(v, schema_version="0"), "schema version 0"),
        (lambda v: parts(np.where(v == v[0, 3, 7], np.nan, v)), "target 't7' has NaN"),
        (lambda v: parts(v[:, :, 1:]), "blocks have 8 targets and the header 9"),
        (lambda v: parts(np.concatenate([v, v], axis=2)), r"after 7 of 9 targets does not fit \(1, 40, ≤ 2\)"),
        (lambda v: parts(v[:, 1:]), r"a block of shape \(1, 39, 2\)"),
    ],
)
def test_broken_parts_are_refused_in_one_line_and_leave_nothing(tmp_path, values, change, message):
    with pytest.raises(BrokenArtifact, match=message) as caught:
        write_recording(change(values), tmp_path / "bad.nc")
    assert "bad.nc" in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_between_blocks_leaves_an_older_recording(tmp_path, values):
    write_recording(parts(values), tmp_path / "r.nc")
    before = (tmp_path / "r.nc").read_bytes()

    def failing():
        yield values[:, :, :2]
        raise BrokenArtifact("sub-2 is truncated")

    with pytest.raises(BrokenArtifact, match="sub-2 is truncated"):
        write_recording(RecordingParts(header(), failing()), tmp_path / "r.nc")
    assert (tmp_path / "r.nc").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from benchmarks.memory import status_mb
from pipeline.artifacts.recording import RecordingParts, write_recording
from tests.artifacts.test_recording_parts import header
n_blocks = int(sys.argv[2])
whole = header(500, n_blocks * 5000)
write_recording(RecordingParts(header(10, 1), iter([np.ones((1, 10, 1), np.float32)])), Path(sys.argv[1]))
before = status_mb("VmRSS")
blocks = (np.full((1, 500, 5000), number, np.float32) for number in range(n_blocks))
write_recording(RecordingParts(whole, blocks), Path(sys.argv[1]))
print(status_mb("VmHWM") - before)
"""


def test_memory_holds_two_blocks_however_many_follow(tmp_path):
    """A block has 10 MB; targets have names, so that memory grows a little with their number."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    peaks = {}
    for n_blocks in (3, 30):
        command = [sys.executable, "-c", MEASURED, str(tmp_path / "r.nc"), str(n_blocks)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        peaks[n_blocks] = float(done.stdout)
    assert peaks[30] < 150 < 300 == 30 * 10
    assert (tmp_path / "r.nc").stat().st_size > 300e6
