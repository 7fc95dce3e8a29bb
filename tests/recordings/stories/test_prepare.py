"""What is refused when stories are prepared: altered files, contradictory events, runs of another section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.artifacts.recording import write_recording
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact, LayermapError, SampleMismatch
from pipeline.core.keys import sha256_of_file
from pipeline.fetch.checks.digests import record_digest
from pipeline.recordings.stories import narratives, petit_prince
from pipeline.recordings.stories.events import played, read_events
from pipeline.recordings.stories.prepare import RESYNTHESISED, prepare_recording, prepare_stimulus
from pipeline.recordings.stories.selection import ScanFiles, StoryFiles
from pipeline.simulated.haemodynamics import bold_response
from tests.recordings.stories.raw_folders import SPHERES, finish, write_click, write_text, write_volumes

EVENTS = "onset\tduration\ttrial_type\tstim_file\n"
STORY = f"{EVENTS}0.0\t18.0\tmusic\tprettymouth_audio.wav\n21.0\t200.0\tstory\tprettymouth_audio.wav\n"


def narrative(
    folder: Path, *, events: tuple[str, ...] = (STORY, STORY), **options: Any
) -> narratives.NarrativesOptions:
    """A story with its sound and words, and a scan of each listener."""
    chosen = narratives.NarrativesOptions(
        stories=("prettymouth",),
        preprocessing="fmriprep",
        confounds="none",
        space="MNI152NLin2009cAsym",
        parcellation=SPHERES,
        **options,
    )
    generator = np.random.default_rng(0)
    scans = []
    for number, text in enumerate(events):
        write_volumes(folder / f"{number}.nii.gz", {(1, 1, 1): 100 + generator.standard_normal(160)}, 1.5)
        write_text(folder / f"{number}_events.tsv", text)
        scans.append(ScanFiles(subject=f"sub-{number}", images=(f"{number}.nii.gz",), events=f"{number}_events.tsv"))
    write_click(folder / "audio.wav", 222.0, 100.0, 16_000)
    write_text(folder / "align.csv", "Once,once,22.0,22.4\nupon,upon,22.4,22.9\nzyx,,,\ntime,time,210.0,210.6\n")
    story = StoryFiles(
        name="prettymouth",
        stim_file="prettymouth_audio.wav",
        audio="audio.wav",
        words="align.csv",
        scans=tuple(scans),
    )
    finish(folder, chosen, story)
    return chosen


def one_line(error: LayermapError) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_only_the_story_is_kept(tmp_path: Path) -> None:
    recording = prepare_recording("prettymouth", tmp_path, narrative(tmp_path, trim_s=(3.0, 0.0))).whole()
    time_s = recording["time_s"].values
    assert time_s[0] - 1.5 >= 24.0 > time_s[0] - 3.0
    assert time_s[-1] <= 221.0 < time_s[-1] + 1.5
    assert recording["subject"].values.tolist() == ["sub-0", "sub-1", "mean"]


@pytest.mark.parametrize("file", ["1.nii.gz", "0_events.tsv"])
def test_a_file_that_changed_since_it_was_fetched_leaves_no_recording(file: str, tmp_path: Path) -> None:
    options = narrative(tmp_path / "raw")
    path = tmp_path / "raw" / file
    spoiled = bytearray(path.read_bytes())
    # events: another duration. The image: a byte of its gzip header that no reader looks at
    spoiled[spoiled.rindex(b"200.0") if file.endswith("tsv") else 4] ^= 1
    path.write_bytes(spoiled)

    def prepare() -> None:
        parts = prepare_recording("prettymouth", tmp_path / "raw", options)
        write_recording(parts.with_attrs(standard_attrs("recording", "t", "0", "0")), tmp_path / "out.nc")

    with pytest.raises(BrokenArtifact, match=rf"{file} changed since it was fetched .*--forcerun") as error:
        prepare()
    one_line(error.value)
    assert not (tmp_path / "out.nc").exists()


def test_a_sound_that_changed_is_not_shown_to_networks(tmp_path: Path) -> None:
    options = narrative(tmp_path)
    spoiled = bytearray((tmp_path / "audio.wav").read_bytes())
    spoiled[-1000] ^= 1
    (tmp_path / "audio.wav").write_bytes(spoiled)
    with pytest.raises(BrokenArtifact, match=r"audio\.wav changed since it was fetched") as error:
        prepare_stimulus("prettymouth", tmp_path, options)
    one_line(error.value)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (STORY.replace("21.0", "13.5"), r"starts at 13\.5 s, within the music that lasts to 18 s.*\(exclude\)"),
        (STORY.replace("0.0\t18.0", "n/a\t18.0"), r"the onset of prettymouth_audio\.wav is n/a.*\(exclude\)"),
        (STORY.replace("prettymouth_audio", "lucy_audio"), r"sub-1 did not hear prettymouth_audio\.wav"),
        (STORY.replace("200.0", "150.0"), r"tells its story from 21 to 171 s.*from 21 to 221 s"),
        (STORY.replace("onset", "start"), r"lacks column 'onset'"),
        (STORY.replace("21.0", "soon"), r"line 3: onset is 'soon'"),
    ],
)
def test_events_that_say_no_clear_time_are_one_line(events: str, message: str, tmp_path: Path) -> None:
    options = narrative(tmp_path, events=(STORY, events))
    with pytest.raises(LayermapError, match=message) as error:
        prepare_recording("prettymouth", tmp_path, options)
    assert "1_events.tsv" in one_line(error.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_around_three_rows_of_events_lose_none(end: str, tmp_path: Path) -> None:
    """The story ends at 180 s, not with the first row at 60 s."""
    kinds = ('"Part one', "part two", 'part three"')
    rows = [f"{60.0 * n}\t60.0\t{kind}\tprettymouth_audio.wav\n" for n, kind in enumerate(kinds)]
    events = f"{EVENTS}{''.join(rows)}".replace("\n", end)
    options = narrative(tmp_path, events=(events,) * 2, high_pass_s=0)
    assert prepare_recording("prettymouth", tmp_path, options).whole().sizes["sample"] == 120  # of 1.5 s


def test_a_sound_is_the_same_however_its_accents_are_written(tmp_path: Path) -> None:
    path = tmp_path / "events.tsv"
    write_text(path, f"{EVENTS}3.0\t60.0\tn/a\tstimuli/re\u0301cit.wav\u200b\n")
    how = played(read_events(path, "correct it"), "r\u00e9cit.wav", path)
    assert how is not None and (how.audio_start_s, how.story_end_s) == (3.0, 60.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"RepetitionTime": 1500}', r"0_bold\.json: RepetitionTime is 1500, expected seconds .* \(as ms .* 1\.5 s\)"),
        ('{"RepetitionTime": false}', r"0_bold\.json: RepetitionTime is False, expected seconds above 0"),
        ("[1]", r"0_bold\.json holds list, expected a JSON object"),
    ],
)
def test_a_sidecar_in_another_unit_is_blamed(text: str, message: str, tmp_path: Path) -> None:
    options = narrative(tmp_path, events=(STORY,))
    scan = ScanFiles(subject="sub-0", images=("0.nii.gz",), events="0_events.tsv", sidecar="0_bold.json")
    write_text(tmp_path / "0_bold.json", text)
    story = StoryFiles(name="prettymouth", stim_file="prettymouth_audio.wav", audio="audio.wav", scans=(scan,))
    finish(tmp_path, options, story)
    with pytest.raises(BrokenArtifact, match=message):
        prepare_recording("prettymouth", tmp_path, options)


def test_resynthesised_sound_follows_the_words_and_says_so(tmp_path: Path) -> None:
    stimulus = prepare_stimulus("prettymouth", tmp_path, narrative(tmp_path, resynthesise=True))
    sound = stimulus["clips"].values[0]
    assert stimulus.attrs["resynthesised"] == 1
    for spoken, silent in (((22.0, 22.9), (1.0, 21.9)), ((210.0, 210.6), (24.0, 209.0))):
        loud, quiet = (np.abs(sound[int(a * 16_000) : int(b * 16_000)]).mean() for a, b in (spoken, silent))
        assert loud > 100 * quiet
    recording = prepare_recording("prettymouth", tmp_path, narrative(tmp_path, resynthesise=True))
    assert recording.header.attrs["stimuli"] == RESYNTHESISED


def book(folder: Path, n_volumes: int, course: np.ndarray | None = None, **options: Any) -> tuple[Any, str]:
    """Section 5 in English of two listeners."""
    chosen = petit_prince.PetitPrinceOptions(languages=("EN",), sections=(5,), **options)
    generator = np.random.default_rng(1)
    scans = []
    for number in range(2):
        values = generator.standard_normal(n_volumes) if course is None else course
        write_volumes(folder / f"{number}.nii.gz", {(1, 1, 1): 100 + values}, 2.0)
        scans.append(
            ScanFiles(
                subject=f"sub-EN{number}", images=(f"{number}.nii.gz",), audio_start_s=chosen.onset_s.get("EN", 0.0)
            )
        )
    soundfile.write(folder / "audio.wav", envelope().repeat(1600) * generator.standard_normal(5300 * 1600) / 8, 16_000)
    story = StoryFiles(name="EN-section-5", audio="audio.wav", section=5, end_s=530.0, scans=tuple(scans))
    finish(folder, chosen, story)
    return chosen, story.name


def envelope() -> np.ndarray:
    """(5300,) loudness in steps of 0.1 s: phrases of a few seconds."""
    return np.repeat(np.random.default_rng(5).random(265), 20)


def test_a_run_with_the_volumes_of_another_section_is_refused(tmp_path: Path) -> None:
    options, name = book(tmp_path, 298, parcellation=SPHERES)
    with pytest.raises(
        SampleMismatch, match=r"0\.nii\.gz has 298 volumes where section 5 has 265: it may be section 2"
    ) as error:
        petit_prince.prepare_recording(name, tmp_path, options)
    one_line(error.value)


@pytest.mark.parametrize(("late_s", "configured_s", "warns"), [(0.0, 0.0, 0), (5.0, 0.0, 1), (5.0, 5.0, 0)])
def test_another_onset_that_fits_better_is_said(
    late_s: float, configured_s: float, warns: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = (envelope() - envelope().mean())[:, None]
    course = bold_response(drive, 0.1, (np.arange(265) + 0.5) * 2.0 - late_s)[:, 0]
    course = course / course.std() + np.random.default_rng(2).standard_normal(265)
    spheres = SPHERES | {"regions": {"Heschl": ["A"]}}
    options, name = book(tmp_path, 265, course, parcellation=spheres, onset_s={"EN": configured_s})
    recording = petit_prince.prepare_recording(name, tmp_path, options).whole()
    assert recording.attrs["onset_warns"] == warns
    assert recording.attrs["onset_lag_s"] == pytest.approx(late_s - configured_s, abs=1.0)
    printed = capsys.readouterr().err
    assert ("warning: EN-section-5" in printed and "set onset_s: {EN: SECONDS}" in printed) == bool(warns)


def test_a_listener_who_shortens_the_story_is_named(tmp_path: Path) -> None:
    options = narrative(tmp_path)
    write_volumes(tmp_path / "1.nii.gz", {(1, 1, 1): np.random.default_rng(3).standard_normal(140)}, 1.5)
    record_digest(tmp_path / "1.nii.gz", sha256_of_file(tmp_path / "1.nii.gz"))
    recording = prepare_recording("prettymouth", tmp_path, options)
    assert "7 samples are left out for all, 7 as sub-1 lacks them" in recording.header.attrs["clocks"]


def test_a_sphere_outside_of_the_image_is_refused(tmp_path: Path) -> None:
    options = narrative(tmp_path)
    far = SPHERES | {"coordinates": {"A": [500.0, 0.0, 0.0]}}
    options = options.model_copy(update={"parcellation": type(options.parcellation).model_validate(far)})
    parts = prepare_recording("prettymouth", tmp_path, options)
    with pytest.raises(SampleMismatch, match=r"no voxel of the BOLD lies within 6 mm of sphere 'A' at 500, 0, 0 mm"):
        parts.whole()


def test_the_end_of_a_story_that_no_event_tells_is_that_of_what_is_shown(tmp_path: Path) -> None:
    """Whatever other files lie in the folder: an analysis of words does not look at the sound."""
    endless = STORY.replace("200.0", "n/a")
    sound = prepare_recording("prettymouth", tmp_path, narrative(tmp_path, events=(endless, endless))).whole()
    assert 220.5 < sound["time_s"].values[-1] <= 222.0
    words = narrative(tmp_path, events=(endless, endless), heard_as="words")
    assert 209.1 < prepare_recording("prettymouth", tmp_path, words).whole()["time_s"].values[-1] <= 210.6


def test_names_that_no_listener_has_are_refused() -> None:
    options = narratives.NarrativesOptions(exclude=("sub-002_task-pieman",))
    with pytest.raises(LayermapError, match=r"sub-002_task-pieman.*sub-002_task-pieman_run-1"):
        options.check_names({"sub-002": ["sub-002_task-pieman_run-1"]})
    with pytest.raises(LayermapError, match="sub-02"):
        narratives.NarrativesOptions(subjects=("sub-02",)).check_names({"sub-002": []})


def test_fmriprep_asks_which_confounds() -> None:
    with pytest.raises(ValueError, match="fmriprep data still hold their confounds"):
        narratives.NarrativesOptions(preprocessing="fmriprep")
