"""The 165 sounds and their components: contents, a benchmark known from before, and broken files."""

import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pipeline.artifacts.recording import open_recording, write_recording
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import LayermapError
from pipeline.recordings.published.natsound165 import COMPONENTS_FILE, DATASET, NatSoundOptions
from pipeline.recordings.published.pinned_files import pinned_files
from pipeline.stimuli.file_remarks import Notes
from pipeline.stimuli.sounds.audio_files import read_sound

OPTIONS = NatSoundOptions()


@pytest.fixture(scope="module")
def raw_folder(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("natsound165")
    for file in DATASET.catalogue(OPTIONS, "k").files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(mirror / file.url.removeprefix("https://"))
    return folder


@pytest.fixture
def components_only(raw_folder: Path, tmp_path: Path) -> Path:
    """A copy of the component file that a test may break, and no sounds."""
    (tmp_path / "data").mkdir()
    shutil.copy(raw_folder / COMPONENTS_FILE, tmp_path / COMPONENTS_FILE)
    return tmp_path


@pytest.fixture(scope="module")
def recording(raw_folder: Path):
    return DATASET.prepare_recording("components", raw_folder, OPTIONS)


@pytest.fixture(scope="module")
def sounds(raw_folder: Path):
    return DATASET.prepare_stimulus("sounds", raw_folder, OPTIONS)


def test_catalogue_pins_every_sound_and_the_components() -> None:
    catalogue = DATASET.catalogue(OPTIONS, "k")
    assert [group.name for group in catalogue.groups] == ["components"]
    assert sum(file.path.endswith(".wav") for file in catalogue.files) == 165
    assert len(catalogue.files) == 166
    assert all(file.sha256 and file.bytes for file in catalogue.files)


def test_recording_obeys_its_contract_and_speaks_of_components(recording, tmp_path: Path) -> None:
    write_recording(recording.assign_attrs(standard_attrs("recording", "test", "k", "s")), tmp_path / "r.nc")
    read = open_recording(tmp_path / "r.nc")
    assert read["responses"].shape == (1, 165, 6)
    assert read["target"].values.tolist() == ["lowfreq", "highfreq", "envsounds", "pitch", "speech", "music"]
    assert set(read["subject"].values.tolist()) == {"group"}
    assert "voxel" not in str(read.attrs)
    assert len(set(read["category"].values.tolist())) == 11


def test_sounds_are_the_recordings_items_in_order(sounds, recording, tmp_path: Path) -> None:
    write_stimulus(sounds.assign_attrs(standard_attrs("stimulus", "test", "k", "s")), tmp_path / "s.zarr")
    read = open_stimulus(tmp_path / "s.zarr")
    assert read["item"].values.tolist() == recording["item"].values.tolist()
    assert read["category"].values.tolist() == recording["category"].values.tolist()
    assert read["clips"].shape == (165, 88200) and read.attrs["sampling_rate_hz"] == 44100
    assert np.abs(read["clips"].values).max() <= 1


def test_sounds_agree_with_the_standard_library(sounds, raw_folder: Path) -> None:
    for clip in (0, 164):
        with wave.open(str(raw_folder / "sounds" / "wav" / f"{sounds['item'].values[clip]}.wav")) as stream:
            expected = np.frombuffer(stream.readframes(stream.getnframes()), "<i2") / 32768
        np.testing.assert_array_equal(sounds["clips"].values[clip], expected.astype(np.float32))


def test_components_match_categories_as_measured_before(recording) -> None:
    """An 11-category one-hot predicts the components with fold-mean r .70 .48 .46 .76 .94 .81 (5 random folds)."""
    from sklearn.linear_model import Ridge

    responses = recording["responses"].values[0]
    names, category = np.unique(recording["category"].values, return_inverse=True)
    one_hot = np.eye(names.size)[category]
    fold_r = []
    for seed in range(5):
        fold = np.random.default_rng(seed).permutation(165) % 5
        for held_out in range(5):
            train, test = fold != held_out, fold == held_out
            predicted = Ridge(1.0).fit(one_hot[train], responses[train]).predict(one_hot[test])
            fold_r.append([np.corrcoef(predicted[:, t], responses[test, t])[0, 1] for t in range(6)])
    np.testing.assert_allclose(
        np.tanh(np.arctanh(fold_r).mean(axis=0)), [0.70, 0.48, 0.46, 0.76, 0.94, 0.81], atol=0.05
    )


def test_a_truncated_component_file_is_one_line(components_only: Path) -> None:
    path = components_only / COMPONENTS_FILE
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(LayermapError, match="MATLAB") as caught:
        DATASET.prepare_recording("components", components_only, OPTIONS)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda contents: contents.pop("category_labels"), "lacks variable 'category_labels'"),
        (lambda contents: contents.update(R=contents["R"][:-1]), r"R has shape \(164, 6\), expected \(165, 6\)"),
        (lambda contents: contents.update(stim_names=contents["stim_names"][:, :-1]), "names 164 items, expected 165"),
    ],
)
def test_an_altered_component_file_is_one_line(components_only: Path, alter, message: str) -> None:
    path = components_only / COMPONENTS_FILE
    contents = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    alter(contents)
    savemat(path, contents)
    with pytest.raises(LayermapError, match=message) as caught:
        DATASET.prepare_recording("components", components_only, OPTIONS)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("n_bytes", [0, 30, 60_000])
def test_a_truncated_sound_is_one_line(raw_folder: Path, tmp_path: Path, n_bytes: int) -> None:
    source = next((raw_folder / "sounds" / "wav").iterdir())
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes()[:n_bytes])
    with pytest.raises(LayermapError, match=r"is empty|cannot be read as sound|is cut short") as caught:
        read_sound(path, Notes())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_sound_of_another_length_is_refused(components_only: Path) -> None:
    item = str(loadmat(components_only / COMPONENTS_FILE)["stim_names"].ravel()[0].item())
    path = components_only / "sounds" / "wav" / f"{item}.wav"
    path.parent.mkdir(parents=True)
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, 44100, 0, "NONE", ""))
        stream.writeframes(bytes(2 * 44100))
    with pytest.raises(LayermapError, match="44100 samples at 44100 Hz, expected 88200") as caught:
        DATASET.prepare_stimulus("sounds", components_only, OPTIONS)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_every_width_is_read_to_its_own_resolution(tmp_path: Path, width: int) -> None:
    wanted = np.array([[-1.0, 0.0], [0.5, 0.5], [0.0, 0.25], [-0.25, -0.75]])
    full_scale = 2 ** (8 * width - 1)
    integers = (wanted * full_scale).astype(np.int64) + (128 if width == 1 else 0)
    frames = b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in integers.ravel())
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as stream:
        stream.setparams((2, width, 8000, 0, "NONE", ""))
        stream.writeframes(frames)
    samples, sampling_rate_hz = read_sound(tmp_path / "stereo.wav", Notes())
    assert sampling_rate_hz == 8000 and samples.dtype == np.float32
    np.testing.assert_allclose(samples, wanted.mean(axis=1), atol=1e-7)


def test_a_dataset_without_a_list_is_one_line() -> None:
    with pytest.raises(LayermapError, match=r"nowhere\.tsv is missing"):
        pinned_files("nowhere")


@pytest.mark.parametrize("dataset", ["natsound165", "alice", "allen_scenes"])
def test_pinned_lists_agree_with_the_mirror(dataset: str, mirror: Path) -> None:
    """Addresses name a commit; sizes and hashes are those of SOURCES.tsv and, for sizes, of the bytes."""
    lines = (mirror / "SOURCES.tsv").read_text(encoding="utf-8").splitlines()[1:]
    sources = {line.split("\t")[0]: tuple(line.split("\t")[1:3]) for line in lines}
    files = pinned_files(dataset)
    assert len({file.path for file in files}) == len(files)
    for file in files:
        place = file.url.removeprefix("https://")
        assert len(place.split("/")[3]) == 40
        assert sources[place] == (str(file.bytes), file.sha256)
        assert (mirror / place).stat().st_size == file.bytes
