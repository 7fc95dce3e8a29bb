"""Draws the faults of a seed, runs each in a process of its own, and counts what became of them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.faults.case import HEALED, REFUSED, SILENT, UNNAMED, Case, Verdict, digests, run_stages
from tests.faults.kinds import KINDS
from tests.faults.runs import in_child
from tests.faults.studies import Study, study_file

OUTCOMES = (REFUSED, HEALED, SILENT, UNNAMED)
LONGEST_S = 180.0


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

    def run_untouched(self) -> None:
        """Run every study twice from the start.

        Raises
        ------
        RuntimeError
            A stage fails, or the second run gives other bytes: no fault could be judged.
        """
        for name, study in self.studies.items():
            again = self.scratch / "again" / name
            for folder in (self.finished / name, again):
                folder.mkdir(parents=True)
                ran = in_child(
                    lambda folder=folder, study=study: run_stages(folder, self.user, study, study.stages), 300
                )
                if ran.status:
                    raise RuntimeError(f"study {name} does not run: status {ran.status}\n{ran.said[-3000:]}")
            if digests(self.finished / name) != digests(again):
                raise RuntimeError(f"study {name} gives other bytes when it runs again")
        shutil.rmtree(self.scratch / "again")

    def judged(self, number: int) -> Result:
        """Do one fault, in this process."""
        kind = list(KINDS)[number % len(KINDS)]
        work = self.scratch / f"fault-{number}" / "work"
        rng = np.random.default_rng([self.seed, number])
        case = Case(number // len(KINDS) + self.seed, rng, self.studies, self.user, self.finished, work)
        return Result(number, kind, KINDS[kind](case))

    def run(self, numbers: Sequence[int], workers: int, told: Callable[[Result], None]) -> list[Result]:
        """Do faults, each in a forked process; whatever that process dies of is its verdict."""
        waiting, running, results = list(numbers), {}, []
        while waiting or running:
            while waiting and len(running) < workers:
                number = waiting.pop(0)
                running[self._start(number)] = (number, time.monotonic() + LONGEST_S)
            for child, (number, deadline) in list(running.items()):
                done, status = os.waitpid(child, os.WNOHANG)
                if not done and time.monotonic() > deadline:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child, signal.SIGKILL)
                    _, status = os.waitpid(child, 0)
                    done = child
                if done:
                    del running[child]
                    results.append(self._read(number, os.waitstatus_to_exitcode(status)))
                    told(results[-1])
            time.sleep(0.01)
        return sorted(results, key=lambda result: result.number)

    def _start(self, number: int) -> int:
        folder = self.scratch / f"fault-{number}"
        folder.mkdir()
        child = os.fork()
        if child:
            return child
        try:
            os.setpgid(0, 0)
            result = self.judged(number)
            (folder / "result.json").write_text(json.dumps([result.kind, dataclasses.asdict(result.verdict)]))
        except BaseException:
            (folder / "failed").write_text(traceback.format_exc())
        finally:
            os._exit(0)

    def _read(self, number: int, status: int) -> Result:
        folder = self.scratch / f"fault-{number}"
        try:
            kind, verdict = json.loads((folder / "result.json").read_text())
            return Result(number, kind, Verdict(**verdict))
        except (OSError, ValueError):
            failed = folder / "failed"
            why = failed.read_text() if failed.is_file() else f"status {status}"
            kind = list(KINDS)[number % len(KINDS)]
            return Result(number, kind, Verdict(UNNAMED, "campaign", f"the fault could not be done: {why}"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def warm_up(self) -> None:
        """Let this process know the code's versions, which every child would otherwise work out anew."""
        from pipeline.config.load import load_study
        from pipeline.config.plan import plan_study

        for name in self.studies:
            plan = plan_study(load_study(str(study_file(self.user, name))))
            plan.map_key()
            plan.report_key()
            for analysis in plan.analyses:
                analysis.score_key(None)
                for model in analysis.models:
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
