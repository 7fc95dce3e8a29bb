"""Simulated mice through the reader of the real files: frames map through the 2-photon clock of each experiment."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.artifacts.recording import open_recording, write_recording
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.design import Design
from pipeline.encoding.options import PenaltyGrid, Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Samples, make_splits
from pipeline.fetch.weights.resolve import fetch_weights
from pipeline.models.networks.efficientnet import EFFICIENTNET_LITE0
from pipeline.recordings.allen.sdk import nwb_data_set_class
from pipeline.recordings.allen.two_photon.nwb import TwoPhotonFile
from pipeline.simulated.mouse import (
    experiment_path,
    extract_features,
    make_experiment,
    mouse_name,
    planted_drives,
)
from pipeline.simulated.mouse_dataset import DATASET, MODEL, MOVIE, SimulatedMouseOptions, read_movie_responses
from pipeline.simulated.movie import render_movie
from pipeline.simulated.nwb_writer import write_experiment

N_CELLS = 4
OPTIONS = SimulatedMouseOptions(n_cells=N_CELLS, n_mice=1)


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """The five experiments of one mouse, driven by noise instead of a network."""
    folder = tmp_path_factory.mktemp("raw")
    generator = np.random.default_rng(0)
    movie = generator.integers(0, 256, (OPTIONS.n_frames, 8, 16), dtype=np.uint8)
    for area in OPTIONS.planted:
        path = experiment_path(folder, "mouse-1", area)
        path.parent.mkdir(exist_ok=True)
        drive = generator.standard_normal((OPTIONS.n_frames, N_CELLS))
        write_experiment(path, make_experiment(0, area, drive, movie, OPTIONS.design()))
    return folder


@pytest.fixture
def copied(raw, tmp_path) -> Path:
    """One experiment to be broken."""
    path = tmp_path / "VISp.nwb"
    path.write_bytes(experiment_path(raw, "mouse-1", "VISp").read_bytes())
    return path


def test_allensdk_opens_an_experiment(raw):
    path = experiment_path(raw, "mouse-1", "VISl")
    data_set = nwb_data_set_class()(str(path))
    metadata = data_set.get_metadata()
    assert (metadata["targeted_structure"], metadata["imaging_depth_um"]) == ("VISl", 275)
    assert "simulated" in metadata["genotype"] and metadata["pipeline_version"] == "3.0"
    assert sorted(data_set.list_stimuli()) == ["natural_movie_one", "spontaneous"]
    assert data_set.get_roi_mask_array().shape[0] == N_CELLS == len(set(data_set.get_cell_specimen_ids()))
    running, running_time_s = data_set.get_running_speed()
    timestamps_s, dff = data_set.get_dff_traces()
    np.testing.assert_array_equal(running_time_s, timestamps_s)
    assert running.shape == timestamps_s.shape == dff.shape[1:]
    epochs = data_set.get_stimulus_epoch_table()
    assert epochs["stimulus"].tolist() == ["spontaneous", "natural_movie_one", "spontaneous"]


def test_the_stimulus_table_shows_every_frame_of_every_repeat_at_its_time(raw):
    data_set = nwb_data_set_class()(str(experiment_path(raw, "mouse-1", "VISal")))
    table = data_set.get_stimulus_table(MOVIE)
    assert len(table) == 10 * 300
    np.testing.assert_array_equal(table["frame"].to_numpy().reshape(10, 300), np.tile(np.arange(300), (10, 1)))
    np.testing.assert_array_equal(table["repeat"].to_numpy(), np.repeat(np.arange(10), 300))
    np.testing.assert_array_equal(table["start"].to_numpy()[1:], table["end"].to_numpy()[:-1])
    onset_s = data_set.get_dff_traces()[0][table["start"].to_numpy()]
    drift_s = onset_s - onset_s[0] - np.arange(3000)
    assert np.abs(drift_s).max() < 1.2 / 30


def test_a_ramp_in_time_is_binned_to_the_middle_of_each_frame(copied):
    with h5py.File(copied, "r+") as file:
        plane = file["processing/brain_observatory_pipeline/DfOverF/imaging_plane_1"]
        presentations = file[f"stimulus/presentation/{MOVIE}_stimulus/frame_duration"][:]
        ramp = plane["timestamps"][:] - plane["timestamps"][presentations[0, 0]]
        plane["data"][:] = np.tile(ramp, (N_CELLS, 1)).astype(np.float32)
    _, dff = read_movie_responses(copied, OPTIONS)
    middle_s = 0.5 + np.arange(3000).reshape(10, 300)
    np.testing.assert_allclose(dff[..., 0], middle_s, atol=0.04)


def test_the_recording_keeps_its_contract(raw, tmp_path):
    recording = DATASET.prepare_recording("mouse-1", raw, OPTIONS)
    recording.attrs.update(standard_attrs("recording", "test", "0", "0"))
    write_recording(recording, tmp_path / "mouse-1.nc")
    opened = open_recording(tmp_path / "mouse-1.nc")
    assert dict(opened.sizes) == {"repeat": 10, "sample": 300, "target": 5 * N_CELLS}
    assert opened["time_s"].values[[0, -1]].tolist() == [1.0, 300.0]
    assert opened["region"].values.tolist() == [area for area in OPTIONS.planted for _ in range(N_CELLS)]
    assert opened["target"].values[0] == f"mouse-1-VISp-{opened['cell_id'].values[0]}"
    assert opened.attrs["simulated"] == 1 and opened.attrs["units"] == "dF/F"


def test_the_movie_comes_from_the_template(raw, tmp_path):
    stimulus = DATASET.prepare_stimulus("movie", raw, OPTIONS)
    stimulus.attrs.update(standard_attrs("stimulus", "test", "0", "0"))
    write_stimulus(stimulus, tmp_path / "movie.zarr")
    opened = open_stimulus(tmp_path / "movie.zarr")
    frames = TwoPhotonFile(experiment_path(raw, "mouse-1", "VISp"), "").template(MOVIE)
    np.testing.assert_array_equal(opened["frames"].values[..., 0], frames)
    assert opened.attrs["frame_rate_hz"] == 1.0


def test_a_truncated_file_is_one_line(copied):
    copied.write_bytes(copied.read_bytes()[:-5000])
    with pytest.raises(BrokenArtifact, match=r"VISp\.nwb cannot be read .*delete its folder and run") as error:
        read_movie_responses(copied, OPTIONS)
    assert "\n" not in str(error.value)


def test_altered_bytes_are_found(copied):
    with h5py.File(copied) as file:
        data = file["processing/brain_observatory_pipeline/DfOverF/imaging_plane_1/data"].id
        offset = data.get_chunk_info(0).byte_offset
    altered = bytearray(copied.read_bytes())
    altered[offset + 100] ^= 0xFF
    copied.write_bytes(altered)
    with pytest.raises(BrokenArtifact, match=r"VISp\.nwb cannot be read"):
        read_movie_responses(copied, OPTIONS)


def test_what_is_missing_or_does_not_fit_is_named(copied, tmp_path):
    with pytest.raises(BrokenArtifact, match=r"absent\.nwb is missing"):
        read_movie_responses(tmp_path / "absent.nwb", OPTIONS)
    with pytest.raises(BrokenArtifact, match="Unable to locate stimulus: natural_movie_three"):
        TwoPhotonFile(copied, "").stimulus_table("natural_movie_three")
    with h5py.File(copied, "r+") as file:
        file[f"stimulus/presentation/{MOVIE}_stimulus/frame_duration"][-1] = [10**6, 10**6 + 30]
    with pytest.raises(LayermapError, match="was shown at 2-photon samples"):
        read_movie_responses(copied, OPTIONS)
    with h5py.File(copied, "r+") as file:
        del file["processing/brain_observatory_pipeline/DfOverF"]
    with pytest.raises(BrokenArtifact, match="cannot be read"):
        read_movie_responses(copied, OPTIONS)


def test_only_what_a_broken_file_raises_is_blamed_on_the_file(copied):
    file = TwoPhotonFile(copied, "")
    with pytest.raises(MemoryError), file._explained():
        raise MemoryError


def test_limit_takes_the_first_mice():
    options = SimulatedMouseOptions(limit=2)
    catalogue = DATASET.catalogue(options, "key")
    assert catalogue.recordings == ("mouse-1", "mouse-2") and catalogue.simulated and not catalogue.files
    assert [group.runs[0].stimulus for group in catalogue.groups] == ["movie", "movie"]
    assert len(DATASET.catalogue(SimulatedMouseOptions(limit=9), "key").groups) == 3


def test_planted_layers_are_those_of_the_network():
    names = {layer.name for layer in EFFICIENTNET_LITE0.layers}
    schema = json.dumps(SimulatedMouseOptions.model_json_schema()["properties"]["planted"])
    assert all(f'"{name}"' in schema for name in names)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"planted": {"VISp": "stage9"}}, "stage9"),
        ({"reliability": {"VISp": 0.6}}, "must have a value exactly if a layer is planted there"),
        ({"planted": {"VISp": "stem"}, "reliability": {"VISp": 1.5}}, "must lie between 0 and 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(ValidationError, match=message):
        SimulatedMouseOptions(**changed)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / MODEL
    fetch_weights(MODEL, EFFICIENTNET_LITE0.weights, folder)
    return folder


@pytest.mark.study
def test_equal_seeds_write_equal_files_and_limit_a_part_of_them(weights, tmp_path):
    few = {"n_frames": 60, "n_repeats": 2, "n_cells": 2, "n_mice": 2, "identifiable_folds": 3}
    for name, options in (("first", SimulatedMouseOptions(**few)), ("part", SimulatedMouseOptions(**few, limit=1))):
        DATASET.simulate(tmp_path / name, options, {MODEL: weights})
    files = {
        name: sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*.nwb"))
        for name in ("first", "part")
    }
    assert len(files["first"]) == 10 and files["part"] == [p for p in files["first"] if p.parts[0] == "mouse-1"]
    for path in files["part"]:
        assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "part" / path).read_bytes()


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    return render_movie(SimulatedMouseOptions().n_frames, seed=0)


@pytest.fixture(scope="module")
def features(weights, movie) -> dict[str, np.ndarray]:
    """Every layer of the real network for the default movie."""
    return extract_features(movie, SimulatedMouseOptions().frame_rate_hz, weights)


def layer_profiles(features: dict[str, np.ndarray], responses: np.ndarray) -> np.ndarray:
    """Fisher z of held-out r, (layer, fold, cell), with the splits and delays of study demo."""
    n = responses.shape[0]
    samples = Samples("time", np.full(n, "run"), np.full(n, "movie"), 1.0, np.arange(n) + 1.0)
    splits = make_splits(Splits(n_folds=5, n_inner_folds=4, gap_s=2), samples, seed=0)
    penalties = PenaltyGrid().values()
    return np.stack(
        [
            fisher_z(fit_ridge(f, responses, penalties, Design.of_bins(len(f), splits, delays=(0, 1))).score)
            for f in features.values()
        ]
    )


def depth_index(z: np.ndarray, depth: list[float]) -> float:
    weight = np.tanh(z) - np.tanh(z).min()
    return float((weight * depth).sum() / weight.sum())


@pytest.mark.study
@pytest.mark.parametrize("swapped", [False, True])
def test_planted_layers_of_efficientnet_come_back(features, movie, tmp_path, swapped):
    """Default options, real network: the best layer, and the depth index within 0.1 of what was planted."""
    options = SimulatedMouseOptions()
    if swapped:
        planted = {**options.planted, "VISp": "head", "VISam": "stem", "VISl": "stage4", "VISal": "stage2"}
        options = SimulatedMouseOptions(planted=planted)
    design = options.design()
    drives = planted_drives(features, design)
    z, region, mouse = [], [], []
    for number in range(options.n_mice):
        name = mouse_name(number)
        (tmp_path / name).mkdir()
        for area in options.planted:
            drive = drives[area][:, number * options.n_cells : (number + 1) * options.n_cells]
            write_experiment(experiment_path(tmp_path, name, area), make_experiment(number, area, drive, movie, design))
        recording = DATASET.prepare_recording(name, tmp_path, options)
        z.append(layer_profiles(features, recording["responses"].mean("repeat").values))
        region.extend(recording["region"].values)
        mouse.extend(recording["subject"].values)
    scores, regions, mice = np.concatenate(z, axis=2), np.array(region), np.array(mouse)
    layers = {layer.name: layer.relative_depth for layer in EFFICIENTNET_LITE0.layers}
    assert list(features) == list(layers)
    for area, layer in options.planted.items():
        profile = scores[:, :, regions == area].mean(axis=(1, 2))
        if layer == "noise":
            assert np.abs(profile).max() < 0.1
            continue
        index = depth_index(profile, list(layers.values()))
        assert abs(index - layers[layer]) < 0.1, (area, index)
        for name in dict.fromkeys(mouse):
            own = scores[:, :, (regions == area) & (mice == name)].mean(axis=(1, 2))
            assert list(layers)[int(own.argmax())] == layer
            assert abs(depth_index(own, list(layers.values())) - layers[layer]) < 0.15
