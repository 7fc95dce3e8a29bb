"""Killed, doubled, without permission, without room: afterwards the bytes are right or not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import LayermapError
from pipeline.fetch.download import download
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.space import check_disk_space
from tests.http_server import HOST

pytestmark = pytest.mark.slow

SIZE = 2_000_000

# argv: entry as JSON, destination, mirror prefix, user id
SCRIPT = """
import os, sys
from pathlib import Path
from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import LayermapError
from pipeline.fetch.download import download
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.http.settings import FetchSettings
entry, destination, prefix, user = sys.argv[1:]
file = RawFile.model_validate_json(entry)
if int(user):
    os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
try:
    download(file, Path(destination), mirror=Mirror(prefix=prefix), settings=FetchSettings(back_off_s=0.01))
except LayermapError as error:
    sys.exit(str(error))
"""


def start(file: RawFile, destination: Path, prefix: str, user: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, file.model_dump_json(), str(destination), prefix, str(user)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def test_killed_runs_add_up_to_the_same_bytes(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE), bytes_per_s=1_500_000)
    file, destination = pinned("b.bin", served.body), tmp_path / "b.bin"
    part = tmp_path / "b.bin.part"
    kept = []
    for kill_at in (200_000, 700_000, 1_300_000):
        process = start(file, destination, server.prefix)
        wait_for(lambda limit=kill_at: part.exists() and part.stat().st_size > limit)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not destination.exists()
        kept.append(part.stat().st_size)
    served.bytes_per_s = None
    download(file, destination, mirror=server.mirror, settings=settings)
    assert destination.read_bytes() == served.body
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.bin"]
    assert [request.get("Range") for request in served.requests[1:]] == [f"bytes={size}-" for size in kept]


def test_a_killed_run_of_a_file_without_digest_loses_only_what_its_note_does_not_tell(
    server, settings, noise, tmp_path: Path
) -> None:
    served = server.serve("b.bin", noise(SIZE), bytes_per_s=1_500_000)
    file, destination = RawFile(path="b.bin", url=f"https://{HOST}/b.bin"), tmp_path / "b.bin"
    part = tmp_path / "b.bin.part"
    process = start(file, destination, server.prefix)
    wait_for(lambda: part.exists() and part.stat().st_size > 900_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    there = json.loads(part.with_name("b.bin.part.json").read_text())["there"]
    assert 400_000 < there <= part.stat().st_size
    served.bytes_per_s = None
    download(file, destination, mirror=server.mirror, settings=settings)
    assert destination.read_bytes() == served.body
    assert [request.get("Range") for request in served.requests[1:]] == [f"bytes={there}-"]


def test_two_runs_at_once_fetch_it_once(server, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE), bytes_per_s=1_500_000)
    file, destination = pinned("b.bin", served.body), tmp_path / "b.bin"
    processes = [start(file, destination, server.prefix) for _ in range(2)]
    said = [process.communicate(timeout=30)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert destination.read_bytes() == served.body
    assert len(served.requests) == 1
    assert sum("being fetched by another run; waiting" in text for text in said) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become an unprivileged user")
def test_an_unprivileged_user_gets_one_line(server, noise, pinned, open_folder: Path) -> None:
    served = server.serve("b.bin", noise(1000))
    file = pinned("b.bin", served.body)
    for destination in (open_folder / "b.bin", open_folder / "new" / "b.bin"):
        process = start(file, destination, server.prefix, user=65534)
        said = process.communicate(timeout=30)[1]
        assert process.returncode == 1
        assert said.count("\n") == 1
        assert str(destination) in said
        assert "no permission" in said
    assert list(open_folder.iterdir()) == []
    # what somebody else keeps in a read-only folder is checked and used
    (open_folder / "b.bin").write_bytes(served.body)
    process = start(file, open_folder / "b.bin", server.prefix, user=65534)
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0
    (open_folder / "b.bin").write_bytes(bytes(1000))
    process = start(file, open_folder / "b.bin", server.prefix, user=65534)
    assert "sha256" in process.communicate(timeout=30)[1]
    assert process.returncode == 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() != 0:
        pytest.skip("only root can mount a small file system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("way", ["http", "folder"])
def test_a_full_disk_leaves_nothing_behind(server, settings, noise, tiny_disk: Path, tmp_path: Path, way: str) -> None:
    served = server.serve("b.bin", noise(SIZE))
    mirror = server.mirror
    if way == "folder":
        mirror = Mirror(folder=tmp_path / "mirror")
        source = tmp_path / "mirror" / "data.example.invalid" / "b.bin"
        source.parent.mkdir(parents=True)
        source.write_bytes(served.body)
    file = RawFile(path="b.bin", url="https://data.example.invalid/b.bin")
    with pytest.raises(LayermapError) as error:
        download(file, tiny_disk / "b.bin", mirror=mirror, settings=settings)
    assert "disk is full" in str(error.value)
    assert str(tiny_disk / "b.bin") in str(error.value)
    assert list(tiny_disk.iterdir()) == []


def test_a_disk_that_is_too_small_is_noticed_before_the_first_byte(pinned, tiny_disk: Path) -> None:
    files = [pinned("a.bin", bytes(SIZE)), pinned("b.bin", bytes(SIZE))]
    with pytest.raises(LayermapError) as error:
        check_disk_space(files, tiny_disk / "not" / "yet", "alice")
    assert "alice needs 4.0 MB" in str(error.value)
    assert "1.0 MB are free" in str(error.value)
    (tiny_disk / "a.bin.part").write_bytes(bytes(900_000))
    with pytest.raises(LayermapError, match=r"alice needs 3\.1 MB"):
        check_disk_space(files, tiny_disk, "alice")
