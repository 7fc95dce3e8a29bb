"""What a run of the encode stage will cost, from sizes alone: operations, bytes, seconds, peak memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pipeline.encoding.cost import FitCost, FitShape, Rates, cheaper_form, fit_cost
from pipeline.fetch.progress import human_bytes, human_time

UNKNOWN = "—"
PROGRAM_MB = 400
"""Resident memory of the program with torch before anything is read."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is known of one (analysis, group, model) before it is run.

    Parameters
    ----------
    fits : of each layer; empty where sizes are not known, or the metric is not estimated
    n_repeated : times that each of them is fitted, such as weightings of feature spaces
    n_samples, n_targets, n_layers : None where they are not known
    note : why nothing is estimated; empty if something is
    """

    analysis: str
    group: str
    model: str
    fits: tuple[FitShape, ...] = ()
    n_repeated: int = 1
    n_samples: int | None = None
    n_targets: int | None = None
    n_layers: int | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a job, or all of them, will cost.

    Parameters
    ----------
    peak_bytes : on top of the program itself, of the largest fit
    """

    forms: frozenset[str]
    flops: float
    bytes_read: float
    bytes_written: float
    seconds: float
    peak_bytes: float


def estimate_job(job: Job, rates: Rates, memory_budget_mb: float) -> Estimate:
    """Sum up the fits of one job; equal ones are counted once."""
    costs: dict[FitShape, FitCost] = {}
    for fit in job.fits:
        if fit not in costs:
            costs[fit] = fit_cost(fit, memory_budget_mb=memory_budget_mb)
    each = [costs[fit] for fit in job.fits]
    return Estimate(
        forms=frozenset(form for cost in each for form in cost.forms),
        flops=job.n_repeated * sum(cost.total_flops for cost in each),
        bytes_read=sum(cost.bytes_read for cost in each),
        bytes_written=sum(cost.bytes_written for cost in each),
        seconds=job.n_repeated * sum(cost.seconds(rates) for cost in each),
        peak_bytes=max((cost.peak_bytes for cost in each), default=0.0),
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
    """Rows of the decomposition that most time goes into, for the calibration."""
    sizes: dict[int, float] = {}
    for fit in (fit for job in jobs for fit in job.fits):
        for parts in fit.parts:
            form = cheaper_form(parts, fit.n_features, fit.n_delays, fit.n_targets)
            for part in parts:
                k = fit.n_features * fit.n_delays if form == "primal" else part.n_train
                sizes[k] = sizes.get(k, 0.0) + float(k) ** 3
    return max(sizes, key=lambda k: sizes[k], default=256)


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


def describe(jobs: Sequence[Job], rates: Rates, memory_budget_mb: float, machine: str) -> str:
    """What each job and all together will cost, as a table with what it rests on.

    Parameters
    ----------
    machine : device and threads, as they are to be named
    """
    estimates = {job: estimate_job(job, rates, memory_budget_mb) for job in jobs if job.fits}
    rows = [_COLUMNS, *(_row(job, estimates.get(job)) for job in jobs)]
    if len(estimates) > 1:
        whole = total(list(estimates.values()))
        counted = "all" if len(estimates) == len(jobs) else f"{len(estimates)} of {len(jobs)}"
        rows.append((f"together ({counted})", *[""] * 7, *_costs(whole)))
    lines = [_machine(rates, machine), "", *_aligned(rows), ""]
    notes = dict.fromkeys(job.note for job in jobs if job.note)
    lines += [
        f"peak memory is on top of the program's own, about {PROGRAM_MB} MB, and is kept below --memory-budget-mb"
    ]
    lines += [
        f"({memory_budget_mb:.0f} MB here) where one target and what all share fit in; {UNKNOWN} is not known yet"
    ]
    return "\n".join([*lines, *notes])


def _row(job: Job, estimate: Estimate | None) -> tuple[str, ...]:
    known = [f"{n:,}" if n else UNKNOWN for n in (job.n_samples, job.n_targets, job.n_layers)]
    widths = sorted({fit.n_features for fit in job.fits})
    features = UNKNOWN if not widths else f"{widths[0]:,}" if len(widths) == 1 else f"{widths[0]:,}–{widths[-1]:,}"
    form = "/".join(sorted(estimate.forms)) if estimate else UNKNOWN
    costs = _costs(estimate) if estimate else (UNKNOWN,) * 5
    return (job.analysis, job.group, job.model, *known, features, form, *costs)


def _costs(estimate: Estimate) -> tuple[str, ...]:
    moved = [human_bytes(n) for n in (estimate.bytes_read, estimate.bytes_written)]
    return (_flop(estimate.flops), *moved, _duration(estimate.seconds), human_bytes(estimate.peak_bytes))


def _machine(rates: Rates, machine: str) -> str:
    return (
        f"{machine}: products {_flop(rates.float32_product)}/s in float32 and {_flop(rates.float64_product)}/s in "
        f"float64, decompositions {_flop(rates.float64_eigh)}/s, memory {human_bytes(rates.memory)}/s, "
        f"disk {human_bytes(rates.disk)}/s"
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
