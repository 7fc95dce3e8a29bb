"""Draws the faults of a seed, runs each in a process of its own, and counts what became of them."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.faults.case import HEALED, REFUSED, SILENT, UNNAMED, Case, Verdict, run_stages
from tests.faults.kinds import KINDS
from tests.faults.runs import Ran, in_children
from tests.faults.studies import Study, study_file

OUTCOMES = (REFUSED, HEALED, SILENT, UNNAMED)
LONGEST_S = 600.0
PLACES_APART = 3


@dataclasses.dataclass(frozen=True)
class Result:
    """A fault's number, its kind, and the verdict."""

    number: int
    kind: str
    verdict: Verdict


class Campaign:
    """Studies that ran once without a fault, and the faults that are done to copies of them.

    Parameters
    ----------
    scratch : a folder for everything; with room for a few hundred MB
    """

    def __init__(self, scratch: Path, studies: dict[str, Study], seed: int) -> None:
        self.scratch = scratch
        self.studies = studies
        self.seed = seed
        self.user, self.finished = scratch / "user", scratch / "finished"

    def run_untouched(self, workers: int) -> None:
        """Run every study from the start; were its bytes not the same each time, no fault of it would be healed.

        Raises
        ------
        RuntimeError
            A stage fails.
        """
        for name in self.studies:
            (self.finished / name).mkdir(parents=True)
        jobs = [(name, functools.partial(self._whole, name)) for name in self.studies]
        for name, ran in in_children(jobs, workers, LONGEST_S):
            if ran.status:
                raise RuntimeError(f"study {name} does not run: status {ran.status}\n{ran.said[-3000:]}")

    def _whole(self, name: str) -> int:
        return run_stages(self.finished / name, self.user, self.studies[name], self.studies[name].stages)

    def judged(self, number: int) -> Result:
        """Do one fault, in this process."""
        kind = self._kind(number)
        rng = np.random.default_rng([self.seed, number])
        # kinds begin at different doors, so that a short campaign strikes them all
        place = number // len(KINDS) + PLACES_APART * (number % len(KINDS)) + self.seed
        work = self._folder(number) / "work"
        return Result(number, kind, KINDS[kind](Case(place, rng, self.studies, self.user, self.finished, work)))

    def run(self, numbers: Sequence[int], workers: int, told: Callable[[Result], None]) -> list[Result]:
        """Do faults, each in a process of its own; whatever that process dies of is its verdict."""
        results = []
        jobs = [(number, functools.partial(self._do, number)) for number in numbers]
        for number, ran in in_children(jobs, workers, LONGEST_S):
            results.append(self._read(number, ran))
            told(results[-1])
        return sorted(results, key=lambda result: result.number)

    def _do(self, number: int) -> int:
        folder = self._folder(number)
        folder.mkdir()
        (folder / "verdict.json").write_text(json.dumps(dataclasses.asdict(self.judged(number).verdict)))
        return 0

    def _read(self, number: int, ran: Ran) -> Result:
        try:
            verdict = Verdict(**json.loads((self._folder(number) / "verdict.json").read_text()))
        except OSError:
            verdict = Verdict(UNNAMED, "campaign", f"could not be done: status {ran.status} {ran.said}")
        shutil.rmtree(self._folder(number), ignore_errors=True)
        return Result(number, self._kind(number), verdict)

    def _kind(self, number: int) -> str:
        return list(KINDS)[number % len(KINDS)]

    def _folder(self, number: int) -> Path:
        return self.scratch / f"fault-{number}"

    def warm_up(self) -> None:
        """Let this process know the code's versions, which every child would otherwise work out anew."""
        from pipeline.study.load import load_study
        from pipeline.study.plan import plan_study

        for name in self.studies:
            plan = plan_study(load_study(str(study_file(self.user, name))))
            plan.map_key()
            plan.report_key()
            for analysis in plan.analyses:
                for model in analysis.models:
                    analysis.score_key(model, None)
                    model.act_key(analysis.dataset, "any")


def table(results: Sequence[Result], of: Callable[[Result], str], title: str) -> str:
    """Rows by kind or by door, a column for each outcome."""
    counts = Counter((of(result), result.verdict.outcome) for result in results)
    rows = sorted({of(result) for result in results})
    width = max(len(title), *(len(row) for row in rows))
    lines = [f"{title:{width}s}  " + "  ".join(f"{outcome:>15s}" for outcome in OUTCOMES)]
    lines += [f"{row:{width}s}  " + "  ".join(f"{counts[row, outcome]:15d}" for outcome in OUTCOMES) for row in rows]
    sums = [sum(counts[row, outcome] for row in rows) for outcome in OUTCOMES]
    return "\n".join([*lines, f"{'together':{width}s}  " + "  ".join(f"{n:15d}" for n in sums)])
