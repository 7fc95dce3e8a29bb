"""Datasets `bids` and `openneuro`: which files of a BIDS dataset are taken, and what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.artifacts.catalogue import Catalogue
from pipeline.core.errors import BadConfiguration, BrokenArtifact, LayermapError, UnknownName
from pipeline.fetch.stage import fetch_files
from pipeline.recordings.bids import local as bids
from pipeline.recordings.bids import openneuro as openneuro_bids
from pipeline.recordings.bids.choice import choose_stories
from pipeline.recordings.openneuro.listings import ListedFile
from pipeline.recordings.stories.prepare import read_words
from pipeline.recordings.stories.selection import StoryFiles
from pipeline.study.planned_inputs import DatasetPlan
from tests.listening.planted import write_gifti
from tests.recordings.stories.raw_folders import SPHERES, write_click, write_text, write_volumes

TR_S = 2.0
ONSET_S = 3.0
N_VOLUMES = 60
N_VERTICES = 10_242
EVENTS = f"onset\tduration\tstim_file\n{ONSET_S}\tn/a\tstory.wav\n"
STORY = {"name": "story", "task": "t", "run": 1, "audio": "stimuli/story.wav"}
WORDS = "word\tonset\toffset\nonce\t0.5\t0.9\nupon\t0.9\t1.4\n"
COLUMNS = {"text": "word", "onset_s": "onset", "offset_s": "offset"}


def options_of(folder: Path, **more: Any) -> bids.LocalBidsOptions:
    return bids.LocalBidsOptions(**{"folder": folder, "parcellation": SPHERES, "stories": [STORY], **more})


def names_only(*scans: str) -> list[str]:
    """A list of files: an image of each scan, one sound, words, and events of all."""
    images = [f"{scan.partition('_')[0]}/func/{scan}_bold.nii.gz" for scan in scans]
    return [*images, "stimuli/story.wav", "words.tsv", "task-t_events.tsv"]


def chosen(paths: list[str], **more: Any) -> StoryFiles:
    given = {"dataset": "ds000001", "snapshot": "1.0.0", "stories": [STORY], **more}
    return choose_stories(paths, openneuro_bids.OpenNeuroOptions(**given), "here")[0]


def volumes(folder: Path, *subjects: str, sound_s: float = 100.0) -> Path:
    """A dataset of raw volumes."""
    for number, subject in enumerate(subjects):
        course = 100 + np.random.default_rng(number).standard_normal(N_VOLUMES)
        write_volumes(folder / subject / "func" / f"{subject}_task-t_run-1_bold.nii.gz", {(1, 1, 1): course}, TR_S)
    write_text(folder / "task-t_events.tsv", EVENTS)
    write_text(folder / "words.tsv", WORDS)
    write_click(folder / "stimuli" / "story.wav", sound_s, 50.0, 16_000)
    return folder


def fetched(options: bids.LocalBidsOptions, folder: Path) -> Catalogue:
    catalogue = bids.catalogue(options, "key")
    fetch_files(catalogue.files, folder, mirror=None, what="bids", key="key", receipt_path=folder / "receipt.json")
    return catalogue


@pytest.fixture(autouse=True)
def _runs_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memo of digests lies where layermap runs."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def surfaces(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A dataset as fmriprep leaves it; listener → response (n_volumes,) of parcel A, and motion.

    Raw data spell run-01, derivatives run-1; events and sidecars lie at the top, and the scans' own lack the TR.
    """
    generator = np.random.default_rng(0)
    responses, motion = {}, {}
    for subject in ("sub-01", "sub-02"):
        responses[subject], motion[subject] = generator.standard_normal((2, N_VOLUMES))
        stem = folder / "derivatives" / "fmriprep" / subject / "func" / f"{subject}_task-t_run-1"
        values = np.zeros((N_VOLUMES, N_VERTICES), np.float32)
        values[:, ::2] = (100 + responses[subject] + 4 * motion[subject])[:, None]
        for side in "LR":
            write_gifti(stem.with_name(f"{stem.name}_hemi-{side}_space-fsaverage5_bold.func.gii"), values)
        rows = ["trans_x", *map(repr, motion[subject].tolist())]
        write_text(stem.with_name(f"{stem.name}_desc-confounds_timeseries.tsv"), "\n".join(rows) + "\n")
        write_text(folder / subject / "func" / f"{subject}_task-t_run-01_bold.json", json.dumps({"EchoTime": 0.03}))
        write_text(folder / subject / "func" / f"{subject}_task-t_run-01_desc-confounds_timeseries.tsv", "none\n")
    write_text(folder / "task-t_run-01_events.tsv", EVENTS)
    write_text(folder / "task-t_run-02_events.tsv", EVENTS.replace("3.0", "9.0"))
    write_text(folder / "task-t_bold.json", json.dumps({"RepetitionTime": TR_S}))
    write_click(folder / "stimuli" / "story.wav", 100.0, 50.0, 16_000)
    for side in ("left", "right"):
        colours = np.array([[1, 1, 1, 0], [2, 2, 2, 0]])
        labels = np.arange(N_VERTICES) % 2
        nibabel.freesurfer.write_annot(folder / f"{side}.annot", labels, colours, ["A", "B"], fill_ctab=True)
    return responses, motion


def test_from_a_dataset_to_recording_and_sound(tmp_path: Path) -> None:
    responses, motion = surfaces(tmp_path / "data")
    annotations = {side: str(tmp_path / "data" / f"{side}.annot") for side in ("left", "right")}
    options = options_of(
        tmp_path / "data",
        derivatives="derivatives/fmriprep",
        space="fsaverage5",
        confounds=("trans_x",),
        high_pass_s=0.0,
        parcellation={"kind": "labels", **annotations, "regions": {"A": ["A"]}},
    )
    catalogue = fetched(options, tmp_path / "raw")
    assert catalogue.groups[0].subjects == ("sub-01", "sub-02")
    recording = bids.DATASET.prepare_recording("story", tmp_path / "raw", options).whole()  # type: ignore[union-attr]
    # bins that begin and end within the sound, which began 3 s after the first volume
    np.testing.assert_allclose(recording["time_s"], np.arange(3.0, 100.0, TR_S))
    kept = slice(2, 2 + recording.sizes["sample"])
    for subject, response in responses.items():
        nuisance = np.column_stack([np.ones(N_VOLUMES), motion[subject]])[kept]
        weights, *_ = np.linalg.lstsq(nuisance, response[kept], rcond=None)
        expected = response[kept] - nuisance @ weights
        found = recording["responses"].values[0, :, recording["subject"].values == subject]
        assert len(found) == 2  # hemispheres
        for one in found:
            np.testing.assert_allclose(one, expected / expected.std(), atol=1e-4)
    sound = bids.DATASET.prepare_stimulus("story", tmp_path / "raw", options)["clips"].values[0]
    assert np.argmax(np.abs(sound)) / 16_000 == pytest.approx(50.0, abs=0.03)


def test_the_repetition_time_of_the_study_holds(tmp_path: Path) -> None:
    volumes(tmp_path / "data", "sub-01")
    write_text(tmp_path / "data" / "task-t_bold.json", json.dumps({"RepetitionTime": 3.0}))
    spacing = {}
    for stated in (None, 1.9):
        options = options_of(tmp_path / "data", repetition_time_s=stated, audio_start_s=0.0)
        fetched(options, tmp_path / f"raw-{stated}")
        recording = bids.DATASET.prepare_recording("story", tmp_path / f"raw-{stated}", options)
        spacing[stated] = recording.whole().attrs["sample_interval_s"]  # type: ignore[union-attr]
    assert spacing == {None: 3.0, 1.9: 1.9}


@pytest.mark.parametrize(
    ("files", "events", "sidecar"),
    [
        (["task-t_events.tsv", "task-t_run-01_events.tsv"], "task-t_run-01_events.tsv", ""),
        (["task-t_run-2_events.tsv", "task-t_acq-b_events.tsv", "events.tsv"], "events.tsv", ""),
        (["task-t_acq-a_run-1_events.tsv", "task-t_run-1_events.tsv"], "task-t_acq-a_run-1_events.tsv", ""),
        (
            ["task-t_run-1_events.tsv", "sub-1/ses-x/ses-x_task-t_events.tsv", "sub-1/sub-1_task-t_events.tsv"],
            "sub-1/ses-x/ses-x_task-t_events.tsv",
            "",
        ),
        (
            ["task-t_events.tsv", "sub-1/ses-y/func/sub-1_task-t_events.tsv", "sourcedata/sub-1/sub-1_events.tsv"],
            "task-t_events.tsv",
            "",
        ),
        (["task-t_events.tsv", "task-t_echo-1_bold.json", "task-t_bold.json"], "task-t_events.tsv", "task-t_bold.json"),
        (
            ["task-t_events.tsv", "bold.json", "d/sub-1/ses-x/func/sub-1_ses-x_task-t_acq-a_run-1_space-m_bold.json"],
            "task-t_events.tsv",
            "bold.json",  # that of derivatives need not have the TR, and cannot be read here
        ),
    ],
)
def test_metadata_are_inherited_from_where_all_entities_agree(files: list[str], events: str, sidecar: str) -> None:
    image = "d/sub-1/ses-x/func/sub-1_ses-x_task-t_acq-a_run-1_space-m_bold.nii.gz"
    story = {**STORY, "session": "x", "acquisition": "a"}
    (scan,) = chosen([image, "stimuli/story.wav", *files], stories=[story], derivatives="d").scans
    assert (scan.images, scan.events, scan.sidecar) == ((image,), events, sidecar)


def test_the_nearest_sidecar_with_a_repetition_time_is_taken_where_files_can_be_read() -> None:
    paths = [*names_only("sub-1_task-t_run-1"), "sub-1/func/sub-1_task-t_run-1_bold.json", "task-t_bold.json"]
    options = openneuro_bids.OpenNeuroOptions(dataset="ds000001", snapshot="1", stories=[STORY])
    for states, expected in (
        (lambda path: True, "sub-1/func/sub-1_task-t_run-1_bold.json"),
        (lambda path: "func" not in path, "task-t_bold.json"),
        (lambda path: False, ""),
    ):
        assert choose_stories(paths, options, "here", states)[0].scans[0].sidecar == expected


def test_two_spellings_of_one_run_are_not_guessed_between() -> None:
    with pytest.raises(BadConfiguration, match=r"task-t_run-01_events\.tsv and task-t_run-1_events\.tsv both fit"):
        chosen([*names_only("sub-1_task-t_run-1"), "task-t_run-01_events.tsv", "task-t_run-1_events.tsv"])


def test_scans_of_a_session_and_an_acquisition() -> None:
    paths = names_only("sub-1_task-t_run-1", "sub-1_ses-a_task-t_run-1", "sub-1_ses-a_task-t_acq-b_run-01")
    for more in ({}, {"session": "a"}, {"session": "a", "acquisition": "b"}):
        (scan,) = chosen(paths, stories=[{**STORY, **more}]).scans
        assert ("ses-a" in scan.images[0], "acq-b" in scan.images[0]) == ("session" in more, "acquisition" in more)
    with pytest.raises(BadConfiguration, match="no image fits task t, run 1, session c, acquisition None"):
        chosen(paths, stories=[{**STORY, "session": "c"}])


def test_confounds_are_those_of_the_derivatives_and_acquisition() -> None:
    scans = ("sub-1_task-t_acq-a_run-1", "sub-1_task-t_acq-b_run-1")
    paths = [f"{place}/sub-1/func/{s}_bold.nii.gz" for place in ("derivatives/x", "derivatives/y") for s in scans]
    paths += [path.replace("_bold.nii.gz", "_desc-confounds_timeseries.tsv") for path in paths]
    more = {"derivatives": "derivatives/x", "confounds": "motion6", "stories": [{**STORY, "acquisition": "b"}]}
    (scan,) = chosen([*paths, "events.tsv", "stimuli/story.wav"], **more).scans
    assert scan.confounds == f"derivatives/x/sub-1/func/{scans[1]}_desc-confounds_timeseries.tsv"
    paths.remove(scan.confounds)
    with pytest.raises(BadConfiguration, match=r"one table of confounds of sub-1_task-t_acq-b_run-1 under 'derivativ"):
        chosen([*paths, "events.tsv", "stimuli/story.wav"], **more)


@pytest.mark.parametrize("name", ["sub-02", "sub-02_task-t_run-1", "sub-02_task-t_run-01"])
def test_a_listener_or_a_scan_is_left_out(name: str) -> None:
    paths = names_only("sub-01_task-t_run-1", "sub-02_task-t_run-01")
    assert [scan.subject for scan in chosen(paths).scans] == ["sub-01", "sub-02"]
    assert [scan.subject for scan in chosen(paths, exclude=(name,)).scans] == ["sub-01"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"subjects": ("01",)}, r"unknown listener in subjects '01' \(closest: 'sub-01'\)"),
        ({"exclude": ("sub-01_task-t_run-2",)}, r"unknown .* 'sub-01_task-t_run-2' \(closest: 'sub-01_task-t_run-1'\)"),
    ],
)
def test_names_that_nobody_has_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        chosen(names_only("sub-01_task-t_run-1"), **more)


def test_excluding_all_is_not_said_to_be_a_wrong_task() -> None:
    with pytest.raises(BadConfiguration, match=r"no listener has a scan of every story.* subjects and exclude"):
        chosen(names_only("sub-01_task-t_run-1"), exclude=("sub-01",))


def test_listeners_are_in_order_of_their_numbers() -> None:
    paths = names_only(*(f"sub-{number}_task-t_run-1" for number in (10, 1, 9, 2)))
    assert chosen(paths).listeners == ("sub-1", "sub-2", "sub-9", "sub-10")
    assert chosen(paths, limit=2).listeners == ("sub-1", "sub-2")


def test_accents_and_what_is_not_seen_make_no_other_listener() -> None:
    """An image as a Mac spells it, its events as an editor does; the study file has an invisible character."""
    raw = "sub-Ze\u0301_task-t_run-1"
    paths = [f"sub-Ze\u0301/func/{raw}_bold.nii.gz", "sub-Z\u00e9/func/sub-Z\u00e9_task-t_run-1_events.tsv"]
    (scan,) = chosen([*paths, "stimuli/story.wav"], subjects=["sub-Z\u00e9\u200b"]).scans
    assert (scan.subject, *scan.images, scan.events) == ("sub-Z\u00e9", *paths)


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        ("sub-A_task-t_run-1", "listener 'sub-A' and 'sub-a' differ only in case"),
        ("sub-\uff41_task-t_run-1", "differ only in case, width or spaces"),
        ("sub-b\x07_task-t_run-1", r"holds the control character U\+0007"),
    ],
)
def test_listeners_whose_names_mislead_are_refused(scan: str, message: str) -> None:
    with pytest.raises(BrokenArtifact, match=message) as error:
        chosen(names_only("sub-a_task-t_run-1", scan))
    assert str(error.value).isprintable()


@pytest.mark.parametrize("stated", [2000.0, 0.002])
def test_a_repetition_time_in_another_unit_is_refused_at_the_catalogue(stated: float, tmp_path: Path) -> None:
    folder = volumes(tmp_path / "data", "sub-01")
    write_text(folder / "task-t_bold.json", json.dumps({"RepetitionTime": stated}))
    with pytest.raises(
        BrokenArtifact, match=r"task-t_bold\.json: RepetitionTime is .*, expected seconds from 0\.05 to 60"
    ):
        bids.catalogue(options_of(folder), "key")
    with pytest.raises(ValidationError, match="repetition_time_s"):
        options_of(folder, repetition_time_s=stated)


def test_a_single_hemisphere_is_refused() -> None:
    paths = ["sub-1/sub-1_task-t_run-1_hemi-L_bold.func.gii", "stimuli/story.wav", "events.tsv"]
    with pytest.raises(BadConfiguration, match="expected one NIfTI of sub-1, or a GIfTI of each hemisphere"):
        chosen(paths)


ONLY_WORDS = {"name": "story", "task": "t", "run": 1, "words": "words.tsv"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"stories": [STORY, {**STORY, "run": 2}]}, "two stories are called 'story'"),
        ({"stories": [ONLY_WORDS]}, "sound of story 'story'; give stim_file or audio_start_s"),
        ({"stories": [{**STORY, "language": "de"}], "resynthesise": True}, "the language of story 'story' is 'de'"),
        ({"word_columns": {"word": "x"}}, "Extra inputs are not permitted"),
        ({"stories": [{**STORY, "session": "ses-1"}]}, "should match pattern"),
    ],
)
def test_stories_that_cannot_be_are_refused_before_anything_is_read(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        chosen([], **more)


def test_other_languages_are_heard_and_a_time_or_a_name_of_the_sound_is_enough() -> None:
    paths = names_only("sub-1_task-t_run-1")
    assert chosen(paths, stories=[{**STORY, "language": "de"}]).language == "de"
    assert chosen(paths, stories=[ONLY_WORDS], heard_as="words", audio_start_s=0.0).scans[0].events == ""
    story = chosen(paths, stories=[{**ONLY_WORDS, "stim_file": "stimuli/story.wav"}], heard_as="words")
    assert story.stim_file == "story.wav"


def textgrid(path: Path, *tiers: str) -> None:
    lines = ['"ooTextFile"', '"TextGrid"', "0", "1", "<exists>", str(len(tiers))]
    for tier in tiers:
        lines += ['"IntervalTier"', f'"{tier}"', "0", "1", "1", "0", "1", f'"of {tier}"']
    path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("tiers", "tier", "expected"),
    [
        (("mots",), "", "of mots"),
        (("phones", "words"), "", "of words"),
        (("Word", "phones"), "", "of Word"),
        (("phones", "words", "mots"), "mots", "of mots"),
    ],
)
def test_the_tier_of_words(tiers: tuple[str, ...], tier: str, expected: str, tmp_path: Path) -> None:
    textgrid(tmp_path / "w.TextGrid", *tiers)
    story = {**ONLY_WORDS, "words": "w.TextGrid", "tier": tier, "stim_file": "story.wav"}
    files = chosen([*names_only("sub-1_task-t_run-1"), "w.TextGrid"], stories=[story], heard_as="words")
    assert read_words(files, tmp_path, "remedy").text.tolist() == [expected]


def test_tiers_that_do_not_say_which_has_the_words(tmp_path: Path) -> None:
    textgrid(tmp_path / "w.TextGrid", "phones", "mots")
    story = StoryFiles(name="s", words="w.TextGrid", scans=())
    with pytest.raises(BrokenArtifact, match=r"has 2 interval tiers \('phones', 'mots'\); name one of them"):
        read_words(story, tmp_path, "remedy")


def test_links_without_contents_say_how_to_get_them(tmp_path: Path) -> None:
    volumes(tmp_path / "data", "sub-01", "sub-02")
    for subject in ("sub-01", "sub-02"):
        image = tmp_path / "data" / subject / "func" / f"{subject}_task-t_run-1_bold.nii.gz"
        image.unlink()
        image.symlink_to("../../.git/annex/objects/aa/bb/MD5E-s5--0/MD5E-s5--0.nii.gz")
    options = options_of(tmp_path / "data")
    for ask in (bids.contents, lambda options: bids.catalogue(options, "key")):
        with pytest.raises(LayermapError, match=r"sub-01_task-t_run-1_bold\.nii\.gz is a git-annex link .*datalad get"):
            ask(options)


def plan_of(folder: Path, **more: Any) -> DatasetPlan:
    return DatasetPlan(bids.DATASET, options_of(folder, **more), "pipeline.recordings.bids.local")


def test_networks_hear_again_only_what_changed(tmp_path: Path) -> None:
    folder = volumes(tmp_path / "data", "sub-01", "sub-02")
    before = plan_of(folder)
    for more in ({"high_pass_s": 64.0}, {"trim_s": (2.0, 2.0)}, {"exclude": ("sub-02",)}, {"limit": 1}):
        after = plan_of(folder, **more)
        assert after.stimulus_key == before.stimulus_key
        assert after.prep_key != before.prep_key
    assert plan_of(folder, high_pass_s=64.0).key == before.key != plan_of(folder, limit=1).key
    image = folder / "sub-01" / "func" / "sub-01_task-t_run-1_bold.nii.gz"
    write_volumes(image, {(1, 1, 1): np.arange(N_VOLUMES, dtype=float)}, TR_S)
    after = plan_of(folder)
    assert after.stimulus_key == before.stimulus_key
    assert after.key != before.key and after.prep_key != before.prep_key


def test_folders_of_one_name_with_other_sounds_or_words_share_no_key(tmp_path: Path) -> None:
    one, other = (volumes(tmp_path / where / "data", "sub-01", sound_s=s) for where, s in (("a", 100.0), ("b", 101.0)))
    write_text(other / "words.tsv", WORDS.replace("once", "twice"))
    timed = {"stories": [{**STORY, "words": "words.tsv"}], "word_columns": COLUMNS}
    for more in ({}, {**timed, "heard_as": "words"}, {**timed, "resynthesise": True}):
        keys = [(plan.key, plan.prep_key, plan.stimulus_key) for plan in (plan_of(one, **more), plan_of(other, **more))]
        assert not set(keys[0]) & set(keys[1])
    words = plan_of(one, **timed, heard_as="words").stimulus_key
    assert words != plan_of(one, **timed).stimulus_key
    renamed = {**timed, "word_columns": {**COLUMNS, "log_frequency": "onset"}}
    assert words != plan_of(one, **renamed, heard_as="words").stimulus_key
    assert plan_of(one, **renamed).stimulus_key == plan_of(one, **timed).stimulus_key  # no words are shown


def test_snapshots_of_openneuro_share_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = names_only("sub-1_task-t_run-1")
    listed = {path: ListedFile(path, 1, f"https://a.org/{path}", "0" * 32, None) for path in paths}
    monkeypatch.setattr(openneuro_bids, "list_snapshot", lambda *_: listed)
    found = {}
    for snapshot in ("1.0.0", "1.0.1"):
        options = openneuro_bids.OpenNeuroOptions(
            dataset="ds000001", snapshot=snapshot, stories=[STORY], parcellation=SPHERES
        )
        catalogue = openneuro_bids.catalogue(options, "key")
        found[snapshot] = {file.path for file in catalogue.files}
        selection = next(json.loads(file.contents) for file in catalogue.files if file.contents)
        assert set(selection["digests"]) <= found[snapshot]
        assert selection["stories"][0]["audio"] == f"ds000001/{snapshot}/stimuli/story.wav"
    assert not found["1.0.0"] & found["1.0.1"]
    plans = [
        DatasetPlan(
            openneuro_bids.DATASET, options.model_copy(update=more), "pipeline.recordings.bids.openneuro"
        ).stimulus_key
        for more in ({}, {"high_pass_s": 0.0}, {"exclude": ("sub-2",)}, {"snapshot": "1.0.0"})
    ]
    assert plans[0] == plans[1] == plans[2] != plans[3]
