"""What the page says about a study besides its numbers: data, models, options, seeds and the command."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pipeline.activations.options import PrincipalComponents, Reduction, SparseProjection
from pipeline.activations.reduce import LARGEST_FITTED, n_features_of
from pipeline.artifacts.activations import LayerInfo
from pipeline.fetch.weights.pins import source_of
from pipeline.inference.pathways import pathways_of
from pipeline.inference.twin_names import twin_of
from pipeline.report.wording import NBSP
from pipeline.stimuli.repeated.alike import DOUBTS
from pipeline.study.plan import AnalysisPlan, DatasetPlan, ModelPlan, StudyPlan

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

NETWORK, TWIN, BASELINE = "network", "twin", "baseline"
PRECISIONS = {"float32": "", "float16": "half precision (float16)", "bfloat16": "half precision (bfloat16)"}
SYMBOLS = {"spearman": "ρ", "kendall": "τ", "pearson": "r"}
PREPARATION = ("slice_reference", "clocks", "confounds", "onset_check", "excluded", "left_out")


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """A dataset: what it is, under which licence, and what was fetched (or simulated) of it.

    Parameters
    ----------
    window_s : first and last time after a frame's or picture's onset that its response is taken from; None where the
        dataset has no such window
    resynthesised : whether stimuli were spoken by a synthesiser from the words' timings
    prepared : attribute of the recordings (`PREPARATION`) or stimuli (`DOUBTS`) → its different values, in their order
    """

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
    window_s: tuple[float, float] | None = None
    resynthesised: bool = False
    prepared: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LanguageFacts:
    """Which language each group of listeners heard and each model learned, and the kind of sound, if the study says so.

    Parameters
    ----------
    listeners, listeners_domain : group → language, kind of sound
    models, models_domain : model → language, kind of sound
    """

    listeners: dict[str, str]
    models: dict[str, str]
    listeners_domain: dict[str, str] = dataclasses.field(default_factory=dict)
    models_domain: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class StreamFacts:
    """An assignment of regions to the two streams, as the study file has it."""

    name: str
    ventral: tuple[str, ...]
    dorsal: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """A network, one of its twins or a baseline, as it was used.

    Parameters
    ----------
    role : ``network``, ``twin`` or ``baseline``
    twin : ``random`` or ``shuffled``; empty unless it is a twin
    weights_sha256 : of the weights as distributed; empty for baselines
    reduction : how units were reduced, in words; empty if all were kept
    precision : of the forward passes, in words; empty if it was single
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
    twin: str = ""
    precision: str = ""

    @property
    def network(self) -> str:
        """The network that a twin is of; its own name for anything else."""
        twin = twin_of(self.name)
        return twin[0] if twin else self.name

    @property
    def objective_in_words(self) -> str:
        """``supervised`` …, ``random twin``, or ``untrained`` for a network of its own."""
        return f"{self.twin} twin" if self.twin else "untrained" if self.objective == "random" else self.objective

    @property
    def pathways(self) -> list[str]:
        """Names of its pathways; empty if it has only one."""
        return list(pathways_of([layer.pathway for layer in self.layers]))


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
    streams: tuple[StreamFacts, ...] = ()
    languages: LanguageFacts | None = None

    def model(self, name: str) -> ModelFacts:
        return next(model for model in self.models if model.name == name)

    @property
    def spaces(self) -> list[str]:
        """Feature spaces that all other models were fitted jointly with; empty where there was no joint fit."""
        return list(self.options.get("spaces") or [])

    def jointly_with(self, model: str) -> list[str]:
        """The spaces that a model was fitted jointly with: none for one of them."""
        named = {model, *(f"{model}:{layer.name}" for layer in self.model(model).layers)}
        return [] if named & set(self.spaces) else self.spaces

    @property
    def encodes(self) -> bool:
        """Whether responses were predicted, rather than similarities compared."""
        return "splits" in self.options

    def of_role(self, role: str) -> list[ModelFacts]:
        return [model for model in self.models if model.role == role]

    def twins_of(self, name: str) -> dict[str, list[ModelFacts]]:
        """Kind of twins → a network's twins of that kind, in the study's order."""
        found: dict[str, list[ModelFacts]] = {}
        for model in self.of_role(TWIN):
            if model.network == name:
                found.setdefault(model.twin, []).append(model)
        return found


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


def with_layers(study: StudyFacts, rows: pd.DataFrame) -> StudyFacts:
    """Give networks whose layers are known only once they are built those that the map has.

    Parameters
    ----------
    rows : the map's table of layers and regions
    """

    def complete(analysis: AnalysisFacts) -> AnalysisFacts:
        own = rows[rows["analysis"] == analysis.name]
        models = (
            model if model.layers else dataclasses.replace(model, layers=_layers_of(own[own["model"] == model.name]))
            for model in analysis.models
        )
        return dataclasses.replace(analysis, models=tuple(models))

    return dataclasses.replace(study, analyses=tuple(complete(analysis) for analysis in study.analyses))


def _layers_of(rows: pd.DataFrame) -> tuple[LayerInfo, ...]:
    names = ["layer", "layer_index", "relative_depth", "pathway"]
    found = rows.drop_duplicates("layer")[names].itertuples(index=False, name=None)
    return tuple(LayerInfo(str(name), int(index), float(depth), str(of)) for name, index, depth, of in found)


def _analysis_facts(plan: AnalysisPlan) -> AnalysisFacts:
    from pipeline.models.registry import resolve_model

    options = plan.options.model_dump(mode="json")
    planted = getattr(plan.dataset.options, "planted", None) or {}
    planted_models = plan.dataset.simulation_models
    return AnalysisFacts(
        name=plan.name,
        metric=plan.metric.kind,
        symbol="r" if plan.stage == "encode" else SYMBOLS.get(options.get("comparison", ""), "score"),
        dataset=_dataset_facts(plan.dataset),
        models=tuple(model_facts(model) for model in plan.models),
        options=options,
        region_order=plan.analysis.region_order,
        planted={str(region): str(layer) for region, layer in planted.items() if layer},
        planted_model=planted_models[0] if planted_models else "",
        planted_layers=resolve_model(planted_models[0]).entry.layers if planted_models else (),
        streams=tuple(StreamFacts(one.name, one.ventral, one.dorsal) for one in plan.analysis.streams),
        languages=_language_facts(plan),
    )


def _language_facts(plan: AnalysisPlan) -> LanguageFacts | None:
    languages = plan.analysis.languages
    if languages is None:
        return None
    return LanguageFacts(languages.listeners, languages.models, languages.listeners_domain, languages.models_domain)


def _dataset_facts(plan: DatasetPlan) -> DatasetFacts:
    receipt = plan.open_receipt()
    found = _recording_attrs([plan.recording_path(name) for name in plan.open_catalogue().recordings])
    attrs = found[0] if found else {}
    stimuli = _stimulus_attrs([plan.stimulus_path(stimulus.name) for stimulus in plan.open_catalogue().stimuli])
    prepared = {**{name: _different(found, name) for name in PREPARATION}, DOUBTS: _different(stimuli, DOUBTS)}
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
        excluded="; ".join(_different(found, "excluded")),
        constant_targets=str(attrs.get("constant_targets", "")),
        units=str(attrs.get("units", "")),
        window_s=getattr(plan.options, "window_s", None),
        resynthesised=bool(getattr(plan.options, "resynthesise", False)),
        prepared={name: values for name, values in prepared.items() if values},
    )


def _recording_attrs(recordings: list[Path]) -> list[dict[str, Any]]:
    """Attributes of each recording; empty if prepared data were cleared away after the map was made."""
    import h5netcdf

    found = []
    for path in recordings:
        if path.is_file():
            with h5netcdf.File(path, "r") as opened:
                found.append(dict(opened.attrs))
    return found


def _stimulus_attrs(stimuli: list[Path]) -> list[dict[str, Any]]:
    """Attributes of each stimulus; empty if prepared data were cleared away after the map was made."""
    import zarr

    return [dict(zarr.open_group(path, mode="r").attrs) for path in stimuli if path.is_dir()]


def _different(attrs: list[dict[str, Any]], name: str) -> tuple[str, ...]:
    """The different values of an attribute as text, without those that say nothing."""
    values = dict.fromkeys(str(one[name]) for one in attrs if name in one)
    return tuple(value for value in values if value)


def model_facts(plan: ModelPlan) -> ModelFacts:
    entry, twin = plan.model.entry, plan.model.twin
    objective, weights = plan.model.objective, source_of(entry)
    return ModelFacts(
        name=plan.name,
        base=plan.base,
        role=TWIN if twin else BASELINE if objective == "baseline" else NETWORK,
        objective=objective,
        title=entry.title,
        citation=entry.citation,
        licence=entry.licence,
        parameters=entry.parameters,
        layers=tuple(layer for layer in entry.layers if plan.layers is None or layer.name in plan.layers),
        preprocessing=dict(entry.preprocessing),
        weights_sha256=weights.sha256 if weights else "",
        reduction=reduction_in_words(plan.choice.reduce_by),
        convolved=entry.convolved,
        seed=twin.seed if twin else None,
        twin=twin.kind if twin else "",
        precision=PRECISIONS[plan.choice.precision],
    )


def reduction_in_words(reduction: Reduction) -> str:
    """What follows ``each layer reduced by``; empty where every unit is kept."""
    if isinstance(reduction, SparseProjection):
        bound = ""
        if reduction.distortion is not None:
            bound = (
                f" (the Johnson–Lindenstrauss bound for squared distances among {reduction.n_samples:,} samples within "
                f"{100 * reduction.distortion:g}{NBSP}%)"
            )
        return f"sparse random projection to {n_features_of(reduction)} features{bound}, seed {reduction.seed}"
    if isinstance(reduction, PrincipalComponents):
        return (
            f"principal components fitted on stimuli outside the study (at most {reduction.n_features}; layers of more "
            f"than {LARGEST_FITTED:,} units after sparse random projection to that many, seed {reduction.seed})"
        )
    return {"spatial_mean": "mean over space", "class_token": "taking its class token", "none": ""}[reduction.kind]
