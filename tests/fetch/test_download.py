"""One file over real connections that break, stall, lie and come back."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import FetchError
from pipeline.core.progress import Progress
from pipeline.fetch.download import download
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror

HOST = "data.example.invalid"
SIZE = 300_000
Noise = Callable[..., bytes]
Pinned = Callable[[str, bytes], RawFile]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def one_line(error: pytest.ExceptionInfo[Any], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text, f"{part!r} is not in: {text}"


def test_bytes_arrive_and_nothing_else(server, settings, noise: Noise, pinned: Pinned, tmp_path: Path) -> None:
    served = server.serve("a/b.bin", noise(SIZE))
    file = pinned("a/b.bin", served.body)
    progress = Progress("fetch", SIZE)
    got = download(file, tmp_path / "x/b.bin", mirror=server.mirror, settings=settings, progress=progress)
    assert (tmp_path / "x/b.bin").read_bytes() == served.body
    assert (got.bytes, got.sha256, got.url) == (SIZE, file.sha256, file.url)
    assert names(tmp_path) == ["b.bin"]
    assert progress.done == progress.total == SIZE


def test_a_finished_file_is_checked_and_not_fetched_again(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE))
    file = pinned("b.bin", served.body)
    for _ in range(3):
        download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert len(served.requests) == 1


def test_a_flipped_byte_in_a_finished_file_is_repaired(server, settings, noise, pinned, tmp_path, capsys) -> None:
    served = server.serve("b.bin", noise(SIZE))
    file = pinned("b.bin", served.body)
    download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    altered = bytearray(served.body)
    altered[SIZE // 2] ^= 1
    (tmp_path / "b.bin").write_bytes(altered)
    download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == served.body
    warning = capsys.readouterr().err
    assert warning.startswith("warning:")
    assert "b.bin has sha256" in warning
    assert "fetched again" in warning


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_connection_resumes_with_the_rest_only(server, settings, noise, pinned, tmp_path, seed, chunked) -> None:
    cuts = [random.Random(seed).randrange(1, SIZE // 3) for _ in range(3)]
    served = server.serve("b.bin", noise(SIZE, seed), cut_each=cuts, chunked=chunked)
    progress = Progress("fetch", SIZE)
    file = pinned("b.bin", served.body)
    download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings, progress=progress)
    assert (tmp_path / "b.bin").read_bytes() == served.body
    assert names(tmp_path) == ["b.bin"]
    assert progress.done == SIZE
    assert len(served.requests) == 4
    # what the socket had received and nobody had read yet is asked for again, at most
    assert SIZE <= sum(served.served) <= SIZE + 3 * 16384
    for request, before in zip(served.requests[1:], served.served, strict=False):
        assert before > 0
        assert request["If-Range"] == '"v1"'


def test_a_part_left_by_an_earlier_run_is_resumed(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE), cut_each=[100_000, 0, 0, 0, 0])
    file = pinned("b.bin", served.body)
    with pytest.raises(FetchError) as error:
        download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    one_line(error, "b.bin", "100000 of 300000", HOST, "mirror")
    assert names(tmp_path) == ["b.bin.part", "b.bin.part.json"]
    before = len(served.requests)
    download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == served.body
    assert served.requests[before:][-1]["Range"] == "bytes=100000-"
    assert sum(served.served) == SIZE
    assert names(tmp_path) == ["b.bin"]


def test_a_server_without_ranges_starts_over(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE), ranges=False, cut_each=[70_000])
    download(pinned("b.bin", served.body), tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == served.body


def test_a_server_that_always_cuts_is_given_up(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE), ranges=False, cut_each=[70_000] * 50)
    with pytest.raises(FetchError) as error:
        download(pinned("b.bin", served.body), tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    one_line(error, "4 attempts", "b.bin")
    assert len(served.requests) == 1 + 1 + settings.retries - 1
    assert not (tmp_path / "b.bin").exists()


def test_a_stalled_server_is_asked_again(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE), stall_each=[50_000, 0])
    download(pinned("b.bin", served.body), tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == served.body
    assert len(served.requests) == 3


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_hiccup_of_the_server_is_survived(server, settings, noise, pinned, tmp_path: Path, status: int) -> None:
    served = server.serve("b.bin", noise(1000), status_each=[status, status])
    download(pinned("b.bin", served.body), tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == served.body
    assert len(served.requests) == 3


def test_a_missing_file_names_mirror_and_public_address(server, settings, pinned, tmp_path: Path) -> None:
    file = pinned("gone.bin", b"x")
    with pytest.raises(FetchError) as error:
        download(file, tmp_path / "gone.bin", mirror=server.mirror, settings=settings)
    one_line(error, f"{server.prefix}/{HOST}/gone.bin: the server answers 404", f"https://{HOST}/gone.bin", "connect")
    assert names(tmp_path) == []


def test_no_network_names_the_host_and_the_remedy(settings, pinned, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as error:
        download(pinned("b.bin", b"x"), tmp_path / "b.bin", mirror=None, settings=settings)
    one_line(error, f"{HOST} cannot be reached", "--config mirror=FOLDER")


@pytest.mark.parametrize(
    "behaviour", [{"content_type": "text/html; charset=utf-8"}, {"content_type": "application/octet-stream"}]
)
def test_an_html_page_is_refused(server, settings, tmp_path: Path, behaviour: dict[str, str]) -> None:
    server.serve("b.nii.gz", b"\n<!DOCTYPE html><html><body>Please log in</body></html>", **behaviour)
    unpinned = RawFile(path="b.nii.gz", url=f"https://{HOST}/b.nii.gz")
    with pytest.raises(FetchError) as error:
        download(unpinned, tmp_path / "b.nii.gz", mirror=server.mirror, settings=settings)
    one_line(error, "HTML page, not b.nii.gz", f"{server.prefix}/{HOST}/b.nii.gz")
    assert names(tmp_path) == []


def test_a_file_that_is_html_is_welcome(server, settings, pinned, tmp_path: Path) -> None:
    served = server.serve("page.html", b"<html></html>", content_type="text/html")
    download(pinned("page.html", served.body), tmp_path / "page.html", mirror=server.mirror, settings=settings)
    assert (tmp_path / "page.html").read_bytes() == served.body


@pytest.mark.parametrize("announced", [SIZE - 1000, SIZE + 1000])
@pytest.mark.parametrize("is_pinned", [True, False])
def test_a_wrong_content_length_leaves_no_file(
    server, settings, noise, pinned, tmp_path: Path, announced: int, is_pinned: bool
) -> None:
    served = server.serve("b.bin", noise(SIZE), announced=announced)
    file = pinned("b.bin", served.body) if is_pinned else RawFile(path="b.bin", url=f"https://{HOST}/b.bin", bytes=SIZE)
    with pytest.raises(FetchError) as error:
        download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    one_line(error, f"has {announced} bytes where {SIZE} were expected")
    assert not (tmp_path / "b.bin").exists()


def test_contents_that_change_between_attempts_are_never_mixed(server, settings, noise, tmp_path: Path) -> None:
    new = noise(SIZE, 2)
    served = server.serve("b.bin", noise(SIZE, 1), cut_each=[100_000], changes_to=new)
    download(
        RawFile(path="b.bin", url=f"https://{HOST}/b.bin"),
        tmp_path / "b.bin",
        mirror=server.mirror,
        settings=settings,
    )
    assert (tmp_path / "b.bin").read_bytes() == new
    assert served.requests[1]["Range"] == "bytes=100000-"
    assert served.requests[1]["If-Range"] == '"v1"'


def test_without_digest_and_validator_nothing_is_resumed(server, settings, noise, tmp_path: Path) -> None:
    new = noise(SIZE, 2)
    served = server.serve("b.bin", noise(SIZE, 1), cut_each=[100_000], changes_to=new, etag=None)
    file = RawFile(path="b.bin", url=f"https://{HOST}/b.bin")
    download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == new
    assert "Range" not in served.requests[1]


def test_a_redirect_is_followed(server, settings, noise, pinned, tmp_path: Path) -> None:
    target = server.serve("store/b.bin", noise(SIZE), cut_each=[90_000])
    server.serve("b.bin", b"", location=f"{server.prefix}/{HOST}/store/b.bin")
    download(pinned("b.bin", target.body), tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == target.body
    assert target.requests[1]["Range"] == "bytes=90000-"


def test_altered_bytes_are_asked_for_once_more_then_refused(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE, 1))
    file = pinned("b.bin", noise(SIZE, 2))
    with pytest.raises(FetchError) as error:
        download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    found = hashlib.sha256(served.body).hexdigest()
    one_line(error, f"{server.prefix}/{HOST}/b.bin", found, str(file.sha256), "--config mirror=FOLDER")
    assert len(served.requests) == 2
    assert names(tmp_path) == []


def test_a_rotten_part_is_thrown_away_once(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE))
    (tmp_path / "b.bin.part").write_bytes(bytes(120_000))
    download(pinned("b.bin", served.body), tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == served.body
    assert [request.get("Range") for request in served.requests] == ["bytes=120000-", None]


def test_a_complete_part_needs_no_byte_more(server, settings, noise, pinned, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE))
    (tmp_path / "b.bin.part").write_bytes(served.body)
    download(pinned("b.bin", served.body), tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert served.requests == []
    assert names(tmp_path) == ["b.bin"]


def test_a_complete_part_of_unknown_size_is_recognised_by_416(server, settings, noise, tmp_path: Path) -> None:
    served = server.serve("b.bin", noise(SIZE))
    digest = hashlib.md5(served.body).hexdigest()
    file = RawFile(path="b.bin", url=f"https://{HOST}/b.bin", md5=digest)
    for left in (served.body, served.body + b"too long"):
        (tmp_path / "b.bin.part").write_bytes(left)
        download(file, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
        assert (tmp_path / "b.bin").read_bytes() == served.body
        (tmp_path / "b.bin").unlink()


def test_an_empty_file(server, settings, pinned, tmp_path: Path) -> None:
    server.serve("empty", b"")
    download(pinned("empty", b""), tmp_path / "empty", mirror=server.mirror, settings=settings)
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("digest", ["sha256", "md5", "git_sha1"])
def test_every_kind_of_digest_is_checked(settings: FetchSettings, tmp_path: Path, digest: str) -> None:
    source = tmp_path / "mirror" / HOST / "b.txt"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"hello\n")
    right = {
        "sha256": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "md5": "b1946ac92492d2347c6235b4d2611184",
        "git_sha1": "ce013625030ba8dba906f756967f9e9ca394464a",  # git hash-object
    }[digest]
    mirror = Mirror(folder=tmp_path / "mirror")
    file = RawFile(path="b.txt", url=f"https://{HOST}/b.txt", **{digest: right.upper()})
    got = download(file, tmp_path / "b.txt", mirror=mirror, settings=settings)
    assert got.sha256 == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    wrong = file.model_copy(update={digest: "0" + right[1:] if right[0] != "0" else "1" + right[1:]})
    with pytest.raises(FetchError) as error:
        download(wrong, tmp_path / "c.txt", mirror=mirror, settings=settings)
    one_line(error, str(source), digest, right, "another mirror")
    assert not (tmp_path / "c.txt").exists()


class TestFolderMirror:
    @pytest.fixture
    def mirror(self, tmp_path: Path, noise: Noise) -> Mirror:
        source = tmp_path / "mirror" / HOST / "a b.bin"
        source.parent.mkdir(parents=True)
        source.write_bytes(noise(SIZE))
        source.chmod(0o444)
        return Mirror(folder=tmp_path / "mirror")

    @pytest.fixture
    def file(self, mirror: Mirror, noise: Noise, pinned: Pinned) -> RawFile:
        return pinned("a b.bin", noise(SIZE)).model_copy(update={"url": f"https://{HOST}/a%20b.bin"})

    def test_a_copy_shares_nothing_with_the_mirror(self, mirror, file, settings, tmp_path: Path) -> None:
        download(file, tmp_path / "b.bin", mirror=mirror, settings=settings)
        copy, source = tmp_path / "b.bin", tmp_path / "mirror" / HOST / "a b.bin"
        assert copy.read_bytes() == source.read_bytes()
        assert not copy.is_symlink()
        assert copy.stat().st_ino != source.stat().st_ino
        assert copy.stat().st_nlink == 1

    def test_links_are_made_on_request_only_and_checked(self, mirror, file, settings, tmp_path: Path) -> None:
        linking = settings.model_copy(update={"link_from_bytes": SIZE})
        download(file, tmp_path / "b.bin", mirror=mirror, settings=linking)
        assert (tmp_path / "b.bin").is_symlink()
        source = tmp_path / "mirror" / HOST / "a b.bin"
        source.chmod(0o644)
        source.write_bytes(bytes(SIZE))
        with pytest.raises(FetchError, match="sha256"):
            download(file, tmp_path / "b.bin", mirror=mirror, settings=linking)

    def test_an_altered_mirror_is_named(self, mirror, file, settings, tmp_path: Path) -> None:
        source = tmp_path / "mirror" / HOST / "a b.bin"
        source.chmod(0o644)
        source.write_bytes(source.read_bytes()[:-1])
        with pytest.raises(FetchError) as error:
            download(file, tmp_path / "b.bin", mirror=mirror, settings=settings)
        one_line(error, str(source), str(SIZE), str(SIZE - 1))
        assert not (tmp_path / "b.bin").exists()
        assert not (tmp_path / "b.bin.part").exists()

    def test_what_the_folder_lacks_comes_from_the_public_address(
        self, mirror, server, settings, noise, pinned, tmp_path: Path
    ) -> None:
        served = server.serve("other.bin", noise(1000))
        file = pinned("other.bin", served.body).model_copy(update={"url": f"{server.prefix}/{HOST}/other.bin"})
        download(file, tmp_path / "other.bin", mirror=mirror, settings=settings)
        assert (tmp_path / "other.bin").read_bytes() == served.body

    def test_a_folder_without_the_file_names_the_path_it_looked_at(self, mirror, settings, pinned, tmp_path) -> None:
        with pytest.raises(FetchError) as error:
            download(pinned("c/gone.bin", b"x"), tmp_path / "c", mirror=mirror, settings=settings)
        one_line(error, str(tmp_path / "mirror" / HOST / "c/gone.bin"), f"https://{HOST}/c/gone.bin", "add it")
