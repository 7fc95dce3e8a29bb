"""Peak memory of a ridge fit from disk to disk: ``python -m benchmarks.ridge_memory``.

Features, responses and predictions are mapped from files.

What counts is memory that only the process can give back: anonymous and shared pages, ``RssAnon + RssShmem`` of
``/proc/self/status``, above what the process holds once everything is imported and a small fit was made. Pages mapped
from files (``RssFile``) do not count: the system drops them when it needs the memory, and the fit goes on. A thread
reads the counters every few milliseconds; ``VmHWM``, the kernel's own peak, has the mapped pages in it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

import numpy as np

from benchmarks.machine import machine_lines, markdown_table, publish
from benchmarks.memory import status_mb
from benchmarks.ridge_cases import Case, single_split

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADING = "memory of a ridge fit"
INTERVAL_S = 0.002
MIB = 2**20 / 1e6  # MB
N_COMPONENTS = 16
BLOCK_ROWS = 100


def own_mb() -> float:
    """Memory of this process that no file stands behind, in MB (10⁶ bytes)."""
    return status_mb("RssAnon") + status_mb("RssShmem")


class PeakMemory:
    """Highest `own_mb` while the block runs, in MB above what it was when the block began."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._before = self._highest = own_mb()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self._highest = max(self._highest, own_mb())
            if self._done.wait(INTERVAL_S):
                return

    @property
    def mb(self) -> float:
        return self._highest - self._before


def write_data(folder: Path, case: Case, seed: int) -> None:
    """Features and responses, row by row, so that writing them needs no memory to speak of."""
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((N_COMPONENTS, case.n_targets), np.float32)
    features, responses = _open(folder, case, "w+")
    for start in range(0, len(features), BLOCK_ROWS):
        rows = features[start : start + BLOCK_ROWS]
        rows[:] = generator.standard_normal(rows.shape, np.float32)
        signal = rows[:, :N_COMPONENTS] @ weights
        responses[start : start + BLOCK_ROWS] = signal + 4 * generator.standard_normal(signal.shape, np.float32)
    features.flush()
    responses.flush()


def _open(folder: Path, case: Case, mode: str) -> tuple[np.memmap, np.memmap]:
    n_samples = case.n_train + case.n_test
    features = np.memmap(folder / "features.f4", "f4", mode, shape=(n_samples, case.n_features))
    responses = np.memmap(folder / "responses.f4", "f4", mode, shape=(n_samples, case.n_targets))
    return features, responses


def measure(folder: Path, case: Case, budget_mb: float) -> dict[str, float]:
    """Fit a case from disk to disk, in a process that has done nothing else."""
    from pipeline.encoding.design import Design
    from pipeline.encoding.ridge.fit import fit_ridge

    small = Case("import", "import", 100, 20, 10)
    generator = np.random.default_rng(0)
    few = (generator.standard_normal((120, n)).astype("f4") for n in (small.n_features, small.n_targets))
    fit_ridge(*few, small.penalties, Design.of_bins(120, [single_split(small)]), memory_budget_mb=budget_mb)
    features, responses = _open(folder, case, "r")
    predictions = np.memmap(folder / "predictions.f4", "f4", "w+", shape=responses.shape)
    began = time.perf_counter()
    with PeakMemory() as peak:
        fit = fit_ridge(
            features,
            responses,
            case.penalties,
            Design.of_bins(len(features), [single_split(case)]),
            penalty_unit="absolute",
            memory_budget_mb=budget_mb,
            predictions=predictions,
        )
    return {
        "peak_mb": peak.mb,
        "seconds": time.perf_counter() - began,
        "with_mapped_mb": status_mb("VmHWM"),
        "median_r": float(np.median(fit.score)),
    }


def row(case: Case, arguments: argparse.Namespace) -> tuple[list[str], float]:
    """A line of the table, and the peak in MB."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        write_data(Path(name), case, arguments.seed)
        command = [sys.executable, "-m", "benchmarks.ridge_memory", "--measure", name, json.dumps(_sizes(case))]
        command += ["--budget-mb", str(arguments.budget_mb)]
        done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
        on_disk = sum(file.stat().st_size for file in Path(name).iterdir())
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    share = found["peak_mb"] / (arguments.budget_mb * MIB)
    cells = [
        f"{case.n_train + case.n_test:,} × {case.n_features:,} × {case.n_targets:,}",
        f"{on_disk / 1e6:,.0f}",
        f"{arguments.budget_mb * MIB:,.0f}",
        f"{found['peak_mb']:,.0f}",
        f"**{share:.2f}**",
        f"{found['with_mapped_mb']:,.0f}",
        f"{found['seconds']:.0f}",
        "≤ 1.10",
    ]
    return cells, found["peak_mb"]


def _sizes(case: Case) -> dict[str, int]:
    return {name: getattr(case, name) for name in ("n_train", "n_features", "n_targets")}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, nargs="+", default=[100_000, 200_000])
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--features", type=int, default=3072)
    parser.add_argument("--budget-mb", type=float, default=2048, help="in MiB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(), help="a folder on a disk with 5 GB; emptied afterwards")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    return parser.parse_args(arguments)


def main() -> None:
    arguments = parse()
    base = Case("memory", "memory", arguments.samples * 5 // 6, arguments.features, 1)
    if arguments.measure:
        case = dataclasses.replace(base, **json.loads(arguments.measure[1]))
        print(json.dumps(measure(Path(arguments.measure[0]), case, arguments.budget_mb)))
        return
    machine, rows, peaks = machine_lines(arguments.seed), [], []
    for n_targets in arguments.targets:
        cells, peak_mb = row(dataclasses.replace(base, n_targets=n_targets), arguments)
        rows.append(cells)
        peaks.append(peak_mb)
    header = ["samples × features × targets", "MB on disk", "budget MB", "peak MB", "**peak / budget**"]
    header += ["peak MB with mapped pages", "s", "target"]
    lines = [
        *machine,
        "* one outer fold, a sixth of the samples, with five inner folds and 20 penalties; a nested run is as many of "
        "them one after another, each in the memory of the one before",
        "* peak: RssAnon + RssShmem above those after imports and a small fit, read every "
        f"{INTERVAL_S * 1000:g} ms; the budget of {arguments.budget_mb:g} MiB in MB",
        "",
        *markdown_table(header, rows),
        "",
        f"Peak with the most targets over that with the fewest: **{peaks[-1] / peaks[0]:.3f}** (target 0.95 to 1.05).",
    ]
    publish(RESULTS, HEADING, lines, write=arguments.write)


if __name__ == "__main__":
    main()
