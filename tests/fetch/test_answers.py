"""Answers of servers that promise one thing and send another, to files that nobody published a digest of."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from pipeline.artifacts.catalogue import RawFile
from pipeline.artifacts.storage.checksums import crc32c
from pipeline.core.errors import FetchError
from pipeline.fetch.download import download
from pipeline.fetch.http.answers import BadAnswer, content_length, part_of
from pipeline.fetch.http.lists import sizes_of
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror
from tests.http_server import HOST, HonestServer, Served, raw_answer

SIZE = 300_000
CUT = 100_000
TEXT = b"onset\tduration\n" + b"1.5\t0.25\n" * 2000


def unpinned(path: str, n_bytes: int | None = None) -> RawFile:
    return RawFile(path=path, url=f"https://{HOST}/{path}", bytes=n_bytes)


def fetched(server: HonestServer, settings: FetchSettings, folder: Path, file: RawFile) -> bytes:
    """What lies under the file's name in the end, with nothing beside it but its recorded digest."""
    download(file, folder / file.path, mirror=server.mirror, settings=settings)
    beside = {path.name for path in folder.iterdir()} - {file.path, f"{file.path}.sha256"}
    assert beside == set()
    return (folder / file.path).read_bytes()


def refusal(server: HonestServer, settings: FetchSettings, folder: Path, file: RawFile) -> str:
    """The one line that says why, after which an older good file is still there."""
    good = folder / "kept" / file.path
    good.parent.mkdir()
    with pytest.raises(FetchError) as error:
        download(file, good, mirror=server.mirror, settings=settings)
    assert not good.exists()
    text = str(error.value)
    assert "\n" not in text
    assert server.prefix in text
    return text


class TestParts:
    """A download of 300,000 bytes was cut after 100,000; the second answer goes on, or pretends to."""

    @pytest.fixture
    def old(self, noise) -> bytes:
        return noise(SIZE, 1)

    @pytest.fixture
    def served(self, server: HonestServer, old: bytes) -> Served:
        return server.serve("b.bin", old, cut_each=[CUT])

    @pytest.mark.parametrize(
        "headers",
        [
            ('ETag: "v2"', f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}"),
            ('ETag: "v1"', f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE + 7}"),
            ('ETag: W/"v1"', f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}"),
            ("Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT", f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}"),
            (f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}",),
            ('ETag: "v1"', f"Content-Range: bytes {CUT + 1}-{SIZE}/{SIZE + 1}"),
            ('ETag: "v1"', f"Content-Range: bytes 0-{SIZE - CUT - 1}/{SIZE}"),
            ('ETag: "v1"', f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE - 1}"),
            ('ETag: "v1"', f"Content-Range: bytes {CUT}-{CUT - 1}/{SIZE}"),
            ('ETag: "v1"', f"Content-Range: items {CUT}-{SIZE - 1}/{SIZE}"),
            ('ETag: "v1"', f"Content-Range: bytes -{CUT}-{SIZE - 1}/{SIZE}"),
            ('ETag: "v1"',),
            ('ETag: "v1"', "Content-Type: multipart/byteranges; boundary=x"),
            ('ETag: "v1"', "Content-Encoding: gzip", f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}"),
        ],
        ids=lambda headers: "; ".join(headers),
    )
    def test_what_is_not_the_rest_of_this_version_is_never_glued_on(
        self, server, served, old, settings, noise, tmp_path: Path, headers: tuple[str, ...]
    ) -> None:
        rest = noise(SIZE - CUT, 2)
        served.raw[1] = raw_answer("206 Partial Content", *headers, f"Content-Length: {len(rest)}", body=rest)
        assert fetched(server, settings, tmp_path, unpinned("b.bin")) == old
        assert [request.get("Range") for request in served.requests] == [None, f"bytes={CUT}-", None]

    def test_a_range_of_another_length_than_its_body_is_not_taken(
        self, server, served, old, settings, noise, tmp_path: Path
    ) -> None:
        served.raw[1] = raw_answer(
            "206 Partial Content",
            'ETag: "v1"',
            f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}",
            "Content-Length: 1000",
            body=noise(1000, 2),
        )
        assert fetched(server, settings, tmp_path, unpinned("b.bin")) == old

    def test_a_body_that_ends_before_its_range_is_gone_on_with(self, server, served, old, settings, tmp_path) -> None:
        served.raw[1] = raw_answer(
            "206 Partial Content",
            'ETag: "v1"',
            f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}",
            f"Content-Length: {SIZE - CUT}",
            body=old[CUT : CUT + 5000],
        )
        assert fetched(server, settings, tmp_path, unpinned("b.bin")) == old
        assert served.requests[2]["Range"] == f"bytes={CUT + 5000}-"

    def test_a_server_that_gives_short_ranges_is_asked_for_the_next(
        self, server, served, old, settings, tmp_path: Path
    ) -> None:
        for turn, begin in enumerate(range(CUT, SIZE, 50_000), start=1):
            served.raw[turn] = raw_answer(
                "206 Partial Content",
                'ETag: "v1"',
                f"Content-Range: bytes {begin}-{begin + 49_999}/{SIZE}",
                "Content-Length: 50000",
                body=old[begin : begin + 50_000],
            )
        assert fetched(server, settings, tmp_path, unpinned("b.bin")) == old
        assert len(served.requests) == 5

    def test_a_body_longer_than_its_range_is_refused(self, server, served, old, settings, tmp_path: Path) -> None:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, old)
        served.raw[1] = raw_answer(
            "206 Partial Content",
            'ETag: "v1"',
            f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}",
            "Transfer-Encoding: chunked",
            body=body,
        )
        assert f"sends more than the {SIZE} bytes" in refusal(server, settings, tmp_path, unpinned("b.bin"))

    def test_a_server_that_never_goes_on_is_given_up(self, server, served, settings, noise, tmp_path: Path) -> None:
        served.cut_each = [CUT] * 20
        rest = noise(SIZE - CUT, 2)
        other = raw_answer("206 Partial Content", 'ETag: "v2"', f"Content-Range: bytes {CUT}-{SIZE - 1}/{SIZE}")
        served.raw |= dict.fromkeys(range(1, 20, 2), other + rest)
        assert "another version" in refusal(server, settings, tmp_path, unpinned("b.bin"))
        assert len(served.requests) == 4

    @pytest.mark.parametrize(
        "note",
        [
            b"",
            b"{",
            b"[]",
            b'{"url": 3}',
            b"\xff\xfe",
            b'{"url": "URL", "validator": "\\"v1\\""}',
            b'{"url": "URL", "validator": "\\"v1\\"", "total": -1}',
            b'{"url": "URL", "validator": "\\"v1\\"", "total": "300000"}',
            b'{"url": "URL", "validator": "\\"v1\\"", "total": 300000, "md5": "no digest"}',
        ],
    )
    def test_a_damaged_note_means_starting_again(self, server, served, old, settings, tmp_path, note: bytes) -> None:
        served.cut_each = []
        (tmp_path / "b.bin.part").write_bytes(bytes(CUT))
        note = note.replace(b"URL", f"{server.prefix}/{HOST}/b.bin".encode())
        (tmp_path / "b.bin.part.json").write_bytes(note)
        assert fetched(server, settings, tmp_path, unpinned("b.bin")) == old
        assert [request.get("Range") for request in served.requests] == [None]

    @pytest.mark.parametrize(
        ("there", "damage", "kept"),
        [
            (CUT, lambda part: part, CUT),
            (CUT, lambda part: part + b"more, of which the note does not tell", CUT),
            (CUT - 7, lambda part: part[:-7] + bytes(7), CUT - 7),
            (CUT, lambda part: part[:-1], None),
            (CUT, lambda part: part[:500] + bytes([part[500] ^ 1]) + part[501:], None),
            (CUT, lambda part: part[:500] + b"\0" + part[500:], None),
            (0, lambda part: part, None),
        ],
    )
    def test_only_bytes_that_are_as_they_were_written_are_gone_on_from(
        self, server, served, old, settings, tmp_path, there, damage, kept
    ) -> None:
        """Of a file without any digest, nobody else would notice."""
        served.cut_each = []
        (tmp_path / "b.bin.part").write_bytes(damage(old[:CUT]))
        note = {"url": f"{server.prefix}/{HOST}/b.bin", "validator": '"v1"', "total": SIZE}
        note |= {"there": there, "crc32c": crc32c(old[:there])}
        (tmp_path / "b.bin.part.json").write_text(json.dumps(note))
        assert fetched(server, settings, tmp_path, unpinned("b.bin")) == old
        assert [request.get("Range") for request in served.requests] == [kept and f"bytes={kept}-"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b.bin", "b.bin.sha256"]

    def test_the_note_holds_the_total_and_a_longer_part_starts_again(
        self, server, served, old, noise, tmp_path: Path
    ) -> None:
        once = FetchSettings(retries=0)
        with pytest.raises(FetchError):
            download(unpinned("b.bin"), tmp_path / "b.bin", mirror=server.mirror, settings=once)
        noted = json.loads((tmp_path / "b.bin.part.json").read_text())
        assert (noted["total"], noted["validator"]) == (SIZE, '"v1"')
        (tmp_path / "b.bin.part").write_bytes(noise(SIZE + 1, 3))
        assert fetched(server, once, tmp_path, unpinned("b.bin")) == old
        assert served.requests[-1].get("Range") is None

    def test_a_416_ends_only_what_has_the_noted_total(self, server, served, old, settings, tmp_path: Path) -> None:
        served.cut_each = []
        url = f"{server.prefix}/{HOST}/b.bin"
        for total, ranges in ((SIZE, [f"bytes={SIZE}-"]), (SIZE + 5, [f"bytes={SIZE}-", None]), (None, [None])):
            (tmp_path / "b.bin.part").write_bytes(old)
            validator = None if total is None else '"v1"'
            note = {"url": url, "validator": validator, "total": total, "md5": None}
            note |= {"there": SIZE, "crc32c": crc32c(old)}
            (tmp_path / "b.bin.part.json").write_text(json.dumps(note))
            served.requests.clear()
            served.served.clear()
            assert fetched(server, settings, tmp_path, unpinned("b.bin")) == old
            assert [request.get("Range") for request in served.requests] == ranges
            (tmp_path / "b.bin").unlink()
            (tmp_path / "b.bin.sha256").unlink()


def test_a_part_that_nobody_asked_for_is_refused(server, settings, noise, tmp_path: Path) -> None:
    body = noise(1000)
    for number, content_range in enumerate((f"bytes 0-999/{SIZE}", "bytes 0-999/1000", "bytes 0-999/*")):
        served = server.serve(f"{number}.bin", body)
        head = ("206 Partial Content", f"Content-Range: {content_range}", "Content-Length: 1000")
        served.raw = dict.fromkeys(range(9), raw_answer(*head, body=body))
        folder = tmp_path / str(number)
        folder.mkdir()
        assert "a part (206)" in refusal(server, settings, folder, unpinned(f"{number}.bin"))
        assert len(served.requests) == 1


@pytest.mark.parametrize(
    "lengths",
    [["-5"], ["abc"], ["12.5"], ["0x10"], ["1e3"], [""], ["²"], ["5", "6"], ["5, 6"], ["+5"]],
    ids=lambda lengths: " and ".join(lengths) or "empty",
)
def test_a_length_that_is_none_is_refused(server, settings, tmp_path: Path, lengths: list[str]) -> None:
    served = server.serve("a.tsv", TEXT)
    headers = [f"Content-Length: {length}" for length in lengths]
    served.raw = dict.fromkeys(range(9), raw_answer("200 OK", *headers, body=TEXT))
    said = refusal(server, settings, tmp_path, unpinned("a.tsv"))
    assert "ength" in said
    assert len(served.requests) == 1


def test_a_length_that_comes_twice_alike_counts_once(server, settings, tmp_path: Path) -> None:
    length = f"Content-Length: {len(TEXT)}"
    server.serve("a.tsv", TEXT).raw[0] = raw_answer("200 OK", length, length, body=TEXT)
    assert fetched(server, settings, tmp_path, unpinned("a.tsv")) == TEXT


def test_a_length_beyond_the_body_is_no_file(server, tmp_path: Path) -> None:
    served = server.serve("a.tsv", TEXT)
    answer = raw_answer("200 OK", f"Content-Length: {len(TEXT) + 1}", body=TEXT)
    served.raw = dict.fromkeys(range(9), answer)
    said = refusal(server, FetchSettings(retries=1, back_off_s=0.01), tmp_path, unpinned("a.tsv"))
    assert f"after {len(TEXT)} of {len(TEXT) + 1}" in said


@pytest.mark.parametrize("end", [b"", b"0\r\n", b"5\r\nab", b"zz\r\n"])
def test_chunks_without_the_last_are_no_file(server, tmp_path: Path, end: bytes) -> None:
    body = b"%x\r\n%s\r\n" % (len(TEXT), TEXT) + end
    served = server.serve("a.tsv", TEXT)
    served.raw = dict.fromkeys(range(9), raw_answer("200 OK", "Transfer-Encoding: chunked", body=body))
    settings = FetchSettings(retries=1, back_off_s=0.01, stall_timeout_s=0.4)
    if end == b"0\r\n":  # all data came; only the empty line after them is missing
        assert fetched(server, settings, tmp_path, unpinned("a.tsv")) == TEXT
    else:
        assert "broke off" in refusal(server, settings, tmp_path, unpinned("a.tsv"))


def test_a_body_that_ends_with_the_connection_needs_a_published_size(server, settings, pinned, tmp_path) -> None:
    served = server.serve("a.tsv", TEXT)
    served.raw = dict.fromkeys(range(9), raw_answer("200 OK", body=TEXT))
    assert "does not tell how long" in refusal(server, settings, tmp_path, unpinned("a.tsv"))
    for number, file in enumerate((unpinned("a.tsv", len(TEXT)), pinned("a.tsv", TEXT))):
        folder = tmp_path / str(number)
        folder.mkdir()
        download(file, folder / "a.tsv", mirror=server.mirror, settings=settings)
        assert (folder / "a.tsv").read_bytes() == TEXT


class TestEmpty:
    @pytest.mark.parametrize("way", ["http", "folder", "chunked"])
    def test_an_empty_file_that_nobody_published_as_empty_is_refused(self, server, settings, tmp_path, way) -> None:
        server.serve("a.tsv", b"", chunked=way == "chunked")
        mirror = server.mirror
        if way == "folder":
            (tmp_path / "mirror" / HOST).mkdir(parents=True)
            (tmp_path / "mirror" / HOST / "a.tsv").touch()
            mirror = Mirror(folder=tmp_path / "mirror")
        with pytest.raises(FetchError, match=r"a\.tsv is empty, and nobody published"):
            download(unpinned("a.tsv"), tmp_path / "x" / "a.tsv", mirror=mirror, settings=settings)
        assert not (tmp_path / "x" / "a.tsv").exists()

    def test_published_as_empty_it_is_welcome(self, server, settings, pinned, tmp_path: Path) -> None:
        server.serve("size", b"")
        assert fetched(server, settings, tmp_path, unpinned("size", 0)) == b""
        server.serve("digest", b"")
        file = pinned("digest", b"").model_copy(update={"bytes": None})
        download(file, tmp_path / "y" / "digest", mirror=server.mirror, settings=settings)
        assert (tmp_path / "y" / "digest").read_bytes() == b""


class TestPacked:
    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "identity, gzip", "GZIP"])
    def test_a_table_is_never_stored_packed(self, server, settings, tmp_path: Path, encoding: str) -> None:
        server.serve("sub-01_events.tsv", gzip.compress(TEXT), encoding=encoding)
        said = refusal(server, settings, tmp_path, unpinned("sub-01_events.tsv"))
        assert "packed (Content-Encoding:" in said

    def test_identity_is_no_packing(self, server, settings, tmp_path: Path) -> None:
        served = server.serve("events.tsv", TEXT, encoding="identity")
        assert fetched(server, settings, tmp_path, unpinned("events.tsv")) == TEXT
        assert served.requests[0]["Accept-Encoding"] == "identity"

    @pytest.mark.parametrize("name", ["bold.nii.gz", "events.tsv.gz", "brain.mgz", "code.tgz"])
    def test_a_gz_file_that_is_called_packed_comes_as_it_is(self, server, settings, tmp_path, name: str) -> None:
        """Apache's AddEncoding does that to every file of that name."""
        packed = gzip.compress(TEXT * 20, mtime=0)
        server.serve(name, packed, encoding="gzip", cut_each=[200])
        assert fetched(server, settings, tmp_path, unpinned(name)) == packed

    @pytest.mark.parametrize("body", [gzip.compress(gzip.compress(TEXT)), TEXT], ids=["twice", "not at all"])
    def test_a_gz_file_that_is_packed_for_the_transfer_is_refused(self, server, settings, tmp_path, body) -> None:
        server.serve("bold.nii.gz", body, encoding="gzip")
        assert "sends bold.nii.gz packed" in refusal(server, settings, tmp_path, unpinned("bold.nii.gz"))

    def test_two_packings_are_refused_whatever_the_name(self, server, settings, tmp_path: Path) -> None:
        server.serve("bold.nii.gz", gzip.compress(TEXT), encoding="gzip, gzip")
        assert "gzip, gzip" in refusal(server, settings, tmp_path, unpinned("bold.nii.gz"))


class TestWithoutEnd:
    @pytest.fixture
    def served(self, server: HonestServer) -> Served:
        served = server.serve("a.bin", b"")
        served.raw[0] = raw_answer("200 OK", "Transfer-Encoding: chunked")
        served.endless = b"%x\r\n%s\r\n" % (65536, bytes(65536))
        return served

    def test_a_body_without_end_stops_at_the_stated_most(self, server, served, settings, tmp_path: Path) -> None:
        few = settings.model_copy(update={"most_bytes": 2_000_000})
        said = refusal(server, few, tmp_path, unpinned("a.bin"))
        assert "more than the 2000000 bytes" in said
        assert list((tmp_path / "kept").iterdir()) == []
        assert len(served.requests) == 1

    def test_it_takes_at_most_half_of_what_is_free(self, server, served, settings, tmp_path, monkeypatch) -> None:
        free = shutil.disk_usage(tmp_path)._replace(free=6_000_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
        assert "more than the 3000000 bytes" in refusal(server, settings, tmp_path, unpinned("a.bin"))

    def test_published_sizes_bound_it_too(self, server, served, settings, pinned, tmp_path: Path) -> None:
        assert "more than the 1000 bytes expected" in refusal(server, settings, tmp_path, pinned("a.bin", bytes(1000)))

    def test_a_stated_length_beyond_the_most_is_not_begun(self, server, settings, tmp_path: Path) -> None:
        served = server.serve("a.bin", b"")
        served.raw[0] = raw_answer("200 OK", f"Content-Length: {10**15}", body=b"some")
        assert str(10**15) in refusal(server, settings, tmp_path, unpinned("a.bin"))
        assert list((tmp_path / "kept").iterdir()) == []


def test_what_is_refused_leaves_the_good_file_of_before(server, settings, noise, tmp_path: Path) -> None:
    body = noise(1000)
    file = RawFile(path="b.bin", url=f"https://{HOST}/b.bin", md5=hashlib.md5(body).hexdigest())
    (tmp_path / "b.bin").write_bytes(body)
    served = server.serve("b.bin", b"")
    served.raw = dict.fromkeys(range(9), raw_answer("200 OK", "Content-Length: -1", body=bytes(1000)))
    other = file.model_copy(update={"md5": hashlib.md5(b"new").hexdigest()})
    with pytest.raises(FetchError):
        download(other, tmp_path / "b.bin", mirror=server.mirror, settings=settings)
    assert (tmp_path / "b.bin").read_bytes() == body


def test_sizes_are_believed_only_if_they_are_sizes(server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, body in (("plain", TEXT), ("empty", b"")):
        server.serve(name, body)
    urls = [f"https://{HOST}/{name}" for name in ("plain", "empty")]
    assert list(sizes_of(urls, server.prefix).values()) == [len(TEXT), None]


@pytest.mark.parametrize("text", ["-1", "5, 6", "٣", " ", "1_000", "9" * 40])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(BadAnswer, match="length"):
        content_length({"Content-Length": text})


def test_a_range_of_unknown_total() -> None:
    got = part_of({"Content-Range": "bytes 5-9/*", "Content-Length": "5"}, 5)
    assert (got.first, got.end, got.total) == (5, 10, None)
