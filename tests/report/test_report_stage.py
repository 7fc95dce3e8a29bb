"""The stage as a whole: from a study file, its receipts, scores and map to the page on disk."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.catalogue import FetchedFile, Receipt, write_json
from pipeline.core import paths
from pipeline.report.provenance import stage_times
from pipeline.study.cli import main
from pipeline.study.load import load_study
from pipeline.study.page_facts import benchmark_files, study_facts
from pipeline.study.plan import plan_study

pytestmark = pytest.mark.slow

COMPONENTS = {"lowfreq": 0.2, "speech": 0.8}
STUDY = {
    "study": "tiny",
    "title": "A tiny study",
    "question": "Which layer?",
    "analyses": {
        "sounds": {
            "recording": {"kind": "natsound165"},
            "models": [{"name": "whisper-base", "random_twins": 1}, "category"],
            "metric": {"kind": "ridge", "splits": {"kind": "random_items"}},
            "contrasts": [{"name": "trained over twin", "model": "whisper-base", "reference": "whisper-base@random"}],
            "region_order": list(COMPONENTS),
            "streams": [{"name": "as-if", "ventral": ["speech"], "dorsal": ["lowfreq"]}],
        }
    },
    "inference": {"n_bootstrap": 100, "permutations": 20, "simulations": 0},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, write_synthetic_scores):
    """A folder with all that `report` reads."""
    folder = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("tiny.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
        plan = plan_study(load_study("tiny.yaml"))
        analysis = plan.analyses[0]
        dataset = analysis.dataset
        write_json(dataset.entry.catalogue(dataset.options, dataset.key, None), dataset.catalogue_path)
        file = FetchedFile(path="a.wav", url="https://example.org/a.wav", bytes=2_000_000, sha256="0" * 64)
        write_json(Receipt(what=dataset.kind, key=dataset.key, files=(file,)), dataset.receipt_path)
        for model in study_facts(plan, "").analyses[0].models:
            planned = analysis.model(model.name)
            path = analysis.scores_path("components", planned)
            key = analysis.score_key(planned, None)
            write_synthetic_scores(path, ("group",), COMPONENTS, model, key=key)
        assert main(["map", "--study", "tiny.yaml"]) == 0
    return folder


@pytest.fixture
def study(made, tmp_path, monkeypatch):
    """The name of a study file in a fresh copy of the folder, where the test runs."""
    shutil.copytree(made, tmp_path / "tiny")
    monkeypatch.chdir(tmp_path / "tiny")
    return "tiny.yaml"


def test_page_is_written_with_provenance(study):
    assert main(["report", "--study", study]) == 0
    page = paths.report("tiny").read_text(encoding="utf-8")
    assert "A tiny study" in page
    assert "Norman-Haignere" in page
    assert "1 files, 2.0 MB" not in page
    assert "1 file, 2.0 MB" in page
    assert plan_study(load_study(study)).analyses[0].model("whisper-base").model.entry.weights.sha256[:12] in page
    assert "snakemake all --config study=tiny.yaml" in page
    assert "not measured" in page
    assert "The study makes one: as-if." in page
    assert "ventral speech; dorsal lowfreq" in page


def test_wall_times_are_summed_over_the_jobs_that_ran(study):
    plan = plan_study(load_study(study))
    assert all(one.seconds is None for one in stage_times(benchmark_files(plan)))
    for name, seconds in (("whisper-base", 12.5), ("category", 1.5)):
        path = paths.benchmark("encode", "tiny", "sounds", "components", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:12\t100\n", encoding="utf-8")
    times = {one.stage: one for one in stage_times(benchmark_files(plan))}
    assert (times["encode"].seconds, times["encode"].n_measured, times["encode"].n_jobs) == (14.0, 2, 3)
    assert times["map"].seconds is None


def test_an_unreadable_benchmark_spoils_no_page(study):
    path = paths.benchmark("map", "tiny")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("nonsense", encoding="utf-8")
    assert main(["report", "--study", study]) == 0


@pytest.mark.parametrize("what", ["map", "scores", "receipt"])
def test_a_missing_input_is_one_line_and_leaves_no_page(study, what, capsys):
    analysis = plan_study(load_study(study)).analyses[0]
    path = {
        "map": paths.map_of("tiny"),
        "scores": analysis.scores_path("components", analysis.models[0]),
        "receipt": analysis.dataset.receipt_path,
    }[what]
    path.unlink()
    assert main(["report", "--study", study]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(path) in said
    assert "Traceback" not in said
    assert not paths.REPORTS.exists() or not list(paths.REPORTS.rglob("*"))


def test_a_rerun_gives_the_same_bytes(study):
    assert main(["report", "--study", study]) == 0
    first = paths.report("tiny").read_bytes()
    assert main(["report", "--study", study]) == 0
    assert paths.report("tiny").read_bytes() == first


def test_a_changed_recording_key_is_in_the_receipt_shown(study):
    assert main(["report", "--study", study]) == 0
    receipt = plan_study(load_study(study)).analyses[0].dataset.receipt_path
    assert json.loads(receipt.read_text(encoding="utf-8"))["key"] in paths.report("tiny").read_text(encoding="utf-8")
