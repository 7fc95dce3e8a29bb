"""Public addresses to places in a mirror."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import BadConfiguration, FetchError
from pipeline.fetch.mirror import Mirror, parse_mirror


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
    with pytest.raises(FetchError, match="leads out of the mirror"):
        Mirror(folder=tmp_path).locate(f"https://a.org/{path}")


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
