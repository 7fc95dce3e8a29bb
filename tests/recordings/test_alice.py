"""Alice: the quirks of the published files, the clock, the mean over listeners, and broken files."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.catalogue import Catalogue
from pipeline.artifacts.recording import open_recording, write_recording
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import LayermapError
from pipeline.recordings.published.alice import DATASET, EXCLUSION_REASONS, HIGH_PASS_S, REGIONS, TR_S, AliceOptions

RATE_FOLDER = (
    "raw.githubusercontent.com/daandouwe/Thesis/ec54039b6ac5ad7bf8c81b91768108e5be5c1ce0/"
    "brain-data/syntax-in-rnng/alice_data_shared"
)


def _link(catalogue: Catalogue, mirror: Path, folder: Path) -> Path:
    for file in catalogue.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(mirror / file.url.removeprefix("https://"))
    return folder


@pytest.fixture(scope="module")
def raw_folder(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 28 listeners, s33 included."""
    return _link(DATASET.catalogue(AliceOptions(exclude=()), "k"), mirror, tmp_path_factory.mktemp("alice"))


@pytest.fixture
def own_copy(raw_folder: Path, tmp_path: Path) -> Path:
    """Files that a test may break."""
    return shutil.copytree(raw_folder, tmp_path / "raw", symlinks=False)


@pytest.fixture(scope="module")
def recording(raw_folder: Path):
    return DATASET.prepare_recording("timecourses", raw_folder, AliceOptions())


@pytest.fixture(scope="module")
def story(raw_folder: Path):
    return DATASET.prepare_stimulus("story", raw_folder, AliceOptions())


def _replace(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


def test_catalogue_lists_the_chosen_listeners_and_only_their_files() -> None:
    everyone = DATASET.catalogue(AliceOptions(), "k")
    assert len(everyone.groups[0].subjects) == 27 and "s33" not in everyone.groups[0].subjects
    assert len(everyone.files) == 27 * 3 + 1
    two = DATASET.catalogue(AliceOptions(limit=2), "k")
    assert two.groups[0].subjects == ("s18", "s22")
    assert len(two.files) == 2 * 3 + 1
    assert all(file.sha256 and file.bytes and file.url.startswith("https://raw.") for file in two.files)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_leaves_nobody_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        AliceOptions(limit=limit)


def test_an_unknown_listener_is_refused() -> None:
    with pytest.raises(ValueError, match="'s99' is not in the dataset"):
        AliceOptions(exclude=("s99",))


def test_recording_obeys_its_contract_and_survives_the_disk(recording, tmp_path: Path) -> None:
    write_recording(recording.assign_attrs(standard_attrs("recording", "test", "k", "s")), tmp_path / "r.nc")
    read = open_recording(tmp_path / "r.nc")
    assert read["responses"].shape == (1, 362, 28 * 6)
    assert read.attrs["n_subjects"] == 27
    assert read.attrs["excluded"] == f"s33: {EXCLUSION_REASONS['s33']}"
    assert read["target"].values[:2].tolist() == ["s18-LATL", "s18-RATL"]
    assert read["subject"].values[-6:].tolist() == ["mean"] * 6
    assert read["unit"].values.tolist() == list(REGIONS) * 28


def test_responses_are_orthogonal_to_drifts_and_motion(recording, raw_folder: Path) -> None:
    responses = recording["responses"].values[0]
    np.testing.assert_allclose(responses.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(responses.std(axis=0), 1, atol=1e-4)
    n = responses.shape[0]
    order = np.arange(1, int(2 * n * TR_S / HIGH_PASS_S) + 1)
    cosines = np.cos(np.pi * np.outer(np.arange(n) + 0.5, order) / n)
    assert np.abs(cosines.T @ responses / n).max() < 1e-4
    motion = np.loadtxt(next((raw_folder / "alice_data_shared").glob("s18-rp*")))[10:]
    motion -= cosines @ np.linalg.lstsq(cosines, motion, rcond=None)[0]
    motion -= motion.mean(axis=0)
    assert np.abs(motion.T @ responses[:, :6] / n / motion.std(axis=0)[:, None]).max() < 1e-4


def test_ceilings_of_the_mean_are_those_measured_before(recording) -> None:
    """√(S·r̄/(1+(S−1)·r̄)) lies at .78–.92 over the six regions."""
    ceilings = []
    for region in REGIONS:
        chosen = (recording["region"].values == region) & (recording["subject"].values != "mean")
        together = np.corrcoef(recording["responses"].values[0][:, chosen].T)
        mean_r = together[np.triu_indices(27, 1)].mean()
        ceilings.append(np.sqrt(27 * mean_r / (1 + 26 * mean_r)))
    np.testing.assert_allclose(ceilings, [0.86, 0.82, 0.92, 0.84, 0.81, 0.78], atol=0.011)


def test_mean_is_the_average_of_the_listeners(recording) -> None:
    responses = recording["responses"].values[0].reshape(362, 28, 6)
    mean = responses[:, :27].mean(axis=1)
    np.testing.assert_allclose(responses[:, 27], mean / mean.std(axis=0), atol=1e-4)


def test_a_constant_listener_is_named_and_stays_out_of_the_mean(raw_folder: Path, recording) -> None:
    everyone = DATASET.prepare_recording("timecourses", raw_folder, AliceOptions(exclude=()))
    assert everyone.attrs["constant_targets"] == ", ".join(f"s33-{region}" for region in REGIONS)
    assert everyone.attrs["n_subjects"] == 27
    flat = everyone["subject"].values == "s33"
    assert (everyone["responses"].values[:, :, flat] == 0).all()
    means = (data["responses"].values[:, :, data["subject"].values == "mean"] for data in (everyone, recording))
    np.testing.assert_allclose(*means, atol=1e-6)


def test_words_are_those_with_times(story, tmp_path: Path) -> None:
    write_stimulus(story.assign_attrs(standard_attrs("stimulus", "test", "k", "s")), tmp_path / "s.zarr")
    read = open_stimulus(tmp_path / "s.zarr")
    assert read.sizes["word"] == 2132 - 31
    assert read["text"].values[:3].tolist() == ["Alice", "was", "beginning"]
    assert np.isclose(read["onset_s"].values[0], 20.1198012)
    assert (np.diff(read["onset_s"].values) >= 0).all()
    assert (read["offset_s"].values >= read["onset_s"].values).all()
    suddenly = int(np.flatnonzero(read["text"].values == "suddenly")[0])
    assert np.isclose(read["offset_s"].values[suddenly], 54.18076273)  # the file says 52.4, before its onset
    assert np.isclose(read["onset_s"].values[suddenly + 1], 54.18076273)
    assert np.isfinite(read["log_frequency"].values).all()


def test_sound_power_is_that_of_the_listeners_but_s33(story, raw_folder: Path) -> None:
    assert story["regressor"].shape == (1, 362)
    assert story["regressor_name"].values.tolist() == ["sound_power"]
    power = story["regressor"].values[0]
    for listener, low, high in (("s18", 0.999, 1.0), ("s53", 0.999, 1.0), ("s33", -1.0, 0.99)):
        own = np.loadtxt(raw_folder / "alice_data_shared" / f"{listener}-sndpwr.txt")
        assert low < np.corrcoef(own, power)[0, 1] <= high


def test_clock_agrees_with_the_datasets_own_word_rate(story, recording, mirror: Path) -> None:
    """Word onsets under a canonical haemodynamic response fit s18-rate.txt best at the volumes' starts."""
    from scipy.stats import gamma

    step_s = 0.05
    grid_s = np.arange(0, 800, step_s)
    impulses = np.zeros(grid_s.size)
    np.add.at(impulses, (story["onset_s"].values / step_s).astype(int), 1)
    lag_s = np.arange(0, 32, step_s)
    rate = np.convolve(impulses, gamma.pdf(lag_s, 6) - gamma.pdf(lag_s, 16) / 6)[: grid_s.size]
    published = np.loadtxt(mirror / RATE_FOLDER / "s18-rate.txt")
    starts_s = recording["time_s"].values - TR_S
    shifts_s = np.arange(-3, 3.01, 0.2)
    fits = [np.corrcoef(np.interp(starts_s + shift, grid_s, rate), published)[0, 1] for shift in shifts_s]
    assert abs(shifts_s[int(np.argmax(fits))]) < 0.5
    assert max(fits) > 0.97


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        ("6mm/s18-timecourses.txt", lambda text: text[: len(text) // 2].rsplit("\n", 1)[0] + "\n", "expected 362"),
        ("6mm/s18-timecourses.txt", lambda text: text[: len(text) // 2], "columns, expected 6|rows, expected 362"),
        ("6mm/s18-timecourses.txt", lambda text: text.replace("e+", "x", 1), "no table of numbers"),
        ("6mm/s18-timecourses.txt", lambda text: "nan " + text.split(maxsplit=1)[1], "NaN or infinity"),
        ("s18-rp_epiRTwm2_scan_0004__003.txt", lambda text: text.split("\n", 10)[10], "362 rows, expected 372"),
    ],
)
def test_a_broken_table_is_one_line_that_names_it(own_copy: Path, file: str, spoil, message: str) -> None:
    path = own_copy / "alice_data_shared" / file
    _replace(path, spoil(path.read_text()))
    with pytest.raises(LayermapError, match=message) as caught:
        DATASET.prepare_recording("timecourses", own_copy, AliceOptions(limit=1))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("Word Onset", "Onset", 1), "lacks column 'Word Onset'"),
        (lambda text: text.replace("\t20.1198012\t", "\tsoon\t", 1), "line 2: Word Onset is 'soon'"),
        (lambda text: text.replace("\t20.1198012\t", "\t30.1\t", 1), "line 3: the onset lies before"),
        (lambda text: text[: text.rindex("\t", 0, len(text) // 2)], "cells where the header has"),
        (lambda text: text[: text.rindex("\n", 0, len(text) // 2)], "words with times, expected 2101"),
        (lambda text: text.replace("\t8.65\t", "\t\t", 1), "line 2: LogFreq is ''"),
    ],
)
def test_a_broken_word_table_is_one_line_that_names_it(own_copy: Path, spoil, message: str) -> None:
    path = own_copy / "ds002322" / "code" / "annotations.tsv"
    _replace(path, spoil(path.read_text()))
    with pytest.raises(LayermapError, match=message) as caught:
        DATASET.prepare_stimulus("story", own_copy, AliceOptions(limit=1))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(own_copy: Path) -> None:
    (own_copy / "alice_data_shared" / "s18-sndpwr.txt").unlink()
    with pytest.raises(LayermapError, match=r"s18-sndpwr\.txt is missing; fetch it with: snakemake fetch"):
        DATASET.prepare_stimulus("story", own_copy, AliceOptions(limit=1))
