"""A changed line in what downloads, shows progress or is said moves no key; one in what reads numbers does."""

import ast
from pathlib import Path

import pytest

from pipeline.core import code_version
from pipeline.core.code_version import ROOT, modules_behind
from pipeline.models.registry import MODELS
from pipeline.recordings.registry import DATASETS
from pipeline.study.metrics import METRICS
from tests.activations.own_study import OWN

PACKAGE = ROOT / "pipeline"


def names_in(folder):
    """The modules of a room, by their names."""
    files = (PACKAGE / folder).rglob("*.py")
    return sorted(".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if file.stat().st_size)


IN_NO_KEY = (
    *names_in("fetch"),
    *("pipeline.core.errors", "pipeline.core.progress"),
    *("pipeline.study.cli", "pipeline.study.stages.run_stage", "pipeline.study.plan", "pipeline.study.load"),
)
SCORES = {entry.run.partition(":")[0] for entry in map(METRICS.get, METRICS)}
STAGES = {"pipeline.activations.stage", "pipeline.inference.stage", *SCORES}
LISTED = {DATASETS.address(name).partition(":")[0] for name in DATASETS}
NETWORKS = {MODELS.get(name).factory.partition(":")[0] for name in MODELS} | set(names_in("models/convert"))
KEYED = sorted(one for one in STAGES | LISTED | NETWORKS if one.startswith("pipeline."))


@pytest.mark.parametrize("module", KEYED)
def test_nothing_that_only_carries_or_says_is_behind_a_key(module):
    assert module in modules_behind([module]) and not set(modules_behind([module])) & set(IN_NO_KEY)


def keys(lab):
    """All keys of a study of the user's own, and the code behind every dataset, network, stage and metric."""
    lab.write({"own": OWN, "lite": {"base": "efficientnet-lite0"}})
    analysis = lab.plan()
    dataset = analysis.dataset
    return {
        "catalogue": dataset.key,
        "recordings": dataset.prep_key,
        "stimuli": dataset.stimulus_key,
        "scores": analysis.score_key(analysis.models[0], None),
        **{f"activations of {model.name}": model.act_key(dataset, "stimulus") for model in analysis.models},
        **{module: code_version.code_version(module) for module in KEYED},
    }


def append(tree, module, line="CHANGED = True"):
    path = code_version.ROOT.joinpath(*module.split(".")).with_suffix(".py")
    text = path.read_text()
    tree(path.relative_to(code_version.ROOT / "pipeline"), text, f"{text}\n{line}\n")


def test_a_changed_line_moves_no_key(lab, tree):
    before = keys(lab)
    for module in IN_NO_KEY:
        append(tree, module)
    assert keys(lab) == before


READ_OR_COMPUTE = {
    "pipeline.formats.unpickle": {"pipeline.recordings.published.allen_scenes", "pipeline.models.convert.hub"},
    "pipeline.formats.weight_files": {"pipeline.models.convert.hub"},
    "pipeline.recordings.stories.events": {"pipeline.recordings.stories.narratives"},
    "pipeline.encoding.ridge.fit": {"scores"},
    "pipeline.encoding.splits": {"scores", "pipeline.encoding.stage"},
}
"""Module → what a changed line of it must move, at least."""


def test_a_changed_line_in_what_reads_or_computes_moves_keys(lab, tree):
    before = keys(lab)
    for module, expected in READ_OR_COMPUTE.items():
        append(tree, module)
        after = keys(lab)
        assert expected <= {name for name in before if after[name] != before[name]}, module
        before = after


def test_nothing_in_fetch_reads_numbers():
    """What does lies where its code counts. Files are opened to see whether they open, and by whom is named here."""
    opens = {"pipeline.fetch.checks.inner_checks"}
    libraries = {"numpy", "h5py", "torch", "xarray", "pandas", "zarr", "safetensors", "pickle"}
    for module in names_in("fetch"):
        tree = ast.parse(Path(ROOT, *module.split(".")).with_suffix(".py").read_text())
        imported = {name.split(".")[0] for name in code_version._imported(tree)}
        assert not imported & libraries or module in opens, module
