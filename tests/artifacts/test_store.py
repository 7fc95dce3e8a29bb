"""Outputs appear whole or not at all, one run at a time."""

import multiprocessing
import os
import time

import pytest

from pipeline.artifacts.storage.store import locked, write_whole
from pipeline.core.errors import AlreadyRunning, LayermapError


def test_a_failed_write_leaves_nothing_and_keeps_the_old(tmp_path):
    output = tmp_path / "a.txt"
    output.write_text("old")

    def write_half():
        with write_whole(output) as temporary:
            temporary.write_text("half")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        write_half()
    assert output.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt"]


def test_a_folder_replaces_an_older_folder(tmp_path):
    output = tmp_path / "store"
    for text in ("one", "two"):
        with write_whole(output) as temporary:
            temporary.mkdir()
            (temporary / text).write_text(text)
    assert [p.name for p in output.iterdir()] == ["two"]


def _hold(path, started):
    with locked(path):
        started.set()
        time.sleep(30)


def test_a_second_writer_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    output = tmp_path / "a.txt"
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    holder = context.Process(target=_hold, args=(output, started))
    holder.start()
    assert started.wait(20)
    with pytest.raises(AlreadyRunning, match=r"a\.txt is being written by another run"), write_whole(output):
        pytest.fail("the lock was not held")
    holder.kill()
    holder.join()
    with write_whole(output) as temporary:
        temporary.write_text("after the kill")
    assert output.read_text() == "after the kill"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    import subprocess

    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("this machine does not allow mounting a tmpfs")
    try:
        with (
            pytest.raises(LayermapError, match="the disk is full") as caught,
            write_whole(tmp_path / "big") as temporary,
        ):
            temporary.write_bytes(b"x" * 1_000_000)
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)
