"""Each stage from the command line: read the plan, run the jobs asked for, write what they leave.

The stages themselves know nothing of studies, plans or paths; this is the only place where they meet.
"""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import LayermapError, UnknownName
from pipeline.encoding.mapping import MappingEntry
from pipeline.models.entry import ModelEntry
from pipeline.models.registry import MODELS, resolve_model
from pipeline.models.trained.entries import trained_names
from pipeline.study import identity
from pipeline.study.flags import config_words
from pipeline.study.load import STUDIES, load_study
from pipeline.study.network_entries import entries_of
from pipeline.study.plan import AnalysisPlan, StudyPlan, check_modalities, plan_study
from pipeline.study.planned_inputs import DatasetPlan, ModelPlan

if TYPE_CHECKING:
    from pipeline.encoding.options import EncodingOptions


def _plan(arguments: argparse.Namespace) -> StudyPlan:
    told = {name: getattr(arguments, name) for name in ("limit", "shuffle", "permutations", "simulations")}
    return plan_study(load_study(arguments.study, **told))


def _analyses(arguments: argparse.Namespace, stage: str | None = None) -> list[AnalysisPlan]:
    plan = _plan(arguments)
    chosen = [plan.analysis(arguments.analysis)] if arguments.analysis else list(plan.analyses)
    return [analysis for analysis in chosen if stage is None or analysis.stage == stage]


def _datasets(arguments: argparse.Namespace) -> list[DatasetPlan]:
    """The datasets of a study, each once."""
    return list({(plan.dataset.key, plan.dataset.prep_key): plan.dataset for plan in _analyses(arguments)}.values())


def _only(what: str, wanted: str | None, known: list[str]) -> list[str]:
    if wanted is not None and wanted not in known:
        raise UnknownName(what, wanted, known)
    return known if wanted is None else [wanted]


def run_catalogue(arguments: argparse.Namespace) -> None:
    from pipeline.artifacts.catalogue import write_json
    from pipeline.fetch.mirror import parse_mirror
    from pipeline.fetch.space import describe_files

    mirror = parse_mirror(arguments.mirror)
    for analysis in _analyses(arguments):
        dataset = analysis.dataset
        catalogue = dataset.entry.catalogue(dataset.options, dataset.key, mirror.prefix if mirror else None)
        check_modalities(analysis, catalogue)
        write_json(catalogue, dataset.catalogue_path)
        n_subjects = len({subject for group in catalogue.groups for subject in group.subjects})
        print(
            f"catalogue {catalogue.dataset}: {n_subjects} subjects in {len(catalogue.groups)} groups, "
            f"{len(catalogue.recordings)} recordings of {len(catalogue.stimuli)} stimuli; "
            f"{describe_files(catalogue.files)}",
            flush=True,
        )


def run_fetch(arguments: argparse.Namespace) -> None:
    if arguments.what in ("all", "weights"):
        _fetch_weights(arguments)
    if arguments.what in ("all", "recordings"):
        for dataset in _datasets(arguments):
            _simulate(dataset) if dataset.entry.simulated else _fetch_recordings(dataset, arguments.mirror)


def _fetch_weights(arguments: argparse.Namespace) -> None:
    from pipeline.core import paths
    from pipeline.fetch.mirror import parse_mirror
    from pipeline.fetch.stage import run_fetch_weights
    from pipeline.fetch.weights.pins import source_of

    networks = {name: entry for analysis in _analyses(arguments) for name, entry in analysis.weights.items()}
    for name in _only("model with weights", arguments.model, sorted(networks)):
        source = source_of(networks[name])
        if source is not None:
            run_fetch_weights(name, source, paths.WEIGHTS, mirror=parse_mirror(arguments.mirror))


def _fetch_recordings(dataset: DatasetPlan, mirror: str | None) -> None:
    from pipeline.fetch.mirror import parse_mirror
    from pipeline.fetch.stage import run_fetch as fetch_dataset

    fetch_dataset(dataset.open_catalogue(), dataset.raw_folder, dataset.receipt_path, mirror=parse_mirror(mirror))


def _simulate(dataset: DatasetPlan) -> None:
    """Write a simulated dataset's raw files, whole or not at all, and its receipt."""
    from pipeline.activations.stage import check_weights
    from pipeline.artifacts.catalogue import FetchedFile, Receipt, write_json
    from pipeline.artifacts.storage.store import write_whole
    from pipeline.core import paths
    from pipeline.core.keys import sha256_of_file

    simulate = dataset.entry.simulate
    if simulate is None:
        return
    weights = {name: paths.weights_folder(name) for name in dataset.simulation_models}
    for folder in weights.values():
        check_weights(folder)
    with write_whole(dataset.raw_folder) as folder:
        folder.mkdir(parents=True)
        simulate(folder, dataset.options, weights)
    files = [
        FetchedFile(
            path=str(path.relative_to(dataset.raw_folder)),
            url=f"simulated by layermap ({dataset.kind})",
            bytes=path.stat().st_size,
            sha256=sha256_of_file(path),
        )
        for path in sorted(dataset.raw_folder.rglob("*"))
        if path.is_file()
    ]
    write_json(Receipt(what=dataset.kind, key=dataset.key, files=tuple(files)), dataset.receipt_path)


def _hub_name(name: str) -> str:
    """A name of the hub as it is, or that of a model of the registry."""
    if "/" in name:
        return name
    hub = MODELS.get(name).hub
    if not hub:
        raise LayermapError(f"model '{name}' has no name on the Hugging Face hub, so there is nothing to pin")
    return hub


def run_pin(arguments: argparse.Namespace) -> None:
    from pipeline.core.limits import size_in_words
    from pipeline.fetch.mirror import parse_mirror
    from pipeline.fetch.weights import hub, pins

    mirror = parse_mirror(arguments.mirror)
    for repo in [_hub_name(name) for name in arguments.names]:
        pin = hub.ask(repo, arguments.revision, mirror)
        older = pins.write_pin(pin)
        before = "" if older is None or older.revision == pin.revision else f" (before: revision {older.revision})"
        size = f"{len(pin.files)} files, {size_in_words(pin.bytes)}"
        print(f"{repo}: revision {pin.revision}, {size}{before}", flush=True)


def run_prepare(arguments: argparse.Namespace) -> None:
    for dataset in _datasets(arguments):
        catalogue = dataset.open_catalogue()
        inputs_sha = dataset.open_receipt().sha()
        stimuli = [stimulus.name for stimulus in catalogue.stimuli]
        recordings = list(catalogue.recordings)
        if arguments.recording is None:
            for name in _only(f"stimulus of {dataset.kind}", arguments.stimulus, stimuli):
                _prepare_stimulus(dataset, name, inputs_sha)
        if arguments.stimulus is None:
            for name in _only(f"recording of {dataset.kind}", arguments.recording, recordings):
                _prepare_recording(dataset, name, inputs_sha)


def _prepare_stimulus(dataset: DatasetPlan, name: str, inputs_sha: str) -> None:
    from pipeline.artifacts.stimulus import write_stimulus
    from pipeline.stimuli.repeated.alike import DOUBTS, EQUAL, describe_contents

    stimulus = describe_contents(dataset.entry.prepare_stimulus(name, dataset.raw_folder, dataset.options))
    if EQUAL in stimulus.attrs:
        print(f"layermap prepare: {stimulus.attrs[EQUAL]}", file=sys.stderr, flush=True)
    if DOUBTS in stimulus.attrs:
        print(f"layermap prepare: warning: {stimulus.attrs[DOUBTS]}", file=sys.stderr, flush=True)
    # what several selections share is made from its own files alone
    inputs_sha = stimulus.attrs.pop("inputs_sha", inputs_sha)
    attrs = standard_attrs("stimulus", "layermap prepare", dataset.stimulus_key, inputs_sha)
    write_stimulus(stimulus.assign_attrs({**stimulus.attrs, **attrs}), dataset.stimulus_path(name))


def _prepare_recording(dataset: DatasetPlan, name: str, inputs_sha: str) -> None:
    from pipeline.artifacts.geometry import write_geometry
    from pipeline.artifacts.recording import RecordingParts, write_recording

    recording = dataset.entry.prepare_recording(name, dataset.raw_folder, dataset.options)
    header = recording.header if isinstance(recording, RecordingParts) else recording
    kind = "geometry" if "item2" in header.dims else "recording"
    inputs_sha = header.attrs.pop("inputs_sha", inputs_sha)
    attrs = {**standard_attrs(kind, "layermap prepare", dataset.prep_key, inputs_sha), "name": name}
    path = dataset.recording_path(name)
    if isinstance(recording, RecordingParts):
        write_recording(recording.with_attrs(attrs), path)
    else:
        write = write_geometry if kind == "geometry" else write_recording
        write(recording.assign_attrs({**recording.attrs, **attrs}), path)


def _models(arguments: argparse.Namespace, analysis: AnalysisPlan) -> list[ModelPlan]:
    return [analysis.model(arguments.model)] if arguments.model else list(analysis.models)


def run_activate(arguments: argparse.Namespace) -> None:
    from pipeline.activations.stage import extract_activations
    from pipeline.core import paths

    done: set[Path] = set()
    for analysis in _analyses(arguments):
        stimuli = [stimulus.name for stimulus in analysis.dataset.open_catalogue().stimuli]
        for stimulus in _only(f"stimulus of {analysis.dataset.kind}", arguments.stimulus, stimuli):
            for model in _models(arguments, analysis):
                output = analysis.activations_path(model, stimulus)
                if output in done:
                    continue
                done.add(output)
                identity.check_shown(analysis.dataset, stimulus)
                stimulus_path = analysis.dataset.stimulus_path(stimulus)
                key = model.act_key(analysis.dataset, stimulus)
                extract_activations(
                    stimulus_path=stimulus_path,
                    output=output,
                    model=model.name,
                    entry=model.model.entry,
                    twin=model.model.twin,
                    layers=model.layers,
                    reduction=model.choice.reduction,
                    weights_folder=paths.weights_folder(model.base) if model.needs_weights else None,
                    device=arguments.device,
                    precision=model.choice.precision,
                    batch_size=arguments.batch_size,
                    attrs=standard_attrs(
                        "activations", "layermap activate", key, identity.sha_of([str(stimulus_path)])
                    ),
                )


def _score_jobs(arguments: argparse.Namespace, stage: str) -> Iterator[tuple[AnalysisPlan, str, ModelPlan]]:
    for analysis in _analyses(arguments, stage):
        groups = [group.name for group in analysis.dataset.open_catalogue().groups]
        for group in _only(f"group of {analysis.dataset.kind}", arguments.group, groups):
            for model in _models(arguments, analysis):
                yield analysis, group, model


def _run_scores(arguments: argparse.Namespace, stage: str) -> None:
    from pipeline.artifacts.scores import write_scores
    from pipeline.core.progress import progress_of_folds
    from pipeline.core.registry import import_object
    from pipeline.encoding.arithmetic.compute import Compute

    shuffle_seed = _plan(arguments).study.shuffle_seed
    jobs = list(_score_jobs(arguments, stage))
    for number, (analysis, group_name, model) in enumerate(jobs, start=1):
        group = analysis.group(group_name)
        inputs_sha = identity.check_score_inputs(analysis, group, model)
        inputs = analysis.score_inputs(group, model)
        output = analysis.scores_path(group_name, model)
        run = import_object(analysis.metric.run)
        if isinstance(analysis.metric, MappingEntry):
            which = f" ({number} of {len(jobs)})" if len(jobs) > 1 else ""
            what = f"{stage} {analysis.name}/{group_name}: {model.name}{which}"
            progress = functools.partial(progress_of_folds, what)
            compute = Compute(arguments.device, arguments.memory_budget_mb, output.parent, progress)
            spaces = analysis.space_inputs(group, model)
            run = functools.partial(run, analysis.metric, spaces=spaces, compute=compute, null=analysis.null_of(model))
        attrs: dict[str, Any] = {
            "study": analysis.study,
            "analysis": analysis.name,
            "group": group_name,
            "created_by": f"layermap {stage}",
            "config_sha": analysis.score_key(model, shuffle_seed),
            "inputs_sha": inputs_sha,
        }
        scores = run(runs=inputs, options=analysis.options, layers=model.layers, attrs=attrs, shuffle_seed=shuffle_seed)
        write_scores(scores, output)
        del scores  # the next one's tables need not find room beside them


def run_encode(arguments: argparse.Namespace) -> None:
    if arguments.estimate:
        from pipeline.study.stages.estimate_stage import print_estimate

        print_estimate(_analyses(arguments, "encode"), arguments)
        return
    _run_scores(arguments, "encode")


def run_compare(arguments: argparse.Namespace) -> None:
    _run_scores(arguments, "compare")


def run_identify(arguments: argparse.Namespace) -> None:
    from pipeline.artifacts.identifiability import write_identifiability
    from pipeline.encoding.arithmetic.compute import Compute
    from pipeline.identifiability.calibration import CalibrationOptions
    from pipeline.identifiability.stage import Network, identify_group

    plan = _plan(arguments)
    for analysis in _analyses(arguments, "encode"):
        metric = analysis.metric
        if not analysis.is_identified or not isinstance(metric, MappingEntry):
            continue
        groups = [group.name for group in analysis.dataset.open_catalogue().groups]
        for name in _only(f"group of {analysis.dataset.kind}", arguments.group, groups):
            group = analysis.group(name)
            output = analysis.identifiability_path(name)
            columns = analysis.inference.simulated_columns
            inputs_sha = identity.check_simulation_inputs(analysis, group)
            dataset = identify_group(
                metric,
                networks=[
                    Network(
                        model.name,
                        analysis.score_inputs(group, model),
                        model.layers,
                        only_best=model.model.twin is not None,
                    )
                    for model in analysis.identified_models
                ],
                options=cast("EncodingOptions", analysis.options),
                attrs={
                    "study": analysis.study,
                    "analysis": analysis.name,
                    "group": name,
                    "created_by": "layermap identify",
                    "config_sha": analysis.identifiability_key(plan.study.shuffle_seed),
                    "inputs_sha": inputs_sha,
                },
                shuffle_seed=plan.study.shuffle_seed,
                n_repeats=analysis.inference.simulations,
                seed=analysis.null.seed,
                compute=Compute(arguments.device, arguments.memory_budget_mb, output.parent),
                calibrate=CalibrationOptions(analysis.inference.calibration.n, analysis.inference, columns),
                most_columns=columns,
            )
            write_identifiability(dataset, output)


def run_power(arguments: argparse.Namespace) -> None:
    from pipeline.study.stages.power_stage import write_power

    write_power(_plan(arguments), _analyses(arguments), arguments)


def run_ship(arguments: argparse.Namespace) -> None:
    from pipeline.training.ship import ship_training

    print(f"shipped: {ship_training(arguments.recipe, arguments.seed)}", flush=True)


def run_train(arguments: argparse.Namespace) -> None:
    from pipeline.study.stages import train_stage

    train_stage.run_train(arguments)


def _score_paths(analysis: AnalysisPlan) -> list[Path]:
    groups = analysis.dataset.open_catalogue().groups
    return [analysis.scores_path(group.name, model) for group in groups for model in analysis.models]


def _identifiability_paths(analysis: AnalysisPlan) -> list[Path]:
    groups = analysis.dataset.open_catalogue().groups if analysis.is_identified else ()
    return [analysis.identifiability_path(group.name) for group in groups]


def run_map(arguments: argparse.Namespace) -> None:
    from pipeline.artifacts.map import write_map
    from pipeline.inference.stage import AnalysisScores, build_map

    plan = _plan(arguments)
    analyses = [
        AnalysisScores(
            name=analysis.name,
            metric=analysis.metric.kind,
            within_category=bool(getattr(analysis.options, "within_category", False)),
            contrasts=analysis.analysis.all_contrasts,
            region_order=analysis.analysis.region_order,
            models=tuple(model.name for model in analysis.models),
            paths=tuple(_score_paths(analysis)),
            streams=analysis.analysis.streams,
            languages=analysis.analysis.languages,
            spaces=tuple(dict.fromkeys(space.model.name for space in analysis.spaces)),
            identifiability=tuple(_identifiability_paths(analysis)),
        )
        for analysis in plan.analyses
    ]
    inputs_sha = identity.check_scores(plan)
    tables = build_map(study=plan.name, analyses=analyses, inference=plan.study.inference)
    attrs = {**standard_attrs("map", "layermap map", plan.map_key(), inputs_sha), "study": plan.name}
    write_map(tables, attrs, plan.map_path)


def run_report(arguments: argparse.Namespace) -> None:
    from pipeline.report.stage import write_report
    from pipeline.study.page_facts import benchmark_files, study_facts

    plan = _plan(arguments)
    identity.check_map(plan, identity.check_scores(plan))
    facts = study_facts(plan, f"snakemake all {config_words(arguments)}")
    scores = {analysis.name: _score_paths(analysis) for analysis in plan.analyses}
    write_report(facts, scores, benchmark_files(plan), plan.report_path)


def list_studies() -> str:
    return "\n".join(f"{name:16s} {load_study(name).title}" for name in STUDIES.known())


def list_recipes() -> str:
    from pipeline.training.recipe import RECIPES, load_recipe

    return "\n".join(f"{name:28s} {load_recipe(name).title}" for name in RECIPES.known())


def list_models() -> str:
    lines = [f"{'name':30s} {'objective':16s} {'takes':14s} {'layers':>6s} {'parameters':>12s}  licence"]
    for name in [*MODELS, *trained_names()]:
        entry = resolve_model(name).entry
        parameters = f"{entry.parameters:,d}" if entry.parameters else "—"
        lines.append(
            f"{name:30s} {entry.objective:16s} {'/'.join(entry.modalities):14s} {len(entry.layers):6d} "
            f"{parameters:>12s}  {entry.licence}"
        )
    return "\n".join(lines)


def list_layers(name: str, study: str | None, build: bool = False) -> str:
    """A model's layers; of a network of the study's own, as the study names them.

    Parameters
    ----------
    build : also run the code of such a network, to list its layers one by one and all modules that can be named
    """
    networks = entries_of(load_study(study)) if study else {}
    entry = resolve_model(name, networks).entry
    layers, modules = entry.layers, ""
    if not layers:
        if "factory" not in entry.arguments:
            raise LayermapError(f"the layers of '{name}' are known once it has run; see its activations, or its map")
        if not build:
            return _layers_as_named(entry, study or "STUDY")
        from pipeline.models.hub.own_network import layers_and_modules

        print(f"layermap layers: running code that the study names: {entry.arguments['factory']}", file=sys.stderr)
        layers, names = layers_and_modules(entry)
        modules = "\nmodules: " + " ".join(names)
    lines = [f"{'index':>5s}  {'relative depth':>14s}  {'pathway':8s}  layer"]
    rows = (f"{one.index:5d}  {one.relative_depth:14.3f}  {one.pathway:8s}  {one.name}" for one in layers)
    return "\n".join([*lines, *rows]) + modules


def _layers_as_named(entry: ModelEntry, study: str) -> str:
    """What a study says of its own network's layers; nothing of the network's code is imported or run."""
    from pipeline.models.hub.own_network import WHOLE

    rows = [
        f"{one['module'] or WHOLE:24s}  {one['name'] or one['module'] or WHOLE}" for one in entry.arguments["layers"]
    ]
    return "\n".join(
        [
            f"{'module (* for several)':24s}  layer",
            *rows,
            f"{entry.arguments['factory']} was not run. To run it, and list layers one by one and all modules:",
            f"python -m pipeline layers {entry.name} --study {shlex.quote(study)} --build",
        ]
    )
