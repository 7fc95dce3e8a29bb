"""The benchmark of checksums runs, at a small size, and what it compares with has none."""

import sys

import pytest

from benchmarks import checksums
from benchmarks.artifact_examples import kinds
from pipeline.core.errors import BrokenArtifact

pytestmark = pytest.mark.slow

FILES = ("r.nc", "g.nc", "s.zarr", "a.zarr", "e.nc", "c.json", "t.json", "m.nc")


def test_a_row_for_writing_and_reading_each_kind(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["checksums", "--rounds", "1", "--scale", "0.001", "--folder", str(tmp_path)])
    checksums.main()
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert [what for _, what in rows] == ["write", "read"] * len(FILES)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def artifacts():
    """Made when a test asks for them: workers that run none of these tests collect them, too."""
    return {kind.file: kind for kind in kinds(0.001, seed=0)}


@pytest.mark.parametrize("file", FILES)
def test_only_the_checked_one_finds_an_altered_artifact(tmp_path, artifacts, file):
    kind = artifacts[file]
    path = tmp_path / kind.file
    kind.write(path)
    kind.read(path)
    with checksums.without_checksums():
        kind.write(tmp_path / f"bare-{kind.file}")
        kind.read(tmp_path / f"bare-{kind.file}")
    with pytest.raises(BrokenArtifact):
        kind.read(tmp_path / f"bare-{kind.file}")
