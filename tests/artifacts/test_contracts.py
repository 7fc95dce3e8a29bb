"""Each artifact is opened through one function that says which file breaks its contract, and how."""

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.activations import ActivationWriter, LayerInfo, open_activations
from pipeline.artifacts.recording import open_recording, write_recording
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs, write_whole
from pipeline.core.errors import BrokenArtifact, UnknownName


def recording(**changes):
    responses = np.arange(24, dtype="float32").reshape(2, 4, 3)
    dataset = xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), responses),
            "n_repeats": (("sample", "target"), np.full((4, 3), 2)),
        },
        coords={
            "run": ("sample", ["r"] * 4),
            "stimulus": ("sample", ["s"] * 4),
            "time_s": ("sample", np.arange(4.0)),
            "target": ("target", ["a", "b", "c"]),
            "region": ("target", ["V1", "V1", "V2"]),
            "subject": ("target", ["m"] * 3),
        },
        attrs={
            **standard_attrs("recording", "test", "c", "i"),
            "units": "dF/F",
            "sample_kind": "time",
            "sample_interval_s": 1.0,
            "high_pass_s": 0.0,
            "z_scored": 0,
            "n_subjects": 1,
        },
    )
    return dataset.assign_attrs(changes)


def test_a_recording_comes_back_as_it_was_and_bytes_repeat(tmp_path):
    for name in ("one.nc", "two.nc"):
        write_recording(recording(), tmp_path / name)
    assert (tmp_path / "one.nc").read_bytes() == (tmp_path / "two.nc").read_bytes()
    xr.testing.assert_identical(open_recording(tmp_path / "one.nc"), recording())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.assign_attrs(schema_version="0"), "schema version 0"),
        (lambda d: d.drop_vars("region"), "lacks variable 'region'"),
        (lambda d: d.drop_vars("time_s"), "lacks variable 'time_s'"),
        (lambda d: d.assign_attrs(sample_kind="frame"), "sample_kind is 'frame'"),
        (lambda d: d.assign_coords(target=("target", ["a", "a", "c"])), "unique names"),
        (lambda d: d.assign(responses=d.responses.where(d.responses > 0)), "target 'a' has NaN"),
    ],
)
def test_a_broken_recording_is_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(BrokenArtifact, match=message) as caught:
        write_recording(change(recording()), tmp_path / "bad.nc")
    assert "bad.nc" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "bad.nc").exists()


@pytest.mark.parametrize("damage", ["truncate", "overwrite", "delete"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "r.nc"
    write_recording(recording(), path)
    content = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "overwrite":
        path.write_bytes(b"<html>" + content[6:])
    else:
        path.unlink()
    with pytest.raises(BrokenArtifact, match=r"r\.nc (was altered|is missing)"):
        open_recording(path)


def test_stimuli_know_their_modality(tmp_path):
    words = xr.Dataset(
        {"text": ("word", ["a", "b"]), "onset_s": ("word", [0.0, 1.0]), "offset_s": ("word", [0.5, 1.5])},
        attrs={**standard_attrs("stimulus", "test", "c", "i"), "modality": "words", "name": "story"},
    )
    write_stimulus(words, tmp_path / "story.zarr")
    assert open_stimulus(tmp_path / "story.zarr")["text"].values.tolist() == ["a", "b"]
    with pytest.raises(BrokenArtifact, match="modality 'smell'"):
        write_stimulus(words.assign_attrs(modality="smell"), tmp_path / "smell.zarr")


def test_activations_are_whole_and_name_the_closest_layer(tmp_path):
    attrs = {
        **standard_attrs("activations", "test", "c", "i"),
        **dict.fromkeys(("model", "modality", "objective", "weights_sha256", "stimulus", "rate"), "x"),
        "sample_kind": "item",
        "preprocessing": "{}",
        "reduction": "{}",
        "convolved": 0,
    }
    layers = [LayerInfo("conv1", 0, 0.0), LayerInfo("conv2", 1, 1.0)]
    values = {name: np.random.default_rng(0).normal(size=(5, 3)).astype("float32") for name in ("conv1", "conv2")}
    with write_whole(tmp_path / "m.zarr") as temporary:
        writer = ActivationWriter(temporary, layers, 5, np.array(list("abcde")), attrs)
        writer.write(0, {name: array[:3] for name, array in values.items()})
        with pytest.raises(BrokenArtifact, match="'conv1' has 3 of 5 samples"):
            writer.close()
        writer.write(3, {name: array[3:] for name, array in values.items()})
        writer.close()
    opened = open_activations(tmp_path / "m.zarr")
    np.testing.assert_array_equal(opened.read("conv2"), values["conv2"])
    assert opened.clock().tolist() == list("abcde") and opened.layers == layers
    with pytest.raises(UnknownName, match="closest: 'conv2'"):
        opened.read("conv22")
