"""What a run of the encode stage will cost, from sizes alone: operations, bytes, seconds, peak memory."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from pipeline.core.limits import size_in_words
from pipeline.core.progress import human_time
from pipeline.encoding.estimate.memory import stage_memory
from pipeline.encoding.ridge.cost import FitShape, Rates, fit_cost, forms_of

UNKNOWN = "—"
BYTES_PER_PART = 4e7
"""Moved in the time that a part takes whatever its size: calls and small arrays."""
BYTES_PER_COLUMN = 5 * 8
"""And outer fold: two scores, their copies, a penalty."""
PROGRAM_MB = 300
"""Resident memory of the program with torch before anything is read."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is known of one (analysis, group, model) before it is run.

    Parameters
    ----------
    fits : of each layer; empty where sizes or what the metric does are not known
    without : the fit of feature spaces without a layer, if there is one
    again : those of the responses in other orders
    n_samples, n_targets, n_layers : None where they are not known
    n_repeats, n_blocks : of each response; of the bootstrap
    lacking, remedy : why nothing is estimated, and the command that mends it; empty if something is
    """

    analysis: str
    group: str
    model: str
    fits: tuple[FitShape, ...] = ()
    without: tuple[FitShape, ...] = ()
    again: tuple[FitShape, ...] = ()
    n_samples: int | None = None
    n_targets: int | None = None
    n_layers: int | None = None
    n_repeats: int = 1
    n_blocks: int = 1
    lacking: str = ""
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Run:
    """How jobs are to be run.

    Parameters
    ----------
    machine : device and threads, as they are to be named
    batch_limit : targets in a batch at most
    start_s : until the program begins with its first fit, in s of processor time
    """

    machine: str
    rates: Rates
    memory_budget_mb: float
    batch_limit: int
    start_s: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a job, or all of them, will cost.

    Parameters
    ----------
    bytes_read, bytes_written : of recordings and activations; of scores
    peak_bytes : on top of the program itself, of the largest fit
    """

    forms: frozenset[str]
    flops: float
    bytes_read: float
    bytes_written: float
    seconds: float
    peak_bytes: float


def estimate_job(job: Job, run: Run) -> Estimate:
    """Sum up the fits of one job; equal ones are counted once."""
    count = Counter(job.fits + job.without + job.again)
    costs = {fit: fit_cost(fit) for fit in count}
    first = job.fits[0]
    by_layer = 8.0 * (job.n_layers or 1) * first.n_targets
    read = 4.0 * job.n_repeats * first.n_samples * first.n_targets
    read += sum(4.0 * n * fit.n_bins * fit.n_features for fit, n in count.items())
    parts = sum(n * fit.n_weightings * len(fold) for fit, n in count.items() for fold in fit.parts)
    fitting = sum(n * costs[fit].seconds(run.rates) for fit, n in count.items())
    return Estimate(
        forms=frozenset(form for cost in costs.values() for form in cost.forms),
        flops=sum(n * costs[fit].total_flops for fit, n in count.items()),
        bytes_read=read,
        bytes_written=(3 * job.n_blocks + 2 * len(first.parts)) * by_layer,
        seconds=fitting + parts * BYTES_PER_PART / run.rates.memory + read / run.rates.disk,
        peak_bytes=max(_peak(fit, job, run) for fit in job.fits + job.without) + _null_bytes(job),
    )


def _null_bytes(job: Job) -> float:
    """Scores and penalties of all columns of a fit to other orders, while they are averaged over leaves."""
    return max((float(BYTES_PER_COLUMN * len(fit.parts) * fit.n_targets) for fit in job.again), default=0.0)


def _peak(fit: FitShape, job: Job, run: Run) -> float:
    return stage_memory(
        fit,
        n_layers=job.n_layers or 1,
        n_repeats=job.n_repeats,
        n_blocks=job.n_blocks,
        memory_budget_mb=run.memory_budget_mb,
        most=run.batch_limit,
    )


def total(estimates: Sequence[Estimate]) -> Estimate:
    """Jobs one after another: everything adds up, but memory, which is that of the largest."""
    return Estimate(
        forms=frozenset(form for one in estimates for form in one.forms),
        flops=sum(one.flops for one in estimates),
        bytes_read=sum(one.bytes_read for one in estimates),
        bytes_written=sum(one.bytes_written for one in estimates),
        seconds=sum(one.seconds for one in estimates),
        peak_bytes=max((one.peak_bytes for one in estimates), default=0.0),
    )


def eigh_size(jobs: Sequence[Job]) -> int:
    """Rows of the decompositions that most time goes into, for the calibration."""
    work: Counter[int] = Counter()
    for fit, n in Counter(fit for job in jobs for fit in job.fits + job.without).items():
        for parts, form in zip(fit.parts, forms_of(fit), strict=True):
            for part in parts:
                k = fit.n_delayed if form == "primal" else part.n_train
                work[k] += n * k**3
    return work.most_common(1)[0][0] if work else 256


_COLUMNS = (
    "analysis",
    "group",
    "model",
    "samples",
    "targets",
    "layers",
    "features",
    "form",
    "operations",
    "read",
    "written",
    "time",
    "peak memory",
)
_N_NAMES = 3
"""Columns of text, to the left; the others are to the right."""


def describe(jobs: Sequence[Job], run: Run | None) -> str:
    """What each job and all together will cost, as a table with what it rests on.

    Parameters
    ----------
    run : None where no job has fits
    """
    estimates = {} if run is None else {job: estimate_job(job, run) for job in jobs if job.fits}
    rows = [_COLUMNS, *(_row(job, estimates.get(job)) for job in jobs)]
    if len(estimates) > 1:
        counted = "all" if len(estimates) == len(jobs) else f"{len(estimates)} of {len(jobs)}"
        rows.append((f"together ({counted})", *[""] * 7, *_costs(total(list(estimates.values())))))
    table = [*_aligned(rows), "", *_lacking(jobs)]
    return "\n".join(table if run is None else [_machine(run), "", *table, _beside(run)])


def _lacking(jobs: Sequence[Job]) -> list[str]:
    """One line for each command that makes what is missing."""
    by_remedy: dict[str, dict[str, None]] = {}
    for job in jobs:
        if job.lacking:
            by_remedy.setdefault(job.remedy, {})[job.lacking] = None
    return [
        f"missing: {', '.join(lacking)}; {remedy}" if remedy else f"not estimated: {', '.join(lacking)}"
        for remedy, lacking in by_remedy.items()
    ]


def _beside(run: Run) -> str:
    """What the table leaves out."""
    return (
        f"Each process takes another {_duration(run.start_s)} to start: one in all for this command, one for each row "
        "under Snakemake.\n"
        f"Peak memory comes on top of the program itself (about {PROGRAM_MB} MB) and is kept below "
        f"--memory-budget-mb, {run.memory_budget_mb:.0f} MB here, unless what all targets share is larger."
    )


def _row(job: Job, estimate: Estimate | None) -> tuple[str, ...]:
    known = [f"{n:,}" if n else UNKNOWN for n in (job.n_samples, job.n_targets, job.n_layers)]
    widths = sorted({fit.n_features for fit in job.fits})
    features = UNKNOWN if not widths else f"{widths[0]:,}" if len(widths) == 1 else f"{widths[0]:,}–{widths[-1]:,}"
    form = "/".join(sorted(estimate.forms)) if estimate else UNKNOWN
    costs = _costs(estimate) if estimate else (UNKNOWN,) * 5
    return (job.analysis, job.group, job.model, *known, features, form, *costs)


def _costs(estimate: Estimate) -> tuple[str, ...]:
    moved = [size_in_words(n) for n in (estimate.bytes_read, estimate.bytes_written)]
    return (_flop(estimate.flops), *moved, _duration(estimate.seconds), size_in_words(estimate.peak_bytes))


def _machine(run: Run) -> str:
    rates = run.rates
    return (
        f"{run.machine}: products {_flop(rates.float32_product)}/s in float32 and {_flop(rates.float64_product)}/s in "
        f"float64, decompositions {_flop(rates.float64_eigh)}/s, memory {size_in_words(rates.memory)}/s, "
        f"disk {size_in_words(rates.disk)}/s"
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < _N_NAMES else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _flop(n: float) -> str:
    """``1.2e12`` → ``1.2 TFLOP``."""
    for unit in ("FLOP", "kFLOP", "MFLOP", "GFLOP"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TFLOP"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else human_time(seconds)
