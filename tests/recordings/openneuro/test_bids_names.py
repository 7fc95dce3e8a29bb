"""Names of BIDS files, over every name in the real lists of the three datasets and over those of derivatives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.bids_names import ABSENT, BidsName, parse_name, select_names
from tests.listening.server import listed_rows


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (
            "sub-001/func/sub-001_task-pieman_run-1_bold.nii.gz",
            BidsName("001", task="pieman", run=1, suffix="bold", extension=".nii.gz"),
        ),
        (
            "sub-EN057/func/sub-EN057_task-lppEN_run-15_echo-1_bold.json",
            BidsName("EN057", task="lppEN", run=15, echo=1, suffix="bold", extension=".json"),
        ),
        (
            "derivatives/sub-CN001/func/sub-CN001_task-lppCN_run-04_space-MNIColin27_desc-preproc_bold.nii.gz",
            BidsName(
                "CN001",
                task="lppCN",
                run=4,
                space="MNIColin27",
                description="preproc",
                suffix="bold",
                extension=".nii.gz",
            ),
        ),
        (  # fmriprep
            "sub-02/ses-1/func/sub-02_ses-1_task-black_acq-mb_hemi-R_space-fsaverage5_bold.func.gii",
            BidsName(
                "02",
                session="1",
                task="black",
                acquisition="mb",
                hemisphere="R",
                space="fsaverage5",
                suffix="bold",
                extension=".func.gii",
            ),
        ),
        (  # AFNI's: no suffix
            "derivatives/afni-nosmooth/sub-X1/func/sub-X1_task-T_space-fsaverage6_hemi-L_desc-clean.func.gii",
            BidsName("X1", task="T", space="fsaverage6", hemisphere="L", description="clean", extension=".func.gii"),
        ),
        (
            "sub-018_task-x_desc-confounds_regressors.tsv",
            BidsName("018", task="x", description="confounds", suffix="regressors", extension=".tsv"),
        ),
        (  # Alice's: no key before "bold"
            "derivatives/sub-18/sub-18_task-alice_bold_preprocessed.nii.gz",
            BidsName("18", task="alice", suffix="bold_preprocessed", extension=".nii.gz"),
        ),
        (
            "sub-1_rec-moco_part-mag_sbref.nii",
            BidsName("1", suffix="sbref", extension=".nii", others=(("rec", "moco"), ("part", "mag"))),
        ),
        ("sub-001/sub-001_scans.tsv", BidsName("001", suffix="scans", extension=".tsv")),
        ("sub-001/anat/sub-001_T1w.json", BidsName("001", suffix="T1w", extension=".json")),
    ],
)
def test_raw_fmriprep_and_afni_names(path: str, name: BidsName) -> None:
    assert parse_name(path) == name


@pytest.mark.parametrize(
    "path",
    [
        "README",
        "participants.tsv",
        "sub-038/._.DS_Store",
        "stimuli/task-lppEN_section-1.wav",
        "task-rest_bold.json",
        "sub-1_sub-2_bold.nii",
        "sub-1_run-one_bold.nii",
        "sub-1_bold_task-x.nii",
        "sub-1__bold.nii",
        "sub-_bold.nii",
    ],
)
def test_what_is_no_name_of_a_subject(path: str) -> None:
    assert parse_name(path) is None


def paths_of(mirror: Path, dataset: str) -> list[str]:
    return [row.path for row in listed_rows(mirror, dataset)]


@pytest.mark.mirror
@pytest.mark.parametrize(("dataset", "left_out"), [("ds002322", 11), ("ds002345", 40), ("ds003643", 99)])
def test_every_real_name_of_a_subject_is_read_and_says_what_its_folder_says(
    mirror: Path, dataset: str, left_out: int
) -> None:
    """All but the files at the top, stimuli, annotations and what a Mac left behind."""
    paths = paths_of(mirror, dataset)
    names = {path: name for path in paths if (name := parse_name(path)) is not None}
    assert len(paths) - len(names) == left_out
    assert [path for path in paths if "sub-" in path and path not in names and ".DS_Store" not in path] == []
    for path, name in names.items():
        assert f"sub-{name.subject}/" in path
        rebuilt = path.rpartition("/")[2].removesuffix(name.extension).removesuffix(name.suffix)
        values = [value for value in (name.subject, name.task, name.space, name.description) if value is not None]
        assert all(f"-{value}" in rebuilt for value in values)
        for number in (name.run, name.echo):
            assert number is None or any(
                part.lstrip("0") == str(number) for part in rebuilt.replace("_", "-").split("-")
            )


@pytest.mark.mirror
def test_narratives_have_345_subjects_and_873_bold_files(mirror: Path) -> None:
    paths = paths_of(mirror, "ds002345")
    bold = select_names(paths, folder="", suffix="bold", extension=".nii.gz")
    assert len(bold) == 873 == sum(path.endswith("_bold.nii.gz") for path in paths)
    assert len({name.subject for name in map(parse_name, paths) if name is not None}) == 345
    events = select_names(paths, suffix="events")
    assert {(name.subject, name.task, name.run) for name in events.values()} == {
        (name.subject, name.task, name.run) for name in bold.values()
    }
    first = select_names(paths, suffix="bold", extension=".nii.gz", task="pieman", subject=("001", "002", "003"))
    assert list(first) == sorted(first)
    assert {name.subject for name in first.values()} == {"001", "002", "003"}


@pytest.mark.mirror
def test_petit_prince_has_1008_derivative_runs_of_49_35_and_28_subjects(mirror: Path) -> None:
    paths = paths_of(mirror, "ds003643")
    runs = select_names(paths, folder="derivatives", description="preproc", suffix="bold", extension=".nii.gz")
    assert len(runs) == 1008
    of_language = Counter(subject[:2] for subject in {name.subject for name in runs.values()})
    assert of_language == {"EN": 49, "CN": 35, "FR": 28}
    assert set(Counter(name.subject for name in runs.values()).values()) == {9}
    assert {name.space for name in runs.values()} == {"MNIColin27"}
    raw = select_names(paths, folder="", suffix="bold", extension=".nii.gz")
    assert {name.echo for name in raw.values()} == {1, 2, 3}
    assert len(raw) == 3 * 1011 == len(select_names(paths, echo=(1, 2, 3), extension=".nii.gz"))


@pytest.mark.mirror
def test_alice_has_26_subjects_and_one_echo_or_three(mirror: Path) -> None:
    paths = paths_of(mirror, "ds002322")
    raw = select_names(paths, folder="", suffix="bold", extension=".nii.gz")
    assert len({name.subject for name in raw.values()}) == 26
    assert len(select_names(raw, echo=ABSENT)) + len(select_names(raw, echo=(1, 2, 3))) == len(raw)
    assert len(select_names(paths, folder="derivatives", suffix="bold_preprocessed")) == 23


def test_selecting_by_entities() -> None:
    paths = [
        "sub-2_task-a_run-2_bold.nii.gz",
        "sub-1_task-a_run-1_bold.nii.gz",
        "sub-1_task-b_bold.nii.gz",
        "derived/sub-1_task-a_run-1_desc-x_bold.nii.gz",
        "derived2/sub-1_task-a_run-1_desc-x_bold.nii.gz",
        "README",
    ]
    assert list(select_names(paths)) == sorted(paths[:-1])
    assert list(select_names(paths, folder="", subject="1", run=None)) == [paths[1], paths[2]]
    assert list(select_names(paths, folder="", run=ABSENT)) == [paths[2]]
    assert list(select_names(paths, folder="", run=(1, ABSENT))) == [paths[1], paths[2]]
    assert list(select_names(paths, folder="derived")) == [paths[3]]
    assert list(select_names(paths, task=("a",), description=ABSENT)) == [paths[1], paths[0]]
    with pytest.raises(TypeError, match="hemi"):
        select_names(paths, hemi="L")


@pytest.mark.parametrize("folder", ["sub-$(touch x)", "sub-{wildcard}", "sub-02", "derivatives/sub-3"])
def test_a_file_in_the_folder_of_another_listener_is_refused(folder):
    path = f"{folder}/func/sub-03_task-t_bold.nii.gz"
    with pytest.raises(BrokenArtifact, match="is named after sub-03"):
        select_names([path], suffix="bold")
    assert select_names([path], suffix="events") == {}
