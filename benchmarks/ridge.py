"""How fast the ridge engine is beside its peers, and whether they agree: ``python -m benchmarks.ridge``.

A layer's features and many targets; one penalty per target, chosen in five folds by Pearson r averaged by Fisher z;
refit on all rows of the search; Pearson r on rows held out. himalaya and scikit-learn solve the same task with the same
folds, penalties and scoring, in turns with ours. Prints Markdown; ``--write`` also puts it into RESULTS.md.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loops import Timed, median_s, wall_ratio
from benchmarks.machine import machine_lines, markdown_table, publish
from benchmarks.ridge_agreement import Agreement, compare
from benchmarks.ridge_cases import CASES, QUICK, Case, Problem, simulate, single_split
from benchmarks.ridge_peers import Answer, free_memory
from benchmarks.ridge_rivals import Rival, rivals, solve_ours, solve_study, study_penalties, study_rivals
from benchmarks.ridge_slopes import FIGURE, slopes_section
from pipeline.encoding.ridge.cost import EIGH_FLOPS, FitShape, fit_cost, fold_shapes
from pipeline.encoding.splits import Fold

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADINGS = {"cpu": "ridge", "cuda": "ridge on a GPU"}
DEFAULT = {"cpu": (*CASES, "slopes"), "cuda": ("many", "gpu")}
SPEED = [
    "case",
    "T × P × V",
    "penalties",
    "peer and its settings",
    "peer s",
    "ours s",
    "**peer / ours** (range)",
    "target",
]
AGREEMENT = [
    "case",
    "peer",
    "agree",
    "inner r: worst",
    "median",
    "held-out r: worst",
    "median",
    "same penalty",
    "others tie within",
    "off float64: ours",
    "peer",
]
WORK = [
    "case",
    "products, TFLOP",
    "measured GFLOP/s",
    "they alone would take s",
    "decompositions alone s",
    "ours s",
    "**share of the product rate**",
    "with decompositions",
]


def in_turns(runs: Mapping[str, Callable[[], Any]], n_rounds: int) -> tuple[dict[str, list[Timed]], dict[str, Any]]:
    """Run everything once per round, starting with another one each round; times, and what the last round gave.

    Memory is given back before each run, outside its time.
    """
    names = list(runs)
    times: dict[str, list[Timed]] = {name: [] for name in names}
    found: dict[str, Any] = {}
    for round_number in range(n_rounds):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            found.pop(name, None)
            free_memory()
            wall, cpu = time.perf_counter(), time.process_time()
            found[name] = runs[name]()
            times[name].append(Timed(time.perf_counter() - wall, time.process_time() - cpu))
            print(f"{name}: {times[name][-1].wall_s:.2f} s", file=sys.stderr)
    return times, found


class MachineRate:
    """Products and decompositions of a kind with nothing around them.

    Parameters
    ----------
    n : rows of the square products
    n_eigh : rows of the decompositions
    """

    def __init__(self, device: str, n: int, n_eigh: int) -> None:
        import torch

        single = torch.randn(n, n, device=device)
        double = single.double()
        gram = double[:n_eigh] @ double[:n_eigh].T
        self._flops = {
            "float32 product": 2.0 * n**3,
            "float64 product": 2.0 * n**3,
            "decomposition": EIGH_FLOPS * len(gram) ** 3,  # counted as in `pipeline.encoding.ridge.cost`
        }
        operations = (lambda: single @ single, lambda: double @ double, lambda: torch.linalg.eigh(gram))
        finish = torch.cuda.synchronize if device == "cuda" else None
        self.runs: dict[str, Callable[[], None]] = {
            name: _finished(operation, finish) for name, operation in zip(self._flops, operations, strict=True)
        }

    def per_second(self, times: Mapping[str, list[Timed]]) -> list[float]:
        """FLOP/s of float32 and float64 products and of decompositions, from the times of `runs`."""
        return [flops / median_s(times[name]) for name, flops in self._flops.items()]


def _finished(operation: Callable[[], object], finish: Callable[[], None] | None) -> Callable[[], None]:
    def run() -> None:
        operation()
        if finish is not None:
            finish()

    return run


class Tables:
    """Rows of the three tables, case by case."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.speed: list[list[str]] = []
        self.agreement: list[list[str]] = []
        self.work: list[list[str]] = []

    def add(self, case: Case) -> None:
        """Measure a case."""
        problem = simulate(case, self.arguments.seed)
        fold = single_split(case)
        device = self.arguments.device
        if case.name == "study":
            penalties = study_penalties()
            found = study_rivals(problem, penalties, device)
            ours = functools.partial(solve_study, problem, penalties, device)
        else:
            found = rivals(problem, fold, device)
            ours = functools.partial(solve_ours, problem, fold, device)
        ours()  # what is set up once in a process
        rate = MachineRate(device, *((256, 64) if self.arguments.quick else (4096, 1500)))
        runs: dict[str, Callable[[], Any]] = {"ours": ours}
        runs.update({f"{rival.peer}: {rival.setting}": rival.run for rival in found})
        runs.update(rate.runs)
        times, answers = in_turns(runs, self.arguments.rounds)
        for peer in dict.fromkeys(rival.peer for rival in found):
            self._add_peer(problem, fold, [rival for rival in found if rival.peer == peer], times, answers)
        if case.name not in ("study", "one"):
            self.work.append(work_row(case, fold, rate.per_second(times), median_s(times["ours"])))

    def _add_peer(
        self,
        problem: Problem,
        fold: Fold,
        found: Sequence[Rival],
        times: dict[str, list[Timed]],
        answers: dict[str, Answer],
    ) -> None:
        """Rows of ours beside the fastest rival of one peer."""
        case = problem.case
        name, rival = min(
            ((f"{rival.peer}: {rival.setting}", rival) for rival in found), key=lambda pair: median_s(times[pair[0]])
        )
        ratio = wall_ratio(times[name], times["ours"])
        self.speed.append(
            [
                case.title,
                case.size,
                str(case.n_penalties),
                name,
                f"{median_s(times[name]):.2f}",
                f"{median_s(times['ours']):.2f}",
                f"**{ratio}**",
                verdict(rival.target_ratio, ratio.lowest, ratio.highest),
            ]
        )
        if case.name == "study":
            self.agreement.append(loose_row(case, rival, answers["ours"], answers[name]))
        else:
            agreement = compare(problem, fold, answers["ours"], answers[name], self.arguments.seed)
            self.agreement.append(agreement_row(case, rival, agreement))
        print(self.speed[-1], self.agreement[-1], sep="\n", file=sys.stderr)


def verdict(target: float | None, lowest: float, highest: float) -> str:
    """Whether a ratio reaches its target in all rounds, in none, or in some."""
    if target is None:
        return "—"
    words = "met" if lowest >= target else "missed" if highest < target else "undecided"
    return f"≥ {target:g}: {words}"


def agreement_row(case: Case, rival: Rival, found: Agreement) -> list[str]:
    """Differences of scores, and the verdict on them."""
    differences = (found.inner_worst, found.inner_median, found.test_worst, found.test_median)
    inner_less = case.n_penalties == 1
    cells = [f"{value:.1e}" for value in differences]
    return [
        case.title,
        rival.peer,
        found.verdict,
        *(["—", "—"] if inner_less else cells[:2]),
        *cells[2:],
        f"{found.same:.2%}",
        f"{found.tie:.1e}" if found.same < 1 else "—",
        f"{found.ours_off:.1e}",
        f"{found.peer_off:.1e}",
    ]


def loose_row(case: Case, rival: Rival, ours: Answer, peer: Answer) -> list[str]:
    """Differences where the tasks are not quite the same."""
    differences = [np.abs(ours.inner - peer.inner), np.abs(ours.test - peer.test)]
    cells = [f"{value:.1e}" for gap in differences for value in (gap.max(), np.median(gap))]
    same = float((ours.choice == peer.choice).mean())
    return [case.title, rival.peer, "not quite the same task", *cells, f"{same:.2%}", "—", "—", "—"]


def work_row(case: Case, fold: Fold, rates: Sequence[float], ours_s: float) -> list[str]:
    """What cannot be avoided, at the machine's own rates, as a share of the time that ours took."""
    n_bins = case.n_train + case.n_test + (2 * max(case.delays))
    shape = FitShape(
        n_bins=n_bins,
        n_samples=case.n_train + case.n_test,
        n_features=case.n_features,
        n_delays=len(case.delays),
        n_targets=case.all_targets,
        n_penalties=case.n_penalties,
        parts=fold_shapes([fold]),
    )
    cost = fit_cost(shape)
    single, double, eigh = rates
    flops = {phase: case.n_layers * value for phase, value in cost.flops.items()}
    if cost.forms[0] == "dual":
        flops["gram"] /= len(fold.inner) + 1  # features are centred only: one matrix for all folds
    products = sum(flops[phase] for phase in ("operators", "products", "search", "refit"))
    products_s, eigh_s = flops["gram"] / double + products / single, flops["decomposition"] / eigh
    return [
        case.title,
        f"{(flops['gram'] + products) / 1e12:.3g} ({cost.forms[0]})",
        f"{single / 1e9:.0f} and {double / 1e9:.0f}",
        f"{products_s:.2f}",
        f"{eigh_s:.2f}",
        f"{ours_s:.2f}",
        f"**{products_s / ours_s:.0%}**",
        f"{(products_s + eigh_s) / ours_s:.0%}",
    ]


def report(arguments: argparse.Namespace) -> list[str]:
    """Lines of the section."""
    tables = Tables(arguments)
    cases = QUICK if arguments.quick else CASES
    for name in arguments.cases:
        if name == "gpu" and arguments.device != "cuda":
            case = cases["gpu"]
            missing = ["himalaya", "—", "—", "—", f"≥ {case.target_ratio:g}: not measured, no GPU (--device cuda)"]
            tables.speed.append([case.title, case.size, str(case.n_penalties), *missing])
        elif name != "slopes":
            tables.add(cases[name])
    lines = [
        *machine_lines(arguments.seed),
        f"* {arguments.device}, {arguments.threads} threads; {arguments.rounds} rounds in turns, of which medians are "
        "given; a ratio is the median over rounds of that round's two times",
        "",
        *markdown_table(SPEED, tables.speed),
        "",
        "### Agreement",
        "",
        *markdown_table(AGREEMENT, tables.agreement),
        "",
        "### Share of the machine's speed",
        "",
        *markdown_table(WORK, tables.work),
    ]
    if "slopes" in arguments.cases:
        figure = FIGURE if arguments.write else None
        lines += ["", *slopes_section(arguments.device, arguments.quick, arguments.seed, figure)]
    return lines


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=[*CASES, "slopes"], help="which; all of them on a CPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs and agrees")
    parser.add_argument("--device", choices=list(HEADINGS), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    found = parser.parse_args(arguments)
    if found.quick and found.write:
        parser.error("--quick sizes are no results; leave out --write")
    found.cases = found.cases or list(DEFAULT[found.device])
    return found


def main() -> None:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as the command line sets it; before torch is imported

    import torch
    from threadpoolctl import threadpool_limits

    arguments = parse()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("benchmarks.ridge: there is no GPU here; leave out --device cuda")
    torch.set_num_threads(arguments.threads)
    with threadpool_limits(arguments.threads):
        publish(RESULTS, HEADINGS[arguments.device], report(arguments), write=arguments.write)


if __name__ == "__main__":
    main()
