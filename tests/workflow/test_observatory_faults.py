"""Downloads and conversions of Allen experiments that go wrong: afterwards the bytes are the same, or not there."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.catalogue import Catalogue
from pipeline.core.errors import BrokenArtifact, FetchError, LayermapError
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.stage import run_fetch
from pipeline.recordings.allen.two_photon.catalogue import catalogue
from pipeline.recordings.allen.two_photon.dataset import prepare_recording
from pipeline.recordings.allen.two_photon.options import Allen2pOptions
from tests.http_server import Served, running
from tests.observatory.planted_two_photon import Design
from tests.observatory.server import API, PAGE, ObservatoryServer
from tests.observatory.study_two_photon import Observatory, simulate_observatory

pytestmark = pytest.mark.slow

OPTIONS = Allen2pOptions(stimuli=("natural_movie_one", "natural_movie_three"), limit=2, areas=("VISp", "VISl"))
DESIGN = Design({"natural_movie_one": 60, "natural_movie_three": 90}, n_repeats=3, n_cells=4)
QUICK = FetchSettings(retries=3, back_off_s=0.01, stall_timeout_s=0.5, connect_timeout_s=2)


@pytest.fixture(scope="module")
def observatory() -> Observatory:
    return simulate_observatory(OPTIONS, DESIGN, None)


@pytest.fixture
def server(observatory: Observatory, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObservatoryServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(observatory.server()) as server:
        yield server


@pytest.fixture
def listed(server: ObservatoryServer) -> Catalogue:
    return catalogue(OPTIONS, "key", server.prefix)


def fetch(listed: Catalogue, server: ObservatoryServer, folder: Path) -> None:
    run_fetch(listed, folder, folder / "receipt-key.json", mirror=server.mirror, settings=QUICK)


def check_bytes(listed: Catalogue, observatory: Observatory, folder: Path) -> None:
    """Every file is exactly what the server has, and nothing unfinished is left."""
    for file in listed.files:
        assert (folder / file.path).read_bytes() == observatory.files[file.url.removeprefix(f"https://{API}")]
    assert not list(folder.rglob("*.part*"))
    assert (folder / "receipt-key.json").is_file()


def served(server: ObservatoryServer, listed: Catalogue, number: int = 0) -> Served:
    return server.files[listed.files[number].url.removeprefix("https://")]


def test_a_connection_that_is_cut_ten_times_goes_on_where_it_was(server, listed, observatory, tmp_path):
    one = served(server, listed)
    offsets = sorted(random.Random(1).sample(range(1, len(one.body)), 10))
    # bytes that come before each cut, from where the one before it left off
    one.cut_each = [end - start for start, end in zip([0, *offsets], offsets, strict=False)]
    fetch(listed, server, tmp_path)
    check_bytes(listed, observatory, tmp_path)
    assert len(one.requests) == 11 and sum(one.served) == len(one.body)


def test_a_server_that_restarts_is_asked_again(listed, observatory, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    patient = QUICK.model_copy(update={"retries": 50, "back_off_s": 0.05, "back_off_limit_s": 0.1})
    first = observatory.server()
    port = first.server_address[1]
    for file in listed.files:
        served(first, listed, 0).bytes_per_s = 200_000
        served(first, listed, listed.files.index(file)).cut_each = [3000]
    outcome: list[BaseException] = []

    def download() -> None:
        try:
            run_fetch(listed, tmp_path, tmp_path / "receipt-key.json", mirror=first.mirror, settings=patient)
        except BaseException as error:
            outcome.append(error)

    with running(first):
        thread = threading.Thread(target=download)
        thread.start()
        while not list(tmp_path.rglob("*.part")):
            time.sleep(0.01)
    with running(observatory.server(port=port)):
        thread.join(30)
        if outcome:  # nobody was at home for too long: the next run goes on
            assert isinstance(outcome[0], FetchError)
            run_fetch(listed, tmp_path, tmp_path / "receipt-key.json", mirror=first.mirror, settings=patient)
    check_bytes(listed, observatory, tmp_path)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"announced": 10}, "has 10 bytes where"),
        ({"body": PAGE, "content_type": "text/html"}, "HTML page"),
        ({"status_each": [500] * 20}, "answers 500"),
        ({"status_each": [404] * 20}, "answers 404"),
        ({"stall_each": [0] * 20}, "no byte for 0.5 s"),
    ],
)
def test_what_is_not_the_file_is_refused_and_the_next_run_mends_it(
    server, listed, observatory, tmp_path, behaviour, message
):
    one = served(server, listed)
    before = dict(vars(one))
    for name, value in behaviour.items():
        setattr(one, name, value)
    with pytest.raises(FetchError, match=message) as error:
        fetch(listed, server, tmp_path)
    assert "\n" not in str(error.value) and not (tmp_path / listed.files[0].path).exists()
    assert not (tmp_path / "receipt-key.json").exists()
    vars(one).update(before)
    one.requests.clear()
    fetch(listed, server, tmp_path)
    check_bytes(listed, observatory, tmp_path)


def test_a_file_of_the_right_length_that_is_no_experiment_is_refused(server, listed, tmp_path):
    one = served(server, listed)
    one.body = os.urandom(len(one.body))
    with pytest.raises(FetchError, match=r"does not open as \.nwb"):
        fetch(listed, server, tmp_path)
    assert not (tmp_path / listed.files[0].path).exists()


def test_a_file_without_its_traces_is_refused(server, listed, tmp_path):
    listed = listed.model_copy(
        update={"files": tuple(f.model_copy(update={"holds": (*f.holds, "processing/none")}) for f in listed.files)}
    )
    with pytest.raises(FetchError, match="lacks '"):
        fetch(listed, server, tmp_path)


def test_a_flipped_byte_in_a_finished_file_is_found_and_mended(server, listed, observatory, tmp_path, capsys):
    fetch(listed, server, tmp_path)
    path = tmp_path / listed.files[0].path
    altered = bytearray(path.read_bytes())
    altered[len(altered) // 3] ^= 4
    path.write_bytes(altered)
    with pytest.raises(BrokenArtifact, match="changed since it was fetched"):
        prepare_recording(listed.recordings[0], tmp_path, OPTIONS)
    fetch(listed, server, tmp_path)
    assert "it is fetched again" in capsys.readouterr().err
    check_bytes(listed, observatory, tmp_path)
    prepare_recording(listed.recordings[0], tmp_path, OPTIONS)


def test_another_file_under_the_same_address_is_not_taken_silently(server, listed, observatory, tmp_path):
    fetch(listed, server, tmp_path)
    path = tmp_path / listed.files[0].path
    path.unlink()
    served(server, listed).body = served(server, listed, 2).body
    other = listed.model_copy(update={"files": tuple(f.model_copy(update={"bytes": None}) for f in listed.files)})
    with pytest.raises(
        FetchError, match=r"recorded when it was first fetched; if it was published anew, delete .*sha256"
    ):
        fetch(other, server, tmp_path)
    assert not path.exists()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(folder)], check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_what_does_not_fit_is_not_begun_and_the_limit_that_fits_is_said(server, listed, tiny_disk):
    total = sum(file.bytes or 0 for file in listed.files if file.part == 1)
    if total < 300_000:
        listed = listed.model_copy(
            update={
                "files": tuple(
                    f.model_copy(update={"bytes": 140_000 if f.part == 1 else 400_000}) for f in listed.files
                )
            }
        )
    with pytest.raises(FetchError, match=r"needs .* more in .*, where .* are free: .*limit=1") as error:
        fetch(listed, server, tiny_disk)
    assert "\n" not in str(error.value) and not list(tiny_disk.rglob("*.nwb*"))


def test_a_disk_that_fills_up_leaves_nothing_broken(server, listed, observatory, tiny_disk, tmp_path):
    unknown = listed.model_copy(update={"files": tuple(f.model_copy(update={"bytes": None}) for f in listed.files)})
    (tiny_disk / "ballast").write_bytes(b"x" * 250_000)
    with pytest.raises(LayermapError, match="the disk is full"):
        fetch(unknown, server, tiny_disk)
    for path in tiny_disk.rglob("*.nwb"):
        assert path.read_bytes() in observatory.files.values()
    assert not (tiny_disk / "receipt-key.json").exists()
    fetch(listed, server, tmp_path / "elsewhere")
    check_bytes(listed, observatory, tmp_path / "elsewhere")


def test_two_runs_at_once_fetch_each_file_once(server, listed, observatory, tmp_path):
    for number in range(len(listed.files)):
        served(server, listed, number).bytes_per_s = 2_000_000
    threads = [threading.Thread(target=fetch, args=(listed, server, tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check_bytes(listed, observatory, tmp_path)
    sent = sum(sum(served(server, listed, number).served) for number in range(len(listed.files)))
    assert sent == sum(file.bytes or 0 for file in listed.files)


STUDY = {
    "study": "small",
    "title": "Two experiments",
    "analyses": {
        "movies": {
            "recording": {
                "kind": "allen_2p",
                "areas": ["VISp", "VISl"],
                "stimuli": ["natural_movie_one", "natural_movie_three"],
                "limit": 2,
            },
            "models": ["pixels"],
            "metric": {"kind": "ridge"},
        }
    },
}


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of everything that was prepared."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "data" / "prepared").rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def stage(folder: Path, server: ObservatoryServer, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", name, "--study", "small.yaml", "--mirror", server.prefix]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def run_to_prepare(folder: Path, server: ObservatoryServer) -> None:
    folder.mkdir()
    (folder / "small.yaml").write_text(yaml.safe_dump(STUDY))
    for name in ("catalogue", "fetch"):
        assert stage(folder, server, name).wait(120) == 0


def n_entries(folder: Path) -> int:
    """How many files and folders lie below, while another process makes and renames them (where ``rglob`` fails)."""
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def test_a_conversion_that_is_killed_ends_with_identical_bytes(server, tmp_path):
    """kill −9 at several moments of the conversion, then once more to the end."""
    run_to_prepare(tmp_path / "whole", server)
    assert stage(tmp_path / "whole", server, "prepare").wait(120) == 0
    expected = digests(tmp_path / "whole")
    assert sum(path.endswith(".nc") for path in expected) == 2
    run_to_prepare(tmp_path / "killed", server)
    prepared = tmp_path / "killed" / "data" / "prepared"
    for n_files in (0, 3, 20):
        process = stage(tmp_path / "killed", server, "prepare")
        while process.poll() is None and n_entries(prepared) <= n_files:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in prepared.rglob("*.nc"):  # what has its name is whole
            assert digests(tmp_path / "killed")[str(path.relative_to(tmp_path / "killed"))] in expected.values()
    assert stage(tmp_path / "killed", server, "prepare").wait(120) == 0
    assert digests(tmp_path / "killed") == expected
