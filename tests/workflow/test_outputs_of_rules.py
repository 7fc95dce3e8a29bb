"""Rules list exactly the files that their stages write: Snakemake removes and makes anew what it knows of."""

import re
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.catalogue import open_receipt
from pipeline.artifacts.map import map_files
from pipeline.core import paths
from pipeline.study.cli import STAGES, main
from pipeline.study.jobs import RESOURCES, plan_jobs
from tests.faults.studies import study_file, write_studies
from tests.workflow.conftest import Folder

pytestmark = pytest.mark.study
MEMO = "digests.json"  # digests of a user's files, so that they are not read again; it may go at any time
OF_TRAINING = {"train_network", "train_page"}  # no study asks for them; see tests/study/test_training_jobs.py
RSA = {"kind": "rsa", "n_splits": 4, "min_cells": 2}


def write_study(folder: Path) -> str:
    """A study of pictures that is encoded and compared, and of simulated mice: all rules are needed."""
    write_studies(folder, quick=False)
    study = yaml.safe_load(study_file(folder, "pictures").read_text(encoding="utf-8"))
    mice = yaml.safe_load(study_file(folder, "mice").read_text(encoding="utf-8"))
    cells = study["analyses"]["cells"]
    likeness = {"recording": cells["recording"], "models": ["pixels"], "metric": RSA}
    study["analyses"] |= {"likeness": likeness, **mice["analyses"]}
    path = study_file(folder, "pictures")
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return str(path)


def listed(folder: Folder, study: str) -> dict[str, set[Path]]:
    """Rule → outputs of its jobs that have yet to run."""
    result = folder.run("all", "--dry-run", "--config", f"study={study}")
    assert result.returncode == 0, result.stderr[-2000:]
    found: dict[str, set[Path]] = {}
    for rule, body in re.findall(r"^(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", result.stdout + result.stderr, re.M):
        for outputs in re.findall(r"^    output: (.*)$", body, re.M):
            found.setdefault(rule, set()).update(Path(path) for path in outputs.split(", "))
    return found


def files() -> set[Path]:
    """All files of a run, without locks."""
    there = {path for place in (paths.DATA, paths.REPORTS) for path in place.rglob("*") if path.is_file()}
    return {path for path in there if path.suffix != ".lock"}


def differences(written: set[Path], outputs: set[Path]) -> set[Path]:
    """Files that are no output and lie in none, and outputs that nobody wrote."""
    more = {path for path in written if not {path, *path.parents} & outputs}
    missing = outputs - {place for path in written for place in (path, *path.parents)}
    return more | missing


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What rules list, and stage → files that it wrote."""
    study = write_study(tmp_path_factory.mktemp("user"))
    folder = Folder(tmp_path_factory.mktemp("work"))
    rules, written = listed(folder, study), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.path)
        for stage in STAGES:
            before = files()
            assert main([stage, "--study", study, "--device", "cpu"]) == 0
            written[stage] = files() - before
            if stage == "catalogue":  # what comes after is known from here on
                for rule, outputs in listed(folder, study).items():
                    rules.setdefault(rule, set()).update(outputs)
        fetched = set()
        jobs = plan_jobs({"study": study})
        for name, _ in jobs.with_weights.values():
            fetched |= in_receipt(paths.weights_receipt(name), paths.weights_folder(name))
        for analysis in jobs.with_dataset.values():
            fetched |= in_receipt(analysis.dataset.receipt_path, analysis.dataset.raw_folder)
        written["fetch"] -= fetched  # checked against the receipt, which is what the rule lists
        written["catalogue"] = {path for path in written["catalogue"] if path.name != MEMO}
    return rules, written


def in_receipt(receipt: Path, folder: Path) -> set[Path]:
    return {folder / file.path for file in open_receipt(receipt).files}


def test_every_rule_has_run(run):
    rules, written = run
    assert set(rules) == set(RESOURCES) - OF_TRAINING
    assert {rule.partition("_")[0] for rule in rules} == set(STAGES)
    assert all(written.values())


@pytest.mark.parametrize("stage", STAGES)
def test_rules_list_what_their_stage_writes(run, stage):
    rules, written = run
    outputs = {path for rule in rules if rule.startswith(f"{stage}_") for path in rules[rule]}
    assert differences(written[stage], outputs) == set()


def test_a_file_more_or_less_is_found():
    wrote = set(map_files(Path("data/maps/small.nc")))
    more = Path("data/maps/small-more.csv")
    assert differences(wrote, wrote) == set()
    assert differences(wrote | {more}, wrote) == differences(wrote, wrote | {more}) == {more}
    store = Path("data/activations/a/b.zarr")
    assert differences({store / "zarr.json"}, {store}) == set()
    assert differences(set(), {store}) == {store}
