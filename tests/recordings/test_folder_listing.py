"""What is listed of a user's folder: links out, loops, pipes, other names, and folders that may not be read."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import BadConfiguration, BrokenArtifact
from pipeline.recordings.file_digests import SETTLED_NS
from pipeline.recordings.folder_listing import check_within, list_files, while_unchanged
from pipeline.study.load import load_study
from pipeline.study.plan import plan_study

pytestmark = pytest.mark.slow

KEY = "MD5E-s3--36b310929b34ae47f93afa78a714a612.nii.gz"
SCAN = "sub-01/func/sub-01_task-t_run-1_bold.nii.gz"
STUDY = """study: mine
title: mine
analyses:
  a:
    recording:
      kind: bids
      folder: data
      parcellation: {kind: spheres, radius_mm: 4, coordinates: {A: [0, 0, 0]}}
      stories: [{name: story, task: t, run: 1, audio: stimuli/story.wav}]
    models: [sound-power]
    metric: {kind: ridge, splits: {kind: contiguous, n_folds: 3, n_inner_folds: 3}}
"""


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def data(tmp_path):
    """A dataset, and a file and a folder outside it."""
    for name in (SCAN, "sub-01/func/sub-01_task-t_run-1_events.tsv", "stimuli/story.wav", "participants.tsv"):
        write(tmp_path / "data" / name)
    write(tmp_path / "elsewhere" / "sub-09" / "passwd")
    return tmp_path / "data"


def refused(data):
    with pytest.raises(BrokenArtifact) as caught:
        list_files(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_plain_files_and_hidden_ones(data):
    write(data / ".bidsignore")
    write(data / ".git" / "config")
    write(data / "derivatives" / ".cache" / "x")
    write(data / ".hidden" / "kept")
    expected = [
        ".hidden/kept",
        "participants.tsv",
        "stimuli/story.wav",
        SCAN,
        "sub-01/func/sub-01_task-t_run-1_events.tsv",
    ]
    assert list_files(data) == expected
    (data.parent / "named").symlink_to(data)  # a folder that the user names may be a link
    assert list_files(data.parent / "named") == expected


def test_links_within_the_folder_are_followed(data):
    write(data / "derivatives" / "v1" / "sub-01" / "x.tsv")
    (data / "derivatives" / "latest").symlink_to("v1")
    (data / "derivatives" / "v1" / "copy.tsv").symlink_to("../../participants.tsv")
    found = list_files(data)
    assert {"derivatives/v1/sub-01/x.tsv", "derivatives/latest/sub-01/x.tsv", "derivatives/v1/copy.tsv"} <= set(found)
    check_within([data / path for path in found], data)


@pytest.mark.parametrize(
    ("link", "target", "words"),
    [
        (
            "sub-02",
            "../elsewhere/sub-09",
            r"sub-02 is a link that leads out of the dataset \(to .*/sub-09\); copy",
        ),
        ("sub-01/func/more", "/etc", r"func/more is a link that leads out of the dataset \(to /etc\)"),
        ("sub-01/func/loop", "..", r"func/loop is a link to a folder that it lies in"),
        ("sub-01/all", "..", r"sub-01/all is a link to a folder that it lies in"),
        ("sub-01/self", ".", r"sub-01/self is a link to a folder that it lies in"),
        ("sub-02", "sub-01", r"sub-02 is a link to another listener's folder .*would count twice"),
    ],
)
def test_links_of_listeners_are_refused_by_name(data, link, target, words):
    (data / link).symlink_to(target)
    with pytest.raises(BrokenArtifact, match=words):
        list_files(data)


@pytest.mark.parametrize(
    ("link", "target"), [("derivatives", "/opt"), ("sourcedata", ".."), ("again", "."), ("stimuli/more", "/usr/share")]
)
def test_other_links_out_are_left_out_with_a_line(data, link, target, capfd):
    before = list_files(data)
    (data / link).symlink_to(target)
    assert list_files(data) == before
    said = capfd.readouterr().err
    assert said.startswith(f"layermap warning: not listed in {data}: {link} is a link") and said.count("\n") == 1


def test_two_links_into_each_other_end(data, capfd):
    (data / "a").mkdir()
    (data / "b").mkdir()
    (data / "a" / "to").symlink_to("../b")
    (data / "b" / "to").symlink_to("../a")
    (data / "nowhere").symlink_to("nowhere")  # leads to itself: no folder, and no file that can be opened
    began = time.perf_counter()
    found = list_files(data)
    assert time.perf_counter() - began < 1 and "nowhere" in found
    assert "is a link to a folder that it lies in" in capfd.readouterr().err
    with pytest.raises(BrokenArtifact, match="nowhere"):
        check_within([data / "nowhere"], data)


def test_files_that_lead_out_are_refused_when_they_are_needed(data):
    (data / "sub-01" / "passwd.tsv").symlink_to("/etc/passwd")
    assert "sub-01/passwd.tsv" in list_files(data)
    with pytest.raises(BrokenArtifact, match=r"passwd\.tsv is a link that leads out of .* \(to /etc/passwd\); copy"):
        check_within([data / "sub-01" / "passwd.tsv"], data)


def test_links_of_git_annex_are_followed_to_their_own_dataset(data):
    """DataLad's: objects beside the dataset's .git, also where the folder that is named is a part of the dataset."""
    own = write(data / ".git" / "annex" / "objects" / "a1" / "b2" / KEY / KEY)
    scan = data / SCAN
    scan.unlink()
    scan.symlink_to(os.path.relpath(own, scan.parent))
    check_within([scan], data)
    check_within([scan], data / "sub-01")  # a part of a dataset
    # objects kept elsewhere, as an ephemeral clone keeps them
    (data / ".git" / "annex").rename(data.parent / "annex")
    (data / ".git" / "annex").symlink_to(data.parent / "annex")
    check_within([scan], data)
    # of another dataset, or an object that is itself a link
    stranger = write(data.parent / "elsewhere" / ".git" / "annex" / "objects" / KEY / KEY)
    scan.unlink()
    scan.symlink_to(stranger)
    with pytest.raises(BrokenArtifact, match="leads out"):
        check_within([scan], data)
    trap = data / ".git" / "annex" / "objects" / "x" / KEY
    trap.parent.mkdir()
    trap.symlink_to("/etc/passwd")
    scan.unlink()
    scan.symlink_to(os.path.relpath(trap, scan.parent))
    with pytest.raises(BrokenArtifact, match=r"\(to /etc/passwd\)"):
        check_within([scan], data)


def test_names_that_are_no_utf8(data, capfd):
    odd = os.fsdecode(b"notes-\xff.txt")
    write(data / odd)
    assert odd not in list_files(data)
    capfd.readouterr()
    write(data / "sub-01" / os.fsdecode(b"sub-01_t\xe9.tsv"))
    message = refused(data)
    assert r"sub-01_t\udce9.tsv has a name that is not UTF-8; rename it" in message
    message.encode("utf-8")


def test_depth_and_number_have_limits(data, monkeypatch, capfd):
    deep = data / "derivatives"
    for _ in range(60):
        deep = deep / "d"
    write(deep / "x")
    assert not any(path.startswith("derivatives") for path in list_files(data))
    assert "lies over 40 folders deep" in capfd.readouterr().err
    monkeypatch.setattr("pipeline.recordings.folder_listing.FOLDER_ENTRIES", 20)
    for number in range(30):
        write(data / f"{number}.txt")
    assert "has over 20 files; give a smaller folder" in refused(data)


def without_rights():
    """The tests may run as root, who may read everything."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_folders_that_may_not_be_read_are_named(capfd):
    with tempfile.TemporaryDirectory() as name, multiprocessing.get_context("fork").Pool(1, without_rights) as other:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder / "kept.txt")
        private, listener = (write(folder / inside / "x").parent for inside in ("private", "sub-01/func"))
        private.chmod(0)
        assert other.apply(list_files, [folder]) == ["kept.txt", "sub-01/func/x"]
        said = capfd.readouterr().err
        assert f"not listed in {folder}: private cannot be listed (Permission denied); change its permissions" in said
        listener.chmod(0)
        with pytest.raises(BrokenArtifact, match=r"sub-01/func cannot be listed \(Permission denied\); change its"):
            other.apply(list_files, [folder])
        private.chmod(0o755)
        listener.chmod(0o755)


def run(folder):
    (folder / "s.yaml").write_text(STUDY)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "catalogue", "--study", "s.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def test_the_program_on_a_folder_with_a_loop(data):
    (data / "sub-01" / "loop").symlink_to("../sub-01")
    status, said = run(data.parent)
    assert status == 1 and "sub-01/loop is a link to a folder that it lies in" in said


@pytest.mark.parametrize("name", ["sub-01/func/sub-01_task-t_run-1_events.tsv", SCAN])
def test_the_program_on_a_folder_with_a_pipe(data, name):
    (data / name).unlink()
    os.mkfifo(data / name)
    status, said = run(data.parent)
    assert status == 1 and f"{name} is a pipe, expected a file" in said


def test_the_program_on_a_folder_called_like_an_image(data):
    (data / SCAN).unlink()
    (data / SCAN).mkdir()
    status, said = run(data.parent)
    assert status == 1 and "layermap" in said


def test_the_program_on_a_scan_that_leads_out(data):
    (data / SCAN).unlink()
    (data / SCAN).symlink_to(data.parent / "elsewhere" / "sub-09" / "passwd")
    status, said = run(data.parent)
    assert status == 1 and "leads out of" in said and "elsewhere/sub-09/passwd" in said


PICTURES = """study: mine
title: mine
analyses:
  a:
    recording: {kind: files, responses: my.npy, stimulus: STIMULUS, regions: regions.csv}
    models: [pixels]
    metric: {kind: ridge, splits: {kind: random_items, n_folds: 3, n_inner_folds: 3}}
"""


@pytest.fixture
def pictures(tmp_path):
    for folder in ("images", "disk"):
        (tmp_path / folder).mkdir()
        for number in range(4):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(tmp_path / folder / f"im{number}.png")
    np.save(tmp_path / "my.npy", np.random.default_rng(0).standard_normal((4, 3)))
    (tmp_path / "regions.csv").write_text("region\nA\nA\nA\n")
    return tmp_path


def load(folder, stimulus="images/"):
    (folder / "s.yaml").write_text(PICTURES.replace("STIMULUS", stimulus))
    return load_study(str(folder / "s.yaml"))


def test_files_and_folders_that_a_study_names_may_be_links(pictures, monkeypatch):
    monkeypatch.chdir(pictures)

    def key(study):
        return plan_study(study).analyses[0].dataset.key

    plain = key(load(pictures))
    (pictures / "linked").symlink_to(pictures / "disk")
    assert key(load(pictures, "linked/")) == plain  # of the same contents
    (pictures / "my.npy").rename(pictures / "disk" / "big.npy")
    (pictures / "my.npy").symlink_to("disk/big.npy")
    assert key(load(pictures)) == plain


def test_a_listed_picture_that_leads_out_is_refused(pictures):
    (pictures / "images" / "im9.png").symlink_to(pictures / "disk" / "im0.png")
    with pytest.raises(BadConfiguration, match=r"im9\.png is a link that leads out of .*images .*; copy"):
        load(pictures)


def test_a_picture_whose_name_is_no_utf8_is_refused_printably(pictures):
    (pictures / "images" / os.fsdecode(b"im\xff.png")).write_bytes((pictures / "disk" / "im0.png").read_bytes())
    with pytest.raises(BadConfiguration, match=r"im\\udcff\.png has a name that is not UTF-8; rename it") as caught:
        load(pictures)
    str(caught.value).encode("utf-8")


def test_a_pipe_in_place_of_an_array_is_no_file(pictures):
    (pictures / "my.npy").unlink()
    os.mkfifo(pictures / "my.npy")
    with pytest.raises(BadConfiguration, match=r"my\.npy is no ordinary file, expected a file"):
        load(pictures)


def test_what_is_found_in_a_folder_is_kept_until_the_folder_changes(tmp_path: Path) -> None:
    listed: list[Path] = []

    @while_unchanged
    def names(folder: Path) -> list[str]:
        listed.append(folder)
        return sorted(os.listdir(folder))

    (tmp_path / "a.png").touch()
    assert names(tmp_path) == ["a.png"]
    (tmp_path / "b.png").touch()
    assert names(tmp_path) == ["a.png", "b.png"]  # changed a moment ago: nothing was kept
    time.sleep(SETTLED_NS / 1e9 + 0.1)
    assert names(tmp_path) == names(tmp_path) == ["a.png", "b.png"] and len(listed) == 3
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    os.utime(tmp_path, ns=(0, 0))
    assert names(tmp_path) == ["b.png", "c.png"]
