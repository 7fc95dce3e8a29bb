"""How much a study would have to record, from its stimuli and networks alone: a table and a page."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipeline.artifacts.catalogue import Group
from pipeline.artifacts.storage.store import write_whole
from pipeline.core import paths
from pipeline.core.errors import BadConfiguration, LayermapError
from pipeline.core.progress import Progress
from pipeline.core.prose import counted, listed
from pipeline.core.spreadsheet import write_csv
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.group.planned import planned_samples, some_samples
from pipeline.encoding.mapping import MappingEntry
from pipeline.encoding.options import EncodingOptions
from pipeline.encoding.splits import Samples
from pipeline.identifiability.power import Averaged, Candidate, Planned, Row, Signal, recovery
from pipeline.study import identity
from pipeline.study.plan import AnalysisPlan, StudyPlan
from pipeline.study.planned_inputs import ModelPlan

if TYPE_CHECKING:
    import pandas as pd

PARTS = (4, 2, 1)
"""Default sizes: all of the stimuli, divided by these."""


@dataclasses.dataclass(frozen=True)
class _Job:
    """One analysis: its networks, and the sizes of recording that are tried, in minutes or items."""

    analysis: AnalysisPlan
    group: Group
    networks: list[Candidate]
    unit: str
    sizes: list[tuple[float, Planned]]

    def n_fits(self, n_averaged: int) -> int:
        """Fits of a layer to the data sets of one size and design."""
        models = [model for one in self.networks for model in (one, one.twin) if model is not None]
        return len(self.sizes) * n_averaged * sum(len(model.layers) for model in models)


def write_power(plan: StudyPlan, analyses: Sequence[AnalysisPlan], arguments: argparse.Namespace) -> None:
    """Simulate recordings of each size asked for; print the table, and write it as CSV and as a page beside it.

    Raises
    ------
    BrokenArtifact
        The catalogue, a stimulus or activations are missing, or not those of the study.
    LayermapError
        No analysis fits each target by itself, no network has two layers, or sizes that the stimuli do not hold.
    """
    import pandas as pd

    from pipeline.report.power_page import power_page

    output = Path(arguments.output or paths.power(plan.name))
    if output.suffix != ".csv":
        raise LayermapError(f"--output {output}: give the table a name that ends in .csv; the page goes beside it")
    jobs = [_job(analysis, arguments) for analysis in _suitable(analyses, named=arguments.analysis is not None)]
    averaged = [Averaged(*pair) for pair in itertools.product(arguments.repeats, arguments.subjects)]
    signal = Signal(arguments.share, arguments.targets, arguments.autocorrelation)
    total = sum(job.n_fits(len(averaged)) for job in jobs)
    print(_said(jobs, averaged, signal, arguments.n, total), file=sys.stderr, flush=True)
    compute = Compute(arguments.device, arguments.memory_budget_mb, output.parent)
    progress = Progress(f"power {plan.name}", total, unit="fit")
    try:
        rows = [row for job in jobs for row in _rows(job, averaged, signal, arguments, compute, progress)]
        progress.finish(f"{counted(total, 'fit')}")
    finally:
        progress.close()
    table = pd.DataFrame(rows)
    with write_whole(output) as temporary:
        write_csv(table, temporary, str(output))
    page = output.with_suffix(".html")
    assumed = f"{_assumed(signal)}; {arguments.n} data sets from each layer, seed {arguments.seed}"
    with write_whole(page) as temporary:
        temporary.write_text(power_page(plan.study.title, table, assumed, output.name), encoding="utf-8")
    print(_in_words(table))
    print(f"written: {output}, {page}", flush=True)


def _suitable(analyses: Sequence[AnalysisPlan], *, named: bool) -> list[AnalysisPlan]:
    found = [one for one in analyses if isinstance(one.metric, MappingEntry) and one.metric.side_by_side]
    if not found or (named and len(found) < len(analyses)):
        kinds = listed(list(dict.fromkeys(one.metric.kind for one in analyses)))
        raise LayermapError(
            f"nothing can be planned with metric {kinds}: recordings are simulated for encoding models that fit each "
            "target by itself, such as ridge"
        )
    return found


def _job(analysis: AnalysisPlan, arguments: argparse.Namespace) -> _Job:
    catalogue = analysis.dataset.open_catalogue()
    group = analysis.group(arguments.group) if arguments.group else catalogue.groups[0]
    stimuli = list(dict.fromkeys(run.stimulus for run in group.runs))
    for stimulus in stimuli:
        identity.check_shown(analysis.dataset, stimulus)
    networks = _networks(analysis, stimuli)
    shown = {name: (analysis.dataset.stimulus_path(name), networks[0].activations[name]) for name in stimuli}
    samples = planned_samples(shown, arguments.interval_s)
    unit = "minutes" if samples.kind == "time" else "items"
    if samples.kind == "item" and arguments.autocorrelation:
        raise LayermapError("--autocorrelation is of samples in time, and the stimuli are items; leave it out")
    return _Job(analysis, group, networks, unit, list(_sizes(analysis, samples, unit, arguments)))


def _networks(analysis: AnalysisPlan, stimuli: Sequence[str]) -> list[Candidate]:
    """All of two layers or more, each with its first random twin."""
    twins: dict[str, ModelPlan] = {}
    for model in analysis.models:
        if model.model.twin is not None and model.model.twin.kind == "random":
            twins.setdefault(model.name.rpartition("@")[0], model)
    networks = []
    for model in analysis.models:
        if model.model.twin is None:
            twin = twins.get(model.name)
            found = _candidate(analysis, model, stimuli, None if twin is None else _candidate(analysis, twin, stimuli))
            networks += [found] if len(found.layers) > 1 else []
    if not networks:
        raise LayermapError(f"analysis '{analysis.name}' has no network of two layers or more, so none to tell apart")
    return networks


def _candidate(
    analysis: AnalysisPlan, model: ModelPlan, stimuli: Sequence[str], twin: Candidate | None = None
) -> Candidate:
    found = {stimulus: identity.check_activations(analysis, model, stimulus) for stimulus in stimuli}
    layers = model.layers or tuple(found[stimuli[0]].attrs["layer_order"])
    return Candidate(model.name, {name: one.path for name, one in found.items()}, layers, twin)


def _sizes(
    analysis: AnalysisPlan, samples: Samples, unit: str, arguments: argparse.Namespace
) -> Iterator[tuple[float, Planned]]:
    """Those asked for; else parts of all that there is, as far as the study's folds can be made of them."""
    options = cast("EncodingOptions", analysis.options)
    per_unit = 60 / samples.interval_s if unit == "minutes" else 1
    there_are = f"the stimuli of analysis '{analysis.name}' are {samples.n / per_unit:.4g} {unit}"
    asked = getattr(arguments, unit)
    if asked is None and (arguments.minutes or arguments.items):
        raise LayermapError(f"{there_are}: give sizes with --{unit}")
    for size in asked or [samples.n // part / per_unit for part in PARTS]:
        n = round(size * per_unit)
        if n > samples.n:
            raise LayermapError(f"{there_are}, and {size:g} are asked for; ask for no more, or show more")
        try:
            planned = Planned.of(some_samples(samples, n, arguments.seed), options)
        except BadConfiguration as error:
            message = f"analysis '{analysis.name}', {size:.4g} {unit}: {error}"
            if asked or n == samples.n:
                raise BadConfiguration(message) from error
            print(f"layermap power: left out: {message}", file=sys.stderr, flush=True)
            continue
        yield size, planned


def _rows(
    job: _Job,
    averaged: Sequence[Averaged],
    signal: Signal,
    arguments: argparse.Namespace,
    compute: Compute,
    progress: Progress,
) -> Iterator[Row]:
    metric, options = job.analysis.metric, cast("EncodingOptions", job.analysis.options)
    assert isinstance(metric, MappingEntry)  # of `_suitable`
    for network, (size, planned) in itertools.product(job.networks, job.sizes):
        progress.at(f"{job.analysis.name}: {network.name}, {size:.4g} {job.unit}")
        found = recovery(
            metric,
            network,
            planned,
            averaged,
            options=options,
            signal=signal,
            n=arguments.n,
            seed=arguments.seed,
            compute=compute,
            after_fit=progress.advance,
        )
        for row in found:
            yield {"analysis": job.analysis.name, "group": job.group.name, "model": row["model"], job.unit: size} | row


def _said(jobs: Sequence[_Job], averaged: Sequence[Averaged], signal: Signal, n: int, total: int) -> str:
    n_samples = max(planned.samples.n for job in jobs for _, planned in job.sizes)
    n_responses = n * signal.n_targets * max(len(one.layers) for job in jobs for one in job.networks)
    sizes = max(len(job.sizes) for job in jobs)
    return (
        f"layermap power: {counted(sizes, 'size')} × {counted(len(averaged), 'design')}: {counted(total, 'fit')} of a "
        f"layer to up to {n_responses:,} simulated responses of up to {n_samples:,} samples"
    )


def _assumed(signal: Signal) -> str:
    noise = f"autocorrelation {signal.autocorrelation:g}" if signal.autocorrelation else "white noise"
    return (
        f"a region of {counted(signal.n_targets, 'target')}, a signal with {signal.share:.3g} of the variance of one "
        f"subject's single response, {noise}"
    )


def _in_words(table: pd.DataFrame) -> str:
    """The table with aligned columns."""
    units = [unit for unit in ("minutes", "items") if unit in table]
    head = ["analysis", "model", *units, "repeats", "subjects", "score", "exact", "± 1", "bits", "depth error", "twin"]
    lines = [head]
    for row in table.to_dict("records"):
        twin = "—" if row["twin"] != row["twin"] else f"{100 * row['twin']:.0f} %"
        exact = f"{100 * row['exact']:.0f} ± {100 * row['exact_se']:.0f} %"
        sizes = ["" if row[unit] != row[unit] else f"{row[unit]:.4g}" for unit in units]
        numbers = [f"{row['score']:.3f}", exact, f"{100 * row['within_one']:.0f} %", f"{row['bits']:.2f}"]
        names = [str(row["analysis"]), str(row["model"])]
        averaged = [str(row["repeats"]), str(row["subjects"])]
        lines.append([*names, *sizes, *averaged, *numbers, f"{row['depth_error']:.2f}", twin])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
