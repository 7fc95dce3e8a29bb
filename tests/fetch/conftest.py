"""What tests of fetching share."""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.artifacts.catalogue import RawFile
from pipeline.fetch.http.settings import FetchSettings
from tests.http_server import HOST, HonestServer, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HonestServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("LAYERMAP_MIRROR", raising=False)
    with running(HonestServer()) as server:
        yield server


@pytest.fixture
def settings() -> FetchSettings:
    """As patient as the default, but quick about it."""
    return FetchSettings(retries=3, back_off_s=0.01, stall_timeout_s=0.4, connect_timeout_s=2)


@pytest.fixture
def noise() -> Callable[[int, int], bytes]:
    """Bytes that look like nothing else: (count, seed) → bytes."""
    return lambda n_bytes, seed=0: random.Random(seed).randbytes(n_bytes)


@pytest.fixture
def pinned() -> Callable[[str, bytes], RawFile]:
    """The catalogue's entry of a file: (path, contents) → entry with size and digest."""

    def entry(path: str, contents: bytes) -> RawFile:
        digest = hashlib.sha256(contents).hexdigest()
        return RawFile(path=path, url=f"https://{HOST}/{path}", bytes=len(contents), sha256=digest)

    return entry


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, under pytest's own which only its owner may."""
    folder = Path(tempfile.mkdtemp(prefix="layermap-fetch-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
