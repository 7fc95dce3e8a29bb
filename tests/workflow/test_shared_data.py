"""Two folders whose data/ is one: the second run says who works there, and takes nothing from the first."""

import os
import time

import pytest

from pipeline.artifacts.storage.one_run import LOCK_NAME
from tests.activations.own_study import NETWORK, OWN, Lab
from tests.workflow.conftest import Folder

WAITS = """
import time
from pathlib import Path


def build_when_told(width=4, depth=2):
    Path(__file__).with_name("begun").touch()
    while not Path(__file__).with_name("go").exists():
        time.sleep(0.05)
    return build(width, depth)
"""


def wait_for(condition, process, limit_s=120):
    deadline = time.monotonic() + limit_s
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert condition(), process.communicate(timeout=5)[0] if process.poll() is not None else "not in time"


@pytest.mark.study
def test_two_runs_over_one_data_folder(tmp_path):
    lab = Lab(tmp_path, n_pictures=24, network=NETWORK + WAITS)
    study = lab.write({"own": {**OWN, "factory": "my_net.py:build_when_told"}})
    one, other = Folder(tmp_path / "one"), Folder(tmp_path / "other")
    (one.path / "data").mkdir()
    (other.path / "data").symlink_to(one.path / "data")
    config = ("--config", f"study={study}")
    first = one.start("encode", *config)
    try:
        wait_for((lab.folder / "begun").exists, first)
        before = one.digest()
        second = other.run("encode", *config)
        said = second.stdout + second.stderr
        assert second.returncode != 0 and "Traceback" not in said
        assert f"layermap: another run (process {first.pid}) works in {one.path}, which shares" in said
        assert one.digest() == before
        # a stage as a plain command holds the lock of its output only
        assert other.stage("prepare", "--study", study, timeout=120).returncode == 0
        assert one.digest().keys() == before.keys()
    finally:
        (lab.folder / "go").touch()
        output, _ = first.communicate(timeout=600)
    assert first.returncode == 0, output[-2000:]
    assert list((one.path / "data" / "scores").rglob("own.nc"))
    after = one.digest()
    assert not [name for name in after if name.endswith(LOCK_NAME)]
    third = other.run("activate", *config)
    assert third.returncode == 0, third.stderr[-2000:]
    assert one.digest() == after
    assert os.path.islink(other.path / "data")
