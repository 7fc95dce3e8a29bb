"""A local OpenNeuro, and no way to the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.listening.server import ListeningServer


@pytest.fixture
def openneuro(monkeypatch: pytest.MonkeyPatch) -> Iterator[ListeningServer]:
    """Asked as a mirror; public addresses lead nowhere, and no test waits before it asks again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pipeline.fetch.http.lists.BACK_OFF_S", 0.0)
    monkeypatch.setattr(
        "pipeline.recordings.openneuro.snapshot.addresses_of",
        lambda public, mirror: [f"{mirror}/{public.removeprefix('https://')}"],
    )
    monkeypatch.setattr("pipeline.fetch.download.at_endpoint", lambda url: "https://nowhere.invalid/")
    with ListeningServer() as server:
        yield server
