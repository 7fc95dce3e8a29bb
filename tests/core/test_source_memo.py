"""Notes about sources: used for what they are of, and never needed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.code_version import ROOT, modules_behind
from pipeline.core.source_memo import SourceMemo

NOTED = ("ab" * 32, ["pipeline.core.errors"])
KEY = "import pipeline.core.code_version as c; print(c.code_version('pipeline.inference.stage'))"


def kept(file: Path) -> SourceMemo:
    memo = SourceMemo(file)
    memo.add("a.py", b"x = 1", NOTED)
    memo.write()
    return SourceMemo(file)


def test_notes_are_of_one_source(tmp_path: Path) -> None:
    memo = kept(tmp_path / "notes.json")
    assert memo.get("a.py", b"x = 1") == NOTED
    assert memo.get("a.py", b"x = 2") is None
    assert memo.get("b.py", b"x = 1") is None


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: text.replace(b"abab", b"abac"), lambda _: b""])
def test_damaged_notes_are_none(tmp_path: Path, damage) -> None:
    file = tmp_path / "notes.json"
    kept(file)
    file.write_bytes(damage(file.read_bytes()))
    assert SourceMemo(file).get("a.py", b"x = 1") is None


def test_notes_that_cannot_be_written_are_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert kept(tmp_path / "file" / "notes.json").get("a.py", b"x = 1") is None


def key(folder: Path, **environment: str) -> str:
    given = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", KEY], cwd=folder, env=given, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_keys_are_those_without_notes_and_follow_the_code(tmp_path: Path) -> None:
    """The first process notes, the second uses the notes; code that changes in between is seen."""
    words = ["pipeline.core.errors"]  # which no key holds
    for module in modules_behind(["pipeline.inference.stage", "pipeline.core.code_version", *words]):
        path = Path(*module.split("."))
        path = path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    for folder in (tmp_path / "pipeline").rglob("*/"):
        (folder / "__init__.py").touch()
    (tmp_path / "pipeline" / "__init__.py").touch()
    without = key(tmp_path, PYTHONDONTWRITEBYTECODE="1")
    notes = tmp_path / "pipeline" / "core" / "__pycache__"
    assert not list(notes.glob("sources-*"))
    assert [key(tmp_path, PYTHONDONTWRITEBYTECODE="") for _ in range(2)] == [without] * 2
    assert len(list(notes.glob("sources-*.json"))) == 1
    changed = tmp_path / "pipeline" / "inference" / "profile.py"
    changed.write_text(changed.read_text() + "\n\nVALUE = 1\n")
    after = key(tmp_path, PYTHONDONTWRITEBYTECODE="")
    assert after != without
    assert key(tmp_path, PYTHONDONTWRITEBYTECODE="1") == after
