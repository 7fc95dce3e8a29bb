"""The jobs that a study consists of, with their keys and paths.

The same plan serves the Snakefile (which jobs there are and what they need) and the command line
(what to read and write). Only what depends on the catalogue waits for it.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from pipeline.artifacts.catalogue import Catalogue, Group
from pipeline.core import paths
from pipeline.core.code_version import ROOT, code_of_file, code_version
from pipeline.core.errors import BadConfiguration, LayermapError, UnknownName
from pipeline.core.keys import key_of, sha256_of_file
from pipeline.core.section import Section, file_of
from pipeline.encoding.mapping import LAYER, MappingEntry, SpaceFiles
from pipeline.encoding.options import JointOptions, NullOptions
from pipeline.inference.networks import members_of
from pipeline.models.entry import ModelEntry
from pipeline.models.registry import resolve_model
from pipeline.models.trained.entries import split_instance
from pipeline.recordings.registry import DATASETS
from pipeline.study.metrics import METRICS, MetricEntry
from pipeline.study.network_entries import entries_of
from pipeline.study.planned_inputs import DatasetPlan, ModelPlan, module_of
from pipeline.study.study import Analysis, Inference, Study


@dataclasses.dataclass(frozen=True)
class SpacePlan:
    """A model, or one layer of it, that every layer of the other models is fitted jointly with."""

    name: str
    model: ModelPlan
    layers: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class AnalysisPlan:
    """One analysis of a study."""

    study: str
    name: str
    analysis: Analysis
    dataset: DatasetPlan
    models: tuple[ModelPlan, ...]
    metric: MetricEntry
    null: NullOptions = dataclasses.field(default_factory=NullOptions)
    inference: Inference = dataclasses.field(default_factory=Inference)

    @property
    def options(self) -> Section:
        options: Section = self.analysis.metric
        return options

    @property
    def stage(self) -> str:
        return self.metric.stage

    @property
    def weights(self) -> dict[str, ModelEntry]:
        """Name of fetched weights → the network they are of, those that a simulation plants included."""
        found = {model.base: model.model.entry for model in self.models if model.needs_weights}
        return found | {name: resolve_model(name).entry for name in self.dataset.simulation_models}

    def model(self, name: str) -> ModelPlan:
        for plan in self.models:
            if name in (plan.name, plan.slug):
                return plan
        raise UnknownName(f"model of analysis '{self.name}'", name, [plan.name for plan in self.models])

    def group(self, name: str) -> Group:
        groups = self.dataset.open_catalogue().groups
        for group in groups:
            if group.name == name:
                return group
        raise UnknownName(f"group of analysis '{self.name}'", name, [group.name for group in groups])

    def activations_path(self, model: ModelPlan, stimulus: str) -> Path:
        return paths.activations(self.dataset.kind, stimulus, model.name, model.act_key(self.dataset, stimulus))

    def scores_path(self, group: str, model: ModelPlan) -> Path:
        return paths.scores(self.study, self.name, group, model.name)

    def identifiability_path(self, group: str) -> Path:
        return paths.identifiability(self.study, self.name, group)

    @property
    def is_identified(self) -> bool:
        """Whether responses are simulated from its layers: each target fitted by itself, of more than twins."""
        fits_alone = isinstance(self.metric, MappingEntry) and self.metric.side_by_side
        return self.inference.simulations > 0 and fits_alone and any(model.model.twin is None for model in self.models)

    @property
    def identified_models(self) -> list[ModelPlan]:
        """Networks that responses are simulated from: of twins of a kind, and of a network's seeds, the first."""
        found: dict[tuple[str, str], ModelPlan] = {}
        for model in self.models:
            twin, instance = model.model.twin, split_instance(model.name)
            name = model.name.rpartition("@")[0] if twin else instance[0] if instance else model.name
            found.setdefault((name, twin.kind if twin else ""), model)
        return list(found.values())

    def identifiability_files(self, group: Group) -> list[Path]:
        """All files that responses of a group are simulated from."""
        return list(dict.fromkeys(path for model in self.identified_models for path in self.score_files(group, model)))

    def identifiability_key(self, shuffle_seed: int | None) -> str:
        """What decides it besides its input files."""
        code = code_version("pipeline.identifiability.stage")
        names = {"simulations", "simulated_columns", "seed"}
        if self.inference.calibration.n:
            names |= {"calibration", "n_bootstrap", "confidence", "min_subjects", "permutations"}
        return key_of(
            {
                "fits": self._fit_parts(shuffle_seed),
                "models": [model.name for model in self.identified_models],  # seeds go by their order
                "inference": self.inference.model_dump(mode="json", include=names),
                "code": code,
            }
        )

    @functools.cached_property
    def spaces(self) -> tuple[SpacePlan, ...]:
        """The feature spaces that a joint metric names; empty for all others."""
        names: tuple[str, ...] = self.options.spaces if isinstance(self.options, JointOptions) else ()
        return tuple(self._space(name) for name in names)

    def _space(self, name: str) -> SpacePlan:
        """``NAME`` or ``NAME:LAYER``."""
        by_name = {model.name: model for model in self.models}
        if name in by_name:
            return SpacePlan(name, by_name[name], by_name[name].layers)
        model, _, layer = name.partition(":")
        if model not in by_name:
            raise UnknownName(f"model in spaces of analysis '{self.name}'", model, list(by_name))
        known = by_name[model].layers
        if known is not None and layer not in known:
            raise UnknownName(f"layer of {model} in spaces of analysis '{self.name}'", layer, known)
        return SpacePlan(name, by_name[model], (layer,))

    def spaces_of(self, model: ModelPlan) -> tuple[SpacePlan, ...]:
        """The spaces that a model is fitted jointly with: none for a model that is one of them."""
        return () if any(space.model.name == model.name for space in self.spaces) else self.spaces

    def score_inputs(self, group: Group, model: ModelPlan) -> list[tuple[Path, Path]]:
        """(recording, activations) of each run of a group, in order."""
        return [
            (self.dataset.recording_path(run.recording), self.activations_path(model, run.stimulus))
            for run in group.runs
        ]

    def space_inputs(self, group: Group, model: ModelPlan) -> list[SpaceFiles]:
        """The feature spaces that a model is fitted jointly with, and their activations to each run of a group."""
        return [
            SpaceFiles(
                space.name,
                space.layers,
                tuple(self.activations_path(space.model, run.stimulus) for run in group.runs),
            )
            for space in self.spaces_of(model)
        ]

    def score_files(self, group: Group, model: ModelPlan) -> list[Path]:
        """All files that the scores of a model in a group are made from, feature spaces last."""
        paths = [path for pair in self.score_inputs(group, model) for path in pair]
        return [*paths, *(path for space in self.space_inputs(group, model) for path in space.activations)]

    def _own_mapping(self) -> list[str]:
        """What a mapping of the user's own does, wherever its file lies."""
        function = getattr(self.options, "predict", None)
        if function is None:
            return []
        file = file_of(function)
        return [code_of_file(file) if file else code_version(module_of(function)), function.rpartition(":")[2]]

    def null_of(self, model: ModelPlan) -> NullOptions:
        """In how many orders a model is fitted: twins in none, as they are compared and not tested."""
        return self.null if model.model.twin is None else NullOptions()

    def _fit_parts(self, shuffle_seed: int | None) -> dict[str, Any]:
        """What decides fits: the metric's options and code.

        ``within_category`` is read by the map only, and a mapping of the user's own counts by what it does.
        """
        return {
            "options": self.options.model_dump(mode="json", exclude={"within_category", "predict"}),
            "own": self._own_mapping(),
            "shuffle_seed": shuffle_seed,
            "code": code_version(module_of(self.metric.run), module_of(METRICS.address(self.metric.kind))),
        }

    def score_key(self, model: ModelPlan, shuffle_seed: int | None) -> str:
        """What decides the scores of a model besides their input files."""
        null = self.null_of(model)
        orders = dataclasses.astuple(null) if null.n else ()
        return key_of({**self._fit_parts(shuffle_seed), "null": orders})


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """All of a study."""

    study: Study
    analyses: tuple[AnalysisPlan, ...]

    @property
    def name(self) -> str:
        return self.study.study

    def analysis(self, name: str) -> AnalysisPlan:
        for plan in self.analyses:
            if plan.name == name:
                return plan
        raise UnknownName(f"analysis of study '{self.name}'", name, [plan.name for plan in self.analyses])

    def check_code(self) -> None:
        """Read all code that keys depend on; raises `BadConfiguration` for a file that is no Python."""
        for plan in self.analyses:
            for model in plan.models:
                plan.score_key(model, self.study.shuffle_seed)
                model.code_key()

    @property
    def simulated(self) -> bool:
        return any(plan.dataset.entry.simulated for plan in self.analyses)

    @property
    def map_path(self) -> Path:
        return paths.map_of(self.name)

    @property
    def report_path(self) -> Path:
        return paths.report(self.name)

    def map_key(self) -> str:
        """What decides the map besides the scores: inference settings, contrasts, order of regions, streams,
        languages, code."""
        return key_of(
            {
                "inference": self.study.inference.model_dump(mode="json"),
                "contrasts": {
                    p.name: [[c.model_dump(mode="json"), c.controlled] for c in p.analysis.all_contrasts]
                    for p in self.analyses
                },
                "region_order": {p.name: p.analysis.region_order for p in self.analyses},
                "streams": {p.name: [s.model_dump(mode="json") for s in p.analysis.streams] for p in self.analyses},
                "languages": {
                    p.name: p.analysis.languages and p.analysis.languages.model_dump() for p in self.analyses
                },
                "within_category": {p.name: getattr(p.options, "within_category", False) for p in self.analyses},
                "models": {p.name: [m.name for m in p.models] for p in self.analyses},
                "identified": [p.name for p in self.analyses if p.is_identified],
                "code": code_version("pipeline.inference.stage"),
            }
        )

    def report_key(self) -> str:
        """What decides the page besides the map and the scores: the study file, the page's code, and entries' words."""
        texts = sorted(path for path in (ROOT / "pipeline" / "report" / "templates").iterdir() if path.is_file())
        words = {module_of(entry.words) for p in self.analyses for entry in (p.dataset.entry, p.metric) if entry.words}
        return key_of(
            {
                "study": self.study.model_dump(mode="json"),
                "code": code_version("pipeline.report.stage", *sorted(words)),
                "facts": code_of_file(ROOT / "pipeline" / "study" / "page_facts.py"),
                "texts": [sha256_of_file(path) for path in texts],
            }
        )


def plan_study(study: Study) -> StudyPlan:
    """Resolve every name in a study, so that a wrong one is refused before any job starts.

    Raises
    ------
    UnknownName
        A model or layer that does not exist.
    LayermapError
        A model that cannot take the dataset's stimuli is found when the catalogue is read.
    """
    networks = entries_of(study)
    analyses = []
    for name, analysis in study.analyses.items():
        kind = analysis.recording.kind
        entry = DATASETS.get(kind)
        dataset = DatasetPlan(entry, analysis.recording, module_of(DATASETS.address(kind)))
        models = tuple(ModelPlan(choice, resolve_model(choice.name, networks)) for choice in analysis.model_choices)
        _check_layers(name, analysis, models)
        metric = METRICS.get(analysis.metric.kind)
        null = NullOptions()  # similarities are permuted by the map
        if isinstance(metric, MappingEntry) and (metric.side_by_side or metric.tested_in_orders):
            null = NullOptions(study.inference.permutations, study.inference.seed)
        plan = AnalysisPlan(study.study, name, analysis, dataset, models, metric, null, study.inference)
        _check_spaces(plan)
        analyses.append(plan)
    return StudyPlan(study, tuple(analyses))


def _check_layers(name: str, analysis: Analysis, models: tuple[ModelPlan, ...]) -> None:
    """Refuse layers that do not exist, are listed twice, or are contrasted but not taken."""
    for model in models:
        layers = model.layers or ()
        if len(set(layers)) != len(layers):
            twice = next(layer for layer in layers if layers.count(layer) > 1)
            raise BadConfiguration(f"analysis '{name}': layer '{twice}' of {model.name} is listed twice; remove one")
    for contrast in analysis.all_contrasts:
        first = members_of(contrast.model, [model.name for model in models])[0]
        model = next(model for model in models if model.name == first)
        known = model.layers
        if contrast.layer is not None and known is not None and contrast.layer not in known:
            raise UnknownName(f"layer of {model.name} in contrast '{contrast.name}'", contrast.layer, known)
        pathways = {layer.pathway for layer in model.model.entry.layers}
        if contrast.pathway is not None and pathways and contrast.pathway not in pathways:
            raise UnknownName(f"pathway of {model.name} in contrast '{contrast.name}'", contrast.pathway, pathways)


def _check_spaces(plan: AnalysisPlan) -> None:
    """Refuse spaces that the analysis does not have, and an analysis in which nothing is fitted jointly with them."""
    if any(space.name == LAYER for space in plan.spaces):
        raise BadConfiguration(
            f"analysis '{plan.name}': no space may be called '{LAYER}'; give that network another name"
        )
    named = {space.model.name for space in plan.spaces}
    if named and all(model.name in named for model in plan.models):
        raise BadConfiguration(
            f"analysis '{plan.name}': every model is one of the spaces ({', '.join(sorted(named))}), so that none is "
            "fitted jointly with them; add a model, or take one off spaces"
        )


def check_modalities(plan: AnalysisPlan, catalogue: Catalogue) -> None:
    """Refuse a model that cannot be shown a dataset's stimuli, in one line."""
    for stimulus in catalogue.stimuli:
        for model in plan.models:
            if stimulus.modality not in model.model.entry.modalities:
                raise LayermapError(
                    f"analysis '{plan.name}': model '{model.name}' takes {', '.join(model.model.entry.modalities)}, "
                    f"but stimulus '{stimulus.name}' of {plan.dataset.kind} is {stimulus.modality}"
                )
