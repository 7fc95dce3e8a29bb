"""The benchmark of listeners' BOLD runs, at a small size: what is timed is a whole recording of what is read bare."""

import sys

from benchmarks import bold
from pipeline.artifacts.recording import open_recording


def test_what_is_timed_is_a_recording_of_what_is_read_bare(tmp_path):
    bold.write_atlas(tmp_path, 200)
    scans = bold.write_scans(tmp_path, 2, 12, seed=0)
    assert [scan.images for scan in bold.scans_in(tmp_path)] == [scan.images for scan in scans]
    _, n_bytes = bold.read_bare(scans[0])
    assert n_bytes == 2 * 40_962 * 12 * 4
    assert bold.prepare(scans, tmp_path, tmp_path / "story.nc", 12) > 0
    recording = open_recording(tmp_path / "story.nc")
    assert recording.sizes == {"repeat": 1, "sample": 12, "target": 3 * 400, "surface_vertex": 20_484}


def test_a_row_for_files_in_memory_and_on_the_disk(tmp_path, monkeypatch, capsys):
    sizes = ["--listeners", "2", "--vertices", "100", "--volumes", "12", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["bold", *sizes])
    bold.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 2 × 200 × 12")]
    assert ["| disk |" in row for row in rows] == [False, True]
    assert list(tmp_path.iterdir()) == []
