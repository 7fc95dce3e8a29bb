"""Many files: all of them and a receipt, or the first failure and no receipt."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.artifacts.catalogue import Catalogue, RawFile, open_receipt
from pipeline.core.errors import FetchError
from pipeline.core.limits import size_in_words
from pipeline.core.progress import Progress, human_time
from pipeline.fetch.checks.digests import read_digest
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.stage import fetch_files, run_fetch


def test_a_batch_is_fetched_in_parallel_but_politely(server, settings, noise, pinned, tmp_path: Path, capsys) -> None:
    files = []
    for number in range(12):
        served = server.serve(f"s/{number}.bin", noise(40_000, number), bytes_per_s=800_000)
        files.append(pinned(f"s/{number}.bin", served.body))
    catalogue = Catalogue(dataset="alice", key="0123456789", groups=(), recordings=(), stimuli=(), files=tuple(files))
    receipt = run_fetch(catalogue, tmp_path, tmp_path / "receipt.json", mirror=server.mirror, settings=settings)
    assert server.most_active == settings.connections_per_host == 2
    assert open_receipt(tmp_path / "receipt.json") == receipt
    assert (receipt.what, receipt.key) == ("alice", "0123456789")
    assert [file.path for file in receipt.files] == sorted(file.path for file in files)
    for file in files:
        assert (tmp_path / file.path).read_bytes() == server.files[f"data.example.invalid/{file.path}"].body
    # once more, without a mirror and without a network: everything is there
    before = (tmp_path / "receipt.json").read_bytes()
    run_fetch(catalogue, tmp_path, tmp_path / "receipt.json", settings=settings)
    assert (tmp_path / "receipt.json").read_bytes() == before
    assert [len(served.requests) for served in server.files.values()] == [1] * 12


def test_the_first_failure_ends_the_batch_without_receipt(server, settings, noise, pinned, tmp_path: Path) -> None:
    files = [pinned("a-gone.bin", b"x")]
    for number in range(8):
        served = server.serve(f"b-{number}.bin", noise(300_000, number), bytes_per_s=300_000)
        files.append(pinned(f"b-{number}.bin", served.body))
    with pytest.raises(FetchError) as error:
        fetch_files(
            files,
            tmp_path / "raw",
            mirror=server.mirror,
            what="alice",
            key="k",
            receipt_path=tmp_path / "receipt.json",
            settings=settings,
        )
    assert "a-gone.bin" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "receipt.json").exists()
    assert sum(bool(served.requests) for served in server.files.values()) < 8
    for path in (tmp_path / "raw").iterdir():
        if path.suffix == ".bin":
            assert path.read_bytes() == server.files[f"data.example.invalid/{path.name}"].body


def test_a_recorded_digest_finds_changed_bytes_of_unpinned_files(tmp_path: Path, settings, capsys) -> None:
    source = tmp_path / "mirror/a.org/b.txt"
    source.parent.mkdir(parents=True)
    source.write_text("as published")
    file = RawFile(path="b.txt", url="https://a.org/b.txt")
    options = {
        "mirror": Mirror(folder=tmp_path / "mirror"),
        "what": "d",
        "key": "k",
        "receipt_path": tmp_path / "receipt.json",
        "settings": settings,
    }
    fetch_files([file], tmp_path / "raw", **options)
    (tmp_path / "raw/b.txt").write_text("as altered!!")
    fetch_files([file], tmp_path / "raw", **options)
    assert (tmp_path / "raw/b.txt").read_text() == "as published"
    assert "warning" in capsys.readouterr().err


def test_what_the_catalogue_brings_replaces_what_an_older_one_brought(tmp_path: Path, settings) -> None:
    def fetch(text: str) -> str:
        file = RawFile(path="cells.json", url="https://a.org/query", contents=text)
        options = {"mirror": None, "what": "d", "key": "k", "receipt_path": tmp_path / "r.json", "settings": settings}
        (fetched,) = fetch_files([file], tmp_path / "raw", **options).files
        assert read_digest(tmp_path / "raw" / "cells.json") == fetched.sha256
        return (tmp_path / "raw" / "cells.json").read_text()

    assert [fetch("old"), fetch("old"), fetch("new")] == ["old", "old", "new"]


IN_THREADS = """
import sys, threading
from pathlib import Path
from pipeline.artifacts.catalogue import RawFile
from pipeline.fetch.stage import fetch_files
from pipeline.fetch.mirror import Mirror
begun = []
def note(event, arguments):
    if event == "import" and threading.current_thread() is not threading.main_thread():
        begun.append(arguments[0])
sys.addaudithook(note)
files = [RawFile(url=f"https://data.example.invalid/a{end}", path=f"a{end}", holds=("x",)) for end in (".h5", ".npz")]
mirror = Mirror(folder=Path("mirror"))
fetch_files(files, Path("raw"), mirror=mirror, what="w", key="k", receipt_path=Path("receipt.json"))
print(sorted(begun))
"""


def test_threads_import_no_package_that_another_has_begun_to_import(tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "data.example.invalid"
    folder.mkdir(parents=True)
    with h5py.File(folder / "a.h5", "w") as file:
        file["x"] = [1.0]
    np.savez(folder / "a.npz", x=[1.0])
    done = subprocess.run([sys.executable, "-c", IN_THREADS], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not {name.partition(".")[0] for name in ast.literal_eval(done.stdout)} & {"numpy", "h5py", "pandas", "torch"}
    assert sorted(path.name for path in (tmp_path / "raw").glob("a.*[5z]")) == ["a.h5", "a.npz"]


def test_one_path_with_two_meanings_is_refused(tmp_path: Path, settings) -> None:
    files = [RawFile(path="b", url="https://a.org/1"), RawFile(path="b", url="https://a.org/2")]
    with pytest.raises(FetchError, match=r"twice, as https://a\.org/1 and https://a\.org/2"):
        fetch_files(files, tmp_path, mirror=None, what="d", key="k", receipt_path=tmp_path / "r", settings=settings)


def test_progress_says_bytes_and_time_left_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("pipeline.core.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress("fetch alice", 100_000_000, stream)
    for _ in range(100):
        now[0] += 0.5
        progress.advance(1_000_000)
    lines = stream.getvalue().splitlines()
    assert 9 <= len(lines) <= 11
    assert lines[0] == "fetch alice: 10.0 MB of 100.0 MB (10 %), 0:45 left"


def test_progress_on_a_terminal_is_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress("fetch alice", 2_000_000, stream)
    progress.advance(2_000_000)
    progress.say("a line")
    progress.close()
    assert "fetch alice: 100%" in stream.getvalue()
    assert "2.00M/2.00M" in stream.getvalue()
    assert "a line\n" in stream.getvalue()


def test_numbers_for_people() -> None:
    assert [size_in_words(n) for n in (0, 999, 1536, 2.5e9, 3e12)] == ["0 B", "999 B", "1.5 kB", "2.5 GB", "3.0 TB"]
    assert [human_time(s) for s in (5, 65, 3725)] == ["0:05", "1:05", "1:02:05"]
