"""Is an artifact the one that is asked for? Its bytes may be right, and of another run, study or set of options.

Paths say less than what lies there: files are copied, and options change. So whoever reads an artifact compares what
it says of itself with the plan: the key of its options and code, the names it was made for, and what it was made from.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    from pipeline.artifacts.activations import Activations
    from pipeline.artifacts.catalogue import Group
    from pipeline.study.plan import AnalysisPlan, StudyPlan
    from pipeline.study.planned_inputs import DatasetPlan, ModelPlan

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


def check_shown(dataset: DatasetPlan, stimulus: str) -> None:
    """That a stimulus is the one of this name, prepared as the study asks; errors as of `check_identity`."""
    from pipeline.artifacts.stimulus import open_stimulus

    path = dataset.stimulus_path(stimulus)
    check_identity(path, open_stimulus(path).attrs, {OPTIONS: dataset.stimulus_key, "name": stimulus}, "prepare")


def check_activations(analysis: AnalysisPlan, model: ModelPlan, stimulus: str) -> Activations:
    """The same of a model's activations to a stimulus; returns them."""
    from pipeline.artifacts.activations import open_activations

    activations = open_activations(analysis.activations_path(model, stimulus))
    expected = {OPTIONS: model.act_key(analysis.dataset, stimulus), "model": model.name, "stimulus": stimulus}
    check_identity(activations.path, activations.attrs, expected, "activate")
    return activations


def check_score_inputs(analysis: AnalysisPlan, group: Group, model: ModelPlan) -> str:
    """The same of all recordings and activations that one model's scores in a group are made from.

    Returns
    -------
    what the scores keep as ``inputs_sha``
    """
    dataset, attrs_of = analysis.dataset, _prepared_attrs()
    for run in group.runs:
        path = dataset.recording_path(run.recording)
        check_identity(path, attrs_of(path), {OPTIONS: dataset.prep_key, "name": run.recording}, "prepare")
        for one in [model, *(space.model for space in analysis.spaces_of(model))]:
            check_activations(analysis, one, run.stimulus)
    return sha_of_inputs(analysis.score_files(group, model), attrs_of)


def check_simulation_inputs(analysis: AnalysisPlan, group: Group) -> str:
    """The same of all that responses of a group are simulated from."""
    return sha_of([check_score_inputs(analysis, group, model) for model in analysis.identified_models])


def check_scores(plan: StudyPlan) -> str:
    """The same of all scores of a study, and of what was simulated beside them.

    Returns
    -------
    what the map keeps as ``inputs_sha``
    """
    from pipeline.artifacts.storage.contract import read_attrs

    prepared, scored = _prepared_attrs(), dict[Path, Mapping[str, Any]]()
    for analysis in plan.analyses:
        for group in analysis.dataset.open_catalogue().groups:
            inputs: dict[str, str] = {}
            for model in analysis.models:
                path = analysis.scores_path(group.name, model)
                expected = {
                    "study": plan.name,
                    "analysis": analysis.name,
                    "group": group.name,
                    "model": model.name,
                    OPTIONS: analysis.score_key(model, plan.study.shuffle_seed),
                }
                files = analysis.score_files(group, model)
                if all(file.exists() for file in files):  # what was prepared may have been removed to save room
                    inputs[model.name] = expected[INPUTS] = sha_of_inputs(files, prepared)
                scored[path] = read_attrs(path, analysis.stage)
                check_identity(path, scored[path], expected, analysis.stage)
            if analysis.is_identified:
                path = analysis.identifiability_path(group.name)
                expected = {"study": plan.name, "analysis": analysis.name, "group": group.name}
                expected[OPTIONS] = analysis.identifiability_key(plan.study.shuffle_seed)
                names = [model.name for model in analysis.identified_models]
                if all(name in inputs for name in names):
                    expected[INPUTS] = sha_of([inputs[name] for name in names])
                scored[path] = read_attrs(path, "identify")
                check_identity(path, scored[path], expected, "identify")
    return sha_of_inputs(list(scored), scored.__getitem__)


def check_map(plan: StudyPlan, inputs_sha: str) -> None:
    """The same of a study's map, made from the scores that `check_scores` gives as ``inputs_sha``."""
    from pipeline.artifacts.storage.contract import read_attrs

    expected = {"study": plan.name, OPTIONS: plan.map_key(), INPUTS: inputs_sha}
    check_identity(plan.map_path, read_attrs(plan.map_path, "map"), expected, "map")


def _prepared_attrs() -> Callable[[Path], Mapping[str, Any]]:
    """Attributes of recordings; each file is read once, for however many models it is asked."""
    from pipeline.artifacts.storage.contract import read_attrs

    return functools.cache(lambda path: read_attrs(path, "prepare"))


def sha_of_inputs(paths: Sequence[Path], attrs_of: Callable[[Path], Mapping[str, Any]]) -> str:
    """What an artifact was made from: the key in an activations' name, the attributes of a NetCDF file."""
    parts = []
    for path in paths:
        if path.suffix == ".nc":
            attrs = attrs_of(path)
            parts.append(f"{path} {attrs[OPTIONS]} {attrs[INPUTS]}")
        else:
            parts.append(str(path))
    return sha_of(parts)


def sha_of(parts: list[str]) -> str:
    """SHA-256, hex, of lines of text."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
