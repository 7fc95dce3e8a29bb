"""How the cost of a fit grows with targets, samples, features and penalties: ours, and the faster of himalaya's."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.machine import markdown_table
from benchmarks.ridge_cases import Case, simulate, single_split
from benchmarks.ridge_peers import Setting, fit_himalaya, free_memory, himalaya_backends, near_settings
from benchmarks.ridge_rivals import solve_ours

FIGURE = Path(__file__).parent / "ridge_slopes.png"
BASE = {"cpu": Case("slopes", "", 600, 512, 4000), "cuda": Case("slopes", "", 2400, 1024, 40_000)}
FACTORS = (0.5, 1.0, 2.0, 4.0)
SWEPT = {"n_targets": "targets", "n_train": "samples", "n_features": "features", "n_penalties": "penalties"}
ROUNDS = 3
COLOURS = {"ours": "#0072b2", "himalaya": "#d55e00"}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Seconds at each size.

    Parameters
    ----------
    field : of `Case`, that was varied
    """

    field: str
    sizes: list[int]
    seconds: dict[str, list[float]]

    def slope(self, name: str) -> float:
        """Of log seconds on log size: 1 where twice the size takes twice the time."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds[name]), 1)[0])


def slopes_section(device: str, quick: bool, seed: int, figure: Path | None) -> list[str]:
    """A table of slopes; with a path, a figure as well."""
    base = Case("slopes", "", 60, 40, 40) if quick else BASE[device]
    sweeps = [_sweep(base, field, device, seed) for field in SWEPT]
    rows = [
        [
            SWEPT[sweep.field],
            ", ".join(f"{size:,}" for size in sweep.sizes),
            *(", ".join(f"{seconds:.2f}" for seconds in sweep.seconds[name]) for name in COLOURS),
            *(f"{sweep.slope(name):.2f}" for name in COLOURS),
        ]
        for sweep in sweeps
    ]
    header = ["what grows", "sizes", "ours s", "himalaya s", "slope, ours", "slope, himalaya"]
    lines = ["### Growth", ""]
    if figure is not None:
        _draw(sweeps, base, figure)
        lines += [f"![Seconds of a fit against targets, samples, features and penalties]({figure.name})", ""]
    return [*lines, f"From {base.size}, {base.n_penalties} penalties.", "", *markdown_table(header, rows)]


def _sweep(base: Case, field: str, device: str, seed: int) -> Sweep:
    sizes = [round(getattr(base, field) * factor) for factor in FACTORS]
    seconds: dict[str, list[float]] = {name: [] for name in COLOURS}
    for size in sizes:
        for name, taken in _point(dataclasses.replace(base, **{field: size}), device, seed).items():
            seconds[name].append(taken)
    return Sweep(field, sizes, seconds)


def _point(case: Case, device: str, seed: int) -> dict[str, float]:
    """Median seconds at one size, ours and the faster of himalaya's, in turns."""
    problem, fold = simulate(case, seed), single_split(case)
    design = problem.design(0)

    def theirs(setting: Setting) -> object:
        return fit_himalaya(setting, design, problem.responses, case.penalties, fold)

    def bound(setting: Setting) -> Callable[[], object]:
        return lambda: theirs(setting)

    backend = himalaya_backends(device)[0]
    settings = near_settings(theirs, [Setting("KernelRidgeCV", backend), Setting("RidgeCV", backend)])
    runs: dict[str, Callable[[], object]] = {"ours": lambda: solve_ours(problem, fold, device)}
    runs.update({str(setting): bound(setting) for setting in settings})
    runs["ours"]()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS):
        for name in list(runs)[:: 1 if number % 2 else -1]:
            free_memory()
            began = time.perf_counter()
            runs[name]()
            taken[name].append(time.perf_counter() - began)
    found = {name: median(seconds) for name, seconds in taken.items()}
    return {"ours": found.pop("ours"), "himalaya": min(found.values())}


def _draw(sweeps: list[Sweep], base: Case, figure: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(1, len(sweeps), figsize=(10, 2.9), sharey=True, layout="constrained")
    for axis, sweep in zip(axes, sweeps, strict=True):
        for name, colour in COLOURS.items():
            label = f"{name}: slope {sweep.slope(name):.2f}"
            axis.loglog(sweep.sizes, sweep.seconds[name], "o-", color=colour, markersize=4, label=label)
        axis.set_xticks(sweep.sizes, [f"{size:,}" for size in sweep.sizes], fontsize=8)
        axis.minorticks_off()
        axis.set_xlabel(SWEPT[sweep.field])
        axis.legend(fontsize=7, frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("seconds")
    drawing.suptitle(f"one fit of {base.size} ({base.n_penalties} penalties), one size varied at a time", fontsize=9)
    drawing.savefig(figure, dpi=90)
    pyplot.close(drawing)
