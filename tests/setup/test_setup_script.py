"""tools/setup.sh with an interpreter that only writes down what it is asked to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *sys.version_info*) echo {version} ;;
    *ensurepip*) ;;
    *purelib*) echo . ;;
    "-m venv"*) echo "$@" >>"$CALLS"; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m pip --version") ;;
    *) echo "$@" >>"$CALLS"; [ ! -e "$CALLS.fail" ] || {{ echo "ERROR: no space left"; exit 1; }} ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "a clone"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/setup.sh", folder / "tools")
    for path in [ROOT / "pyproject.toml", *ROOT.glob("requirements*.lock")]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def setup(clone):
    def run(*arguments, version="3.11.9", **variables):
        python = clone.parent / f"python {version}"
        python.write_text(FAKE_PYTHON.format(version=version))
        python.chmod(0o755)
        own = {"PYTHON", "TORCH", "TORCH_INDEX", "ENVIRONMENT"}
        inherited = {name: value for name, value in os.environ.items() if name not in own}
        environment = inherited | {"PYTHON": str(python), "CALLS": str(clone / "calls")} | variables
        return subprocess.run(
            ["bash", clone / "tools/setup.sh", *arguments], env=environment, capture_output=True, text=True, timeout=60
        )

    return run


def calls(clone: Path) -> list[str]:
    lines = (clone / "calls").read_text().splitlines() if (clone / "calls").exists() else []
    (clone / "calls").unlink(missing_ok=True)
    return [line for line in lines if not line.startswith("-m compileall")]


@pytest.mark.parametrize("version", ["3.9.18", "3.10.14", "3.13.0", "4.0.0"])
def test_other_python_is_refused_in_one_line(setup, clone, version):
    result = setup(version=version)
    assert result.returncode != 0
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert version in line
    assert "needs Python 3.11 or 3.12" in line
    assert not (clone / ".venv").exists()


def test_interpreter_that_does_not_exist_is_refused_in_one_line(setup, clone):
    result = setup(PYTHON="/nowhere/python3.11")
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert "/nowhere/python3.11 does not run" in line
    assert not (clone / ".venv").exists()


def test_torch_comes_first_with_its_dependencies_then_the_lock_without(setup, clone):
    assert setup().returncode == 0
    venv, torch, lock, project = calls(clone)
    assert venv == "-m venv .venv"
    assert "-r requirements-torch.lock" in torch
    assert "-c requirements.lock" in torch
    assert "--no-deps" not in torch
    assert "--no-deps -r requirements.lock" in lock
    assert project.endswith("--no-deps --no-build-isolation -e .")


def test_second_call_does_nothing(setup, clone):
    setup()
    calls(clone)
    result = setup()
    assert result.stdout.splitlines() == ["setup: .venv is up to date (Python 3.11.9)"]
    assert calls(clone) == []


def test_choice_of_python_and_torch_is_kept(setup, clone):
    setup(version="3.12.4", TORCH="torch==2.9.0", TORCH_INDEX="file:///an/index")
    assert "torch==2.9.0 --extra-index-url file:///an/index" in calls(clone)[1]
    result = setup(PYTHON="")
    assert "up to date (Python 3.12.4)" in result.stdout
    assert calls(clone) == []


@pytest.mark.parametrize("change", [{"version": "3.12.4"}, {"TORCH": "torch==2.9.0"}])
def test_other_python_or_torch_makes_the_environment_anew(setup, clone, change):
    setup()
    calls(clone)
    (clone / ".venv/leftover").touch()
    setup(**change)
    assert calls(clone)[0] == "-m venv .venv"
    assert not (clone / ".venv/leftover").exists()


def test_other_lock_is_installed_over_the_old_one(setup, clone):
    setup("offline")
    calls(clone)
    with open(clone / "requirements-offline.lock", "a") as lock:
        lock.write("another==1.0\n")
    setup()
    assert calls(clone) == []
    setup("offline")
    (only,) = calls(clone)
    assert "--no-deps -r requirements-offline.lock" in only
    with open(clone / "requirements.lock", "a") as lock:
        lock.write("another==1.0\n")
    setup("offline")
    assert len(calls(clone)) == 4  # torch, lock, project, offline; the .venv stays


def test_failed_installation_says_so_and_is_continued(setup, clone):
    (clone / "calls.fail").touch()
    result = setup()
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("setup: could not install torch")
    assert "ERROR: no space left" in line
    (clone / "calls.fail").unlink()
    calls(clone)
    assert setup().returncode == 0
    assert len(calls(clone)) == 3  # torch, lock, project; the .venv stays


def test_environment_made_by_someone_else_is_left_alone(setup, clone):
    (clone / ".venv").mkdir()
    (clone / ".venv/precious").touch()
    result = setup()
    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1
    assert (clone / ".venv/precious").exists()


def test_unknown_set_of_packages_is_refused_in_one_line(setup):
    result = setup("ofline")
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert "requirements-ofline.lock" in line
    assert "requirements-offline.lock" in line


def test_conda_environment_is_used_itself(setup, clone, tmp_path):
    prefix = tmp_path / "conda"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python").write_text(FAKE_PYTHON.format(version="3.11.9"))
    (prefix / "bin/python").chmod(0o755)
    assert setup(ENVIRONMENT="conda", CONDA_PREFIX=str(prefix)).returncode == 0
    assert len(calls(clone)) == 3
    assert not (clone / ".venv").exists()
    result = setup(ENVIRONMENT="conda", CONDA_PREFIX="")
    assert result.returncode != 0
    assert "conda activate" in result.stderr
