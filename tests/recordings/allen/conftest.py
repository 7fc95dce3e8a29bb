"""Servers and experiments that tests of the Allen datasets share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_server import running
from tests.observatory.rows_two_photon import observatory_rows, real_containers, real_stimulus_mappings
from tests.observatory.server import ObservatoryServer


@pytest.fixture(autouse=True)
def _local_addresses_need_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pipeline.fetch.http.lists.BACK_OFF_S", 0.01)


@pytest.fixture(scope="session")
def real_rows(mirror: Path) -> dict:
    """The real containers and experiments, and made-up cell metrics of each with the real names of stimuli."""
    containers = real_containers(mirror)
    thumbnails = [m["item"] for m in real_stimulus_mappings(mirror) if m["item_type"] == "T" and m["level"] == "R"]
    cells = [
        {
            "cell_specimen_id": 10 * container["id"] + number,
            "experiment_container_id": container["id"],
            "failed_experiment_container": container["failed"],
            "osi_sg": number / 25,
            **dict.fromkeys(thumbnails, "x"),
        }
        for container in containers
        for number in range(25)
    ]
    return observatory_rows(containers, real_stimulus_mappings(mirror), cells)


@pytest.fixture
def warehouse(real_rows: dict) -> Iterator[ObservatoryServer]:
    """The real metadata behind queries; no files."""
    with running(ObservatoryServer(real_rows, {})) as server:
        yield server


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public address leads nowhere, also where there is a network."""
    monkeypatch.setattr("pipeline.recordings.allen.queries.API_URL", "http://api.brain-map.invalid")
