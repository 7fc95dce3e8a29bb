"""Allen natural scenes: what is in the matrices, pixel similarities known from before, and broken files."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.artifacts.geometry import open_geometry, write_geometry
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import LayermapError
from pipeline.formats.unpickle import SIMILARITY_MATRICES, load_restricted
from pipeline.recordings.published.allen_scenes import (
    CEILINGS_FILE,
    DATASET,
    IMAGES_FILE,
    MATRICES_FILE,
    AllenScenesOptions,
)

OPTIONS = AllenScenesOptions()


@pytest.fixture(scope="module")
def raw_folder(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("allen_scenes")
    for file in DATASET.catalogue(OPTIONS, "k").files:
        (folder / file.path).symlink_to(mirror / file.url.removeprefix("https://"))
    return folder


@pytest.fixture
def own_copy(raw_folder: Path, tmp_path: Path) -> Path:
    """Files that a test may break."""
    return shutil.copytree(raw_folder, tmp_path / "raw", symlinks=False)


@pytest.fixture(scope="module")
def areas(raw_folder: Path):
    return DATASET.prepare_recording("areas", raw_folder, OPTIONS)


@pytest.fixture(scope="module")
def scenes(raw_folder: Path):
    return DATASET.prepare_stimulus("scenes", raw_folder, OPTIONS)


def test_geometry_obeys_its_contract_and_lacks_the_degenerate_target(areas, tmp_path: Path) -> None:
    write_geometry(areas.assign_attrs(standard_attrs("geometry", "test", "k", "s")), tmp_path / "g.nc")
    read = open_geometry(tmp_path / "g.nc")
    assert read["similarity"].shape == (118, 118, 20)
    assert "VISrl L5" not in read["target"].values.tolist()
    assert read.attrs["ceiling_kind"] == "split_half_trials"
    assert sorted(read["region"].values[read["compartment"].values == "L6"]) == ["VISl", "VISp", "VISpm"]
    np.testing.assert_allclose(np.diagonal(read["similarity"].values), 1)


def test_each_target_has_its_own_matrix_and_ceiling(areas, raw_folder: Path) -> None:
    matrices = load_restricted(raw_folder / MATRICES_FILE, SIMILARITY_MATRICES)
    target = areas.sel(target="VISpm L2/3")
    np.testing.assert_array_equal(target["similarity"].values, matrices["VISpm"]["layer23"][:118, :118])
    assert float(target["ceiling"]) == pytest.approx(0.887514693828602)
    assert float(areas["ceiling"].sel(target="VISp L2/3")) == pytest.approx(0.921, abs=5e-4)


def test_scenes_are_upright_grey_levels(scenes, tmp_path: Path) -> None:
    write_stimulus(scenes.assign_attrs(standard_attrs("stimulus", "test", "k", "s")), tmp_path / "s.zarr")
    read = open_stimulus(tmp_path / "s.zarr")
    assert read["images"].shape == (118, 31, 31, 1) and read["images"].dtype == np.uint8
    assert read["item"].values[[0, 117]].tolist() == ["scene-000", "scene-117"]
    assert read["images"].values[0, 0, :5, 0].tolist() == [85, 76, 72, 66, 70]  # seen upright: rows run left to right


def test_pixel_similarities_are_those_measured_before(scenes, areas) -> None:
    """Spearman of pixel and L2/3 similarities: .103 VISp, .107 VISl, .110 VISal, .110 VISpm, .055 VISam."""
    assert scenes["item"].values.tolist() == areas["item"].values.tolist() == areas["item2"].values.tolist()
    upper = np.triu_indices(118, 1)
    pixels = np.corrcoef(scenes["images"].values.reshape(118, -1).astype(float))[upper]
    expected = {"VISp": 0.103, "VISl": 0.107, "VISal": 0.110, "VISpm": 0.110, "VISam": 0.055}
    for area, value in expected.items():
        measured = areas["similarity"].sel(target=f"{area} L2/3").values[upper]
        assert spearmanr(pixels, measured).statistic == pytest.approx(value, abs=0.005), area


@pytest.mark.parametrize(
    ("file", "spoil", "message"),
    [
        (MATRICES_FILE, lambda data: data[: len(data) // 2], "no whole pickle"),
        (MATRICES_FILE, lambda data: pickle.dumps({"VISp": {}}), "matrix of VISp layer23 has shape None"),
        (MATRICES_FILE, lambda data: pickle.dumps([1, 2]), "matrix of VISp layer23 has shape None"),
        (CEILINGS_FILE, lambda data: data.replace(b"mean", b"average", 1), "lacks column 'mean'"),
        (
            CEILINGS_FILE,
            lambda data: data[: len(data) // 2],
            "has no row for|expected a number|cells where the header has",
        ),
        (CEILINGS_FILE, lambda data: data.replace(b"0.92146", b"high", 1), "mean is 'high"),
    ],
)
def test_a_broken_matrix_file_is_one_line_that_names_it(own_copy: Path, file: str, spoil, message: str) -> None:
    path = own_copy / file
    broken = spoil(path.read_bytes())
    path.unlink()
    path.write_bytes(broken)
    with pytest.raises(LayermapError, match=message) as caught:
        DATASET.prepare_recording("areas", own_copy, OPTIONS)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((117, 961)), r"shape \(117, 961\), expected \(118, 961\)"),
        (np.full((118, 961), 0.5), "no grey levels"),
        (np.full((118, 961), 256.0), "no grey levels"),
    ],
)
def test_altered_images_are_refused(own_copy: Path, array: np.ndarray, message: str) -> None:
    path = own_copy / IMAGES_FILE
    path.unlink()
    np.save(path, array)
    with pytest.raises(LayermapError, match=message) as caught:
        DATASET.prepare_stimulus("scenes", own_copy, OPTIONS)
    assert str(path) in str(caught.value)


def test_truncated_images_are_one_line(own_copy: Path) -> None:
    path = own_copy / IMAGES_FILE
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:5000])
    with pytest.raises(LayermapError, match=r"cannot be read as \.npy") as caught:
        DATASET.prepare_stimulus("scenes", own_copy, OPTIONS)
    assert "\n" not in str(caught.value)
