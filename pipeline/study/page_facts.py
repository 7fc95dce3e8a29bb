"""What the page is told of a study besides its numbers, taken from the plan: data, models, options, seeds, benchmarks.

The report knows no plans: this is where they meet. Its code is part of the page's key; what it only copies is in the
study file, in entries of registries, or in files whose digests are.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pipeline.activations.options import PrincipalComponents, Reduction, SparseProjection
from pipeline.activations.reduce import LARGEST_FITTED, n_features_of
from pipeline.comparison.measures import MEASURES
from pipeline.core import paths
from pipeline.core.keys import slug
from pipeline.core.prose import DatasetWords
from pipeline.core.registry import import_object
from pipeline.fetch.weights.pins import source_of
from pipeline.models.registry import resolve_model
from pipeline.models.trained.entries import split_instance
from pipeline.recordings.entry import DatasetEntry
from pipeline.report.study_facts import (
    BASELINE,
    NETWORK,
    PREPARATION,
    SEED,
    TWIN,
    AnalysisFacts,
    DatasetFacts,
    LanguageFacts,
    ModelFacts,
    StreamFacts,
    StudyFacts,
)
from pipeline.report.wording import NBSP
from pipeline.stimuli.repeated.alike import DOUBTS
from pipeline.study.metrics import metric_words
from pipeline.study.plan import AnalysisPlan, StudyPlan
from pipeline.study.planned_inputs import DatasetPlan, ModelPlan

PRECISIONS = {"float32": "", "float16": "half precision (float16)", "bfloat16": "half precision (bfloat16)"}


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
    options = plan.options.model_dump(mode="json")
    measure = MEASURES.get(options.get("comparison", ""))  # a package's metric may have its own
    planted = getattr(plan.dataset.options, "planted", None) or {}
    planted_models = plan.dataset.simulation_models
    return AnalysisFacts(
        name=plan.name,
        metric=plan.metric.kind,
        symbol="r" if plan.stage == "encode" else measure.symbol if measure else "score",
        dataset=_dataset_facts(plan.dataset),
        models=_models(plan),
        options=options,
        region_order=plan.analysis.region_order,
        planted={str(region): str(layer) for region, layer in planted.items() if layer},
        planted_model=planted_models[0] if planted_models else "",
        planted_layers=resolve_model(planted_models[0]).entry.layers if planted_models else (),
        streams=tuple(StreamFacts(one.name, one.ventral, one.dorsal) for one in plan.analysis.streams),
        languages=_language_facts(plan),
        words=metric_words(plan.metric),
        compares=plan.stage == "compare",
        question_contrast=plan.analysis.question_contrast or "",
    )


def _models(plan: AnalysisPlan) -> tuple[ModelFacts, ...]:
    """All models; of a network's seeds all but the first have a role of their own."""
    found: list[ModelFacts] = []
    for facts in map(model_facts, plan.models):
        known = {one.trained_as for one in found if one.trained_as}
        found.append(dataclasses.replace(facts, role=SEED) if facts.trained_as in known else facts)
    return tuple(found)


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
        words=words_of(plan.entry),
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
    objective, weights, trained = plan.model.objective, source_of(entry), split_instance(plan.name)
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
        seed=twin.seed if twin else trained[1] if trained else None,
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


def words_of(entry: DatasetEntry) -> DatasetWords:
    """What a dataset's entry says of it; none by default."""
    words: DatasetWords = import_object(entry.words) if entry.words else DatasetWords()
    return words


def benchmark_files(plan: StudyPlan) -> dict[str, dict[Path, None]]:
    """Stage → the benchmark files of this study's jobs, each once, whether or not they are there."""
    files: dict[str, dict[Path, None]] = {
        name: {} for name in ("catalogue", "fetch", "prepare", "activate", "encode", "compare", "identify")
    }
    for analysis in plan.analyses:
        for stage, found in _benchmarks(analysis).items():
            files[stage] |= dict.fromkeys(found)
    files["map"] = {paths.benchmark("map", plan.name): None}
    return files


def _benchmarks(plan: AnalysisPlan) -> dict[str, list[Path]]:
    """Benchmark files of an analysis' jobs, as the rules name them."""
    dataset, catalogue = plan.dataset, plan.dataset.open_catalogue()
    named = f"{dataset.kind}-{dataset.key}"
    prepared = [(dataset.stimulus_key, stimulus.name) for stimulus in catalogue.stimuli]
    prepared += [(dataset.prep_key, name) for name in catalogue.recordings]
    return {
        "catalogue": [paths.benchmark("catalogue", named)],
        "fetch": [
            paths.benchmark("fetch", named),
            *(paths.benchmark("fetch", f"weights-{slug(name)}") for name in plan.weights),
        ],
        "prepare": [paths.benchmark("prepare", f"{dataset.kind}-{key}", name) for key, name in prepared],
        "activate": [
            paths.benchmark(
                "activate", f"{dataset.kind}-{stimulus.name}", f"{model.slug}-{model.act_key(dataset, stimulus.name)}"
            )
            for stimulus in catalogue.stimuli
            for model in plan.models
        ],
        plan.stage: [
            paths.benchmark(plan.stage, plan.study, plan.name, group.name, model.name)
            for group in catalogue.groups
            for model in plan.models
        ],
        "identify": [
            paths.benchmark("identify", plan.study, plan.name, group.name)
            for group in (catalogue.groups if plan.is_identified else ())
        ],
    }
