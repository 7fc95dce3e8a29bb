"""What `encode` would cost, before it is run: sizes from what is there, speed from a short calibration."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.catalogue import Group
from pipeline.config.plan import AnalysisPlan, ModelPlan
from pipeline.encoding.cost import FitShape
from pipeline.encoding.estimate import UNKNOWN, Job, Run, describe, eigh_size
from pipeline.encoding.sizes import GroupSizes, group_sizes, open_headers

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
    from pipeline.encoding.calibrate import measure_rates
    from pipeline.encoding.device import arithmetic

    on = arithmetic(arguments.device, "float32")
    jobs = [job for analysis in analyses for job in _jobs(analysis, arguments)]
    if not jobs:
        print(f"nothing is encoded in study '{arguments.study}'")
        return
    rates = measure_rates(on.device, eigh_size=eigh_size(jobs))
    run = Run(_machine(on.device), rates, arguments.memory_budget_mb, on.batch_limit)
    print(describe(jobs, run), flush=True)


def _machine(device: torch.device) -> str:
    import torch

    n = torch.get_num_threads()
    threads = f"{n} thread{'' if n == 1 else 's'}"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"this processor ({threads})"


def _jobs(analysis: AnalysisPlan, arguments: argparse.Namespace) -> Iterator[Job]:
    models = [analysis.model(arguments.model)] if arguments.model else list(analysis.models)
    remedy = f"--config study={arguments.study}"
    if not analysis.dataset.catalogue_path.is_file():
        note = f"groups of '{analysis.name}' are not known yet; list them with: snakemake catalogue {remedy}"
        yield from (Job(analysis.name, UNKNOWN, model.name, n_layers=_n_layers(model), note=note) for model in models)
        return
    groups = analysis.dataset.open_catalogue().groups
    if arguments.group is not None:
        groups = tuple(group for group in groups if group.name == arguments.group) or (analysis.group(arguments.group),)
    for group in groups:
        paths = [analysis.dataset.recording_path(run.recording) for run in group.runs]
        if not all(path.is_file() for path in paths):
            note = f"recordings of '{analysis.name}' are missing; make them with: snakemake prepare {remedy}"
            yield from (Job(analysis.name, group.name, m.name, n_layers=_n_layers(m), note=note) for m in models)
            continue
        with open_headers(paths) as recordings:
            yield from [_job(analysis, group, model, recordings, remedy) for model in models]


def _n_layers(model: ModelPlan) -> int | None:
    return None if model.layers is None else len(model.layers)


def _job(
    analysis: AnalysisPlan, group: Group, model: ModelPlan, recordings: dict[Path, xr.Dataset], remedy: str
) -> Job:
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
        note = f"activations of {model.name} are missing; make them with: snakemake activate {remedy}"
        return dataclasses.replace(job, note=note)
    if analysis.metric.kind != "ridge":
        return dataclasses.replace(job, note=f"fits of metric '{analysis.metric.kind}' are not estimated")
    return dataclasses.replace(job, fits=_fits(sizes, options.penalties.n))


def _fits(sizes: GroupSizes, n_penalties: int) -> tuple[FitShape, ...]:
    return tuple(
        FitShape(
            n_bins=sizes.n_bins,
            n_samples=sizes.n_samples,
            n_features=n_features,
            n_delays=sizes.n_delays,
            n_targets=sizes.n_targets,
            n_penalties=n_penalties,
            parts=sizes.parts,
        )
        for n_features in sizes.n_features
    )
