"""Is an artifact the one that is asked for? Its bytes may be right, and of another run, study or set of options.

Paths say less than what lies there: files are copied, and options change. So whoever reads an artifact compares what
it says of itself with the plan: the key of its options and code, the names it was made for, and what it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    from pipeline.config.plan import AnalysisPlan, DatasetPlan, ModelPlan, StudyPlan

OPTIONS = "config_sha"
INPUTS = "inputs_sha"


def check_identity(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any], stage: str) -> None:
    """Refuse an artifact that is not the one asked for.

    Parameters
    ----------
    found : its attributes
    expected : attribute → value, as far as they have to agree
    stage : the stage that makes it, named in the remedy

    Raises
    ------
    BrokenArtifact
        One differs; the message names the file, what it says and what was asked for.
    """
    for name, value in expected.items():
        said = found.get(name)
        if str(said) == str(value):
            continue
        if name == OPTIONS:
            what = f"was made with other options or another version of layermap (key {said}, now {value})"
        elif name == INPUTS:
            what = "was made from other files than are there now"
        else:
            what = f"is of {name} '{said}', not '{value}': another file took its place"
        raise BrokenArtifact(f"{path} {what}; delete it and run: snakemake {stage}")


def check_prepared(dataset: DatasetPlan, recording: str) -> None:
    """That a recording is the one of this name, prepared as the study asks; errors as of `check_identity`."""
    from pipeline.artifacts.contract import read_attrs

    path = dataset.recording_path(recording)
    check_identity(path, read_attrs(path, "prepare"), {OPTIONS: dataset.prep_key, "name": recording}, "prepare")


def check_shown(dataset: DatasetPlan, stimulus: str) -> None:
    """The same of a stimulus."""
    from pipeline.artifacts.stimulus import open_stimulus

    path = dataset.stimulus_path(stimulus)
    check_identity(path, open_stimulus(path).attrs, {OPTIONS: dataset.stimulus_key, "name": stimulus}, "prepare")


def check_activated(analysis: AnalysisPlan, model: ModelPlan, stimulus: str) -> None:
    """The same of activations."""
    from pipeline.artifacts.activations import open_activations

    path = analysis.activations_path(model, stimulus)
    expected = {OPTIONS: model.act_key(analysis.dataset, stimulus), "model": model.name, "stimulus": stimulus}
    check_identity(path, open_activations(path).attrs, expected, "activate")


def check_score_inputs(analysis: AnalysisPlan, group_name: str, model: ModelPlan) -> None:
    """The same of all recordings and activations that one model's scores in a group are made from."""
    group = analysis.group(group_name)
    for run in group.runs:
        check_prepared(analysis.dataset, run.recording)
        for one in [model, *(space.model for space in analysis.spaces_of(model))]:
            check_activated(analysis, one, run.stimulus)


def check_scores(plan: StudyPlan) -> None:
    """The same of all scores of a study."""
    from pipeline.artifacts.contract import read_attrs

    for analysis in plan.analyses:
        for group in analysis.dataset.open_catalogue().groups:
            for model in analysis.models:
                path = analysis.scores_path(group.name, model)
                expected = {
                    "study": plan.name,
                    "analysis": analysis.name,
                    "group": group.name,
                    "model": model.name,
                    OPTIONS: analysis.score_key(plan.study.shuffle_seed),
                }
                files = analysis.score_files(group, model)
                if all(file.exists() for file in files):  # what was prepared may have been removed to save room
                    expected[INPUTS] = sha_of_inputs(files, "prepare")
                check_identity(path, read_attrs(path, analysis.stage), expected, analysis.stage)


def check_map(plan: StudyPlan, scores: list[Path]) -> None:
    """The same of a study's map."""
    from pipeline.artifacts.contract import read_attrs

    expected = {"study": plan.name, OPTIONS: plan.map_key(), INPUTS: sha_of_inputs(scores, "encode")}
    check_identity(plan.map_path, read_attrs(plan.map_path, "map"), expected, "map")


def sha_of_inputs(paths: list[Path], stage: str) -> str:
    """What an artifact was made from: the key in an activations' name, the attributes of a NetCDF file.

    Parameters
    ----------
    stage : the stage that makes the NetCDF files
    """
    from pipeline.artifacts.contract import read_attrs

    parts = []
    for path in paths:
        if path.suffix == ".nc":
            attrs = read_attrs(path, stage)
            parts.append(f"{path} {attrs[OPTIONS]} {attrs[INPUTS]}")
        else:
            parts.append(str(path))
    return sha_of(parts)


def sha_of(parts: list[str]) -> str:
    """SHA-256, hex, of lines of text."""
    import hashlib

    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
