"""A user's folder, with the stages running in a folder beside it."""

from pathlib import Path

import pytest

from tests.activations.own_study import OWN, Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    made = Lab(tmp_path)
    made.write({"own": OWN})
    monkeypatch.chdir(made.work)
    return made
