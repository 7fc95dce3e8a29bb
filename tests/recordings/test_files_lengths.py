"""A user's own recordings beside sounds, movies and words of another length: refused by the catalogue, or warned of."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.recordings.files.lengths import Heard, odd_lengths
from pipeline.study.cli import main

STUDY = """study: lengths
title: lengths
analyses:
  a:
    recording: {{kind: files, responses: my.npy, stimulus: {stimulus}, regions: regions.csv, {clock}}}
    models: [{model}]
    metric: {{kind: ridge, splits: {{kind: contiguous, n_folds: 4, n_inner_folds: 3}}}}
"""
MODELS = {"s.wav": "log-mel", "m.npy": "pixels", "w.csv": "word-rate"}


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """100 samples, beside a sound, a movie and words of 100 s each."""
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "s.wav", 0.1 * rng.standard_normal(100 * 8000), 8000)
    np.save(tmp_path / "m.npy", rng.integers(0, 256, (1000, 4, 4), dtype=np.uint8))
    words = "".join(f"w{i},{i},{i + 0.5}\n" for i in range(100))
    (tmp_path / "w.csv").write_text("text,onset_s,offset_s\n" + words)
    np.save(tmp_path / "my.npy", rng.standard_normal((2, 100, 3)))
    (tmp_path / "regions.csv").write_text("region\nA\nA\nB\n")
    return tmp_path


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The stage `catalogue` of studies that differ in stimulus and clock, run in the folder of the files."""

    lab: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, stimulus: str, clock: str) -> tuple[int, str]:
        """Exit status and what was said on stderr."""
        clock += ", frame_rate_hz: 10" if stimulus == "m.npy" and "frame_rate" not in clock else ""
        (self.lab / "study.yaml").write_text(STUDY.format(stimulus=stimulus, clock=clock, model=MODELS[stimulus]))
        self.capsys.readouterr()
        status = main(["catalogue", "--study", "study.yaml"])
        return status, self.capsys.readouterr().err


@pytest.fixture
def catalogue(lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    monkeypatch.chdir(lab)
    return Catalogue(lab, capsys)


@pytest.mark.parametrize("stimulus", ["s.wav", "m.npy", "w.csv"])
@pytest.mark.parametrize(
    ("clock", "slip"), [("sample_interval_s: 1000", "look like ms"), ("sample_interval_s: 2", "look twice too long")]
)
def test_too_long_a_recording_is_refused_before_anything_is_made(
    lab: Path, catalogue: Catalogue, stimulus: str, clock: str, slip: str
) -> None:
    status, said = catalogue.run(stimulus, clock)
    assert status == 1 and said.count("\n") == 1
    assert f"{lab}/my.npy covers 0 to" in said and f"{lab}/{stimulus} 0 to" in said
    assert slip in said and not (lab / "data" / "catalogue").exists()


def test_times_in_ms_and_a_movie_that_runs_too_fast_are_refused(lab: Path, catalogue: Catalogue) -> None:
    np.save(lab / "times.npy", 1000.0 * np.arange(1, 101))
    status, said = catalogue.run("s.wav", "times: times.npy")
    assert status == 1 and "look like ms" in said
    status, said = catalogue.run("m.npy", "sample_interval_s: 1, frame_rate_hz: 20")
    assert status == 1 and "or frame_rate_hz" in said and "m.npy 0 to 50 s" in said


def test_too_short_a_recording_is_refused_or_warned_of(lab: Path, catalogue: Catalogue) -> None:
    status, said = catalogue.run("s.wav", "sample_interval_s: 0.001")
    assert status == 1 and "1000 times as long" in said
    status, said = catalogue.run("s.wav", "sample_interval_s: 0.1")
    assert status == 0
    assert f"layermap catalogue: warning: {lab}/my.npy covers 10 s of the 100 s of {lab}/s.wav" in said


@pytest.mark.parametrize("stimulus", ["s.wav", "m.npy", "w.csv"])
@pytest.mark.parametrize(
    ("clock", "parts"),
    [
        ("sample_interval_s: 0.5", ["my.npy covers 50 s of the ", "times; if all of it was recorded"]),
        ("sample_interval_s: 0.75", ["my.npy covers 75 s of the "]),
        ("sample_interval_s: 1.25", ["my.npy lasts 125 s and ", "1.2", " times; if it did not begin before"]),
    ],
)
def test_slips_of_a_quarter_or_half_are_said_in_one_line(
    catalogue: Catalogue, stimulus: str, clock: str, parts: list[str]
) -> None:
    status, said = catalogue.run(stimulus, clock)
    assert status == 0 and said.count("\n") == 1 and said.startswith("layermap catalogue: warning: ")
    for part in parts:
        assert part in said, said


@pytest.mark.parametrize("stimulus", ["s.wav", "m.npy", "w.csv"])
@pytest.mark.parametrize("clock", ["sample_interval_s: 1", "sample_interval_s: 1.08, first_sample_end_s: -4"])
def test_a_recording_that_fits_is_taken_without_a_word(catalogue: Catalogue, stimulus: str, clock: str) -> None:
    status, said = catalogue.run(stimulus, clock)
    assert (status, said) == (0, "")


def test_the_length_of_a_movie_is_known_without_its_pixels(lab: Path, catalogue: Catalogue) -> None:
    np.save(lab / "m.npy", np.ones((1000, 4, 4), np.uint8))  # of which `prepare`, which reads them, says something
    assert catalogue.run("m.npy", "sample_interval_s: 1") == (0, "")


def test_of_runs_on_grids_of_their_own_the_longest_is_judged_by_its_own_interval(tmp_path: Path) -> None:
    sound = tmp_path / "s.wav"
    coarse, fine = Heard(tmp_path / "a.npy", 0.0, 5.0, 1.0), Heard(tmp_path / "b.npy", 0.0, 4.0, 0.25)
    assert odd_lengths({sound: (0.0, 4.0)}, {sound: [coarse, fine]}) == []  # one sample of 1 s longer
    (said,) = odd_lengths({sound: (0.0, 4.0)}, {sound: [coarse, dataclasses.replace(fine, stop_s=5.25)]})
    assert said.startswith(f"{tmp_path}/b.npy lasts 5.25 s and {sound} 4 s")


def test_a_sound_that_cannot_be_read_is_left_to_the_stage_that_reads_it(lab: Path, catalogue: Catalogue) -> None:
    whole = (lab / "s.wav").read_bytes()
    for broken in (whole[: len(whole) // 2], b"<html>", b""):
        (lab / "s.wav").write_bytes(broken)
        assert catalogue.run("s.wav", "sample_interval_s: 1") == (0, "")
