"""Sound artifacts of another run, study or set of options are refused by name; what was asked for is taken."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.study.cli import main

N = 24
STAGES = ("catalogue", "fetch", "prepare", "activate", "encode", "identify", "map")  # nothing is read of a page


def write(folder: Path, seed: int, **metric: object) -> None:
    """A study of two runs with pictures of their own; every seed has the same shapes."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    runs = []
    for run in (1, 2):
        (folder / f"images-{run}").mkdir(exist_ok=True)
        for number in range(N):
            picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            picture.save(folder / f"images-{run}" / f"{run}-{number:02d}.png")
        np.save(folder / f"responses-{run}.npy", rng.standard_normal((2, N, 3)))
        runs.append({"name": f"run-{run}", "responses": f"responses-{run}.npy", "stimulus": f"images-{run}"})
    (folder / "regions.csv").write_text("region\nA\nA\nB\n")
    splits = {"kind": "random_items", "n_folds": 4, "n_inner_folds": 3}
    analysis = {
        "recording": {"kind": "files", "runs": runs, "regions": "regions.csv"},
        "models": ["pixels"],
        "metric": {"kind": "ridge", "splits": splits, **metric},
    }
    study = {
        "study": "mine",
        "title": "Mine",
        "analyses": {"a": analysis},
        "inference": {"n_bootstrap": 100, "permutations": 20, "simulations": 20},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(study))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies with their maps, A and B, of equal shapes and names."""
    folder = tmp_path_factory.mktemp("both")
    for seed, name in enumerate("AB"):
        write(folder / name, seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder / name)
            for stage in STAGES:
                assert main([stage, "--study", "mine.yaml"]) == 0
    return folder


@pytest.fixture
def here(both: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of both; the test runs in A."""
    shutil.copytree(both, tmp_path / "both")
    monkeypatch.chdir(tmp_path / "both" / "A")
    return tmp_path / "both"


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(f"data/{pattern}")
    return path


def replace(path: Path, other: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
        shutil.copytree(other, path)
    else:
        shutil.copyfile(other, path)


@pytest.mark.parametrize(
    ("pattern", "stage", "says"),
    [
        ("catalogue/files-*.json", "fetch", "another file took its place"),
        ("raw/files/receipt-*.json", "prepare", "another file took its place"),
        ("prepared/*/*/recordings/run-1.nc", "encode", "with other options"),
        ("prepared/*/*/stimuli/stimulus-1.zarr", "activate", "with other options"),
        ("activations/files-stimulus-1/pixels-*.zarr", "encode", "with other options"),
        ("scores/mine/a/targets/pixels.nc", "map", "was made from other files than are there now"),
        ("identifiability/mine/a/targets.nc", "map", "was made from other files than are there now"),
        ("maps/mine.nc", "report", "was made from other files than are there now"),
    ],
)
def test_an_artifact_of_another_study_is_refused(here, capsys, pattern, stage, says):
    path, other = only(here / "A", pattern), only(here / "B", pattern)
    replace(path, other)
    if pattern.startswith("maps"):
        for more in (here / "B" / "data" / "maps").iterdir():
            shutil.copyfile(more, path.with_name(more.name))
    capsys.readouterr()
    assert main([stage, "--study", "mine.yaml"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert says in said and path.name in said and "run: snakemake" in said


@pytest.mark.parametrize(
    ("pattern", "stage", "says"),
    [
        ("prepared/*/*/recordings/run-{}.nc", "encode", "is of name 'run-2', not 'run-1'"),
        ("prepared/*/*/stimuli/stimulus-{}.zarr", "activate", "is of name 'stimulus-2', not 'stimulus-1'"),
    ],
)
def test_an_artifact_of_another_run_is_refused(here, capsys, pattern, stage, says):
    replace(only(here / "A", pattern.format(1)), only(here / "A", pattern.format(2)))
    capsys.readouterr()
    assert main([stage, "--study", "mine.yaml"]) == 1
    assert says in capsys.readouterr().err


def test_scores_of_other_options_are_no_map_of_these(here, capsys):
    write(here / "A", 0, kind="pls", n_components=1)
    for stage in ("map", "report"):
        capsys.readouterr()
        assert main([stage, "--study", "mine.yaml"]) == 1
        assert "pixels.nc was made with other options or another version of layermap" in capsys.readouterr().err
    assert main(["encode", "--study", "mine.yaml"]) == 0
    assert main(["map", "--study", "mine.yaml"]) == 0


def test_what_was_prepared_may_be_removed_to_save_room(here):
    shutil.rmtree(here / "A" / "data" / "prepared")
    shutil.rmtree(here / "A" / "data" / "activations")
    assert main(["map", "--study", "mine.yaml"]) == 0
