"""What a user can do wrong: one line with file, value and remedy, no traceback, nothing half-written."""

import copy
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

from pipeline.artifacts.recording import IN_BLOCKS
from pipeline.artifacts.storage.checksums import append_checksums
from pipeline.core import paths
from tests.workflow.conftest import ROOT, SMALL_MOUSE, Folder

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "work")
    folder.write_study(SMALL_MOUSE)
    return folder


def assert_one_line(result: subprocess.CompletedProcess, *parts: str) -> None:
    output = result.stdout + result.stderr
    lines = [line for line in output.splitlines() if line.startswith("layermap")]
    assert result.returncode != 0
    assert "Traceback" not in output, output[-2000:]
    assert len(lines) >= 1, output[-2000:]
    for part in parts:
        assert part in lines[0], lines[0]


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (["study=alise"], ["unknown study 'alise'", "closest: 'alice'"]),
        (["study=none.yaml"], ["none.yaml does not exist"]),
        (["study=small.yaml", "mirrr=/tmp"], ["unknown key 'mirrr'"]),
        (["study=small.yaml", "limit=0"], ["limit", "greater than or equal to 1"]),
    ],
)
def test_config_mistakes_stop_before_any_job(folder, config, parts):
    result = folder.run("all", "--config", *config)
    assert_one_line(result, *parts)
    assert not (folder.path / "data").exists()


def change(study, where, value):
    *path, last = where
    for name in path:
        study = study[name]
    study[last] = value


@pytest.mark.parametrize(
    ("where", "value", "parts"),
    [
        (("analyses", "mouse", "models"), ["efficientnet-lite9"], ["unknown model 'efficientnet-lite9'", "closest"]),
        (
            ("analyses", "mouse", "models"),
            [{"name": "efficientnet-lite0", "layers": ["stage44"]}],
            ["unknown layer of efficientnet-lite0 'stage44'", "closest: 'stage4'"],
        ),
        (("analyses", "mouse", "metric", "penaltis"), {}, ["small.yaml", "penaltis"]),
        (("analyses", "mouse", "metric", "penalties"), {"n": 3}, ["small.yaml", "n", "15"]),
        (("analyses", "mouse", "recording", "kind"), "simulated_mice", ["small.yaml", "simulated_mice"]),
    ],
)
def test_study_mistakes_stop_before_any_job(folder, where, value, parts):
    study = copy.deepcopy(SMALL_MOUSE)
    study["analyses"]["mouse"]["contrasts"] = []
    change(study, where, value)
    folder.write_study(study)
    result = folder.run("all", "--config", "study=small.yaml")
    assert_one_line(result, *parts)
    assert not (folder.path / "data").exists()


def test_an_unknown_stage_and_a_missing_artifact(folder):
    assert_one_line(folder.stage("activat", "--study", "small.yaml"), "unknown stage 'activat'", "closest: 'activate'")
    assert_one_line(
        folder.stage("fetch", "--study", "small.yaml", "--what", "recordings"), "data/raw/weights", "are missing"
    )


def test_a_model_that_cannot_take_the_stimulus(folder):
    study = copy.deepcopy(SMALL_MOUSE)
    study["analyses"]["mouse"]["models"] = ["word-rate"]
    study["analyses"]["mouse"]["contrasts"] = []
    folder.write_study(study)
    assert_one_line(folder.stage("catalogue", "--study", "small.yaml"), "'word-rate' takes words", "is movie")


def test_no_network_and_no_mirror_is_one_line(folder):
    result = folder.run("fetch", "--config", "study=allen_scenes", env={**os.environ, "LAYERMAP_MIRROR": ""})
    assert_one_line(result, "raw.githubusercontent.com", "mirror")
    assert not list((folder.path / "data" / "raw" / "allen_scenes").glob("*.csv"))


def test_a_mirror_without_the_file_is_one_line(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    result = folder.run("fetch", "--config", "study=allen_scenes", f"mirror={tmp_path / 'empty'}")
    assert_one_line(result, str(tmp_path / "empty"))


def test_a_mirror_that_is_no_folder_is_one_line(folder):
    result = folder.stage("fetch", "--study", "allen_scenes", "--mirror", "/no/such/folder")
    assert_one_line(result, "/no/such/folder")


@pytest.mark.study
@pytest.mark.parametrize("damage", ["truncate", "delete", "schema"])
def test_a_damaged_artifact_is_named(copy_of_finished, damage):
    work = copy_of_finished
    path = next((work.path / "data" / "prepared").rglob("*.nc"))
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "delete":
        path.unlink()
    else:
        rewrite = (
            f"import h5py; f = h5py.File({str(path)!r}, 'r+'); del f.attrs['schema_version']; "
            "f.attrs['schema_version'] = '0'; f.close()"
        )
        subprocess.run([sys.executable, "-c", rewrite], check=True)
        append_checksums(path, IN_BLOCKS)
    before = {p: p.read_bytes() for p in (work.path / "data" / "scores").rglob("*.nc")}
    result = work.stage("encode", "--study", "small.yaml")
    expected = {"truncate": "was altered since it was written", "delete": "is missing", "schema": "schema version 0"}[
        damage
    ]
    assert_one_line(result, str(path.relative_to(work.path)), expected, "snakemake prepare")
    assert {p: p.read_bytes() for p in (work.path / "data" / "scores").rglob("*.nc")} == before


@pytest.mark.study
def test_the_traceback_is_in_the_log_and_not_on_the_screen(copy_of_finished):
    work = copy_of_finished
    next((work.path / "data" / "prepared").rglob("*.nc")).unlink()
    result = work.stage("encode", "--study", "small.yaml", "--log", "logs/failed.log")
    assert_one_line(result, "traceback: logs/failed.traceback")
    assert "Traceback" in (work.path / "logs" / "failed.traceback").read_text()


def _works(command, folder, environment) -> bool:
    try:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.study
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an unprivileged user")
def test_no_write_permission_is_one_line(finished, tmp_path):
    """A user who may read the study but not write in its folder."""
    work = tmp_path / "readonly"
    shutil.copytree(finished.path, work)
    for folder in [work, tmp_path, *tmp_path.parents]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    become_nobody = "import os, sys; os.setgid(65534); os.setuid(65534); "
    code = become_nobody + "from pipeline.study.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}", "HOME": "/tmp"}
    # An interpreter in a private home is out of reach of others; the system's own of the same version will do.
    candidates = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
    check = become_nobody + "import pipeline, numpy, ctypes"
    python = next((p for p in candidates if _works([p, "-c", check], work, environment)), None)
    if python is None:
        pytest.skip("the unprivileged user cannot read this environment")
    before = sorted(work.rglob("*"))
    for stage in ("catalogue", "encode", "map"):
        result = subprocess.run(
            [python, "-c", code, stage, "--study", "small.yaml"],
            capture_output=True,
            text=True,
            cwd=work,
            env=environment,
        )
        assert_one_line(result, "data/", "no permission")
    assert sorted(work.rglob("*")) == before


@pytest.mark.study
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(finished, tmp_path):
    scores = tmp_path / "data" / "scores"
    shutil.copytree(finished.path, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(scores)
    scores.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", scores], capture_output=True).returncode:
        pytest.skip("this machine does not allow mounting a tmpfs")
    try:
        result = Folder(tmp_path).stage("encode", "--study", "small.yaml")
        assert_one_line(result, str(paths.DATA / "scores"), "the disk is full")
        assert [path for path in scores.rglob("*") if path.is_file()] == []
    finally:
        subprocess.run(["umount", scores], check=True)
