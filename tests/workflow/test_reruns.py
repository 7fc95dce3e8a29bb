"""What is run again: nothing, or only what a change can change; and after a kill, the same bytes."""

import copy
import os
import signal
import subprocess
import time

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


@pytest.mark.parametrize("after_s", [6.0, 14.0, 22.0])
def test_a_killed_run_started_again_ends_as_an_uninterrupted_one(finished, tmp_path, after_s):
    folder = Folder(tmp_path)
    folder.write_study(SMALL_MOUSE)
    run = folder.start("all", *CONFIG)
    time.sleep(after_s)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
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
