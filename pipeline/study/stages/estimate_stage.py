"""What `encode` would cost, before it is run: sizes from what is there, speed from a short calibration."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.catalogue import Group
from pipeline.encoding.estimate.run_cost import UNKNOWN, Job, Run, describe, eigh_size
from pipeline.encoding.estimate.sizes import GroupSizes, group_sizes, n_features_of, open_headers
from pipeline.encoding.mapping import MappingEntry
from pipeline.encoding.mappings.banded_null import n_unique_orders
from pipeline.encoding.null_tables import n_orders_of, null_lots
from pipeline.encoding.ridge.cost import FitShape
from pipeline.study.flags import config_words
from pipeline.study.plan import AnalysisPlan
from pipeline.study.planned_inputs import ModelPlan

if TYPE_CHECKING:
    import torch
    import xarray as xr


def print_estimate(analyses: list[AnalysisPlan], arguments: argparse.Namespace) -> None:
    """Print the costs of every (analysis, group, model) asked for; what is still to be made is named.

    Raises
    ------
    LayermapError
        A group or model that there is none of, a GPU that is not there, or inputs that `encode` would refuse.
    """
    from pipeline.encoding.arithmetic.compute import arithmetic
    from pipeline.encoding.estimate.calibrate import measure_rates

    on = arithmetic(arguments.device, "float32")
    jobs = [job for analysis in analyses for job in _jobs(analysis, arguments)]
    if not jobs:
        print(f"nothing is encoded in study '{arguments.study}'")
        return
    if not any(job.fits for job in jobs):
        print(describe(jobs, None), flush=True)
        return
    start_s = time.process_time()  # what it took to come here, it will take again
    rates = measure_rates(on.device, eigh_size=eigh_size(jobs))
    run = Run(_machine(on.device), rates, arguments.memory_budget_mb, on.batch_limit, start_s)
    print(describe(jobs, run), flush=True)


def _machine(device: torch.device) -> str:
    import torch

    n = torch.get_num_threads()
    threads = f"{n} thread{'' if n == 1 else 's'}"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"this processor ({threads})"


def _jobs(analysis: AnalysisPlan, arguments: argparse.Namespace) -> Iterator[Job]:
    models = [analysis.model(arguments.model)] if arguments.model else list(analysis.models)
    flags = config_words(arguments)
    if not analysis.dataset.catalogue_path.is_file():
        yield from (
            _unknown(analysis, UNKNOWN, model, "groups", f"list them with: snakemake catalogue {flags}")
            for model in models
        )
        return
    groups = analysis.dataset.open_catalogue().groups
    if arguments.group is not None:
        groups = tuple(group for group in groups if group.name == arguments.group) or (analysis.group(arguments.group),)
    for group in groups:
        paths = [analysis.dataset.recording_path(run.recording) for run in group.runs]
        if not all(path.is_file() for path in paths):
            remedy = f"make them with: snakemake prepare {flags}"
            yield from (_unknown(analysis, group.name, model, "recordings", remedy) for model in models)
            continue
        with open_headers(paths) as recordings:
            yield from [_job(analysis, group, model, recordings, flags) for model in models]


def _unknown(analysis: AnalysisPlan, group: str, model: ModelPlan, what: str, remedy: str) -> Job:
    """A job of which nothing but its name is known."""
    lacking = f"{what} of '{analysis.name}'"
    return Job(analysis.name, group, model.name, n_layers=_n_layers(model), lacking=lacking, remedy=remedy)


def _n_layers(model: ModelPlan) -> int | None:
    return None if model.layers is None else len(model.layers)


def _job(analysis: AnalysisPlan, group: Group, model: ModelPlan, recordings: dict[Path, xr.Dataset], flags: str) -> Job:
    options: Any = analysis.options
    stimuli = [run.stimulus for run in group.runs]
    sizes = group_sizes(analysis.score_inputs(group, model), stimuli, recordings, options, model.layers)
    job = Job(
        analysis.name,
        group.name,
        model.name,
        n_samples=sizes.n_samples,
        n_targets=sizes.n_targets,
        n_layers=len(sizes.n_features) or _n_layers(model),
        n_repeats=sizes.n_repeats,
        n_blocks=sizes.n_blocks,
    )
    if not sizes.n_features:
        remedy = f"make them with: snakemake activate {flags}"
        return dataclasses.replace(job, lacking=f"activations of {model.name}", remedy=remedy)
    return _with_fits(job, analysis, group, model, sizes, flags)


def _with_fits(job: Job, analysis: AnalysisPlan, group: Group, model: ModelPlan, sizes: GroupSizes, flags: str) -> Job:
    """Add the fits that a metric makes of the sizes, where they are of a kind that is counted."""
    options: Any = analysis.options
    metric = analysis.metric
    if not isinstance(metric, MappingEntry) or metric.n_penalties is None:
        return dataclasses.replace(job, lacking=f"fits of metric '{metric.kind}'")
    n_penalties = metric.n_penalties(options)
    spaces = analysis.space_inputs(group, model)
    if not spaces:
        fits = tuple(_fit(sizes, n, n_penalties) for n in sizes.n_features)
        lots = null_lots(n_orders_of(analysis.null_of(model), sizes.n_targets), sizes.n_targets)
        again = tuple(dataclasses.replace(fit, n_targets=n * sizes.n_targets) for fit in fits for n in lots)
        return dataclasses.replace(job, fits=fits, again=again)
    if not all(space.activations[0].is_dir() for space in spaces):
        remedy = f"make them with: snakemake activate {flags}"
        return dataclasses.replace(job, lacking=f"activations of the spaces of '{analysis.name}'", remedy=remedy)
    widths = [n_features_of(space) for space in spaces]
    joint = [_fit(sizes, n + sum(widths), n_penalties, options.n_weightings) for n in sizes.n_features]
    without = _fit(sizes, sum(widths), n_penalties, options.n_weightings if len(spaces) > 1 else 1)
    n_orders = n_unique_orders(analysis.null_of(model).n, sizes.n_targets, options.n_weightings)
    lots = null_lots(n_orders, sizes.n_targets)
    again = tuple(dataclasses.replace(fit, n_targets=n * sizes.n_targets) for fit in (without, *joint) for n in lots)
    return dataclasses.replace(job, fits=tuple(joint), without=(without,), again=again)


def _fit(sizes: GroupSizes, n_features: int, n_penalties: int, n_weightings: int = 1) -> FitShape:
    return FitShape(
        n_bins=sizes.n_bins,
        n_samples=sizes.n_samples,
        n_features=n_features,
        n_delays=sizes.n_delays,
        n_targets=sizes.n_targets,
        n_penalties=n_penalties,
        parts=sizes.parts,
        n_weightings=n_weightings,
    )
