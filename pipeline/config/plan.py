"""The jobs that a study consists of, with their keys and paths.

The same plan serves the Snakefile (which jobs there are and what they need) and the command line
(what to read and write). Only what depends on the catalogue waits for it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pipeline.artifacts.catalogue import Catalogue, Group, open_catalogue
from pipeline.config import paths
from pipeline.config.base import Section
from pipeline.config.code_version import ROOT, code_version
from pipeline.config.keys import key_of, sha256_of_file, slug
from pipeline.config.metrics import METRICS, MetricEntry
from pipeline.config.study import Analysis, ModelChoice, Study
from pipeline.errors import BadConfiguration, LayermapError, UnknownName
from pipeline.fetch.weights import weights_key
from pipeline.models.registry import ResolvedModel, check_layers, resolve_model
from pipeline.recordings.entry import DatasetEntry, DatasetOptions
from pipeline.recordings.registry import DATASETS


def _module(address: str) -> str:
    return address.partition(":")[0]


@dataclasses.dataclass(frozen=True)
class DatasetPlan:
    """One dataset with its options: keys and paths of catalogue, files, stimuli and recordings."""

    entry: DatasetEntry
    options: DatasetOptions
    module: str

    @property
    def kind(self) -> str:
        return self.entry.kind

    @property
    def key(self) -> str:
        """Key of the catalogue and of what is fetched: the options that decide which files are needed."""
        chosen = self.options.model_dump(mode="json")
        if not self.entry.simulated:
            chosen = {name: chosen[name] for name in self.entry.selection}
        return key_of(
            {
                "options": chosen,
                "code": code_version(self.module),
                "lists": [sha256_of_file(path) for path in self.entry.lists],
                "simulation": self._simulation_slice(),
            }
        )

    def _simulation_slice(self) -> dict[str, str]:
        """What else decides a simulation: the weights of the networks that it plants."""
        if not self.entry.simulated:
            return {}
        return {name: weights_key_of(name) for name in self.simulation_models}

    @property
    def prep_key(self) -> str:
        """Key of what is prepared: all options and the code that reads them."""
        return key_of(
            {"catalogue": self.key, "options": self.options.model_dump(mode="json"), "code": code_version(self.module)}
        )

    @property
    def simulation_models(self) -> tuple[str, ...]:
        return self.entry.simulation_models(self.options) if self.entry.simulation_models else ()

    @property
    def catalogue_path(self) -> Path:
        return paths.catalogue(self.kind, self.key)

    @property
    def receipt_path(self) -> Path:
        return paths.receipt(self.kind, self.key)

    @property
    def raw_folder(self) -> Path:
        return paths.raw_folder(self.kind, self.key, self.entry.simulated)

    def stimulus_path(self, name: str) -> Path:
        return paths.stimulus(self.kind, self.prep_key, name)

    def recording_path(self, name: str) -> Path:
        return paths.recording(self.kind, self.prep_key, name)

    def open_catalogue(self) -> Catalogue:
        return open_catalogue(self.catalogue_path)


def weights_key_of(name: str) -> str:
    """Key of a network's weights: their source, and the code that converts them."""
    source = resolve_model(name).entry.weights
    return weights_key(source) if source else ""


@dataclasses.dataclass(frozen=True)
class ModelPlan:
    """One model of an analysis."""

    choice: ModelChoice
    model: ResolvedModel

    @property
    def name(self) -> str:
        return self.choice.name

    @property
    def slug(self) -> str:
        return slug(self.choice.name)

    @property
    def layers(self) -> tuple[str, ...]:
        return check_layers(self.model, self.choice.layers)

    @property
    def base(self) -> str:
        """The registry entry's name, whose weights are fetched (twins share them)."""
        return self.model.entry.name

    @property
    def needs_weights(self) -> bool:
        return self.model.entry.weights is not None

    def act_key(self, dataset: DatasetPlan, stimulus: str) -> str:
        """Everything that changes the activations, and nothing that does not (batch size, device, threads)."""
        entry = self.model.entry
        return key_of(
            {
                "weights": weights_key_of(self.base),
                "seed": self.model.seed,
                "preprocessing": entry.preprocessing,
                "layers": self.layers,
                "reduction": self.choice.reduction.model_dump(mode="json"),
                "stimulus": [dataset.prep_key, stimulus],
                "code": code_version("pipeline.activations.stage", _module(entry.factory)),
            }
        )


@dataclasses.dataclass(frozen=True)
class AnalysisPlan:
    """One analysis of a study."""

    study: str
    name: str
    analysis: Analysis
    dataset: DatasetPlan
    models: tuple[ModelPlan, ...]
    metric: MetricEntry

    @property
    def options(self) -> Section:
        options: Section = self.analysis.metric
        return options

    @property
    def stage(self) -> str:
        return self.metric.stage

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

    def score_inputs(self, group: Group, model: ModelPlan) -> list[tuple[Path, Path]]:
        """(recording, activations) of each run of a group, in order."""
        return [
            (self.dataset.recording_path(run.recording), self.activations_path(model, run.stimulus))
            for run in group.runs
        ]

    def score_key(self, shuffle_seed: int | None) -> str:
        """What decides the scores besides their input files: the metric's options and code."""
        return key_of(
            {
                "options": self.options.model_dump(mode="json", exclude={"within_category"}),  # only the map reads it
                "shuffle_seed": shuffle_seed,
                "code": code_version(_module(self.metric.run)),
            }
        )


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
        """What decides the map besides the scores: inference settings, contrasts, order of regions, code."""
        return key_of(
            {
                "inference": self.study.inference.model_dump(mode="json"),
                "contrasts": {p.name: [c.model_dump(mode="json") for c in p.analysis.contrasts] for p in self.analyses},
                "region_order": {p.name: p.analysis.region_order for p in self.analyses},
                "within_category": {p.name: getattr(p.options, "within_category", False) for p in self.analyses},
                "models": {p.name: [m.name for m in p.models] for p in self.analyses},
                "code": code_version("pipeline.inference.stage"),
            }
        )

    def report_key(self) -> str:
        """What decides the page besides the map and the scores: the whole study file and the page's code."""
        folder = ROOT / "pipeline" / "report"
        texts = sorted(path for name in ("templates", "text") for path in (folder / name).iterdir() if path.is_file())
        return key_of(
            {
                "study": self.study.model_dump(mode="json"),
                "code": code_version("pipeline.report.stage"),
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
    analyses = []
    for name, analysis in study.analyses.items():
        kind = analysis.recording.kind
        entry = DATASETS.get(kind)
        dataset = DatasetPlan(entry, analysis.recording, _module(DATASETS.address(kind)))
        models = tuple(ModelPlan(choice, resolve_model(choice.name)) for choice in analysis.model_choices)
        _check_layers(name, analysis, models)
        metric = METRICS.get(analysis.metric.kind)
        analyses.append(AnalysisPlan(study.study, name, analysis, dataset, models, metric))
    return StudyPlan(study, tuple(analyses))


def _check_layers(name: str, analysis: Analysis, models: tuple[ModelPlan, ...]) -> None:
    """Refuse layers that do not exist, are listed twice, or are contrasted but not taken."""
    for model in models:
        layers = check_layers(model.model, model.choice.layers)
        if len(set(layers)) != len(layers):
            twice = next(layer for layer in layers if layers.count(layer) > 1)
            raise BadConfiguration(f"analysis '{name}': layer '{twice}' of {model.name} is listed twice; remove one")
    for contrast in analysis.contrasts:
        model = next(model for model in models if model.name == contrast.model)
        if contrast.layer is not None and contrast.layer not in model.layers:
            raise UnknownName(f"layer of {model.name} in contrast '{contrast.name}'", contrast.layer, model.layers)


def check_modalities(plan: AnalysisPlan, catalogue: Catalogue) -> None:
    """Refuse a model that cannot be shown a dataset's stimuli, in one line."""
    for stimulus in catalogue.stimuli:
        for model in plan.models:
            if stimulus.modality not in model.model.entry.modalities:
                raise LayermapError(
                    f"analysis '{plan.name}': model '{model.name}' takes {', '.join(model.model.entry.modalities)}, "
                    f"but stimulus '{stimulus.name}' of {plan.dataset.kind} is {stimulus.modality}"
                )
