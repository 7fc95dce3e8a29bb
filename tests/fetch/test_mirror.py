"""Public addresses to places in a mirror."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import BadConfiguration, FetchError
from pipeline.core.progress import Progress
from pipeline.fetch.download import download
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.mirror import Mirror, parse_mirror
from pipeline.fetch.weights.files import Wanted, obtain


def test_a_folder_holds_host_and_path(tmp_path: Path) -> None:
    mirror = parse_mirror(str(tmp_path))
    assert mirror is not None
    assert mirror.locate("https://a.org/b/c%20d.nii.gz?version=2#x") == tmp_path / "a.org/b/c d.nii.gz"
    assert mirror.locate("https://me:secret@a.org:8080/b") == tmp_path / "a.org:8080/b"


def test_a_prefix_keeps_the_address_as_it_is_written() -> None:
    mirror = parse_mirror("http://127.0.0.1:8000/pub/")
    assert mirror == Mirror(prefix="http://127.0.0.1:8000/pub")
    assert mirror.locate("https://a.org/b/c%20d?v=2") == "http://127.0.0.1:8000/pub/a.org/b/c%20d?v=2"


@pytest.mark.parametrize("path", ["../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "a/..%2f..%2f..%2fetc/passwd"])
def test_no_address_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    for mirror in (Mirror(folder=tmp_path), Mirror(prefix="http://127.0.0.1:1/pub")):
        with pytest.raises(FetchError, match="leads out of the mirror"):
            mirror.locate(f"https://a.org/{path}")


@pytest.mark.parametrize(
    "host",
    [
        *("..", ".", "...", "a..b", ".a", "a.", "-a.org", "%2e%2e", "%2f", "a%2fb", "a%00b", "a\0b", "\\", "a\\b"),
        *("..:80", "a.org:", "a.org:x", "a.org:99999", "a.org:-1", "a:1:2", ":80", "[::1", "[..]", "[::1]x", "[x]:80"),
        *("me@..", "me:word@..", "..@..", "me@", "münchen.de", "a.org。evil", "‥", "a b", "a\n..", "~", "*"),
    ],
)
@pytest.mark.parametrize("rest", ["x", "etc/passwd", ""])
def test_no_host_leads_out_of_the_mirror(tmp_path: Path, host: str, rest: str) -> None:
    inside = tmp_path / "mirror"
    inside.mkdir()
    (tmp_path / "x").write_bytes(b"secret")
    for mirror in (Mirror(folder=inside), Mirror(prefix="http://127.0.0.1:1/pub")):
        with pytest.raises(FetchError, match="is not an address that can be fetched") as error:
            mirror.locate(f"https://{host}/{rest}")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "host", ["a.org", "A-1.b_c.org:8080", "127.0.0.1:1", "[::1]", "[2001:db8::1]:443", "localhost"]
)
def test_usual_hosts_have_their_folder(tmp_path: Path, host: str) -> None:
    assert Mirror(folder=tmp_path).locate(f"https://{host}/x") == tmp_path / host / "x"


class TestLinks:
    @pytest.fixture
    def mirror(self, tmp_path: Path) -> Mirror:
        (tmp_path / "mirror" / "a.org").mkdir(parents=True)
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "x").write_bytes(b"secret")
        return Mirror(folder=tmp_path / "mirror")

    def fetch(self, mirror: Mirror, folder: Path) -> bytes:
        download(RawFile(path="x", url="https://a.org/d/x"), folder / "x", mirror=mirror, settings=FetchSettings())
        return (folder / "x").read_bytes()

    @pytest.mark.parametrize("to", ["file", "folder", "chain"])
    def test_a_link_that_leaves_the_mirror_is_refused_by_name(self, mirror: Mirror, tmp_path: Path, to: str) -> None:
        host = tmp_path / "mirror" / "a.org"
        if to == "folder":
            (host / "d").symlink_to(tmp_path / "outside")
        else:
            (host / "d").mkdir()
            target = tmp_path / "outside" / "x"
            if to == "chain":
                (host / "inside").symlink_to(Path("..") / ".." / "outside" / "x")
                target = host / "inside"
            (host / "d" / "x").symlink_to(target)
        wanted = Wanted("weights", "0" * 64, None, "https://a.org/d/x", None, (), "")
        for ask in (
            lambda: self.fetch(mirror, tmp_path / "to"),
            lambda: obtain(wanted, tmp_path / "work", mirror, FetchSettings(), Progress("weights")),
        ):
            with pytest.raises(FetchError, match="outside the mirror") as error:
                ask()
            assert str(tmp_path / "outside" / "x") in str(error.value)
            assert str(host / "d" / "x") in str(error.value)
            assert "put the file itself there" in str(error.value)
        assert not (tmp_path / "to" / "x").exists()

    def test_links_within_it_are_followed_as_git_annex_has_them(self, mirror: Mirror, tmp_path: Path) -> None:
        objects = tmp_path / "mirror" / "a.org" / ".git" / "annex" / "objects" / "k"
        objects.mkdir(parents=True)
        (objects / "MD5E-s4--x").write_bytes(b"good")
        (tmp_path / "mirror" / "a.org" / "d").mkdir()
        (tmp_path / "mirror" / "a.org" / "d" / "x").symlink_to("../.git/annex/objects/k/MD5E-s4--x")
        assert self.fetch(mirror, tmp_path / "to") == b"good"

    def test_the_mirror_itself_may_be_a_link(self, mirror: Mirror, tmp_path: Path) -> None:
        (tmp_path / "mirror" / "a.org" / "d").mkdir()
        (tmp_path / "mirror" / "a.org" / "d" / "x").write_bytes(b"good")
        (tmp_path / "link").symlink_to(tmp_path / "mirror")
        linked = parse_mirror(str(tmp_path / "link"))
        assert linked is not None
        assert self.fetch(linked, tmp_path / "to") == b"good"

    def test_a_link_to_itself_is_one_line(self, mirror: Mirror, tmp_path: Path) -> None:
        (tmp_path / "mirror" / "a.org" / "d").symlink_to("d")
        with pytest.raises(FetchError, match="mend the mirror") as error:
            self.fetch(mirror, tmp_path / "to")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "s3://bucket/key", "a.org/b", "https:///b"])
def test_only_http_addresses_can_be_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="expected https://HOST/PATH"):
        Mirror(folder=tmp_path).locate(url)


def test_the_environment_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAYERMAP_MIRROR", raising=False)
    assert parse_mirror(None) is None
    assert parse_mirror(" ") is None
    monkeypatch.setenv("LAYERMAP_MIRROR", str(tmp_path))
    assert parse_mirror(None) == Mirror(folder=tmp_path)
    monkeypatch.setenv("LAYERMAP_MIRROR", str(tmp_path / "gone"))
    with pytest.raises(BadConfiguration, match=r"LAYERMAP_MIRROR=.*gone does not exist"):
        parse_mirror(None)


def test_a_mirror_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for text, what in ((tmp_path / "gone", "does not exist"), (file, "is not a folder"), ("ftp://a.org", "neither")):
        with pytest.raises(BadConfiguration, match=what) as caught:
            parse_mirror(str(text))
        assert "\n" not in str(caught.value)
        assert str(text) in str(caught.value)
