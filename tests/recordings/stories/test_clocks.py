"""A click in the sound and a bump in the BOLD at the same instant meet on the audio clock, whenever the sound began."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.models.baselines.audio_baselines import LOG_MEL, load_log_mel
from pipeline.recordings.stories import alice_bold, narratives, petit_prince
from pipeline.recordings.stories.options import StoryOptions
from pipeline.recordings.stories.prepare import prepare_recording, prepare_stimulus
from pipeline.recordings.stories.selection import ScanFiles, StoryFiles
from tests.conftest import MIRROR
from tests.listening.study import real_file
from tests.recordings.stories.raw_folders import SPHERES, finish, write_click, write_text, write_volumes

pytestmark = pytest.mark.slow

CLICK_S = 300.37
DURATION_S = 540.0
BUMP_SD_S = 4.0
MADE_EVENTS = {
    # story → rows of its events.tsv, as published: onset, duration, trial_type
    "merlin": [(4.5, 25.0, "music"), (33.5, 500.0, "story")],
    "piemanpni": [(12.0, 500.0, "story")],
}
REAL_EVENTS = {
    "pieman": "sub-002/func/sub-002_task-pieman_run-1_events.tsv",
    "lucy": "sub-022/func/sub-022_task-lucy_events.tsv",
    "tunnel": "sub-001/func/sub-001_task-tunnel_events.tsv",
    "milkywayvodka": "sub-023/func/sub-023_task-milkyway_events.tsv",
    "prettymouth": "sub-023/func/sub-023_task-prettymouth_events.tsv",
}
STARTS = {
    "merlin": 4.5,
    "piemanpni": 12.0,
    "pieman": 0.0,
    "lucy": 3.0,
    "tunnel": 3.0,
    "milkywayvodka": 0.0,
    "prettymouth": 0.0,
}
UNCLEANED: dict[str, Any] = {"parcellation": SPHERES, "high_pass_s": 0.0}


def bump(audio_start_s: float, first_volume_s: float, tr: float, n_volumes: int) -> np.ndarray:
    """(n_volumes,) a response around the click as volumes see it that are acquired from i·TR to (i + 1)·TR."""
    middle = first_volume_s + (np.arange(n_volumes) + 0.5) * tr
    return 100 + np.exp(-((middle - audio_start_s - CLICK_S) ** 2) / (2 * BUMP_SD_S**2))


def heard_s(name: str, folder: Path, options: StoryOptions) -> float:
    """When the click is heard, by the end of the window of the log-mel baseline that is loudest."""
    stimulus = prepare_stimulus(name, folder, options)
    baseline = load_log_mel(LOG_MEL, None, None, "cpu")
    _, ends_s = baseline.clock(stimulus)
    loudness = np.concatenate([values["log-mel"].mean(axis=1) for _, values in baseline.batches(stimulus, 4096)])
    return float(ends_s[loudness.argmax()])


def seen_s(name: str, folder: Path, options: StoryOptions) -> float:
    """When the bump is seen: the centre of gravity of the response, at the middles of the samples' bins."""
    recording = prepare_recording(name, folder, options).whole()
    response = recording["responses"].values[0, :, 0].astype(float)
    middle = recording["time_s"].values - recording.attrs["sample_interval_s"] / 2
    weight = np.clip(response - np.median(response), 0, None)
    weight = np.where(np.abs(middle - middle[weight.argmax()]) < 3 * BUMP_SD_S, weight, 0)
    return float((weight * middle).sum() / weight.sum())


def check(name: str, folder: Path, options: StoryOptions) -> None:
    # the window of 0.1 s that holds the click ends at 300.4 s
    assert heard_s(name, folder, options) == pytest.approx(300.4, abs=0.051)
    assert seen_s(name, folder, options) == pytest.approx(CLICK_S, abs=0.1)


@pytest.mark.parametrize("tr", [1.5, 1.52])
@pytest.mark.parametrize("story", STARTS)
def test_narratives(story: str, tr: float, tmp_path: Path) -> None:
    if story in MADE_EVENTS:
        rows = [f"{onset}\t{duration}\t{kind}\t{story}_audio.wav" for onset, duration, kind in MADE_EVENTS[story]]
        events = "\n".join(["onset\tduration\ttrial_type\tstim_file", *rows])
    elif not MIRROR.is_dir():
        pytest.skip("needs the events of ../shared/mirror")
    else:
        # stories outlast the sound that is made here: volumes cover what is said to be heard
        events = (real_file("ds002345", REAL_EVENTS[story]) or b"").decode()
    options = narratives.NarrativesOptions(
        stories=(story,), preprocessing="fmriprep", confounds="none", space="MNI152NLin2009cAsym", **UNCLEANED
    )
    n_volumes = int(1560 / tr) if story == "tunnel" else int(720 / tr)
    write_volumes(tmp_path / "bold.nii.gz", {(1, 1, 1): bump(STARTS[story], 0.0, tr, n_volumes)}, 0.0)
    write_text(tmp_path / "bold.json", f'{{"RepetitionTime": {tr}}}')
    write_text(tmp_path / "events.tsv", events)
    write_click(tmp_path / "audio.wav", DURATION_S, CLICK_S, 16_000)
    scan = ScanFiles(subject="sub-1", images=("bold.nii.gz",), events="events.tsv", sidecar="bold.json")
    sound = "milkywayvodka_audio.wav" if story == "milkywayvodka" else f"{story}_audio.wav"
    finish(tmp_path, options, StoryFiles(name=story, stim_file=sound, audio="audio.wav", scans=(scan,)))
    check(story, tmp_path, options)


@pytest.mark.parametrize("onset_s", [0.0, 1.3, -0.7])
def test_petit_prince(onset_s: float, tmp_path: Path) -> None:
    options = petit_prince.PetitPrinceOptions(languages=("EN",), onset_s={"EN": onset_s}, **UNCLEANED)
    write_volumes(tmp_path / "bold.nii.gz", {(1, 1, 1): bump(onset_s, 0.0, 2.0, 282)}, 2.0)
    write_click(tmp_path / "audio.wav", 564.0, CLICK_S, 22_050)
    scan = ScanFiles(subject="sub-EN057", images=("bold.nii.gz",), audio_start_s=onset_s)
    story = StoryFiles(name="EN-section-1", audio="audio.wav", section=1, end_s=564.0, scans=(scan,))
    finish(tmp_path, options, story)
    check("EN-section-1", tmp_path, options)


@pytest.mark.parametrize("onset_s", [0.0033, 0.255, 0.657, 0.837])
def test_alice(onset_s: float, tmp_path: Path) -> None:
    """Listeners share one grid; the second began at another time than the others."""
    options = alice_bold.AliceBoldOptions(average=False, **UNCLEANED)
    scans = []
    for number, start_s in enumerate((onset_s, 0.0166, 0.0166)):
        image, events = f"{number}.nii.gz", f"{number}_events.tsv"
        write_volumes(tmp_path / image, {(1, 1, 1): bump(start_s, 20.0, 2.0, 362)}, 2.0)
        write_text(tmp_path / events, f"onset\tduration\tstim_file\n{start_s}\t748\talice.wav\n")
        scans.append(ScanFiles(subject=f"sub-{number}", images=(image,), events=events, first_volume_s=20.0))
    write_click(tmp_path / "alice.wav", 748.0, CLICK_S, 44_100)
    finish(tmp_path, options, StoryFiles(name="alice", stim_file="alice.wav", audio="alice.wav", scans=tuple(scans)))
    check("alice", tmp_path, options)
