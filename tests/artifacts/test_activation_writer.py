"""Stores of activations: whole chunks, the same bytes from batches of any size, nothing missing and nothing twice."""

import hashlib

import numpy as np
import pytest

from pipeline.artifacts.activations import ATTRS, CHUNK_BYTES, ActivationWriter, LayerInfo, open_activations
from pipeline.artifacts.storage.store import standard_attrs, write_whole
from pipeline.core.errors import BrokenArtifact

N = 150
LAYERS = [LayerInfo("wide", 0, 0.0), LayerInfo("narrow", 1, 1.0)]


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((N, size)).astype(np.float32) for name, size in (("wide", 9000), ("narrow", 3))}


def attrs():
    return {**dict.fromkeys(ATTRS, "x"), **standard_attrs("activations", "t", "c", "i"), "sample_kind": "time"}


def write(path, values, batch_size, n_samples=N):
    layers = [layer for layer in LAYERS if layer.name in values]
    with write_whole(path) as temporary:
        writer = ActivationWriter(temporary, layers, n_samples, np.arange(1.0, n_samples + 1), attrs())
        for start in range(0, N, batch_size):
            writer.write(start, {name: array[start : start + batch_size] for name, array in values.items()})
        writer.close()
    return path


def digests(path):
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("batch_size", [1, 7, 29, 64, N])
def test_bytes_do_not_depend_on_the_batch_size(tmp_path, values, batch_size):
    expected = digests(write(tmp_path / "expected.zarr", values, 32))
    assert len([name for name in expected if "/c/" in name and "wide" in name]) == -(-N // (CHUNK_BYTES // 36_000)) > 1
    found = write(tmp_path / "found.zarr", values, batch_size)
    assert digests(found) == expected
    for name, array in values.items():
        np.testing.assert_array_equal(open_activations(found).read(name), array)


def test_a_layer_wider_than_a_chunk_has_a_sample_per_chunk(tmp_path):
    array = np.random.default_rng(0).standard_normal((3, CHUNK_BYTES // 4 + 5)).astype(np.float32)
    layers = [LayerInfo("wide", 0, 0.0)]
    with write_whole(tmp_path / "o.zarr") as temporary:
        writer = ActivationWriter(temporary, layers, 3, np.arange(3.0), attrs())
        writer.write(0, {"wide": array[:2]})
        writer.write(2, {"wide": array[2:]})
        writer.close()
    assert len([name for name in digests(tmp_path / "o.zarr") if "wide/c/" in name]) == 3
    np.testing.assert_array_equal(open_activations(tmp_path / "o.zarr").read("wide"), array)


def test_what_waits_in_memory_is_less_than_a_chunk(tmp_path, values):
    writer = ActivationWriter(tmp_path / "o.zarr", LAYERS[:1], N, np.arange(float(N)), attrs())
    rows = CHUNK_BYTES // 36_000
    for start in range(N):
        writer.write(start, {"wide": values["wide"][start : start + 1]})
        chunks = [name for name in digests(tmp_path / "o.zarr") if "wide/c/" in name]
        assert len(chunks) == (start + 1) // rows


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([(0, 5, 3), (6, 5, 3)], "'narrow' has samples up to 5, but the next batch starts at 6"),
        ([(0, 5, 3), (4, 5, 3)], "'narrow' has samples up to 5, but the next batch starts at 4"),
        ([(5, 5, 3)], "'narrow' has samples up to 0, but the next batch starts at 5"),
        ([(0, 11, 3)], "'narrow' has a batch up to sample 11, but there are 10"),
        ([(0, 5, 3), (5, 5, 4)], "'narrow' has 3 features up to sample 5 and 4 from there on"),
        ([(0, 5, 3), (5, 4, 3)], "'narrow' has 9 of 10 samples; the extraction is incomplete"),
        ([], "'narrow' has 0 of 10 samples"),
    ],
)
def test_gaps_overlaps_and_missing_samples_leave_no_store(tmp_path, batches, message):
    def write_all():
        with write_whole(tmp_path / "o.zarr") as temporary:
            writer = ActivationWriter(temporary, LAYERS[1:], 10, np.arange(10.0), attrs())
            for start, n, n_features in batches:
                writer.write(start, {"narrow": np.zeros((n, n_features), np.float32)})
            writer.close()

    with pytest.raises(BrokenArtifact, match=message):
        write_all()
    assert list(tmp_path.iterdir()) == []
