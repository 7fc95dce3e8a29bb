"""Lists of the files of a snapshot: git and GraphQL agree, say what the real lists say, and fail in one line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import BadConfiguration, FetchError
from pipeline.fetch.download import download
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror
from pipeline.recordings.openneuro.snapshot import ListedFile, list_snapshot, raw_file
from tests.listening.server import ListedRow, ListeningServer, listed_rows
from tests.listening.server_git import TreeRow, write_snapshot

pytestmark = pytest.mark.slow

DATASET, TAG = "ds000042", "1.0.0"
IMAGE = "sub-01/func/sub-01_task-a_bold.nii.gz"
FILES: dict[str, bytes | Path | ListedRow] = {
    "README": b"Read me.\n",
    "participants.tsv": b"\xef\xbb\xbfparticipant_id\nsub-01\n",
    IMAGE: bytes(range(256)) * 50,
    "stimuli/a story + more.wav": b"RIFF" + bytes(3000),
}


def by_git(server: ListeningServer, dataset: str = DATASET, tag: str = TAG) -> dict[str, ListedFile]:
    server.graphql_status = 503
    listed = list_snapshot(dataset, tag, server.prefix)
    server.graphql_status = None
    return listed


def by_graphql(server: ListeningServer, dataset: str = DATASET, tag: str = TAG) -> dict[str, ListedFile]:
    server.git_status = 404
    listed = list_snapshot(dataset, tag, server.prefix)
    server.git_status = None
    return listed


def refusal(server: ListeningServer, dataset: str = DATASET, tag: str = TAG) -> str:
    with pytest.raises(FetchError) as error:
        list_snapshot(dataset, tag, server.prefix)
    said = str(error.value)
    assert "\n" not in said
    assert said.startswith(f"no list of the files of {dataset}, snapshot {tag} (git: ")
    assert "; GraphQL: " in said
    assert f"https://openneuro.org/datasets/{dataset}" in said and "--config mirror=http://HOST" in said
    return said


@pytest.mark.mirror
@pytest.mark.parametrize("dataset", ["ds002322", "ds002345", "ds003643"])
def test_git_and_graphql_say_what_the_real_list_says(openneuro, mirror: Path, dataset: str, capfd) -> None:
    rows = listed_rows(mirror, dataset)
    openneuro.add_listed_rows(dataset, "1.1.4", rows)
    for listed in (by_git(openneuro, dataset, "1.1.4"), by_graphql(openneuro, dataset, "1.1.4")):
        assert list(listed) == sorted(row.path for row in rows)
        assert {path: file.bytes for path, file in listed.items()} == {row.path: row.bytes for row in rows}
        assert {path: file.md5 for path, file in listed.items()} == {
            row.path: row.digest if row.store == "annex" else None for row in rows
        }
        assert {file.url.partition("?")[0] for file in listed.values()} == {
            f"https://s3.amazonaws.com/openneuro.org/{dataset}/{row.path}" for row in rows
        }
    assert capfd.readouterr() == ("", "")


def test_digests_are_those_of_the_contents_and_files_come_by_either_list(openneuro, tmp_path: Path) -> None:
    openneuro.add_snapshot(DATASET, TAG, FILES)
    git, graphql = by_git(openneuro), by_graphql(openneuro)
    assert list(git) == list(graphql) == sorted(FILES)
    for way, listed in (("git", git), ("graphql", graphql)):
        for path, contents in FILES.items():
            assert isinstance(contents, bytes)
            file = listed[path]
            in_git = path in ("README", "participants.tsv")
            assert file.bytes == len(contents)
            assert file.md5 == (None if in_git else hashlib.md5(contents).hexdigest())
            blob = hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()
            assert file.git_sha1 == (blob if in_git and way == "git" else None)
            entry = raw_file(file, part=2, prefix=f"{way}/")
            assert (entry.path, entry.part) == (f"{way}/{path}", 2)
            download(entry, tmp_path / entry.path, mirror=Mirror(prefix=openneuro.prefix))
            assert (tmp_path / entry.path).read_bytes() == contents


def test_contents_may_be_files_on_disk_and_rows_without_contents(openneuro, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"image")
    row = ListedRow("sub-02/sub-02_T1w.nii.gz", 7_000_000, "0" * 32, "annex")
    openneuro.add_snapshot(DATASET, TAG, {IMAGE: tmp_path / "image", row.path: row})
    listed = by_git(openneuro)
    assert listed[IMAGE].md5 == hashlib.md5(b"image").hexdigest()
    assert (listed[row.path].bytes, listed[row.path].md5) == (7_000_000, "0" * 32)
    assert {path: file.bytes for path, file in by_graphql(openneuro).items()} == {IMAGE: 5, row.path: 7_000_000}


def test_a_later_snapshot_changes_nothing_of_a_pinned_one(openneuro, tmp_path: Path) -> None:
    openneuro.add_snapshot(DATASET, TAG, FILES)
    openneuro.add_snapshot(DATASET, "2.0.0", {**FILES, IMAGE: b"another image"})
    assert by_git(openneuro)[IMAGE].bytes == 12800 and by_git(openneuro, tag="2.0.0")[IMAGE].bytes == 13
    entry = raw_file(by_graphql(openneuro)[IMAGE])
    download(entry, tmp_path / "versioned", mirror=Mirror(prefix=openneuro.prefix))
    assert (tmp_path / "versioned").read_bytes() == FILES[IMAGE]
    # git tells no version, but what came instead is noticed
    with pytest.raises(FetchError, match="has 13 bytes where 12800 were expected"):
        download(
            raw_file(by_git(openneuro)[IMAGE]),
            tmp_path / "newest",
            mirror=Mirror(prefix=openneuro.prefix),
            settings=FetchSettings(retries=0),
        )


SHA256 = "b" * 64


def test_other_keys_unlocked_files_links_and_submodules(openneuro) -> None:
    openneuro.add_snapshot(DATASET, TAG, {"README": b"x"})
    pointer = b"/annex/objects/MD5E-s1234--" + b"a" * 32 + b".nii.gz\n"
    rows = [
        TreeRow("a/b/c/sha.nii.gz", 0, annex_key=f"SHA256E-s99--{SHA256}.nii.gz"),
        TreeRow("plain.bin", 0, annex_key=f"MD5-s98--{'c' * 32}"),
        TreeRow("timed.bin", 0, annex_key=f"MD5E-s97-m1586000000--{'d' * 32}.bin"),
        TreeRow("worm.bin", 0, annex_key="WORM-s96-m1586000000--some name".replace(" ", "_")),
        TreeRow("unlocked.nii.gz", 0, contents=pointer),
        TreeRow("about.md", 0, contents=b"files lie under " + pointer),
    ]
    repository = openneuro.repository(DATASET)
    write_snapshot(repository, "3.0.0", rows)
    parent = subprocess.run(["git", "--git-dir", repository, "rev-parse", "3.0.0"], capture_output=True, text=True)
    stream = (
        f"commit refs/tags/3.0.1\ncommitter x <x> 0 +0000\ndata 0\nfrom {parent.stdout}"
        f"M 160000 {parent.stdout.strip()} code/module\nM 120000 inline link.tsv\ndata 8\nREADME.x\n\n"
    )
    subprocess.run(["git", "--git-dir", repository, "fast-import", "--quiet"], input=stream.encode(), check=True)
    listed = by_git(openneuro, tag="3.0.1")
    assert {path: (file.bytes, file.md5, file.sha256) for path, file in listed.items()} == {
        "a/b/c/sha.nii.gz": (99, None, SHA256),
        "plain.bin": (98, "c" * 32, None),
        "timed.bin": (97, "d" * 32, None),
        "worm.bin": (96, None, None),
        "unlocked.nii.gz": (1234, "a" * 32, None),
        "about.md": (16 + len(pointer), None, None),
    }
    assert [path for path, file in listed.items() if file.git_sha1] == ["about.md"]
    assert raw_file(listed["a/b/c/sha.nii.gz"]).sha256 == SHA256


def test_a_key_without_size_leaves_git_aside(openneuro) -> None:
    openneuro.add_snapshot(DATASET, TAG, {IMAGE: b"image"})
    write_snapshot(openneuro.repository(DATASET), TAG, [TreeRow(IMAGE, 0, annex_key="URL--http&c%%example.org%x")])
    assert list_snapshot(DATASET, TAG, openneuro.prefix)[IMAGE].bytes == 5
    openneuro.graphql_status = 404
    assert f"the git-annex key 'URL--http&c%%example.org%x' of {IMAGE} tells no size" in refusal(openneuro)


@pytest.mark.parametrize("git_status", [None, 404, 401, 503])
@pytest.mark.parametrize(("dataset", "tag"), [(DATASET, "9.9"), ("ds999999", TAG), (DATASET, "main")])
def test_an_unknown_snapshot_or_dataset_is_one_line(openneuro, dataset: str, tag: str, git_status: int | None) -> None:
    """A branch is no snapshot, and nobody is asked for a password."""
    openneuro.add_snapshot(DATASET, TAG, FILES)
    openneuro.git_status = git_status
    said = refusal(openneuro, dataset, tag)
    assert f"it has no snapshot {tag} of {dataset}" in said
    if git_status == 503:
        assert "it answers 503" in said
    elif git_status is not None or dataset != DATASET:
        assert f"it has no repository {dataset}" in said
    else:
        assert f"it has no tag {tag}" in said
        assert tag == "main" or "(it has 1.0.0)" in said


REST = {"urls": [], "id": "", "directory": False}


def list_answer(*rows: dict[str, object]) -> bytes:
    return json.dumps({"data": {"snapshot": {"files": rows}}}).encode()


def error_answer(message: str) -> bytes:
    return json.dumps({"data": {"snapshot": None}, "errors": [{"message": message}]}).encode()


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (b"<!DOCTYPE html><title>Bad gateway</title>", "text/html", "it answers with an HTML page, not JSON"),
        (b'{"data": {"snapshot": {"files": [{"filen', "application/json", "its JSON is cut short"),
        (error_answer("You do not have access\nto read this"), "application/json", "You do not have access to read"),
        (list_answer(), "application/json", "its list of files is empty"),
        (list_answer({"filename": "a"}), "application/json", "rows are not as expected"),
        (list_answer({"filename": "a", "size": None, **REST}), "application/json", "rows are not as expected"),
        (list_answer({"filename": "a.nii", "size": 10**30, **REST}), "application/json", "a.nii is said to have over"),
        (list_answer({"filename": "a.nii", "size": 2e15, **REST}), "application/json", "a.nii is said to have 2.0 PB"),
        (list_answer({"filename": "a.nii", "size": -1, **REST}), "application/json", "a.nii is said to have -1 bytes"),
        (b"[]", "application/json", "rows are not as expected"),
    ],
)
def test_what_is_no_list_is_one_line(openneuro, answer: bytes, kind: str, reason: str) -> None:
    openneuro.git_status = 404
    openneuro.graphql_answer = (answer, kind)
    assert reason in refusal(openneuro)


@pytest.mark.parametrize("status", [403, 404, 500, 504])
def test_statuses_of_graphql_are_named(openneuro, status: int) -> None:
    openneuro.git_status = 404
    openneuro.graphql_status = status
    assert f"{openneuro.prefix}/openneuro.org: it answers {status} " in refusal(openneuro)
    n_asked = sum("graphql" in line for line in openneuro.requests)
    assert n_asked == (4 if status in (500, 504) else 1)


def test_errors_that_pass_are_asked_through(openneuro, monkeypatch) -> None:
    openneuro.add_snapshot(DATASET, TAG, FILES)
    openneuro.git_status = 503

    def recovered(seconds: float) -> None:
        openneuro.git_status = None

    monkeypatch.setattr("pipeline.fetch.http.lists.time.sleep", recovered)
    openneuro.graphql_status = 503
    assert list(list_snapshot(DATASET, TAG, openneuro.prefix)) == sorted(FILES)
    assert not any("graphql" in line for line in openneuro.requests)


def test_without_git_graphql_is_asked(openneuro, monkeypatch, tmp_path: Path) -> None:
    openneuro.add_snapshot(DATASET, TAG, FILES)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("git") is None
    assert list(list_snapshot(DATASET, TAG, openneuro.prefix)) == sorted(FILES)
    openneuro.graphql_status = 404
    assert "git is not installed" in refusal(openneuro)


def test_the_public_address_is_asked_after_the_mirror(openneuro, monkeypatch) -> None:
    """The mirror is another server, which has nothing; the public address is that of the local OpenNeuro."""
    openneuro.add_snapshot(DATASET, TAG, FILES)
    with ListeningServer() as mirror:
        monkeypatch.setattr(
            "pipeline.recordings.openneuro.snapshot.addresses_of",
            lambda public, prefix: [f"{base}/{public.removeprefix('https://')}" for base in (prefix, openneuro.prefix)],
        )
        assert list(list_snapshot(DATASET, TAG, mirror.prefix)) == sorted(FILES)
        assert any(DATASET in line for line in mirror.requests) and any(DATASET in line for line in openneuro.requests)
        mirror.add_snapshot(DATASET, TAG, {"README": b"of the mirror"})
        assert list(list_snapshot(DATASET, TAG, mirror.prefix)) == ["README"]


def test_nobodys_configuration_or_repository_counts(openneuro, monkeypatch, tmp_path: Path) -> None:
    openneuro.add_snapshot(DATASET, TAG, FILES)
    (tmp_path / ".gitconfig").write_text(f'[url "http://nowhere.invalid/"]\n\tinsteadOf = {openneuro.prefix}\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / ".gitconfig"))
    assert list(by_git(openneuro)) == sorted(FILES)
    assert os.listdir(tmp_path) == [".gitconfig"]


ASK = """
import os, pty, sys
child = "from pipeline.recordings.openneuro import listings; listings.read_git_tree('ds1', '1.0', sys.argv[1])"
os._exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, "-c", "import sys; " + child, sys.argv[1]])))
"""


def test_nobody_at_a_terminal_is_asked_for_a_password(openneuro) -> None:
    """GitHub answers so where there is no such repository; a prompt would wait for ever."""
    openneuro.git_status = 401
    command = [sys.executable, "-c", ASK, f"{openneuro.prefix}/github.com"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.communicate(timeout=20)[0]
        finally:
            process.kill()
    assert "NoAnswer: it has no repository ds1" in said


def test_folders_in_the_answer_of_graphql_are_no_files(openneuro) -> None:
    openneuro.git_status = 404
    folder = {"filename": "sub-01", "size": 0, **REST, "directory": True}
    openneuro.graphql_answer = (list_answer(folder, {"filename": "sub-01/a", "size": 7, **REST}), "application/json")
    assert {path: file.bytes for path, file in list_snapshot(DATASET, TAG, openneuro.prefix).items()} == {"sub-01/a": 7}


@contextlib.contextmanager
def silent_port() -> Iterator[str]:
    """An address that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_silent_servers_are_given_up(openneuro, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.fetch.http.lists.SILENCE_S", 1.0)
    monkeypatch.setattr("pipeline.fetch.http.lists.TRIES", 1)
    begun = time.monotonic()
    with silent_port() as address, pytest.raises(FetchError) as error:
        list_snapshot(DATASET, TAG, address)
    assert str(error.value).count("it was silent for 1 s") == 2
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(("dataset", "tag"), [("--upload-pack=x", TAG), (DATASET, "-x"), ("../x", TAG), (DATASET, '"')])
def test_names_that_cannot_be_are_refused_before_anything_is_asked(openneuro, dataset: str, tag: str) -> None:
    with pytest.raises(BadConfiguration, match="expected a name such as ds003643"):
        list_snapshot(dataset, tag, openneuro.prefix)
    assert openneuro.requests == []
