"""The locks of the folders that runs share: held, told apart, and gone with their process."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.artifacts.storage.one_run import LOCK_NAME, claim_folders
from pipeline.artifacts.storage.store import locked
from pipeline.core.errors import AlreadyRunning, LayermapError

DATA, REPORTS = Path("data"), Path("reports")
HOLD = """
import sys, time
from pathlib import Path
from pipeline.artifacts.storage.one_run import claim_folders
locks = claim_folders(Path("data"), [Path("reports")])
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The folder of a second run, whose data/ leads to that of a first."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def holder(tmp_path):
    """Start another process that claims the folders of a folder."""
    processes = []

    def start(folder: Path) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=folder, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def refusal() -> str:
    with pytest.raises(AlreadyRunning) as caught:
        claim_folders(DATA, [REPORTS])
    return str(caught.value)


def test_a_second_run_in_the_folder_is_told_who_works_there(here, holder):
    other = holder(here)
    assert refusal() == f"another run (process {other.pid}) works in {here}; wait for it to end, or stop it first"


@pytest.mark.parametrize("linked", ["data", "reports", "data/raw", "data/activations"])
def test_a_folder_that_links_share_is_held_by_one(here, holder, linked):
    elsewhere = here.parent / "elsewhere"
    (elsewhere / linked).mkdir(parents=True)
    (here / linked).parent.mkdir(exist_ok=True)
    (here / linked).symlink_to(elsewhere / linked)
    if linked.startswith("data"):
        other = holder(elsewhere if linked == "data" else here)
    else:
        other = holder(here)
    third = here.parent / "third"
    (third / linked).parent.mkdir(parents=True)
    (third / linked).symlink_to(here / linked)
    os.chdir(third)
    message = refusal()
    assert f"another run (process {other.pid}) works in {here.parent}" in message
    assert f", which shares {(elsewhere / linked).resolve()} with {third};" in message


def test_locks_die_with_a_killed_process_and_two_folders_of_their_own_do_not_meet(here, holder):
    first = holder(here)
    holder(here.parent / "elsewhere")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    (lock,) = claim_folders(DATA, [REPORTS])
    assert (here / "data" / LOCK_NAME).read_text().split() == [str(os.getpid()), str(here), os.uname().nodename]
    lock.close()


def test_everybody_who_may_write_in_the_folder_may_hold_it(here):
    (here / "data").mkdir()
    (here / "data").chmod(0o775)
    before = os.umask(0o077)
    try:
        (lock,) = claim_folders(DATA, [REPORTS])
    finally:
        os.umask(before)
    assert (here / "data" / LOCK_NAME).stat().st_mode & 0o777 == 0o664
    lock.close()


READ_ONLY = """
import os, sys
from pathlib import Path
sys.path[:0] = {path!r}
from pipeline.artifacts.storage.one_run import claim_folders
os.setgid(65534), os.setuid(65534)
print(len(claim_folders(Path("data"), [])))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an unprivileged user")
def test_a_shared_folder_that_may_only_be_read_is_not_held(here):
    for folder in [here, *here.parents]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    (here / "data").mkdir()
    (here / "data").chmod(0o777)
    (here / "data" / "raw").symlink_to(here.parent / "elsewhere")
    (here.parent / "elsewhere").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY.format(path=sys.path)], cwd=here, capture_output=True, text=True
    )
    assert done.stdout == "1\n", done.stderr
    assert not (here.parent / "elsewhere" / LOCK_NAME).exists()


def test_a_link_that_leads_nowhere_is_named(here):
    (here / "data").symlink_to(here.parent / "unmounted")
    with pytest.raises(LayermapError, match=r"data is a link to .*/unmounted, which is not there; mount or make that"):
        claim_folders(DATA, [])
    assert not (here.parent / "unmounted").exists()


def test_a_file_in_place_of_the_folder_is_named(here):
    (here / "data").write_text("")
    with pytest.raises(LayermapError, match="data is a file where a folder belongs"):
        claim_folders(DATA, [])


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_said(here, monkeypatch, reason):
    """What flock answers on NFS without lockd or on Lustre without -o flock; no such file system is at hand."""

    def flock(descriptor, operation):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(LayermapError, match=rf"cannot lock .*{LOCK_NAME}: its file system has no locks \(flock: "):
        claim_folders(DATA, [])
    if reason != errno.ENOSYS:  # filelock then makes do with a file that is there or not
        with pytest.raises(LayermapError, match="its file system has no locks"), locked(here / "x.nc"):
            pass
