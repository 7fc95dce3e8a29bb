"""Data larger than memory: read in blocks, kept in files, and scored as if they were in memory."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts import activations as activations_module
from pipeline.artifacts.recording import IN_BLOCKS
from pipeline.artifacts.storage.checksums import append_checksums
from pipeline.artifacts.storage.contract import Contract, write_netcdf
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.encoding.arithmetic import scratch as scratch_module
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.group.align import Alignment, Binning, align_items, align_time
from pipeline.encoding.group.group_data import open_group
from pipeline.encoding.mappings.ridge import RIDGE
from pipeline.encoding.stage import encode_group
from tests.encoding.imaged_groups import ATTRS, IN_TIME, Session, driven, features, write_activations

pytestmark = pytest.mark.slow


def _in_time(rate: Any) -> Alignment:
    """Up to 40 activations a bin, out of order here and there, bins without any."""
    generator = np.random.default_rng(0)
    times = np.sort(generator.uniform(0, 12, 200)) + generator.uniform(0, 0.3, 200)
    times = times[(times < 4) | (times > 6.5)]
    return align_time(times, np.arange(3.0, 12.0), 1.0, rate=rate, max_delay=2, source="x")


def _of_items() -> Alignment:
    names = np.array([f"i{number}" for number in range(170)])
    return align_items(names, np.random.default_rng(0).choice(names, 90), source="x")


@pytest.mark.parametrize("alignment", [_in_time("mean"), _in_time("sum"), _of_items()], ids=["mean", "sum", "items"])
@pytest.mark.parametrize("n_features", [1, 5])
def test_bins_of_blocks_are_those_of_the_whole(alignment: Alignment, n_features: int) -> None:
    n = int(alignment.source.max()) + 3
    values = np.random.default_rng(1).lognormal(0, 3, (n, n_features)).astype(np.float32)
    expected = np.full((alignment.n_bins, n_features), 0 if alignment.rate == "sum" else np.nan, np.float32)
    for number in np.unique(alignment.bin):
        here = values[alignment.source[alignment.bin == number]].astype(np.float64)
        expected[number] = np.add.reduce(here, axis=0) / (1 if alignment.rate == "sum" else len(here))
    np.testing.assert_allclose(alignment.apply(values), expected, rtol=1e-6)
    for size in (1, 7, 64):
        binned = [np.empty_like(expected) for _ in range(2)]
        binning = Binning(alignment, binned)
        for first in range(0, n, size):
            binning.add(first, values[first : first + size])
        for found in binned:
            np.testing.assert_array_equal(found, alignment.apply(values))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Two animals behind a filter, two films; one animal has a repeat more, and both lack some."""
    folder, clock, runs = tmp_path_factory.mktemp("runs"), 0.5 * np.arange(1, 61), []
    for number, film in enumerate("xy"):
        layers = write_activations(folder / f"{film}.zarr", features(60, number), clock, film)
        for animal in range(2):
            responses = driven(7, 3 + animal, 60, seed=animal, stimulus_seed=number)
            responses[2, 10:30, 3:] = np.nan
            attrs = {"member": f"m{animal}", "high_pass_s": 20.0}
            cells = [f"m{animal}-{cell}" for cell in range(7)]
            session = Session(responses, clock, cells, f"m{animal}", film, region="AB"[animal], attrs=attrs)
            runs.append((session.write(folder / f"{film}{animal}.nc"), layers))
    return runs


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of every array that goes into a file."""
    taken: list[int] = []
    once = scratch_module._map_new_file
    monkeypatch.setattr(scratch_module, "_map_new_file", lambda folder, n: (taken.append(n), once(folder, n))[1])
    return taken


def test_scores_from_files_are_those_from_memory(
    runs: list[tuple[Path, Path]], tmp_path: Path, in_files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In files lie responses as measured, scored and averaged, features, predictions, and all eight tables."""
    scores = {}
    for budget_mb in (2048, 0.02):
        compute = Compute(memory_budget_mb=budget_mb, folder=tmp_path / "scratch")
        scores[budget_mb] = encode_group(
            RIDGE, runs=runs, options=IN_TIME, layers=None, attrs=ATTRS, shuffle_seed=3, compute=compute
        )
        assert len(in_files) == (0 if budget_mb > 1 else 5 + 8)
        monkeypatch.setattr(scratch_module, "SHARE_IN_MEMORY", 0.0)
    assert list((tmp_path / "scratch").iterdir()) == []
    whole, streamed = scores.values()
    assert whole.attrs == streamed.attrs and set(whole.variables) == set(streamed.variables)
    for name, variable in whole.variables.items():
        if variable.dtype.kind == "f":
            # float32 products round otherwise in batches of other sizes, and blocks sum some forty samples
            np.testing.assert_allclose(streamed[name], variable, rtol=1e-6, atol=5e-6, err_msg=str(name))
        else:
            np.testing.assert_array_equal(streamed[name], variable, err_msg=str(name))
    np.testing.assert_array_equal(whole["penalty"], streamed["penalty"])


def test_responses_read_in_blocks_are_all_there(runs: list[tuple[Path, Path]], tmp_path: Path) -> None:
    whole = open_group(runs, IN_TIME).responses
    blocks = open_group(runs, IN_TIME, Scratch(Compute(memory_budget_mb=0.005, folder=tmp_path))).responses
    np.testing.assert_array_equal(blocks, whole)
    stored = xr.load_dataset(runs[-1][0], engine="h5netcdf")["responses"].values
    np.testing.assert_array_equal(blocks[:, 60:, 7:], stored)


def test_each_chunk_of_a_layer_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs of one film on two clocks, chunks of nine samples, blocks of two chunks."""
    from zarr.storage import LocalStore

    monkeypatch.setattr(activations_module, "CHUNK_BYTES", 9 * 4 * 6)
    clock, seen = 0.1 * np.arange(1, 401), 0.5 * np.arange(1, 81)
    layers = write_activations(tmp_path / "film.zarr", features(400), clock, "film")
    runs = []
    for number, own in enumerate((seen, seen, seen[7:60])):
        session = Session(driven(3, 1, own.size, number), own, ["a", "b", "c"], stimulus="film", run=f"r{number}")
        runs.append((session.write(tmp_path / f"{number}.nc"), layers))
    expected = open_group(runs, IN_TIME).features("layer")
    read: Counter[str] = Counter()
    get: Callable[..., Any] = LocalStore.get

    def counted(self: LocalStore, key: str, *rest: Any, **more: Any) -> Any:
        read.update([key] if "/c/" in key and "layers/layer" in key else [])
        return get(self, key, *rest, **more)

    monkeypatch.setattr(LocalStore, "get", counted)
    group = open_group(runs, IN_TIME, Scratch(Compute(memory_budget_mb=2 * 2 * 9 * 4 * 6 * 6 / 2**20, folder=tmp_path)))
    found = group.features("layer")
    assert set(read.values()) == {1} and len(read) == -(-400 // 9)
    np.testing.assert_array_equal(found, expected)
    values = features(400).astype("f4")
    np.testing.assert_array_equal(found, np.concatenate([run.alignment.apply(values) for run in group.runs]))


def test_miscounted_responses_are_found_in_blocks(tmp_path: Path) -> None:
    clock = 0.5 * np.arange(1, 21)
    layers = write_activations(tmp_path / "x.zarr", features(20), clock, "x")
    path = Session(driven(5, 2, 20), clock, list("abcde"), stimulus="x").write(tmp_path / "r.nc")
    with h5netcdf.File(path, "r+") as file:
        file["responses"][1, 19, 2:4] = np.nan
    append_checksums(path, IN_BLOCKS)
    with pytest.raises(BrokenArtifact, match=r"r\.nc: target 'c' has NaN .* where n_repeats counts"):
        open_group([(path, layers)], IN_TIME, Scratch(Compute(memory_budget_mb=0.001)))


def test_scratch_stays_within_its_share_and_goes_with_its_arrays(tmp_path: Path, in_files: list[int]) -> None:
    scratch = Scratch(Compute(memory_budget_mb=1, folder=tmp_path / "new" / "folder"))
    first = scratch.array((2**16,), "f4")
    assert not in_files and scratch.left.memory_budget_mb == 0.75
    view, large = first[3:], scratch.array((3, 2**16), "f4")
    large[1] = 2
    assert in_files == [3 * 2**18] and large.sum() == 2**17 and not large[2].any()
    del first
    assert scratch.left.memory_budget_mb == 0.75  # the view still holds it
    del view
    assert scratch.left.memory_budget_mb == 1
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_a_disk_too_small_for_scratch_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, n_bytes: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(scratch_module, "reserve", full)
    with pytest.raises(LayermapError) as caught:
        Scratch(Compute(memory_budget_mb=1, folder=tmp_path)).array((10**6, 10**3), "f4")
    message = str(caught.value)
    assert all(part in message for part in ("4 GB", str(tmp_path), "the disk is full", "--memory-budget-mb"))
    assert "\n" not in message and list(tmp_path.iterdir()) == []


def test_netcdf_from_files_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    from benchmarks.ridge_memory import PeakMemory

    contract = Contract("k", "encode", {"a": ("block", "target")})
    dataset = xr.Dataset(attrs=standard_attrs("k", "t", "0", "0"))
    values = Scratch(Compute(memory_budget_mb=1, folder=tmp_path)).array((40, 200_000), "f8")
    values[:, ::7] = np.arange(40)[:, None]
    write_netcdf(dataset.assign(a=(("block", "target"), values[:, :9])), tmp_path / "few.nc", contract)
    with PeakMemory() as peak:
        write_netcdf(dataset.assign(a=(("block", "target"), values)), tmp_path / "many.nc", contract)
    assert peak.mb < values.nbytes / 1e6 / 4
    with xr.open_dataset(tmp_path / "many.nc", engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["a"][:, 50_000:50_010], values[:, 50_000:50_010])
