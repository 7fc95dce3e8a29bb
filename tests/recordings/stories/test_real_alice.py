"""The real time courses of Alice's listeners as a BIDS dataset give what dataset `alice` gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.activations.stage import extract_activations
from pipeline.artifacts.recording import RecordingParts, write_recording
from pipeline.artifacts.stimulus import write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.encoding.mappings.ridge import RIDGE, RidgeOptions
from pipeline.encoding.stage import encode_group
from pipeline.fetch.stage import fetch_files
from pipeline.inference.scores.fold_scores import block_sums, fold_scores
from pipeline.models.baselines.word_baselines import WORD_RATE
from pipeline.recordings.bids import local as bids
from pipeline.recordings.published import alice
from pipeline.recordings.stories import alice_bold
from tests.conftest import MIRROR
from tests.recordings.stories.raw_folders import SHAPE, VOXEL_MM, write_text, write_volumes

pytestmark = [pytest.mark.mirror, pytest.mark.skipif(not MIRROR.is_dir(), reason="needs ../shared/mirror")]

VOXELS = dict(zip(alice.REGIONS, ((0, 0, 0), (3, 0, 0), (0, 3, 0), (3, 3, 0), (0, 0, 3), (3, 0, 3)), strict=True))
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
assert SHAPE == (4, 4, 4)


def numbers(folder: Path, pattern: str) -> np.ndarray:
    (path,) = folder.glob(pattern)
    return np.loadtxt(path)


@pytest.fixture(scope="module")
def region_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `alice` fetches, from the mirror."""
    folder = tmp_path_factory.mktemp("alice")
    for file in alice.catalogue(alice.AliceOptions(), "key").files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).symlink_to(MIRROR / file.url.removeprefix("https://"))
    return folder


@pytest.fixture(scope="module")
def dataset(region_version: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BIDS dataset whose voxels hold the real courses: 362 of 372 volumes, confounds alike, events and words."""
    folder = tmp_path_factory.mktemp("bids")
    courses = region_version / "alice_data_shared" / "6mm"
    listeners = sorted(path.name.partition("-")[0] for path in courses.glob("*-timecourses.txt"))
    for listener in listeners:
        stem = f"derivatives/spm/sub-{listener}/func/sub-{listener}_task-alice"
        values = numbers(courses.parent, f"**/{listener}-timecourses.txt")
        write_volumes(
            folder / f"{stem}_space-MNI_bold.nii.gz",
            {voxel: values[:, number] for number, voxel in enumerate(VOXELS.values())},
            2.0,
        )
        motion = numbers(courses.parent, f"**/{listener}-rp*.txt")[10:]
        rows = ["\t".join(MOTION), *("\t".join(map(repr, row.tolist())) for row in motion)]
        write_text(folder / f"{stem}_desc-confounds_timeseries.tsv", "\n".join(rows) + "\n")
    write_text(folder / "task-alice_events.tsv", "onset\tduration\tstim_file\n0\t748\talice.wav\n")
    shutil.copy(region_version / alice.WORDS_FILE, folder / "words.tsv")
    return folder


@pytest.fixture(scope="module")
def options(dataset: Path) -> bids.LocalBidsOptions:
    return bids.LocalBidsOptions(
        folder=dataset,
        derivatives="derivatives/spm",
        space="MNI",
        stories=[{"name": "story", "task": "alice", "audio": "alice.wav", "words": "words.tsv"}],
        heard_as="words",
        word_columns=alice_bold.WORD_COLUMNS,
        confounds=MOTION,
        n_dropped_volumes=10,
        repetition_time_s=2.0,
        parcellation={
            "kind": "spheres",
            "coordinates": {name: [VOXEL_MM * axis for axis in voxel] for name, voxel in VOXELS.items()},
            "radius_mm": 2.0,
        },
    )


@pytest.fixture(scope="module")
def raw_folder(options: bids.LocalBidsOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fetch leaves of the dataset."""
    folder = tmp_path_factory.mktemp("raw")
    catalogue = bids.catalogue(options, "key")
    fetch_files(catalogue.files, folder, mirror=None, what="bids", key="key", receipt_path=folder / "receipt.json")
    return folder


def test_responses_and_clock_are_the_same(
    region_version: Path, raw_folder: Path, options: bids.LocalBidsOptions
) -> None:
    before = alice.prepare_recording("timecourses", region_version, alice.AliceOptions())
    now = bids.DATASET.prepare_recording("story", raw_folder, options).whole()  # type: ignore[union-attr]
    np.testing.assert_array_equal(now["time_s"], before["time_s"])
    for region in alice.REGIONS:
        for subject in np.unique(before["subject"].values).tolist():
            old = before["responses"].values[0, :, (before["subject"] == subject) & (before["region"] == region)]
            name = subject if subject == "mean" else f"sub-{subject}"
            new = now["responses"].values[0, :, (now["subject"] == name) & (now["region"] == region)]
            np.testing.assert_allclose(new, old, atol=1e-3, err_msg=f"{subject} {region}")


def scores(folder: Path, stimulus: xr.Dataset, recording: xr.Dataset | RecordingParts) -> xr.DataArray:
    """Held-out scores of word rate and frequency for the mean listener's regions, over the folds of study `alice`."""
    attrs = standard_attrs("stimulus", "test", "0", "0")
    write_stimulus(stimulus.assign_attrs({**stimulus.attrs, **attrs}), folder / "story.zarr")
    whole = recording.whole() if isinstance(recording, RecordingParts) else recording
    write_recording(whole.assign_attrs(standard_attrs("recording", "test", "0", "0")), folder / "story.nc")
    extract_activations(
        stimulus_path=folder / "story.zarr",
        output=folder / "activations.zarr",
        model="word-rate",
        entry=WORD_RATE,
        twin=None,
        layers=None,
        reduction=None,
        weights_folder=None,
        device="cpu",
        attrs=standard_attrs("activations", "test", "0", "0"),
    )
    found = encode_group(
        RIDGE,
        runs=[(folder / "story.nc", folder / "activations.zarr")],
        options=RidgeOptions(splits={"n_folds": 6}, delays_s=(2.0, 8.0)),
        layers=None,
        attrs={"study": "s", "analysis": "a", "group": "g", "created_by": "test", "config_sha": "0", "inputs_sha": "0"},
        shuffle_seed=None,
    )
    r = fold_scores(block_sums(found)).score[0, 0]
    mean = found["subject"].values == "mean"
    return xr.DataArray(r[mean], coords={"region": found["region"].values[mean].astype(str)}, dims="region")


def test_scores_of_word_rate_are_the_same(
    region_version: Path, raw_folder: Path, options: bids.LocalBidsOptions, tmp_path: Path
) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "now").mkdir()
    before = scores(
        tmp_path / "before",
        alice.prepare_stimulus("story", region_version, alice.AliceOptions()),
        alice.prepare_recording("timecourses", region_version, alice.AliceOptions()),
    )
    now = scores(
        tmp_path / "now",
        bids.DATASET.prepare_stimulus("story", raw_folder, options),
        bids.DATASET.prepare_recording("story", raw_folder, options),
    )
    published = {"LATL": 0.38, "RATL": 0.36, "LPTL": 0.40, "LIPL": 0.47, "LPreM": 0.48, "LIFG": 0.35}
    for region, r in published.items():
        assert float(now.sel(region=region)) == pytest.approx(float(before.sel(region=region)), abs=1e-3)
        assert float(now.sel(region=region)) == pytest.approx(r, abs=0.02)
