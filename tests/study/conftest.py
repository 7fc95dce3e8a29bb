"""A user's folder with pictures, cells and a network of their own, and a copy of the package that can be edited."""

import shutil

import pytest

from pipeline.core import code_version
from tests.activations.conftest import lab
from tests.activations.own_study import ROOT

__all__ = ["lab"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A copy of pipeline/ whose code counts instead; (file, old, new) → edits it."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "copy" / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))

    def forget():
        code_version._file_of.cache_clear()
        code_version._parsed.cache_clear()
        code_version.code_version.cache_clear()

    monkeypatch.setattr(code_version, "ROOT", tmp_path / "copy")
    forget()

    def edit(file, old, new):
        path = tmp_path / "copy" / "pipeline" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        forget()

    yield edit
    monkeypatch.undo()
    forget()
