"""A user's own sounds, pictures and movies through ``python -m pipeline prepare``: refused, or taken with one line."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage
import soundfile
from PIL import Image

from pipeline.artifacts.stimulus import open_stimulus
from tests.recordings.conftest import N, plan_of, run_stages, write_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(skimage.__file__).parent / "data"


def prepare(study: str) -> tuple[int, list[str]]:
    """Status and lines of the stage as a process of its own."""
    run_stages(study, "catalogue", "fetch")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "prepare", "--study", study],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr.splitlines()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


def inverted_channel(lab: Path) -> None:
    soundfile.write(lab / "story.wav", np.c_[noise(96_000), -noise(96_000)], 8000)


def integers_as_floats(lab: Path) -> None:
    soundfile.write(lab / "story.wav", noise(96_000) * 32768, 8000, subtype="FLOAT")


def recording_that_broke_off(lab: Path) -> None:
    soundfile.write(lab / "story.wav", noise(96_000), 8000)
    content = bytearray((lab / "story.wav").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (160_000).to_bytes(4, "little")
    (lab / "story.wav").write_bytes(content)


def sixteen_bits(lab: Path) -> None:
    (lab / "images" / "picture-03.png").write_bytes((EXAMPLES / "chessboard_RGB.png").read_bytes())


def adobe_rgb(lab: Path) -> None:
    profile = Image.open(EXAMPLES / "rocket.jpg").info["icc_profile"]
    Image.open(lab / "images" / "picture-03.png").save(lab / "images" / "picture-03.png", icc_profile=profile)


SOUND = {"stimulus": "story.wav", "sample_interval_s": 1.0}
PICTURES: dict[str, object] = {}


@pytest.mark.parametrize(
    ("make", "recording", "said"),
    [
        (inverted_channel, SOUND, "channels 1 and 2 cancel each other"),
        (integers_as_floats, SOUND, "divide them by 32,768"),
        (recording_that_broke_off, SOUND, "after the sound that its header states"),
        (sixteen_bits, PICTURES, "more than 8 bits per colour (16, mode RGB)"),
        (adobe_rgb, PICTURES, "in the colours of 'Adobe RGB (1998)'"),
    ],
)
def test_a_file_that_is_other_than_it_seems_ends_prepare_in_one_line(
    lab: Path, make: Callable[[Path], None], recording: dict[str, object], said: str
) -> None:
    make(lab)
    study = write_study(lab, "log-mel" if recording else "pixels", **recording)
    status, lines = prepare(study)
    assert status == 1 and len(lines) == 1 and said in lines[0] and lines[0].startswith("layermap prepare: "), lines
    assert not plan_of(study).stimulus_path("stimulus").exists()


def test_what_is_odd_is_said_in_one_line_and_taken(lab: Path) -> None:
    (lab / "sounds").mkdir()
    for number in range(N):
        sound = np.random.default_rng(number).uniform(-0.5, 0.5, 900)
        soundfile.write(lab / "sounds" / f"{number:02d}.wav", np.c_[sound, 0 * sound], 8000)
    study = write_study(lab, "log-mel", stimulus="sounds")
    status, lines = prepare(study)
    assert status == 0 and len(lines) == 1, lines
    assert lines[0].startswith("warning: ") and "00.wav (and 11 more like it): channel 2 of 2 is silent" in lines[0]
    stimulus = open_stimulus(plan_of(study).stimulus_path("stimulus"))
    np.testing.assert_allclose(stimulus["clips"][0], noise(900) / 2, atol=1e-4)


def test_a_movie_of_zeros_and_ones_is_said(lab: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 2, (12, 5, 6), dtype=np.uint8)
    np.save(lab / "movie.npy", frames)
    study = write_study(lab, stimulus="movie.npy", frame_rate_hz=1.0, sample_interval_s=1.0)
    status, lines = prepare(study)
    assert status == 0 and len(lines) == 1, lines
    assert "no frame has a value above 1 of 255; multiply by 255 if 1 stands for white" in lines[0]
    np.testing.assert_array_equal(open_stimulus(plan_of(study).stimulus_path("stimulus"))["frames"][..., 0], frames)
