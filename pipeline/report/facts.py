"""What the page says about a study besides its numbers: data, models, options, seeds and the command."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.activations import LayerInfo
from pipeline.artifacts.catalogue import open_receipt
from pipeline.config.plan import AnalysisPlan, DatasetPlan, ModelPlan, StudyPlan
from pipeline.report.wording import NBSP

if TYPE_CHECKING:
    from pathlib import Path

WITHIN_CATEGORY = "-within-category"
NETWORK, TWIN, BASELINE = "network", "twin", "baseline"
SYMBOLS = {"spearman": "ρ", "kendall": "τ", "pearson": "r"}


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """A dataset: what it is, under which licence, and what was fetched (or simulated) of it."""

    kind: str
    title: str
    citation: str
    licence: str
    simulated: bool
    options: dict[str, Any]
    n_files: int
    n_bytes: int
    receipt_sha: str
    receipt_path: str
    excluded: str
    constant_targets: str
    units: str


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """A network, its random twin or a baseline, as it was used.

    Parameters
    ----------
    role : ``network``, ``twin`` or ``baseline``
    weights_sha256 : of the weights as distributed; empty for baselines
    reduction : how units were reduced, in words; empty if all were kept
    seed : of a twin's weights
    """

    name: str
    base: str
    role: str
    objective: str
    title: str
    citation: str
    licence: str
    parameters: int
    layers: tuple[LayerInfo, ...]
    preprocessing: dict[str, Any]
    weights_sha256: str
    reduction: str
    convolved: bool
    seed: int | None


@dataclasses.dataclass(frozen=True)
class AnalysisFacts:
    """One analysis: its dataset, models, metric and what was planted if it is a simulation.

    Parameters
    ----------
    symbol : what a score is written as, e.g. ``r``
    planted : region → name of the planted layer; empty for real data, and for regions of noise alone
    planted_model : the network that the responses are read out of; empty for real data
    """

    name: str
    metric: str
    symbol: str
    dataset: DatasetFacts
    models: tuple[ModelFacts, ...]
    options: dict[str, Any]
    region_order: tuple[str, ...]
    planted: dict[str, str]
    planted_model: str
    planted_layers: tuple[LayerInfo, ...]

    def model(self, name: str) -> ModelFacts:
        return next(model for model in self.models if model.name == name)

    def of_role(self, role: str) -> list[ModelFacts]:
        return [model for model in self.models if model.role == role]

    def twins_of(self, name: str) -> list[ModelFacts]:
        return [model for model in self.of_role(TWIN) if model.base == name]


@dataclasses.dataclass(frozen=True)
class StudyFacts:
    """A whole study."""

    name: str
    title: str
    question: str
    simulated: bool
    shuffle_seed: int | None
    n_bootstrap: int
    confidence: float
    reliability_floor: float
    min_subjects: int
    seed: int
    analyses: tuple[AnalysisFacts, ...]
    command: str
    map_path: str

    @property
    def percent(self) -> str:
        """The level of the intervals, e.g. ``95 %``."""
        return f"{100 * self.confidence:g}{NBSP}%"

    @property
    def report_command(self) -> str:
        """What writes this page again from the map and the scores."""
        pairs = [word.partition("=") for word in self.command.split() if "=" in word]
        flags = " ".join(f"--{key} {value}" for key, _, value in pairs if key in ("study", "limit", "shuffle"))
        return f"python -m pipeline report {flags or f'--study {self.name}'}"


def study_facts(plan: StudyPlan, command: str) -> StudyFacts:
    """Gather what is known before any number is read."""
    inference = plan.study.inference
    return StudyFacts(
        name=plan.name,
        title=plan.study.title,
        question=plan.study.question,
        simulated=plan.simulated,
        shuffle_seed=plan.study.shuffle_seed,
        n_bootstrap=inference.n_bootstrap,
        confidence=inference.confidence,
        reliability_floor=inference.reliability_floor,
        min_subjects=inference.min_subjects,
        seed=inference.seed,
        analyses=tuple(_analysis_facts(analysis) for analysis in plan.analyses),
        command=command,
        map_path=str(plan.map_path),
    )


def _analysis_facts(plan: AnalysisPlan) -> AnalysisFacts:
    from pipeline.models.registry import resolve_model

    options = plan.options.model_dump(mode="json")
    planted = getattr(plan.dataset.options, "planted", None) or {}
    planted_models = plan.dataset.simulation_models
    return AnalysisFacts(
        name=plan.name,
        metric=plan.metric.kind,
        symbol="r" if plan.metric.kind == "ridge" else SYMBOLS.get(options.get("comparison", ""), "score"),
        dataset=_dataset_facts(plan.dataset),
        models=tuple(_model_facts(model) for model in plan.models),
        options=options,
        region_order=plan.analysis.region_order,
        planted={str(region): str(layer) for region, layer in planted.items() if layer},
        planted_model=planted_models[0] if planted_models else "",
        planted_layers=resolve_model(planted_models[0]).entry.layers if planted_models else (),
    )


def _dataset_facts(plan: DatasetPlan) -> DatasetFacts:
    receipt = open_receipt(plan.receipt_path)
    attrs = _recording_attrs([plan.recording_path(name) for name in plan.open_catalogue().recordings])
    return DatasetFacts(
        kind=plan.kind,
        title=plan.entry.title,
        citation=plan.entry.citation,
        licence=plan.entry.licence,
        simulated=plan.entry.simulated,
        options=plan.options.model_dump(mode="json"),
        n_files=len(receipt.files),
        n_bytes=sum(file.bytes for file in receipt.files),
        receipt_sha=receipt.sha(),
        receipt_path=str(plan.receipt_path),
        excluded=str(attrs.get("excluded", "")),
        constant_targets=str(attrs.get("constant_targets", "")),
        units=str(attrs.get("units", "")),
    )


def _recording_attrs(recordings: list[Path]) -> dict[str, Any]:
    """Attributes of the first recording; empty if prepared data were cleared away after the map was made."""
    import xarray as xr

    if not recordings or not recordings[0].is_file():
        return {}
    with xr.open_dataset(recordings[0], engine="h5netcdf") as opened:
        return dict(opened.attrs)


def _model_facts(plan: ModelPlan) -> ModelFacts:
    entry, reduction = plan.model.entry, plan.choice.reduction.model_dump(mode="json")
    objective = plan.model.objective
    return ModelFacts(
        name=plan.name,
        base=plan.base,
        role=TWIN if objective == "random" else BASELINE if objective == "baseline" else NETWORK,
        objective=objective,
        title=entry.title,
        citation=entry.citation,
        licence=entry.licence,
        parameters=entry.parameters,
        layers=tuple(layer for layer in entry.layers if layer.name in plan.layers),
        preprocessing=dict(entry.preprocessing),
        weights_sha256=entry.weights.sha256 if entry.weights else "",
        reduction=_reduction_in_words(reduction),
        convolved=entry.convolved,
        seed=plan.model.seed,
    )


def _reduction_in_words(reduction: dict[str, Any]) -> str:
    if reduction["kind"] == "sparse_projection":
        return f"sparse random projection to {reduction['n_features']} features, seed {reduction['seed']}"
    return {"spatial_mean": "mean over space", "none": ""}.get(reduction["kind"], reduction["kind"])
