"""Files of a user's own that stand for two things are refused by the catalogue."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.recordings.conftest import N, refusal, run_stages, write_study

ONLY_RUNS = {"responses": None, "stimulus": None}


def second_run(lab: Path, folder: str, responses: str = "my2.npy") -> str:
    """A study of two runs; the second has a copy of the stimuli and responses of its own."""
    shutil.copytree(lab / "images", lab / "im2", dirs_exist_ok=True)
    np.save(lab / "my2.npy", np.random.default_rng(1).standard_normal((2, N, 3)))
    runs = [{"responses": "my.npy", "stimulus": "images"}, {"responses": responses, "stimulus": folder}]
    return write_study(lab, **ONLY_RUNS, runs=runs)


def test_the_same_responses_for_two_runs_are_refused(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(second_run(lab, "im2", "my.npy"), "catalogue", capsys)
    assert f"runs 'run-1' and 'run-2' have the same responses: {lab}/my.npy is the same file" in said
    shutil.copy(lab / "my.npy", lab / "copy.npy")
    said = refusal(second_run(lab, "im2", "copy.npy"), "catalogue", capsys)
    assert f"{lab}/copy.npy is the same bytes as {lab}/my.npy" in said


def test_runs_with_responses_of_their_own_share_pictures_and_copies(lab: Path) -> None:
    for folder in ("images", "im2"):
        dataset = run_stages(second_run(lab, folder), "catalogue")
        assert [run.stimulus for run in dataset.open_catalogue().groups[0].runs] == ["stimulus", "stimulus"]


def test_other_pictures_and_sounds_of_one_name_are_refused(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = second_run(lab, "im2")
    Image.new("RGB", (14, 10)).save(lab / "im2" / "picture-07.png")
    said = refusal(study, "catalogue", capsys)
    assert f"'picture-07' is another picture in {lab}/im2 than in {lab}/images" in said
    assert "give them different names" in said
    (lab / "im2" / "picture-07.png").rename(lab / "im2" / "square-07.png")
    run_stages(study, "catalogue")
    for folder, level in (("s1", 0.1), ("s2", 0.2)):
        (lab / folder).mkdir()
        for number in range(N):
            soundfile.write(lab / folder / f"{number:02d}.wav", np.full(100 + number, level), 16_000)
    runs = [{"responses": "my.npy", "stimulus": "s1"}, {"responses": "my2.npy", "stimulus": "s2"}]
    study = write_study(lab, "log-mel", **ONLY_RUNS, runs=runs)
    assert "'00' is another sound in" in refusal(study, "catalogue", capsys)
