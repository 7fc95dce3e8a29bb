"""How a user's own files are fetched, and which keys they make."""

import json
import os
import re
import shutil
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from pipeline.artifacts.catalogue import open_receipt
from pipeline.artifacts.recording import open_recording
from pipeline.core.errors import FetchError
from pipeline.core.keys import sha256_of_file
from pipeline.fetch.stage import run_fetch
from pipeline.recordings import file_digests
from pipeline.recordings.file_digests import digests_of_files
from tests.recordings.conftest import N, plan_of, refusal, run_stages, write_study


def test_fetch_links_and_the_receipt_holds_what_is_on_disk(lab: Path) -> None:
    dataset = run_stages(write_study(lab), "catalogue", "fetch")
    assert os.path.samefile(lab / "my.npy", dataset.raw_folder / "run-1" / "responses.npy")
    for file in open_receipt(dataset.receipt_path).files:
        assert sha256_of_file(dataset.raw_folder / file.path) == file.sha256
    assert not list(dataset.raw_folder.rglob("*.part"))


def test_without_hard_links_files_are_copied(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    study = write_study(lab)
    with monkeypatch.context() as another_file_system:
        another_file_system.setattr(os, "link", refused)
        run_stages(study, "catalogue", "fetch")
    dataset = run_stages(study, "prepare")
    copy = dataset.raw_folder / "run-1" / "responses.npy"
    assert copy.read_bytes() == (lab / "my.npy").read_bytes() and not os.path.samefile(copy, lab / "my.npy")


def test_links_need_no_space_and_copies_do(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(lab)
    run_stages(study, "catalogue")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 0))
    with monkeypatch.context() as another_file_system:
        another_file_system.setattr("pipeline.fetch.space.needs_no_space", lambda url, folder: False)
        assert "0 B are free" in refusal(study, "fetch", capsys)
    run_stages(study, "fetch")


def test_names_with_signs_that_mean_something_in_addresses(lab: Path) -> None:
    (lab / "images" / "picture-00.png").rename(lab / "images" / "a #1 100%20 né?.png")
    dataset = run_stages(write_study(lab))
    assert open_recording(dataset.recording_path("responses"))["item"].values[0] == "a #1 100%20 né?"


def test_a_symbolic_link_is_followed(lab: Path) -> None:
    (lab / "my.npy").rename(lab / "real.npy")
    (lab / "my.npy").symlink_to("real.npy")
    dataset = run_stages(write_study(lab))
    fetched = dataset.raw_folder / "run-1" / "responses.npy"
    assert fetched.is_file() and not fetched.is_symlink()


def test_prepare_reads_only_what_was_fetched(lab: Path) -> None:
    """The user's files are gone when prepare runs."""
    dataset = run_stages(write_study(lab), "catalogue", "fetch")
    wanted = np.load(lab / "my.npy").astype(np.float32)
    options, raw_folder = dataset.options, dataset.raw_folder
    shutil.rmtree(lab / "images")
    (lab / "images").mkdir()
    (lab / "my.npy").unlink()
    recording = dataset.entry.prepare_recording("responses", raw_folder, options)
    np.testing.assert_array_equal(recording["responses"], wanted)
    assert dataset.entry.prepare_stimulus("stimulus", raw_folder, options).sizes["image"] == N


def test_a_file_that_changes_after_the_catalogue_is_one_line(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Planning sees a change of the same size and time; fetch sees one that comes after planning."""
    path = lab / "my.npy"
    os.utime(path, ns=(10**18, 10**18))
    study = write_study(lab)
    dataset = run_stages(study, "catalogue")
    catalogue, folder, receipt = dataset.open_catalogue(), dataset.raw_folder, dataset.receipt_path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(10**18, 10**18))
    with pytest.raises(FetchError, match=re.escape(f"{path} changed since the catalogue was made; run again")):
        run_fetch(catalogue, folder, receipt, mirror=None)
    assert "is missing; make it with: snakemake catalogue" in refusal(study, "fetch", capsys)


def test_an_edit_in_place_reaches_the_link_but_never_prepare(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = write_study(lab)
    dataset = run_stages(study)
    original = (lab / "my.npy").read_bytes()
    with open(lab / "my.npy", "r+b") as stream:  # the same inode
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\0")
    (lab / "my.npy").unlink()
    (lab / "my.npy").write_bytes(original)
    assert plan_of(study).key == dataset.key
    line = refusal(study, "prepare", capsys)
    assert "responses.npy is not what was fetched" in line and "--forcerun fetch_recordings" in line
    run_stages(study, "fetch", "prepare")


def test_a_file_that_is_gone_is_one_line(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder moved after the catalogue was made: its key is the same, its address is not."""
    study = write_study(lab)
    run_stages(study, "catalogue")
    moved = lab.rename(lab.with_name("moved"))
    line = refusal(str(moved / "mine.yaml"), "fetch", capsys)
    assert f"{lab}/" in line and "--forcerun catalogue_dataset" in line
    run_stages(str(moved / "mine.yaml"))


def test_keys_follow_contents_and_not_places(lab: Path) -> None:
    study = write_study(lab)
    before = plan_of(study)
    copy = Path(shutil.copytree(lab, lab.with_name("copy of lab")))
    (copy / "my.npy").rename(copy / "renamed.npy")
    (copy / "images").rename(copy / "pictures")
    elsewhere = plan_of(write_study(copy, responses="renamed.npy", stimulus=str(copy / "pictures")))
    assert (elsewhere.key, elsewhere.prep_key) == (before.key, before.prep_key)
    keys = {before.key}
    for name, content in (
        ("my.npy", np.load(lab / "my.npy") + 1),
        ("regions.csv", "region\nV1\nV1\nV2\n"),
        ("images/picture-00.png", None),
    ):
        if isinstance(content, str):
            (lab / name).write_text(content)
        elif content is None:
            (lab / name).rename(lab / "images" / "picture-zz.png")
        else:
            np.save(lab / name, content)
        plan = plan_of(study)
        assert plan.key not in keys and plan.prep_key != before.prep_key
        keys.add(plan.key)


def test_how_files_are_read_changes_only_what_is_prepared(lab: Path) -> None:
    before = plan_of(write_study(lab))
    after = plan_of(write_study(lab, units="Hz"))
    assert after.key == before.key and after.prep_key != before.prep_key
    limited = plan_of(write_study(lab, limit=1))
    assert limited.prep_key != before.prep_key


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled as soon as the file system's clock has moved on."""
    monkeypatch.setattr(file_digests, "SETTLED_NS", 0)


def test_a_file_that_may_still_change_within_a_tick_is_not_noted(lab: Path, tmp_path: Path) -> None:
    path, memo = lab / "my.npy", tmp_path / "work" / "memo.json"
    os.utime(path, ns=(10**18, 10**18))
    assert digests_of_files([path], memo) == {path: sha256_of_file(path)}
    assert not memo.exists()


def test_the_memo_of_digests_saves_reading_and_is_ignored_when_broken(lab: Path, tmp_path: Path, settled: None) -> None:
    path, memo = lab / "my.npy", tmp_path / "work" / "memo.json"
    true = sha256_of_file(path)
    time.sleep(0.05)
    assert digests_of_files([path], memo) == {path: true}
    whole = memo.read_text()
    state = path.stat()
    assert json.loads(whole)["files"] == {
        str(path): [state.st_dev, state.st_ino, state.st_size, state.st_ctime_ns, true]
    }
    with mock.patch.object(file_digests, "sha256_of_file", side_effect=AssertionError("read again")):
        assert digests_of_files([path], memo) == {path: true}
    files = json.dumps({"files": {str(path): 3}, "sha256": "0" * 64})
    for broken in (whole.replace(true, "0" * 64), whole[:-20], "{", "[]", '"x"', files, "\x00", "[" * 100_000):
        memo.write_text(broken)
        assert digests_of_files([path], memo) == {path: true}
        assert memo.read_text() == whole, "written anew"
    assert digests_of_files([path], path / "no" / "folder.json") == {path: true}


@pytest.mark.parametrize("replaced", [False, True])
def test_new_contents_of_the_same_size_and_time_have_another_digest(
    lab: Path, tmp_path: Path, settled: None, replaced: bool
) -> None:
    """As by an editor that keeps times, or by ``cp -p`` or rsync of another file."""
    path, memo = lab / "my.npy", tmp_path / "work" / "memo.json"
    time.sleep(0.05)
    before, state = digests_of_files([path], memo)[path], path.stat()
    time.sleep(0.05)
    contents = path.read_bytes()
    written = path.with_name("other.npy") if replaced else path
    written.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    os.utime(written, ns=(state.st_atime_ns, state.st_mtime_ns))
    written.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert digests_of_files([path], memo)[path] == sha256_of_file(path) != before


def test_keys_follow_contents_of_the_same_size_and_time(lab: Path, settled: None) -> None:
    study = write_study(lab)
    time.sleep(0.05)
    before, state = plan_of(study).prep_key, (lab / "my.npy").stat()
    assert (Path("data") / "catalogue" / "digests.json").is_file()
    time.sleep(0.05)
    np.save(lab / "my.npy", np.load(lab / "my.npy")[..., ::-1])
    os.utime(lab / "my.npy", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (lab / "my.npy").stat().st_size == state.st_size and plan_of(study).prep_key != before
