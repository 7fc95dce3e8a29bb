"""What rules look up: who makes what several studies share, what jobs read, and their flags and resources."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.catalogue import write_json
from pipeline.core import paths
from pipeline.core.errors import BadConfiguration
from pipeline.study import load
from pipeline.study.cli import STAGES, _parser
from pipeline.study.flags import FLAGS, command_flags, config_words, flags_of
from pipeline.study.jobs import RESOURCES, one_of, plan_jobs
from pipeline.study.load import WorkflowConfig, load_workflow_config

ROOT = Path(__file__).resolve().parents[2]
RULES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflows" / "rules").glob("*.smk")))
MICE = {"kind": "simulated_mouse", "planted": {"VISp": "stem"}, "reliability": {"VISp": 0.6}, "n_mice": 2}
RIDGE = {"kind": "ridge", "splits": {"n_folds": 4, "n_inner_folds": 3, "gap_s": 2, "block_s": 5}}
FIRST = {"mice": {"recording": MICE, "models": ["gabor-energy"], "metric": RIDGE}}
SECOND = {
    "same": {"recording": MICE, "models": ["gabor-energy", "efficientnet-lite0"], "metric": RIDGE},
    "fewer": {"recording": {**MICE, "limit": 1}, "models": ["pixels"], "metric": RIDGE},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the studies `first` and `second`, where nothing has been made."""
    monkeypatch.chdir(tmp_path)
    write("first", FIRST)
    write("second", SECOND)
    return tmp_path


def write(name, analyses, **more):
    content = {"study": name, "title": name, "analyses": copy.deepcopy(analyses), **more}
    Path(f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def jobs_of(*studies, **given):
    return plan_jobs({"studies": [f"{name}.yaml" for name in studies], **given})


@pytest.fixture
def both(here):
    """The jobs of both studies, whose catalogues are there."""
    jobs = jobs_of("first", "second")
    for analysis in jobs.analyses.values():
        dataset = analysis.dataset
        write_json(dataset.entry.catalogue(dataset.options, dataset.key, None), dataset.catalogue_path)
    return jobs


def test_what_is_shared_is_made_for_the_first(both):
    mice, same, fewer = both.analyses.values()
    assert both.with_dataset == {mice.dataset.key: mice, fewer.dataset.key: fewer}
    assert both.with_weights == {"efficientnet-lite0": ("efficientnet-lite0", mice)}  # its layers are planted
    dataset = mice.dataset
    assert both.with_stimulus("simulated_mouse", dataset.stimulus_key, "movie") is mice
    assert both.with_recording("simulated_mouse", dataset.prep_key, "mouse-2") is mice
    assert both.with_recording("simulated_mouse", fewer.dataset.prep_key, "mouse-1") is fewer
    asked = [(same, "gabor-energy", mice), (same, "efficientnet-lite0", same), (fewer, "pixels", fewer)]
    for analysis, name, asks in asked:
        path = analysis.activations_path(analysis.model(name), "movie")
        model, _, key = path.stem.rpartition("-")
        found = both.activation(path.parent.name, model, key)
        assert (found.analysis, found.model.name, found.stimulus) == (asks, name, "movie")
        assert found.stimulus_path == asks.dataset.stimulus_path("movie")
        receipt = [paths.weights_receipt(name)] if name == "efficientnet-lite0" else []
        assert found.weights == receipt
        flags = both.activation_flags(path.parent.name, model, key)
        assert flags[-3:] == [f"--analysis={asks.name}", "--stimulus=movie", f"--model={name}"]


def test_what_nobody_makes_is_not_found(both):
    with pytest.raises(KeyError):
        both.activation("simulated_mouse-movie", "pixels", "0123456789")
    with pytest.raises(KeyError):
        both.with_recording("simulated_mouse", "0123456789", "mouse-1")


def test_all_that_is_to_be_made(both):
    mice, same, fewer = both.analyses.values()
    assert both.catalogues == sorted({mice.dataset.catalogue_path, fewer.dataset.catalogue_path})
    weights = paths.weights_receipt("efficientnet-lite0")
    assert set(both.receipts) == {mice.dataset.receipt_path, fewer.dataset.receipt_path, weights}
    recordings = [(mice, "mouse-1"), (mice, "mouse-2"), (fewer, "mouse-1")]
    stimuli = {one.dataset.stimulus_path("movie") for one in (mice, fewer)}
    assert set(both.prepared()) == stimuli | {one.dataset.recording_path(name) for one, name in recordings}
    assert len(set(both.activations())) == 3
    assert set(both.scores("encode")) == set(both.study_scores("first") + both.study_scores("second"))
    assert both.study_scores("first") == [paths.scores("first", "mice", f"mouse-{n}", "gabor-energy") for n in (1, 2)]
    assert len(both.study_scores("second")) == 2 * 2 + 1
    assert both.scores("compare") == []
    assert both.study_receipts("second") == [same.dataset.receipt_path, fewer.dataset.receipt_path]
    assert both.maps == [paths.map_of("first"), paths.map_of("second")]
    assert both.reports == [paths.report("first"), paths.report("second")]


def test_what_one_job_reads(both):
    mice, same, _ = both.analyses.values()
    assert both.simulation_weights(mice.dataset.key) == [paths.weights_receipt("efficientnet-lite0")]
    activations = same.activations_path(same.model("efficientnet-lite0"), "movie")
    read = both.score_files("second", "same", "mouse-2", "efficientnet-lite0")
    assert read == [same.dataset.recording_path("mouse-2"), activations]


def test_keys_are_those_of_the_plan(both):
    same = both.analyses["second", "same"]
    net = same.model("efficientnet-lite0")
    assert both.score_key("second", "same", net.slug) == same.score_key(net, None)
    assert len(both.weights_key("efficientnet-lite0")) == 10
    shuffled = jobs_of("second", shuffle=3)
    key = shuffled.score_key("second-shuffled-3", "same", net.slug)
    assert key == same.score_key(net, 3) != same.score_key(net, None)


def test_a_catalogue_that_is_waited_for_leaves_nothing_half_known(here):
    """Snakemake's exception passes through, and the same question has an answer once the job has run."""

    class NotYet(Exception):
        pass

    made = set()

    def open_catalogue(dataset):
        if dataset.key not in made:
            raise NotYet
        return dataset.entry.catalogue(dataset.options, dataset.key, None)

    jobs = plan_jobs({"studies": ["first.yaml", "second.yaml"]}, open_catalogue)
    mice, _, fewer = jobs.analyses.values()
    question = ("simulated_mouse", fewer.dataset.prep_key, "mouse-1")
    for ask in (jobs.prepared, jobs.activations, lambda: jobs.scores("encode"), lambda: jobs.with_recording(*question)):
        with pytest.raises(NotYet):
            ask()
    made.add(mice.dataset.key)
    assert jobs.with_recording("simulated_mouse", mice.dataset.prep_key, "mouse-1") is mice  # needs no later catalogue
    with pytest.raises(NotYet):
        jobs.with_recording(*question)
    made.add(fewer.dataset.key)
    assert jobs.with_recording(*question) is fewer


def test_wildcards_take_what_there_is_and_nothing_else(here):
    rsa = {"items": {"recording": {"kind": "natsound165"}, "models": ["log-mel"], "metric": {"kind": "rsa"}}}
    write("third", rsa)
    jobs = jobs_of("first", "third")
    taken = {
        "dataset": ["simulated_mouse", "natsound165"],
        "key": ["0123456789"],
        "study": ["first", "third"],
        "analysis": ["mice", "items"],
        "weights": ["efficientnet-lite0"],
    }
    for wildcard, names in taken.items():
        assert all(re.fullmatch(jobs.wildcards[wildcard], name) for name in names)
        assert not re.fullmatch(jobs.wildcards[wildcard], "other")
    assert (jobs.simulated, jobs.fetched) == (["simulated_mouse"], ["natsound165"])
    assert (jobs.names_scored_by("encode"), jobs.names_scored_by("compare")) == ("mice", "items")
    assert not re.search(one_of([]), "") and not re.search(one_of([]), "anything")


def test_studies_that_would_write_the_same_files_are_refused(here):
    write("again", FIRST)
    path = Path("again.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("study: again", "study: first"), encoding="utf-8")
    with pytest.raises(BadConfiguration, match="two of the studies are called 'first'; rename one in its file"):
        jobs_of("first", "again")
    write("likeness", {"mice": {**FIRST["mice"], "metric": {"kind": "rsa"}}})
    with pytest.raises(
        BadConfiguration, match="an analysis 'mice', one encodes and one compares; rename it in likeness"
    ):
        jobs_of("first", "likeness")


def test_flags_hand_on_what_the_run_was_told(both):
    mice = both.analyses["first", "mice"]
    assert both.flags("catalogue", mice) == ["--study=first.yaml", "--device=auto", "--analysis=mice"]
    told = jobs_of(
        "first", limit=2, shuffle=0, permutations=0, simulations=0, mirror="/a b", device="cpu", memory_budget_mb=100
    )
    common = ["--study=first.yaml", "--limit=2", "--shuffle=0", "--permutations=0", "--simulations=0"]
    common += ["--mirror=/a b", "--device=cpu"]
    assert told.study_flags("map", "first-shuffled-0") == common
    assert told.study_flags("encode", "first-shuffled-0") == [*common, "--memory-budget-mb=100"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_takes_what_the_workflow_is_told(stage):
    told = load_workflow_config(
        {
            "study": "alice",
            "limit": 2,
            "shuffle": 0,
            "permutations": 0,
            "simulations": 0,
            "mirror": "/a b",
            "device": "cpu",
        }
        | {"memory_budget_mb": 100}
    )
    arguments = _parser().parse_args([stage, *command_flags(stage, told)])
    for flag in flags_of(stage):
        assert getattr(arguments, flag.name) == getattr(told, flag.name) != flag.default
    words = "--config study=alice limit=2 shuffle=0 permutations=0 simulations=0 mirror=/a b"
    assert config_words(told) == config_words(arguments) == words
    assert load_workflow_config({}).device == _parser().parse_args([stage]).device == "auto"


def test_the_list_of_flags_is_that_of_the_settings():
    assert set(WorkflowConfig.model_fields) == {"studies", "recipe", "diet_path", *FLAGS}
    assert {flag.name for stage in STAGES for flag in flags_of(stage)} == set(FLAGS)
    assert set(FLAGS) - {flag.name for flag in flags_of("map")} == {name for name, flag in FLAGS.items() if flag.stages}


def test_every_rule_that_runs_a_stage_has_its_resources(both):
    rules = re.findall(r"^(?:rule|checkpoint) (\w+_\w+):", RULES, re.MULTILINE)
    asked = re.findall(r'^        \*\*JOBS\.resources\("(\w+)"\),$', RULES, re.MULTILINE)
    assert rules == asked and set(rules) == set(RESOURCES)
    assert (
        not re.search(r"mem_mb|runtime|gpu", RULES) and len(re.findall(r"^    resources:$", RULES, re.MULTILINE)) == 14
    )
    assert not re.search(r"config[.\[]", RULES)  # only validated settings decide
    assert both.resources("map_study") == {"mem_mb": 4000, "runtime": 60}
    assert both.resources("encode_group") == {"mem_mb": 2000 + 2252, "runtime": 240, "gpu": 0}
    assert jobs_of("first", memory_budget_mb=100).resources("encode_group")["mem_mb"] == 2110


def test_the_device_of_the_settings_file_asks_for_a_gpu(here, monkeypatch):
    monkeypatch.setattr(load, "ROOT", here)
    (here / "workflows").mkdir()
    (here / "workflows" / "config.yaml").write_text("studies: [first.yaml]\ndevice: cuda\n", encoding="utf-8")
    jobs = plan_jobs({})
    assert {rule for rule in RESOURCES if jobs.resources(rule).get("gpu")} == {
        *("activate_model", "encode_group", "identify_group", "train_network")
    }
    assert "--device=cuda" in jobs.study_flags("encode", "first")
    jobs = plan_jobs({"device": "cpu"})
    assert not any(jobs.resources(rule).get("gpu") for rule in RESOURCES)
    with pytest.raises(BadConfiguration, match=r"device: Input should be 'auto', 'cpu' or 'cuda' \(got 'gpu'\)"):
        plan_jobs({"device": "gpu"})


def test_of_twins_alone_nothing_is_simulated(here):
    """Which layer of a twin responses come from says nothing; networks and baselines are what twins stand beside."""
    twin = {"name": "efficientnet-lite0@random-0"}
    write("alone", {"a": {"recording": MICE, "models": [twin], "metric": RIDGE}})
    write("beside", {"a": {"recording": MICE, "models": [twin, "pixels"], "metric": RIDGE}})
    plans = {name: next(iter(jobs_of(name).analyses.values())) for name in ("alone", "beside")}
    assert not plans["alone"].is_identified and plans["beside"].is_identified
