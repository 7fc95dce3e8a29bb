"""The benchmark of checksums runs, at a small size, and what it compares with has none."""

import sys

import pytest

from benchmarks import checksums
from benchmarks.artifact_examples import kinds
from pipeline.errors import BrokenArtifact


def test_a_row_for_writing_and_reading_each_kind(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["checksums", "--rounds", "1", "--scale", "0.001", "--folder", str(tmp_path)])
    checksums.main()
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert [what for _, what in rows] == ["write", "read"] * 8
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", kinds(0.001, seed=0), ids=lambda kind: kind.name.partition(",")[0])
def test_only_the_checked_one_finds_an_altered_artifact(tmp_path, kind):
    path = tmp_path / kind.file
    kind.write(path)
    kind.read(path)
    with checksums.without_checksums():
        kind.write(tmp_path / f"bare-{kind.file}")
        kind.read(tmp_path / f"bare-{kind.file}")
    with pytest.raises(BrokenArtifact):
        kind.read(tmp_path / f"bare-{kind.file}")
