"""Extraction that is killed at any moment and started again leaves the bytes of an uninterrupted one."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.artifacts.activations import open_activations
from tests.activations.own_study import NETWORK, OWN, Lab, digests

pytestmark = pytest.mark.study
N_PICTURES = 48
SLOW = NETWORK.replace("import torch\n", "import time\n\nimport torch\n", 1).replace(
    "        values = self.stem(pictures)", "        time.sleep(0.15)\n        values = self.stem(pictures)"
)
FLAGS = ("--batch-size", "4", "--device", "cpu", "--threads", "1")
WIDE = {**OWN, "size_px": 256, "layers": ["stem", "blocks.*"]}  # a chunk of a layer holds four pictures: one batch


def prepared(path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    path.mkdir()
    lab = Lab(path, N_PICTURES, SLOW)
    lab.write({"own": WIDE}, {"name": "own"})
    monkeypatch.chdir(lab.work)
    lab.run("catalogue", "fetch", "prepare")
    return lab


def complete(lab: Lab) -> dict[str, str]:
    """Run the stage to its end; the bytes of the store, which is all that it leaves."""
    process = lab.start("activate", *FLAGS)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0, messages
    (store,) = lab.stores()
    assert sorted(path.name for path in store.parent.iterdir()) == [store.name]
    return digests(store)


def parts(lab: Lab) -> list[Path]:
    """Chunks of the store that is being written."""
    return [path for path in (lab.work / "data" / "activations").rglob("*") if ".part/" in str(path) and path.is_file()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        lab = prepared(tmp_path_factory.mktemp("uninterrupted") / "lab", monkeypatch)
        found = complete(lab)
        assert [layer.name for layer in open_activations(lab.stores()[0]).layers] == ["stem", "blocks.0", "blocks.1"]
        return found


def chunks(n: int) -> Callable[[Lab], bool]:
    return lambda lab: sum("/c/" in str(path) for path in parts(lab)) >= n


MOMENTS = {
    "before anything is written": lambda lab: True,
    "when the store is begun": lambda lab: bool(parts(lab)),
    "after the first batch": chunks(3),
    "in the midst": chunks(18),
    "before the last batch": chunks(33),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_started_again(tmp_path, monkeypatch, uninterrupted, moment):
    lab = prepared(tmp_path / "lab", monkeypatch)
    process = lab.start("activate", *FLAGS)
    deadline = time.monotonic() + 60
    while not MOMENTS[moment](lab) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert lab.stores() == []
    for path in parts(lab):  # whoever used what is left would give other bytes
        path.write_bytes(path.read_bytes()[::-1])
    assert complete(lab) == uninterrupted


def test_the_same_through_snakemake(tmp_path, monkeypatch):
    from tests.workflow.conftest import Folder

    lab = prepared(tmp_path / "lab", monkeypatch)
    folder = Folder(lab.work)
    config = ("activate", "--config", f"study={lab.folder / 'mine.yaml'}", "device=cpu")
    run = folder.start(*config)
    deadline = time.monotonic() + 90
    while not parts(lab) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    left = parts(lab)
    assert left and lab.stores() == []
    for path in left:
        path.write_bytes(path.read_bytes()[::-1])
    result = folder.run(*config)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    (store,) = lab.stores()
    found = {name: sha for name, sha in digests(store).items() if name != ".snakemake_timestamp"}
    assert parts(lab) == []
    again = lab.start("activate", "--device", "cpu", "--threads", "1")  # by itself, as the rule calls it
    assert again.wait(timeout=120) == 0
    assert digests(store) == found
