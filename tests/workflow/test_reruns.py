"""What is run again: nothing, or only what a change can change; and after a kill, the same bytes."""

import contextlib
import copy
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.artifacts.storage.one_run import LOCK_NAME
from tests.workflow.conftest import SMALL_MOUSE, Folder

pytestmark = pytest.mark.study
CONFIG = ("--config", "study=small.yaml")


def test_a_second_run_does_nothing(finished):
    before = finished.digest()
    result = finished.run("all", *CONFIG)
    assert result.returncode == 0
    assert finished.rules_run(result) == set()
    assert finished.digest() == before


def test_where_files_come_from_and_how_it_is_computed_rerun_nothing(copy_of_finished, tmp_path_factory):
    mirror = tmp_path_factory.mktemp("mirror")
    result = copy_of_finished.run("all", *CONFIG, f"mirror={mirror}", "device=cpu", "memory_budget_mb=512")
    assert result.returncode == 0, result.stderr[-2000:]
    assert copy_of_finished.rules_run(result) == set()


def test_a_shuffled_run_shares_everything_up_to_the_scores(copy_of_finished):
    before = copy_of_finished.digest()
    result = copy_of_finished.run("all", *CONFIG, "shuffle=3")
    assert result.returncode == 0, result.stderr[-2000:]
    assert copy_of_finished.rules_run(result) - {"all"} == {"encode_group", "map_study", "report_study"}
    after = copy_of_finished.digest()
    assert {name: sha for name, sha in after.items() if "shuffled" not in name} == before


def test_changed_penalties_rerun_encode_map_and_report_only(copy_of_finished):
    study = copy.deepcopy(SMALL_MOUSE)
    study["analyses"]["mouse"]["metric"]["penalties"] = {"lowest": 0.01, "highest": 1e4, "n": 15}
    copy_of_finished.write_study(study)
    before = copy_of_finished.digest()
    result = copy_of_finished.run("all", *CONFIG)
    assert result.returncode == 0, result.stderr[-2000:]
    assert copy_of_finished.rules_run(result) - {"all"} == {"encode_group", "map_study", "report_study"}
    changed = {name for name, sha in copy_of_finished.digest().items() if before.get(name) != sha}
    assert changed and all(name.startswith(("data/scores", "data/maps")) for name in changed)


def test_rerunning_from_one_stage_gives_the_same_bytes(copy_of_finished):
    before = copy_of_finished.digest()
    result = copy_of_finished.run("all", *CONFIG, "--forcerun", "encode_group")
    assert result.returncode == 0, result.stderr[-2000:]
    assert copy_of_finished.rules_run(result) - {"all"} == {"encode_group", "map_study", "report_study"}
    assert copy_of_finished.digest() == before


MOMENTS = {
    "catalogue": "data/catalogue/simulated_mouse-*.json",
    "weights": "data/raw/weights/efficientnet-lite0",
    "simulated files": "data/raw/simulated_mouse/??????????",
    "stimulus": "data/prepared/simulated_mouse/*/stimuli/movie.zarr",
    "recording": "data/prepared/simulated_mouse/*/recordings/mouse-1.nc",
    "activations": "data/activations/simulated_mouse-movie/efficientnet-lite0-*.zarr",
    "scores of edges": "data/scores/small/mouse/mouse-1/gabor-energy.nc",
    "scores of a network": "data/scores/small/mouse/mouse-1/efficientnet-lite0.nc",
    "map": "data/maps/small.csv",
    "page": "reports/small/index.html",
}
"""What a job writes → where. The run is killed once that, or its ``.part``, has appeared."""


def appeared(folder: Folder, pattern: str) -> dict[Path, tuple[int, int]]:
    """The output and its ``.part`` that are there, and what tells one writing from the next."""
    name = Path(pattern).name
    there = [*folder.path.glob(pattern), *folder.path.glob(str(Path(pattern).with_name(f".{name}.part")))]
    found = {}
    for path in there:
        with contextlib.suppress(FileNotFoundError):  # renamed just now
            found[path] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def unfinished(folder: Folder) -> list[Path]:
    """Files of which a killed job wrote a part."""
    return [path for path in folder.path.rglob("*") if re.search(r"\.part(/|$)", str(path)) and path.is_file()]


def kill_when_writing(folder: Folder, pattern: str) -> None:
    for path in folder.path.glob(pattern):  # made meanwhile, by a job beside the one that was killed before
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = appeared(folder, pattern)
    run = folder.start("all", *CONFIG)
    deadline = time.monotonic() + 120
    while appeared(folder, pattern).items() <= before.items() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    reached, alive = not appeared(folder, pattern).items() <= before.items(), run.poll() is None
    os.killpg(run.pid, signal.SIGKILL)
    output, _ = run.communicate()
    assert reached and alive and run.returncode == -signal.SIGKILL, output[-3000:]


def test_a_run_killed_at_any_stage_and_started_again_ends_as_an_uninterrupted_one(finished, tmp_path):
    folder = Folder(tmp_path)
    folder.write_study(SMALL_MOUSE)
    left = set()
    for moment, pattern in MOMENTS.items():
        kill_when_writing(folder, pattern)
        for path in unfinished(folder):  # whoever used what is left would give other bytes
            path.write_bytes(path.read_bytes()[::-1])
            left.add(moment)
    assert "activations" in left  # a network takes its time: the store was not whole
    result = folder.run("all", *CONFIG)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert folder.digest() == finished.digest()
    assert list(folder.path.rglob("*.part")) == []


def test_a_second_run_in_the_same_folder_is_refused_in_one_line(finished, tmp_path):
    folder = Folder(tmp_path)
    folder.write_study(SMALL_MOUSE)
    first = folder.start("all", *CONFIG)
    try:
        lock = folder.path / "data" / LOCK_NAME
        deadline = time.monotonic() + 60
        while not (lock.is_file() and lock.read_text()) and time.monotonic() < deadline:
            time.sleep(0.2)
        second = folder.run("all", *CONFIG)
    finally:
        output, _ = first.communicate(timeout=600)
    assert second.returncode != 0
    message = second.stdout + second.stderr
    assert f"another run (process {first.pid}) works in" in message and "Traceback" not in message
    assert first.returncode == 0, output[-2000:]
    assert folder.digest() == finished.digest()


def test_lint_is_clean(tmp_path):
    folder = Folder(tmp_path)
    result = subprocess.run(folder.command("--lint"), capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]


def test_simulations_are_made_beside_the_scores(copy_of_finished):
    """Asked for later, they are all that is new: no network and no fit runs again."""
    told = ("all", "--config", "study=small.yaml", "simulations=20")
    result = copy_of_finished.run(*told)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert copy_of_finished.rules_run(result) == {"identify_group", "map_study", "report_study", "all"}
    page = (copy_of_finished.path / "reports" / "small" / "index.html").read_text(encoding="utf-8")
    assert "Can layers be told apart?" in page and "keep what they promise" in page
    again = copy_of_finished.run(*told)
    assert copy_of_finished.rules_run(again) == set()
