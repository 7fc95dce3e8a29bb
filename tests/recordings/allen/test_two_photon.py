"""Experiments in the true layout, read through allensdk into recordings: every number against a direct count."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.recording import open_recording, write_recording
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.keys import sha256_of_file
from pipeline.fetch.checks.digests import digest_file, record_digest
from pipeline.recordings.allen.two_photon.catalogue import chosen_cells_path, events_path, nwb_path
from pipeline.recordings.allen.two_photon.dataset import prepare_recording, prepare_stimulus
from pipeline.recordings.allen.two_photon.options import Allen2pOptions
from pipeline.simulated.nwb_writer import Experiment, Shown, write_experiment

RATE_HZ = 30.2
N_CELLS = 5
A, B = 601, 602
MOVIES = ("natural_movie_one", "natural_movie_three")
P = "processing/brain_observatory_pipeline"


def clock(n_samples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return 7 + np.arange(n_samples) / RATE_HZ + generator.normal(0, 2e-4, n_samples)


def session(number: int, letter: str, stimuli: dict[str, Shown], n_samples: int, pupil: bool = True) -> Experiment:
    generator = np.random.default_rng(number)
    times_s = clock(n_samples, number)
    return Experiment(
        experiment_id=number,
        container_id=600,
        session_type=f"three_session_{letter}",
        specimen="Cux2-CreERT2;Camk2a-tTA;Ai93-283284",
        area="VISl",
        depth_um=175,
        genotype="Cux2-CreERT2/wt",
        note="noise",
        cell_ids=600_000 + generator.permutation(N_CELLS),
        timestamps_s=times_s,
        dff=generator.standard_normal((N_CELLS, n_samples)),
        stimuli=stimuli,
        spontaneous=[(0, 100)],
        running_cm_s=generator.exponential(3, n_samples),
        pupil=(times_s[0] + np.arange(n_samples) / 30, generator.uniform(500, 900, n_samples)) if pupil else None,
    )


def movie(first: int, n_frames: int, n_repeats: int, size: int) -> Shown:
    start = first + np.arange(n_frames * n_repeats)
    frames = np.random.default_rng(size).integers(0, 256, (n_frames, 6, 12), np.uint8)
    return Shown(np.tile(np.arange(n_frames), n_repeats), np.stack([start, start + 1], axis=1), frames)


def of_items(first: int, data: np.ndarray, **rest: object) -> Shown:
    start = first + 8 * np.arange(len(data))
    return Shown(data, np.stack([start, start + 7], axis=1), **rest)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Session A (two movies) and session B (scenes, static gratings) of one container."""
    folder = tmp_path_factory.mktemp("allen_2p")
    generator = np.random.default_rng(0)
    scenes = generator.permutation(np.repeat(np.arange(-1, 7), 6))
    static = np.array([[ori, 0.04, 0.25] for ori in (0.0, 30, 60)] + [[np.nan] * 3])
    order = generator.permutation(np.repeat(np.arange(4), 5))
    experiments = [
        session(A, "A", {"natural_movie_one": movie(150, 60, 4, 1), "natural_movie_three": movie(450, 90, 3, 2)}, 800),
        session(
            B,
            "B",
            {
                "natural_scenes": of_items(150, scenes, template=generator.integers(0, 256, (7, 9, 12), np.uint8)),
                "static_gratings": of_items(560, static[order], features=("orientation", "spatial_frequency", "phase")),
            },
            800,
            pupil=False,
        ),
    ]
    for one in experiments:
        path = folder / nwb_path(one.experiment_id)
        path.parent.mkdir(exist_ok=True)
        write_experiment(path, one)
        events = folder / events_path(one.experiment_id)
        events.parent.mkdir(exist_ok=True)
        np.savez_compressed(events, ev=np.maximum(one.dff, 0).astype(np.float32))
        for file in (path, events):
            record_digest(file, sha256_of_file(file))
    return folder


@pytest.fixture
def copied(raw: Path, tmp_path: Path) -> Path:
    shutil.copytree(raw, tmp_path / "raw")
    return tmp_path / "raw"


def traces(raw: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(raw / nwb_path(number)) as file:
        plane = file[f"{P}/DfOverF/imaging_plane_1"]
        return plane["timestamps"][:], plane["data"][:]


def written(recording: xr.Dataset, folder: Path) -> xr.Dataset:
    attrs = {name: value for name, value in recording.attrs.items() if name != "inputs_sha"}
    path = folder / "recording.nc"
    write_recording(recording.assign_attrs(attrs | standard_attrs("recording", "test", "0", "0")), path)
    return open_recording(path)


def test_movies_are_binned_through_the_2_photon_clock(raw, tmp_path):
    options = Allen2pOptions(stimuli=MOVIES, signal="dff", frames_per_bin=15)
    recording = written(prepare_recording(str(A), raw, options), tmp_path)
    assert dict(recording.sizes) == {"repeat": 4, "sample": 4 + 6, "target": N_CELLS}
    assert recording["stimulus"].values.tolist() == [MOVIES[0]] * 4 + [MOVIES[1]] * 6
    np.testing.assert_allclose(recording["time_s"], [0.5, 1, 1.5, 2, 0.5, 1, 1.5, 2, 2.5, 3])
    times_s, dff = traces(raw, A)
    # second bin of the third pass of movie one
    means = []
    for frame in range(15, 30):
        onset_s = times_s[150 + 2 * 60 + frame]
        means.append(dff[:, (times_s >= onset_s) & (times_s < onset_s + 0.5)].mean(axis=1))
    np.testing.assert_allclose(recording["responses"].values[2, 1], np.mean(means, axis=0), rtol=1e-4, atol=1e-6)
    assert np.isnan(recording["responses"].values[3, 4:]).all()  # movie three was shown three times
    assert recording["n_repeats"].values[:, 0].tolist() == [4] * 4 + [3] * 6


def test_what_is_known_of_the_cells_and_the_session(raw, tmp_path):
    recording = written(prepare_recording(str(A), raw, Allen2pOptions(stimuli=MOVIES)), tmp_path)
    assert sorted(recording["target"].values) == [f"60000{cell}" for cell in range(N_CELLS)]
    assert set(recording["region"].values) == {"VISl"} and set(recording["subject"].values) == {"mouse-283284"}
    assert set(recording["depth_um"].values) == {175}
    attrs = recording.attrs
    assert (attrs["member"], attrs["session_type"], attrs["units"]) == (
        "container-600",
        "three_session_A",
        "inferred events",
    )
    assert attrs["sample_interval_s"] == 0.5 and attrs["left_out"] == ""


def test_events_are_read_from_their_own_file(raw):
    options = Allen2pOptions(stimuli=MOVIES, response_window_s=(0.0, 0.5))
    events = prepare_recording(str(A), raw, options)["responses"].values
    times_s, dff = traces(raw, A)
    onset_s = times_s[150:165]
    expected = [np.maximum(dff, 0)[:, (times_s >= one) & (times_s < one + 0.5)].mean(axis=1) for one in onset_s]
    np.testing.assert_allclose(events[0, 0], np.mean(expected, axis=0), atol=2e-4)


def test_running_and_pupil_are_coordinates_of_the_samples(raw):
    recording = prepare_recording(str(A), raw, Allen2pOptions(stimuli=MOVIES, signal="dff"))
    times_s, _ = traces(raw, A)
    with h5py.File(raw / nwb_path(A)) as file:
        running = file[f"{P}/BehavioralTimeSeries/running_speed/data"][:]
    speed = recording["running_speed_cm_s"]
    assert speed.dims == ("repeat", "sample")
    means = [running[(times_s >= one) & (times_s < one + 0.5)].mean() for one in times_s[150 + 60 : 150 + 75]]
    np.testing.assert_allclose(speed.values[1, 0], np.mean(means), rtol=1e-4)
    pupil = recording["pupil_area"].values
    assert np.isfinite(pupil[:3]).all() and np.isnan(pupil[3, 4:]).all() and (pupil[0] > 500).all()


def test_scenes_keep_the_grey_screen_as_condition_minus_one(raw, tmp_path):
    options = Allen2pOptions(stimuli=("natural_scenes",), signal="dff")
    recording = written(prepare_recording(str(B), raw, options), tmp_path)
    assert recording["item"].values.tolist() == [f"scene-{n:03d}" for n in range(7)] + ["blank"]
    assert recording["condition"].values.tolist() == [*range(7), -1]
    assert recording["blank"].values.tolist() == [0] * 7 + [1]
    assert recording.attrs["sample_kind"] == "item" and recording.sizes["repeat"] == 6
    times_s, dff = traces(raw, B)
    with h5py.File(raw / nwb_path(B)) as file:
        group = file["stimulus/presentation/natural_scenes_stimulus"]
        condition, start = group["data"][:], group["frame_duration"][:, 0]
    second = times_s[start[condition == 3][1]]
    expected = dff[:, (times_s >= second) & (times_s < second + 0.5)].mean(axis=1)
    np.testing.assert_allclose(recording["responses"].values[1, 3], expected, rtol=1e-4, atol=1e-6)
    assert np.isnan(recording["pupil_area"].values).all()  # no eye tracking in this session


def test_static_gratings_are_items_with_pictures_drawn_for_them(raw, tmp_path):
    options = Allen2pOptions(stimuli=("static_gratings",), signal="dff")
    recording = prepare_recording(str(B), raw, options)
    names = [f"ori{ori}-sf0.04-phase0.25" for ori in (0, 30, 60)]
    assert recording["item"].values.tolist() == [*names, "blank"] and recording.sizes["repeat"] == 5
    stimulus = prepare_stimulus("static_gratings", raw, options)
    assert stimulus["item"].values.tolist() == names


def test_stimuli_come_from_the_templates(raw, tmp_path):
    for name, options, number in (
        ("natural_movie_three", Allen2pOptions(stimuli=MOVIES), A),
        ("natural_scenes", Allen2pOptions(stimuli=("natural_scenes",)), B),
    ):
        stimulus = prepare_stimulus(name, raw, options)
        stimulus.attrs.pop("inputs_sha")
        write_stimulus(stimulus.assign_attrs(standard_attrs("stimulus", "t", "0", "0")), tmp_path / f"{name}.zarr")
        opened = open_stimulus(tmp_path / f"{name}.zarr")
        with h5py.File(raw / nwb_path(number)) as file:
            template = file[f"stimulus/templates/{name}_image_stack/data"][:]
        pictures = opened["frames"] if "frames" in opened else opened["images"]
        np.testing.assert_array_equal(pictures.values[..., 0], template)
    with pytest.raises(BrokenArtifact, match="holds no experiment that showed natural_movie_two"):
        prepare_stimulus("natural_movie_two", raw, Allen2pOptions(stimuli=("natural_movie_two",)))


def test_a_shared_recording_does_not_depend_on_the_selection(raw):
    few = prepare_recording(str(A), raw, Allen2pOptions(stimuli=MOVIES, limit=1, areas=("VISl",)))
    many = prepare_recording(str(A), raw, Allen2pOptions(stimuli=MOVIES))
    xr.testing.assert_identical(few, many)


def test_cells_that_are_not_reliable_or_not_chosen_are_left_out_and_counted(copied):
    everything = prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES))
    reliability = everything["reliability"].values
    floor = float(np.sort(reliability)[-2])
    some = prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, min_reliability=floor))
    assert some.sizes["target"] == 2 and some.attrs["left_out"].startswith("3 cells less reliable than")
    options = Allen2pOptions(stimuli=MOVIES, cell_filters=({"field": "osi_sg", "op": ">", "value": 0.1},))
    document = copied / chosen_cells_path(options)
    document.parent.mkdir()
    document.write_text(json.dumps({"600": [600_001, 600_004]}))
    record_digest(document, sha256_of_file(document))
    chosen = prepare_recording(str(A), copied, options)
    assert sorted(chosen["cell_id"].values) == [600_001, 600_004]
    with pytest.raises(
        BrokenArtifact, match=r"experiment 601 .*has no cell left of 5: 5 cells less reliable than 0\.999"
    ):
        prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, min_reliability=0.999))


def test_cells_with_gaps_in_their_traces_are_left_out(copied):
    path = copied / nwb_path(A)
    with h5py.File(path, "r+") as file:
        file[f"{P}/DfOverF/imaging_plane_1/data"][2, 200:203] = np.nan
    record_digest(path, sha256_of_file(path))
    recording = prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, signal="dff"))
    assert (
        recording.sizes["target"] == N_CELLS - 1 and recording.attrs["left_out"] == "1 cells with gaps in their traces"
    )


def test_a_cell_with_gaps_leaves_the_reliability_of_the_others_alone(copied):
    before = prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, min_reliability=0.01))
    events = copied / events_path(A)
    values = np.load(events)["ev"]
    (gone,) = np.flatnonzero(np.isin(before["cell_id"].values, before["cell_id"].values[:1]))
    with h5py.File(copied / nwb_path(A)) as file:
        row = file[f"{P}/ImageSegmentation/cell_specimen_ids"][:].tolist().index(before["cell_id"].values[gone])
    values[row] = np.nan
    np.savez_compressed(events, ev=values)
    record_digest(events, sha256_of_file(events))
    after = prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, min_reliability=0.01))
    assert after["cell_id"].values.tolist() == before["cell_id"].values[1:].tolist()
    np.testing.assert_allclose(after["reliability"], before["reliability"][1:])


def test_running_that_starts_off_the_clock_and_columns_of_one_are_read(copied):
    """allensdk cannot fit such speed to its clock, and documents pupil times and areas as N × 1."""
    before = prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, signal="dff"))
    path = copied / nwb_path(A)
    with h5py.File(path, "r+") as file:
        running = file[f"{P}/BehavioralTimeSeries/running_speed"]
        times_s = running["timestamps"][:] + 1e-9
        del running["timestamps"]
        running["timestamps"] = times_s
        pupil = file[f"{P}/PupilTracking/pupil_size"]
        for name in ("timestamps", "data"):
            column = pupil[name][:][:, None]
            del pupil[name]
            pupil[name] = column
    record_digest(path, sha256_of_file(path))
    after = prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, signal="dff"))
    for name in ("running_speed_cm_s", "pupil_area"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5)


def test_a_broken_file_of_another_selection_does_not_stop_a_stimulus(copied):
    first = copied / nwb_path(500)
    first.write_bytes(b"broken")
    record_digest(first, sha256_of_file(first))
    assert prepare_stimulus("natural_movie_one", copied, Allen2pOptions(stimuli=MOVIES)).sizes["frame"] == 60
    digest_file(first).unlink()  # put there by hand
    assert prepare_stimulus("natural_movie_one", copied, Allen2pOptions(stimuli=MOVIES)).sizes["frame"] == 60


@pytest.mark.parametrize("which", ["nwb", "events"])
def test_a_flipped_byte_is_never_used(copied, which):
    path = copied / (nwb_path(A) if which == "nwb" else events_path(A))
    altered = bytearray(path.read_bytes())
    altered[len(altered) // 2] ^= 1
    stamp = path.stat()
    path.write_bytes(altered)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a failing disk does it
    with pytest.raises(BrokenArtifact, match=r"changed since it was fetched .*--forcerun fetch_recordings") as error:
        prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: digest_file(path).unlink(), r"\.sha256 is missing, so .* may be incomplete"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4000]), "changed since it was fetched"),
    ],
)
def test_what_is_not_whole_is_refused(copied, broken, message):
    broken(copied / nwb_path(A))
    with pytest.raises(BrokenArtifact, match=message):
        prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, signal="dff"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.__delitem__(f"{P}/DfOverF"), "cannot be read as a 2-photon NWB file"),
        (
            lambda file: file["stimulus/presentation/natural_movie_one_stimulus/data"].__setitem__(5, 0),
            "stimulus table is not valid|not 4 passes through",
        ),
        (
            lambda file: file["stimulus/presentation/natural_movie_one_stimulus/frame_duration"].__setitem__(
                5, [9999, 10000]
            ),
            "was shown at 2-photon samples",
        ),
    ],
)
def test_files_that_are_whole_but_wrong_are_one_line(copied, change, message):
    path = copied / nwb_path(A)
    with h5py.File(path, "r+") as file:
        change(file)
    record_digest(path, sha256_of_file(path))
    with pytest.raises(LayermapError, match=message) as error:
        prepare_recording(str(A), copied, Allen2pOptions(stimuli=MOVIES, signal="dff"))
    assert str(path) in str(error.value) and "\n" not in str(error.value)
