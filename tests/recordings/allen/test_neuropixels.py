"""Sessions from the (loopback) warehouse through catalogue and fetch to recordings and stimuli."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.recording import open_recording, write_recording
from pipeline.artifacts.storage.store import SCHEMA_VERSION
from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.core.keys import sha256_of_file
from pipeline.fetch.checks.digests import record_digest
from pipeline.fetch.stage import fetch_files
from pipeline.recordings.allen.neuropixels.catalogue import nwb_path, scene_path
from pipeline.recordings.allen.neuropixels.dataset import DATASET, prepare_recording, prepare_stimulus
from pipeline.recordings.allen.neuropixels.options import AllenNeuropixelsOptions
from pipeline.recordings.allen.sdk import ecephys_cache_class
from tests.http_server import running
from tests.observatory.example_neuropixels import MOVIE_STARTS_S, N_FRAMES, N_SCENES, example_session
from tests.observatory.files_neuropixels import InvalidTime, SessionDesign
from tests.observatory.rows_neuropixels import warehouse
from tests.observatory.server import ObservatoryServer

pytestmark = pytest.mark.slow

SEEING, BLIND = 715093703, 719161530
AREAS = ("VISp", "VISl", "LGd")
IN_TIME = AllenNeuropixelsOptions(areas=AREAS, stimuli=("natural_movie_one", "drifting_gratings"))
ITEMS = AllenNeuropixelsOptions(areas=AREAS, stimuli=("natural_scenes", "static_gratings"))
SCENES_ONLY = AllenNeuropixelsOptions(areas=AREAS, stimuli=("natural_scenes",))
ATTRS = {"kind": "recording", "schema_version": SCHEMA_VERSION, "created_by": "", "config_sha": "", "inputs_sha": ""}
PLANTED = 100 * SEEING + 3
"""A unit that fires 3 spikes 50 ms after the onset of scene 2, and spikes just outside its window."""


def seeing_session() -> SessionDesign:
    """Its probe A has no valid spikes for a while; one unit prefers a scene."""
    design = example_session(
        SEEING,
        invalid_times=(
            InvalidTime(26.0, 26.3, "EcephysProbe", 10 * SEEING, "probeA"),
            InvalidTime(62.0, 62.01, "EcephysProbe", 10 * SEEING, "probeA"),
        ),
    )
    table = design.presentations
    scenes = table[table["stimulus_name"] == "natural_scenes"]
    onset_s = scenes["start_time"][scenes["frame"] == 2].to_numpy()
    times_s = (onset_s[:, None] + [0.029, 0.05, 0.051, 0.149, 0.151]).ravel()
    units = [
        dataclasses.replace(one, spike_times_s=np.sort(times_s)) if one.id == PLANTED else one for one in design.units
    ]
    return dataclasses.replace(design, units=tuple(units))


@pytest.fixture(scope="module")
def designs() -> dict[int, SessionDesign]:
    return {SEEING: seeing_session(), BLIND: example_session(BLIND, pupil=None)}


@pytest.fixture(scope="module")
def templates() -> tuple[dict[int, np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(3)
    movies = {1: rng.integers(0, 256, (N_FRAMES, 12, 16)), 3: rng.integers(0, 256, (90, 12, 16))}
    return movies, list(rng.integers(0, 256, (N_SCENES, 10, 14)))


@pytest.fixture(scope="module")
def raw(
    designs: dict[int, SessionDesign],
    templates: tuple[dict[int, np.ndarray], list[np.ndarray]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A raw folder as fetch leaves it."""
    folder = tmp_path_factory.mktemp("neuropixels")
    rows, files = warehouse(list(designs.values()), folder, movies=templates[0], scenes=templates[1])
    with running(ObservatoryServer(rows, files)) as server:
        for options in (IN_TIME, ITEMS):
            listed = DATASET.catalogue(options, "key", server.prefix)
            assert [file.holds != () for file in listed.files] == [file.path.endswith(".nwb") for file in listed.files]
            fetch_files(
                listed.files,
                folder / "raw",
                mirror=server.mirror,
                what="allen_neuropixels",
                key="key",
                receipt_path=folder / "receipt.json",
            )
    return folder / "raw"


def prepared(raw: Path, session: int, options: AllenNeuropixelsOptions) -> xr.Dataset:
    recording = prepare_recording(f"session-{session}", raw, options)
    path = raw.parent / "recording.nc"
    write_recording(recording.assign_attrs({**ATTRS, **recording.attrs}), path)
    return open_recording(path)


def copy_of(raw: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(raw, tmp_path / "raw"))


def rewritten(path: Path, contents: bytes) -> None:
    """As if fetch had got other bytes."""
    path.write_bytes(contents)
    record_digest(path, sha256_of_file(path))


def test_rates_are_counts_in_windows(raw: Path, designs: dict[int, SessionDesign]) -> None:
    recording = prepared(raw, BLIND, IN_TIME)
    design = designs[BLIND]
    assert sorted(recording["target"].values) == [str(100 * BLIND + number) for number in range(7)]
    movie = recording.isel(sample=recording["stimulus"].values == "natural_movie_one")
    for unit in design.units[:7]:
        for repeat, (_, start_s) in enumerate(MOVIE_STARTS_S):
            onset_s = start_s + np.arange(N_FRAMES) / 30
            counts = [((unit.spike_times_s >= one + 0.03) & (unit.spike_times_s < one + 0.15)).sum() for one in onset_s]
            expected = np.reshape(counts, (-1, 15)).sum(axis=1) / (15 * 0.12)
            np.testing.assert_allclose(movie["responses"].sel(target=str(unit.id))[repeat], expected, rtol=1e-5)
    np.testing.assert_allclose(movie["time_s"], [0.5, 1.0, 1.5, 2.0])
    assert recording.attrs["units"] == "spikes/s" and recording.attrs["member"] == f"session-{BLIND}"


def test_a_planted_preference_is_found_and_the_window_is_half_open(raw: Path) -> None:
    recording = prepared(raw, SEEING, SCENES_ONLY)
    rates = recording["responses"].sel(target=str(PLANTED)).values
    preferred = recording["item"].values == "scene-002"
    known = np.isfinite(rates)
    np.testing.assert_allclose(rates[:, preferred][known[:, preferred]], 3 / 0.12, rtol=1e-5)
    assert (rates[:, ~preferred][known[:, ~preferred]] == 0).all()
    np.testing.assert_allclose(recording["reliability"].sel(target=str(PLANTED)), 1)


def test_targets_say_where_they_are(raw: Path) -> None:
    recording = prepared(raw, SEEING, IN_TIME).sortby("target")
    assert recording["region"].values.tolist() == ["VISp"] * 4 + ["LGd"] + ["VISl"] * 2
    assert set(recording["subject"].values) == {f"mouse-{SEEING % 1_000_000}"}
    np.testing.assert_allclose(recording["x_mm"][:3], [8.22, 8.22, 8.222])
    np.testing.assert_allclose(recording["y_mm"][:3], [1.3, 1.3, 1.28])
    np.testing.assert_allclose(recording["z_mm"], 8.607)
    assert recording["probe"].values.tolist() == ["probeA"] * 5 + ["probeB"] * 2
    assert "compartment" not in recording


@pytest.mark.parametrize(
    ("threshold", "value", "unit"),
    [("amplitude_cutoff_max", 0.11, 8), ("presence_ratio_min", 0.94, 9), ("isi_violations_max", 0.51, 10)],
)
def test_a_threshold_lets_in_the_unit_that_lies_on_it(raw: Path, threshold: str, value: float, unit: int) -> None:
    wider = IN_TIME.model_copy(update={threshold: value})
    gained = set(prepared(raw, SEEING, wider)["cell_id"].values) - set(prepared(raw, SEEING, IN_TIME)["cell_id"].values)
    assert gained == {100 * SEEING + unit}


def test_areas_with_few_units_and_unreliable_units_are_left_out(raw: Path) -> None:
    few = prepared(raw, SEEING, IN_TIME.model_copy(update={"min_units": 3}))
    assert set(few["region"].values) == {"VISp"} and "3 units of areas with fewer than 3" in few.attrs["left_out"]
    reliable = prepared(raw, SEEING, SCENES_ONLY.model_copy(update={"min_reliability": 0.99}))
    assert reliable["cell_id"].values.tolist() == [PLANTED]


def test_behaviour_is_averaged_over_the_same_windows(raw: Path, designs: dict[int, SessionDesign]) -> None:
    recording = prepared(raw, SEEING, ITEMS)
    design = designs[SEEING]
    middle_s = (design.running[0][1:] + design.running[0][:-1]) / 2
    table = design.presentations
    onset_s = table["start_time"][(table["stimulus_name"] == "natural_scenes") & (table["frame"] == 1)].to_numpy()
    sample = int(np.flatnonzero(recording["item"].values == "scene-001")[0])
    for repeat, start_s in enumerate(onset_s):
        inside = (middle_s >= start_s + 0.03) & (middle_s < start_s + 0.15)
        expected = design.running[1][inside].mean()
        np.testing.assert_allclose(recording["running_speed_cm_s"][repeat, sample], expected, rtol=1e-5)
    pupil = recording["pupil_area"].values[:, recording["stimulus"].values == "natural_scenes"]
    # the pupil was lost from 30 to 32 s
    assert np.isnan(pupil).any() and np.isfinite(pupil).any()
    assert np.isnan(prepared(raw, BLIND, ITEMS)["pupil_area"]).all()


def test_spikes_that_are_not_valid_are_missing_on_their_probe_only(
    raw: Path, designs: dict[int, SessionDesign]
) -> None:
    recording = prepared(raw, SEEING, ITEMS).sortby("target")
    table = designs[SEEING].presentations
    scenes = table[table["stimulus_name"] == "natural_scenes"]
    hit = scenes[(scenes["start_time"] + 0.03 < 26.3) & (scenes["start_time"] + 0.15 > 26.0)]
    assert len(hit) == 2
    full = np.where(recording["stimulus"].values == "natural_scenes", 4, 3)
    missing = full[:, None] - recording["n_repeats"].values
    on_probe_a = recording["probe"].values == "probeA"
    assert missing[:, ~on_probe_a].sum() == 0
    expected = np.zeros(recording.sizes["sample"], int)
    for frame in hit["frame"]:
        expected[np.flatnonzero(recording["condition"].values[:6] == frame)[0]] += 1
    np.testing.assert_array_equal(missing[:, on_probe_a], np.repeat(expected[:, None], on_probe_a.sum(), axis=1))


def test_spikes_without_relation_to_the_stimulus_are_not_reliable(raw: Path) -> None:
    random = [prepared(raw, session, ITEMS) for session in (SEEING, BLIND)]
    reliability = np.concatenate([one["reliability"].values[one["cell_id"].values != PLANTED] for one in random])
    assert reliability.size == 13 and reliability.mean() < 0.4


def test_stimuli(raw: Path, templates: tuple[dict[int, np.ndarray], list[np.ndarray]]) -> None:
    movie = prepare_stimulus("natural_movie_one", raw, IN_TIME)
    np.testing.assert_array_equal(movie["frames"].values[..., 0], templates[0][1])
    assert movie.attrs["frame_rate_hz"] == 30
    scenes = prepare_stimulus("natural_scenes", raw, ITEMS)
    np.testing.assert_array_equal(scenes["images"].values[..., 0], np.stack(templates[1]))
    static = prepare_stimulus("static_gratings", raw, ITEMS)
    items = prepared(raw, SEEING, ITEMS)["item"].values.tolist()
    assert static["item"].values.tolist() == [name for name in items if name.startswith("ori")]
    assert prepare_stimulus("drifting_gratings", raw, IN_TIME).sizes["frame"] == 3600


def test_allensdk_finds_the_files_in_the_folder(
    raw: Path, tmp_path: Path, templates: tuple[dict[int, np.ndarray], list[np.ndarray]]
) -> None:
    cache = ecephys_cache_class()(
        fetch_api=None, stream_writer=lambda *_: None, manifest=str(copy_of(raw, tmp_path) / "manifest.json")
    )
    np.testing.assert_array_equal(cache.get_natural_movie_template(1), templates[0][1])
    np.testing.assert_array_equal(cache.get_natural_scene_template(4), templates[1][4])
    found = Path(cache.get_cache_path(None, cache.SESSION_NWB_KEY, SEEING, SEEING))
    assert found.read_bytes() == (raw / nwb_path(SEEING)).read_bytes()


def test_no_unit_left_names_session_and_thresholds(raw: Path) -> None:
    with pytest.raises(BrokenArtifact) as caught:
        prepare_recording(f"session-{SEEING}", raw, AllenNeuropixelsOptions(areas=("VISam",)))
    message = str(caught.value)
    assert f"session {SEEING} has no unit left of 0 in VISam" in message
    assert "amplitude_cutoff_max 0.1, presence_ratio_min 0.95, isi_violations_max 0.5" in message
    strict = AllenNeuropixelsOptions(areas=("VISp",), presence_ratio_min=0.999)
    with pytest.raises(BrokenArtifact, match=r"no unit left of 8 in VISp \(left out: 8 units outside quality good"):
        prepare_recording(f"session-{SEEING}", raw, strict)
    with pytest.raises(BrokenArtifact, match=r"no unit left of 7 that pass .*, 7 units less reliable than 0\.99"):
        prepare_recording(f"session-{BLIND}", raw, ITEMS.model_copy(update={"min_reliability": 0.99}))


def test_altered_cut_and_missing_files_are_one_line(raw: Path, tmp_path: Path) -> None:
    folder = copy_of(raw, tmp_path)
    path = folder / nwb_path(SEEING)
    whole = path.read_bytes()
    name = f"session-{SEEING}"
    path.write_bytes(whole[:-4096])
    with pytest.raises(BrokenArtifact, match=r"changed since it was fetched .*snakemake fetch"):
        prepare_recording(name, folder, IN_TIME)
    rewritten(path, whole[: len(whole) // 2])
    with pytest.raises(BrokenArtifact, match=f"{path} cannot be read as a Neuropixels NWB file"):
        prepare_recording(name, folder, IN_TIME)
    path.unlink()
    with pytest.raises(BrokenArtifact, match=f"{path} is missing; run with the same --config: snakemake fetch"):
        prepare_recording(name, folder, IN_TIME)
    table = path.with_name(f"session_{SEEING}_channels.csv")
    rewritten(table, b"id,ecephys_structure_acronym\n1,VISp\n")
    with pytest.raises(BrokenArtifact, match=f"{table} lacks column 'anterior_posterior_ccf_coordinate'"):
        prepare_recording(name, folder, IN_TIME)


def test_templates_that_are_something_else_are_one_line(raw: Path, tmp_path: Path) -> None:
    folder = copy_of(raw, tmp_path)
    movie = folder / "natural_movie_templates/natural_movie_1.h5"
    rewritten(movie, movie.read_bytes()[:-5])
    with pytest.raises(BrokenArtifact, match=f"{movie} cannot be read as npy"):
        prepare_stimulus("natural_movie_one", folder, IN_TIME)
    np.save(tmp_path / "floats.npy", np.zeros((3, 4, 5)))
    rewritten(movie, (tmp_path / "floats.npy").read_bytes())
    with pytest.raises(BrokenArtifact, match=r"has shape \(3, 4, 5\) and type float64, expected \(frame, y, x\) uint8"):
        prepare_stimulus("natural_movie_one", folder, IN_TIME)
    scene = folder / scene_path(1)
    rewritten(scene, b"II*\x00 no picture")
    with pytest.raises(BrokenArtifact, match=f"{scene} cannot be read as TIFF"):
        prepare_stimulus("natural_scenes", folder, ITEMS)
    scene.unlink()
    with pytest.raises(BrokenArtifact, match=f"{scene} is missing"):
        prepare_stimulus("natural_scenes", folder, ITEMS)
    (folder / scene_path(4)).unlink()
    for number in (2, 3):
        (folder / scene_path(number)).rename(folder / scene_path(number - 1))
    with pytest.raises(SampleMismatch, match=r"scene [34] was shown, but the template has 3 images"):
        prepare_recording(f"session-{BLIND}", folder, ITEMS)
