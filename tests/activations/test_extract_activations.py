"""The activate stage: whole artifacts, equal bytes, and one line for what cannot be done."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.activations.options import NoReduction, SparseProjection
from pipeline.activations.stage import extract_activations
from pipeline.artifacts.activations import open_activations
from pipeline.artifacts.stimulus import write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import LayermapError
from pipeline.core.keys import sha256_of_file
from pipeline.models.registry import resolve_model


def write(dataset, path, **attrs):
    standard = standard_attrs("stimulus", "test", "config", "inputs")
    write_stimulus(dataset.assign_attrs(**standard, **attrs), path)
    return path


@pytest.fixture
def movie(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (10, 48, 64, 1)).astype(np.uint8)
    dataset = xr.Dataset({"frames": (("frame", "y", "x", "colour"), frames)})
    return write(dataset, tmp_path / "movie.zarr", modality="movie", name="movie", frame_rate_hz=30.0)


@pytest.fixture
def story(tmp_path):
    dataset = xr.Dataset(
        {"text": ("word", ["one", "two"]), "onset_s": ("word", [0.0, 1.0]), "offset_s": ("word", [0.5, 1.5])},
        coords={
            "regressor": (("regressor", "volume"), [[1.0, np.nan]]),
            "regressor_name": ("regressor", ["sound_power"]),
            "regressor_time_s": ("volume", [2.0, 4.0]),
        },
    )
    return write(dataset, tmp_path / "story.zarr", modality="words", name="story")


def extract(model, stimulus, output, reduction=None, batch_size=4):
    resolved = resolve_model(model)
    extract_activations(
        stimulus_path=stimulus,
        output=output,
        model=model,
        entry=resolved.entry,
        twin=resolved.twin,
        layers=None,
        reduction=reduction or NoReduction(),
        weights_folder=None,
        device="cpu",
        attrs=standard_attrs("activations", "layermap activate", "key", "inputs"),
        batch_size=batch_size,
    )
    return output


def hashes(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): sha256_of_file(file) for file in sorted(folder.rglob("*")) if file.is_file()}


def test_artifact_says_what_was_done(movie, tmp_path):
    output = extract("gabor-energy", movie, tmp_path / "out" / "gabor.zarr")
    found = open_activations(output)
    assert found.sample_kind == "time"
    np.testing.assert_allclose(found.clock(), np.arange(1, 11) / 30)
    assert found.read("energy").shape == (10, 1024)
    assert found.attrs["objective"] == "baseline"
    assert found.attrs["stimulus"] == "movie"
    assert found.preprocessing == resolve_model("gabor-energy").entry.preprocessing


def test_equal_bytes_twice_and_equal_numbers_for_any_batch(movie, tmp_path):
    reduction = SparseProjection(n_features=30)
    first = extract("gabor-energy", movie, tmp_path / "first.zarr", reduction)
    second = extract("gabor-energy", movie, tmp_path / "second.zarr", reduction)
    assert hashes(first) == hashes(second)
    third = open_activations(extract("gabor-energy", movie, tmp_path / "third.zarr", reduction, batch_size=3))
    np.testing.assert_allclose(third.read("energy"), open_activations(first).read("energy"), atol=1e-6)


def test_only_the_layers_asked_for_are_kept(movie, tmp_path):
    from pipeline.models.entry import evenly_deep

    entry = resolve_model("pixels").entry
    wider = dataclasses.replace(entry, layers=(*entry.layers, *evenly_deep(["unasked"])))
    extract_activations(
        stimulus_path=movie,
        output=tmp_path / "out.zarr",
        model="pixels",
        entry=wider,
        twin=None,
        layers=("pixels",),
        reduction=NoReduction(),
        weights_folder=None,
        device="cpu",
        attrs=standard_attrs("activations", "layermap activate", "key", "inputs"),
    )
    assert [layer.name for layer in open_activations(tmp_path / "out.zarr").layers] == ["pixels"]


def test_wrong_modality_is_one_line(story, tmp_path):
    with pytest.raises(LayermapError, match=r"model 'pixels' takes movie, images, but .*story.zarr is words"):
        extract("pixels", story, tmp_path / "out.zarr")


def test_values_that_are_not_finite_leave_no_artifact(story, tmp_path):
    with pytest.raises(LayermapError, match=r"layer 'power' of sound-power is not finite at sample 1 of .*story.zarr"):
        extract("sound-power", story, tmp_path / "out.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["story.zarr"]
