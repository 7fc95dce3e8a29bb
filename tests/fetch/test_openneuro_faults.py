"""S3, gateways, git-annex: what is not the file is refused in one line with a remedy, and a rerun gives its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import FetchError
from pipeline.fetch.annex import AnnexKey, parse_key
from pipeline.fetch.download import download
from pipeline.fetch.failures import WrongContents
from pipeline.fetch.http.answers import md5_in_etag
from pipeline.fetch.http.lists import sizes_of
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror
from tests.fetch.test_faults import start, wait_for
from tests.http_server import HonestServer
from tests.listening.server import ListeningServer

pytestmark = pytest.mark.slow

KEY = "openneuro.org/ds000042/sub-01/func/sub-01_task-a_bold.nii.gz"
URL = f"https://s3.amazonaws.com/{KEY}"
AT = f"/s3.amazonaws.com/{KEY}"
GATEWAY = b"<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
DENIED = b"<html><head><title>403 Forbidden</title></head><body>Go away.</body></html>"


@pytest.fixture
def settings(settings: FetchSettings) -> FetchSettings:
    """Requests are counted below: a busy machine must not repeat any."""
    return settings.model_copy(update={"stall_timeout_s": 20.0})


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ListeningServer]:
    """The mirror; the public address leads nowhere, also where there is a network."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pipeline.fetch.download.at_endpoint", lambda url: "https://nowhere.invalid/")
    with ListeningServer() as server:
        yield server


@pytest.fixture
def body(noise) -> bytes:
    return noise(600_000)


def listed(body: bytes, **digests: str) -> RawFile:
    return RawFile(path="bold.nii.gz", url=URL, bytes=len(body), **digests)


def pinned_by_md5(body: bytes) -> RawFile:
    return listed(body, md5=hashlib.md5(body).hexdigest())


def unpinned() -> RawFile:
    return RawFile(path="bold.nii.gz", url=URL)


def refused(file: RawFile, folder: Path, mirror: Mirror, settings: FetchSettings) -> str:
    """The one line of a download that must fail, and leave nothing that could pass for the file."""
    with pytest.raises(FetchError) as error:
        download(file, folder / file.path, mirror=mirror, settings=settings)
    assert "\n" not in str(error.value)
    assert not (folder / file.path).exists()
    return str(error.value)


def rerun(file: RawFile, folder: Path, mirror: Mirror, settings: FetchSettings, body: bytes) -> None:
    """Once the fault is gone, the same call gives the file and leaves nothing beside it but its recorded digest."""
    fetched = download(file, folder / file.path, mirror=mirror, settings=settings)
    assert (folder / file.path).read_bytes() == body
    assert fetched.sha256 == hashlib.sha256(body).hexdigest()
    assert {path.name for path in folder.iterdir()} <= {file.path, f"{file.path}.sha256"}


def test_another_md5_is_refused_after_a_second_try(s3, settings, body, tmp_path: Path) -> None:
    s3.put(KEY, bytes(len(body)))
    mirror = Mirror(prefix=s3.prefix)
    said = refused(pinned_by_md5(body), tmp_path, mirror, settings)
    expected, found = (hashlib.md5(contents).hexdigest() for contents in (body, bytes(len(body))))
    assert f"{s3.prefix}{AT} has md5 {found} where {expected} was expected" in said
    assert "give another mirror with --config mirror=" in said
    assert s3.requests == [f"GET {AT}"] * 2
    assert list(tmp_path.iterdir()) == []
    s3.put(KEY, body)
    rerun(pinned_by_md5(body), tmp_path, mirror, settings, body)


def test_the_etag_of_an_upload_in_one_part_is_the_md5(s3, settings, body, tmp_path: Path) -> None:
    mirror = Mirror(prefix=s3.prefix)
    altered = bytes([body[0] ^ 1]) + body[1:]
    s3.put(KEY, altered, etag=hashlib.md5(body).hexdigest())
    said = refused(unpinned(), tmp_path, mirror, settings)
    assert f"has md5 {hashlib.md5(altered).hexdigest()} where {hashlib.md5(body).hexdigest()} was expected" in said
    assert list(tmp_path.iterdir()) == []
    s3.put(KEY, body)
    rerun(unpinned(), tmp_path, mirror, settings, body)
    # what was recorded then holds ever after
    assert (tmp_path / "bold.nii.gz.sha256").read_text().startswith(hashlib.sha256(body).hexdigest())


def test_the_etag_of_an_upload_in_parts_is_none(s3, settings, body, tmp_path: Path) -> None:
    stored = s3.put(KEY, body, part_bytes=100_000)
    assert stored.etag.strip('"').endswith("-6")
    rerun(unpinned(), tmp_path, Mirror(prefix=s3.prefix), settings, body)


def test_the_etag_of_another_server_is_no_md5(server, settings, body, tmp_path: Path) -> None:
    server.serve("bold.nii.gz", body, etag=f'"{"0" * 32}"')
    file = RawFile(path="bold.nii.gz", url="https://data.example.invalid/bold.nii.gz")
    rerun(file, tmp_path, server.mirror, settings, body)


MD5 = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("url", "headers", "md5"),
    [
        (URL, {"ETag": f'"{MD5}"', "x-amz-request-id": "1"}, MD5),
        ("https://b.s3.us-east-1.amazonaws.com/k", {"ETag": f'"{MD5}"', "X-Amz-Id-2": "1"}, MD5),
        ("https://b.s3-us-west-2.amazonaws.com/k", {"ETag": f'"{MD5}"', "x-amz-request-id": "1"}, MD5),
        (URL, {"ETag": f'"{MD5}-2"', "x-amz-request-id": "1"}, None),
        (URL, {"ETag": f'W/"{MD5}"', "x-amz-request-id": "1"}, None),
        (URL, {"ETag": f'"{MD5}"'}, None),  # a mirror's own tag
        (URL, {"x-amz-request-id": "1"}, None),
        (URL, {"ETag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, MD5),
        (URL, {"ETag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms"}, None),
        (URL, {"ETag": f'"{MD5}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"}, None),
        ("https://datasets.datalad.org/k", {"ETag": f'"{MD5}"', "x-amz-request-id": "1"}, None),
        ("https://s3.amazonaws.com.example.org/k", {"ETag": f'"{MD5}"', "x-amz-request-id": "1"}, None),
    ],
)
def test_which_etags_are_digests(url: str, headers: dict[str, str], md5: str | None) -> None:
    assert md5_in_etag(url, headers) == md5


@pytest.mark.parametrize("pinned", [True, False])
def test_broken_connections_are_resumed_on_s3(s3, settings, body, tmp_path: Path, pinned: bool) -> None:
    s3.put(KEY, body)
    s3.cuts[AT] = [200_000, 150_000]
    file = pinned_by_md5(body) if pinned else unpinned()
    rerun(file, tmp_path, Mirror(prefix=s3.prefix), settings, body)
    assert s3.requests == [f"GET {AT}", f"GET {AT} bytes=200000-", f"GET {AT} bytes=350000-"]


@pytest.mark.parametrize("pinned", [True, False])
def test_a_run_that_gave_up_is_resumed_by_the_next(s3, body, tmp_path: Path, pinned: bool) -> None:
    s3.put(KEY, body)
    s3.cuts[AT] = [300_000]
    file = pinned_by_md5(body) if pinned else unpinned()
    mirror, once = Mirror(prefix=s3.prefix), FetchSettings(retries=0, back_off_s=0.01)
    assert "broke off after 300000 of 600000 bytes" in refused(file, tmp_path, mirror, once)
    assert (tmp_path / "bold.nii.gz.part").read_bytes() == body[:300_000]
    rerun(file, tmp_path, mirror, once, body)
    assert s3.requests[-1] == f"GET {AT} bytes=300000-"


@pytest.mark.parametrize("pinned", [True, False])
def test_killed_runs_add_up_on_s3(s3, settings, body, tmp_path: Path, pinned: bool) -> None:
    s3.put(KEY, body)
    s3.bytes_per_s = 1_000_000
    file = pinned_by_md5(body) if pinned else unpinned()
    part, kept = tmp_path / "bold.nii.gz.part", []
    for kill_at in (100_000, 250_000):
        process = start(file, tmp_path / "bold.nii.gz", s3.prefix)
        wait_for(lambda limit=kill_at: part.exists() and part.stat().st_size > limit)
        process.kill()
        process.communicate()
        kept.append(part.stat().st_size)
    s3.bytes_per_s = None
    rerun(file, tmp_path, Mirror(prefix=s3.prefix), settings, body)
    assert s3.requests == [f"GET {AT}", *(f"GET {AT} bytes={size}-" for size in kept)]


def test_datalads_plain_files_have_sizes_and_ranges(s3, settings, body, tmp_path: Path) -> None:
    path = "datasets.datalad.org/labs/hasson/narratives/sub-001_desc-clean.func.gii"
    (tmp_path / "on-disk").write_bytes(body)
    s3.add_file(path, tmp_path / "on-disk")
    assert sizes_of([f"https://{path}"], s3.prefix) == {f"https://{path}": len(body)}
    s3.cuts[f"/{path}"] = [200_000]
    file = RawFile(path="clean.func.gii", url=f"https://{path}")
    (tmp_path / "here").mkdir()
    rerun(file, tmp_path / "here", Mirror(prefix=s3.prefix), settings, body)
    assert s3.requests == [f"HEAD /{path}", f"GET /{path}", f"GET /{path} bytes=200000-"]


def test_a_resumed_file_is_held_to_the_etag_of_its_beginning(s3, body, tmp_path: Path) -> None:
    """Bytes on disk that changed between two runs: only S3's tag can tell."""
    s3.put(KEY, body)
    s3.cuts[AT] = [300_000]
    mirror, once = Mirror(prefix=s3.prefix), FetchSettings(retries=0, back_off_s=0.01)
    refused(unpinned(), tmp_path, mirror, once)
    part = tmp_path / "bold.nii.gz.part"
    assert json.loads(part.with_name("bold.nii.gz.part.json").read_text())["md5"] == hashlib.md5(body).hexdigest()
    part.write_bytes(bytes(300_000))
    rerun(unpinned(), tmp_path, mirror, once, body)
    assert s3.requests[-2:] == [f"GET {AT} bytes=300000-", f"GET {AT}"]


def test_another_version_meanwhile_is_not_glued_to_the_first(s3, body, noise, tmp_path: Path) -> None:
    s3.put(KEY, body)
    s3.cuts[AT] = [300_000]
    mirror, once = Mirror(prefix=s3.prefix), FetchSettings(retries=0, back_off_s=0.01)
    refused(unpinned(), tmp_path, mirror, once)
    another = noise(700_000, 1)
    s3.put(KEY, another)
    rerun(unpinned(), tmp_path, mirror, once, another)


def test_what_s3_refuses_is_said_in_its_words(s3, settings, body, tmp_path: Path) -> None:
    mirror = Mirror(prefix=s3.prefix)
    s3.put(KEY, body, public=False)
    said = refused(pinned_by_md5(body), tmp_path, mirror, settings)
    assert f"{s3.prefix}{AT}: the server answers 403 FORBIDDEN (AccessDenied: it is not public, or not there)" in said
    assert "add it to the mirror" in said
    s3.remove(KEY)
    assert "answers 404 NOT FOUND (NoSuchKey)" in refused(pinned_by_md5(body), tmp_path, mirror, settings)
    assert s3.requests == [f"GET {AT}"] * 2
    s3.put(KEY, body)
    rerun(pinned_by_md5(body), tmp_path, mirror, settings, body)


@pytest.mark.parametrize("with_digest", [True, False])
def test_a_refusal_with_a_page_is_not_the_file(server, settings, body, tmp_path: Path, with_digest: bool) -> None:
    served = server.serve("bold.nii.gz", body, status_each=[403], page=(DENIED, "text/html"))
    md5 = hashlib.md5(body).hexdigest() if with_digest else None
    file = RawFile(path="bold.nii.gz", url="https://data.example.invalid/bold.nii.gz", md5=md5)
    said = refused(file, tmp_path, server.mirror, settings)
    assert "bold.nii.gz: the server answers 403 Forbidden" in said and "add it to the mirror" in said
    assert list(tmp_path.iterdir()) == []
    assert len(served.requests) == 1
    rerun(file, tmp_path, server.mirror, settings, body)


@pytest.mark.parametrize("status", [504, 200])
def test_the_page_of_a_gateway_is_waited_out(server, settings, body, tmp_path: Path, status: int) -> None:
    """Some proxies send it as 200."""
    file = RawFile(path="bold.nii.gz", url="https://data.example.invalid/bold.nii.gz")
    if status == 504:
        served = server.serve("bold.nii.gz", body, status_each=[504, 504], page=(GATEWAY, "text/html"))
    else:
        served = server.serve("bold.nii.gz", GATEWAY, content_type="application/gzip", changes_to=body)
    rerun(file, tmp_path, server.mirror, settings, body)
    assert len(served.requests) == (3 if status == 504 else 2)


@pytest.mark.parametrize(("status", "said"), [(504, "answers 504"), (200, "page that says '504 Gateway Time-out'")])
def test_a_gateway_that_never_comes_back_is_given_up(server, settings, tmp_path: Path, status: int, said: str) -> None:
    pages = {"status_each": [status] * 9, "page": (GATEWAY, "text/html")}
    server.serve("bold.nii.gz", GATEWAY, content_type="text/html", **pages)
    file = RawFile(path="bold.nii.gz", url="https://data.example.invalid/bold.nii.gz", bytes=600_000)
    line = refused(file, tmp_path, server.mirror, settings)
    assert f"{said} (4 attempts)" in line.replace("Gateway Timeout ", "")
    assert list(tmp_path.iterdir()) == []


ANNEX_KEY = f"MD5E-s600000--{MD5}.nii.gz"
POINTERS = [
    f"/annex/objects/{ANNEX_KEY}\n".encode(),
    f"../../.git/annex/objects/Xx/0Q/{ANNEX_KEY}/{ANNEX_KEY}".encode(),
    f".git/annex/objects/Xx/0Q/{ANNEX_KEY}/{ANNEX_KEY}".encode(),
]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("pointer", POINTERS)
def test_a_pointer_from_a_server_is_not_the_file(
    s3, settings, body, tmp_path: Path, pointer: bytes, known: bool
) -> None:
    file = pinned_by_md5(body) if known else unpinned()
    mirror = Mirror(prefix=s3.prefix)
    s3.put(KEY, pointer)
    said = refused(file, tmp_path, mirror, settings)
    assert f"{s3.prefix}{AT} is a git-annex pointer, not bold.nii.gz: `datalad get` it there, or give another" in said
    assert list(tmp_path.iterdir()) == []
    s3.put(KEY, body)
    rerun(file, tmp_path, mirror, settings, body)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("pointer", POINTERS)
def test_a_pointer_in_a_mirror_folder_is_not_the_file(
    settings, body, tmp_path: Path, pointer: bytes, known: bool
) -> None:
    file = pinned_by_md5(body) if known else unpinned()
    there, here = tmp_path / "mirror" / AT.lstrip("/"), tmp_path / "here"
    there.parent.mkdir(parents=True)
    there.write_bytes(pointer)
    mirror = Mirror(folder=tmp_path / "mirror")
    assert f"{there} is a git-annex pointer, not bold.nii.gz: `datalad get`" in refused(file, here, mirror, settings)
    assert list(here.iterdir()) == []
    there.write_bytes(body)
    rerun(file, here, mirror, settings, body)


def test_a_link_without_contents_in_a_mirror_folder_is_named(s3, settings, body, tmp_path: Path) -> None:
    there, here = tmp_path / "mirror" / AT.lstrip("/"), tmp_path / "here"
    there.parent.mkdir(parents=True)
    there.symlink_to(POINTERS[1].decode())
    mirror = Mirror(folder=tmp_path / "mirror")
    said = refused(pinned_by_md5(body), here, mirror, settings)
    assert f"{there} is a git-annex link without its contents: `datalad get` it there" in said
    contents = there.parent / POINTERS[1].decode()
    contents.parent.mkdir(parents=True)
    contents.write_bytes(body)
    rerun(pinned_by_md5(body), here, mirror, settings, body)


@pytest.mark.parametrize("as_link", [True, False])
def test_a_pointer_in_a_folder_of_ones_own_is_not_the_file(settings, body, tmp_path: Path, as_link: bool) -> None:
    own, here = tmp_path / "own" / "bold.nii.gz", tmp_path / "here"
    own.parent.mkdir()
    if as_link:
        own.symlink_to(POINTERS[1].decode())
    else:
        own.write_bytes(POINTERS[0])
    sha256 = hashlib.sha256(POINTERS[0]).hexdigest()
    file = RawFile(path="bold.nii.gz", url=own.as_uri(), bytes=len(POINTERS[0]), sha256=sha256)
    with pytest.raises(FetchError, match=r"git-annex (pointer, not|link without) .*`datalad get` it there") as error:
        download(file, here / "bold.nii.gz", settings=settings)
    assert str(own) in str(error.value) and "\n" not in str(error.value)
    assert [path for path in here.iterdir() if not path.name.endswith(".lock")] == []
    own.unlink()
    own.write_bytes(body)
    right = file.model_copy(update={"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()})
    download(right, here / "bold.nii.gz", settings=settings)
    assert (here / "bold.nii.gz").read_bytes() == body


@pytest.mark.parametrize(
    "text", [b"see /annex/objects/" + ANNEX_KEY.encode(), POINTERS[0] + bytes(40_000), b"../../.git/config"]
)
def test_what_only_speaks_of_pointers_is_a_file(s3, settings, tmp_path: Path, text: bytes) -> None:
    s3.put(KEY, text)
    rerun(unpinned(), tmp_path, Mirror(prefix=s3.prefix), settings, text)


def test_a_finished_file_that_became_a_pointer_is_fetched_again(s3, settings, body, tmp_path: Path) -> None:
    s3.put(KEY, body)
    (tmp_path / "bold.nii.gz").write_bytes(POINTERS[0])
    rerun(unpinned(), tmp_path, Mirror(prefix=s3.prefix), settings, body)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"MD5E-s12--{MD5}.nii.gz", AnnexKey(12, md5=MD5)),
        (f"MD5-s0--{MD5}", AnnexKey(0, md5=MD5)),
        (f"SHA256E-s12--{MD5 * 2}.wav", AnnexKey(12, sha256=MD5 * 2)),
        (f"SHA1E-s12--{MD5}01234567.wav", AnnexKey(12)),
        (f"MD5E--{MD5}.nii", AnnexKey(None, md5=MD5)),
        (f"SHA256-s5--{MD5}", AnnexKey(5)),  # too short for what it says
        ("URL--http://x", None),
        (MD5, None),
        ("README", None),
    ],
)
def test_keys(text: str, key: AnnexKey | None) -> None:
    assert parse_key(text) == key


def test_a_pointer_is_wrong_contents_even_where_its_digest_was_taken(settings, tmp_path: Path) -> None:
    """A list made in a folder without contents has the pointers' own digests."""
    there = tmp_path / "mirror" / AT.lstrip("/")
    there.parent.mkdir(parents=True)
    there.write_bytes(POINTERS[0])
    with pytest.raises(WrongContents, match="git-annex pointer"):
        download(
            pinned_by_md5(POINTERS[0]),
            tmp_path / "bold.nii.gz",
            mirror=Mirror(folder=tmp_path / "mirror"),
            settings=settings,
        )


def test_the_plain_server_and_s3_answer_as_the_real_ones(s3, server: HonestServer) -> None:
    """Anonymous S3 as tests rely on it: versions, ranges and public objects."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    s3.put("openneuro.org/ds1/README", b"first")
    s3.put("openneuro.org/ds1/README", b"second one")
    client = boto3.client(
        "s3",
        endpoint_url=s3.prefix,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}),
    )
    got = client.get_object(Bucket="s3.amazonaws.com", Key="openneuro.org/ds1/README", Range="bytes=2-4")
    assert got["Body"].read() == b"con"
    assert got["ETag"] == f'"{hashlib.md5(b"second one").hexdigest()}"'
    versions = client.list_object_versions(Bucket="s3.amazonaws.com", Prefix="openneuro.org/ds1/")["Versions"]
    assert sorted(version["Size"] for version in versions) == [5, 10]
