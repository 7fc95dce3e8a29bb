"""A user's folder with pictures, cells and a network of their own."""

from pathlib import Path

import pytest

from tests.activations.own_study import OWN, Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab(tmp_path)
    made.write({"own": OWN})
    monkeypatch.chdir(made.work)
    return made
