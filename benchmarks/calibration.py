"""Whether tests and intervals do what they promise: ``python -m benchmarks.calibration``.

Many small simulated studies whose truth is known go through `encode` and `map` as real ones do. Counted are p-values
and intervals of responses that nothing predicts, and how often intervals hold the truth where something does. Prints
Markdown; ``--write`` also puts it into RESULTS.md. A run that is killed goes on where it stopped with ``--resume``.
Studies that other code made count if this code makes the first of each kind again to the last digit (``--recheck``).
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADING = "calibration"
SEED = 20261130
"""Set before the first study was run."""
IN_MEMORY = Path("/dev/shm")

STAGES = ("pipeline.encoding.stage", "pipeline.comparison.stage", "pipeline.inference.stage")
OTHERS: dict[str, str] = {}
"""Studies of other kinds: name → module with ``run_study(number, seed, permutations, folder)``, which returns figures
that JSON holds, and ``tables_of(records)``, which returns (title, header, rows) of each of its tables."""

Task = tuple[str, int, int, int, bool]


def run_one(task: Task) -> dict[str, Any]:
    """One study: name, number, seed, permutations, and whether columns may be missing."""
    from benchmarks.calibration_counts import figures_of
    from benchmarks.calibration_files import kept_in_memory
    from benchmarks.calibration_studies import run_study
    from pipeline.core.code_version import code_version

    name, number, seed, permutations, allow_missing = task
    began = time.perf_counter()
    folder = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as temporary, kept_in_memory():
        if name in OTHERS:
            found = importlib.import_module(OTHERS[name]).run_study(number, seed, permutations, Path(temporary))
        else:
            found = run_study(name, number, seed, permutations, Path(temporary))
            found["tables"] = figures_of(found["tables"], allow_missing=allow_missing)
    where = {"study": name, "number": number, "seed": seed, "permutations": permutations, "code": code_version(*STAGES)}
    return {**where, "seconds": round(time.perf_counter() - began, 2), **found}


def read_records(path: Path, seed: int, permutations: int, recheck: int = 0) -> list[dict[str, Any]]:
    """The studies of a file that is written line by line; a line that was being written at a kill is left out.

    Parameters
    ----------
    recheck : how many studies of each kind this code has to make again, as they are, for other code's to count; 0:
        other code's never count

    Raises
    ------
    SystemExit
        The file holds studies of another seed or number of permutations, or of other code that gave other figures.
    """
    from pipeline.core.code_version import code_version

    if not path.exists():
        return []
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    records = [json.loads(line) for line in whole.splitlines()]
    for record in records:
        if (record["seed"], record["permutations"]) != (seed, permutations):
            sys.exit(
                f"{path} holds studies of seed {record['seed']} and {record['permutations']} permutations, not of seed "
                f"{seed} and {permutations}; name another file"
            )
    others = [record for record in records if record["code"] != code_version(*STAGES)]
    if others and not recheck:
        sys.exit(f"{path} holds studies that other code made; name another file, or --recheck some of each kind")
    for name in dict.fromkeys(record["study"] for record in others):
        for record in [one for one in others if one["study"] == name][:recheck]:
            again = run_one((name, record["number"], seed, permutations, False))
            if json.loads(json.dumps(_figures(again))) != _figures(record):
                sys.exit(f"{path}: this code gives other figures for {name} {record['number']}; name another file")
    return records


def _figures(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("code", "seconds")}


def run_all(tasks: Sequence[Task], n_workers: int) -> Iterator[dict[str, Any]]:
    """Studies as they are done."""
    if n_workers == 1:
        yield from map(run_one, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(n_workers) as pool:
        yield from pool.imap_unordered(run_one, tasks)


def all_studies() -> list[str]:
    """Names of all studies."""
    from benchmarks.calibration_studies import DESIGNS

    return [*DESIGNS, *OTHERS]


def chosen_studies(asked: Iterable[str]) -> list[str]:
    """Studies that are asked for by name, or by the beginning of their names."""
    known, found = all_studies(), []
    for one in asked:
        names = [one] if one in known else [name for name in known if name.startswith(f"{one}-")]
        if not names:
            sys.exit(f"no study is called '{one}'; there are: {', '.join(known)}")
        found += names
    return list(dict.fromkeys(found))


def lines_of(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """The tables."""
    from benchmarks.calibration_counts import (
        COVERAGE_HEADER,
        LAYER_HEADER,
        REJECTION_HEADER,
        coverage_rows,
        layer_rows,
        rejection_rows,
    )
    from benchmarks.calibration_studies import nothing_in
    from benchmarks.machine import markdown_table

    rejected: list[list[str]] = []
    covered: list[list[str]] = []
    layers: list[list[str]] = []
    others: list[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = []
    for name in names:
        own = sorted((one for one in records if one["study"] == name), key=lambda one: int(one["number"]))
        if not own:
            continue
        if name in OTHERS:
            others += importlib.import_module(OTHERS[name]).tables_of(own)
            continue
        rejected += rejection_rows(name, own, nothing_in(name))
        covered += coverage_rows(name, own, nothing_in(name))
        if own[0]["planted"]:
            layers += layer_rows(name, own)
    parts = (
        ("Where there is nothing to find", REJECTION_HEADER, rejected),
        ("Intervals", COVERAGE_HEADER, covered),
        ("Planted layers", LAYER_HEADER, layers),
        *others,
    )
    lines: list[str] = []
    for title, header, rows in parts:
        if rows:
            lines += [f"### {title}", "", *markdown_table(header, rows), ""]
    return lines[:-1]


def main() -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # processes share the cores, not threads
    from benchmarks.machine import machine_lines, publish

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", nargs="+", default=all_studies(), metavar="NAME", help="or beginnings of names")
    parser.add_argument("--n", type=int, default=500, help="studies of each name")
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--resume", type=Path, metavar="FILE.jsonl", help="studies done are read from here, and added")
    parser.add_argument(
        "--recheck",
        type=int,
        default=0,
        metavar="N",
        help="other code's studies count if N of each kind come out again",
    )
    parser.add_argument("--only-done", action="store_true", help="count the studies that are there, and run none")
    parser.add_argument(
        "--allow-missing", action="store_true", help="count a map of an earlier version that lacks columns"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    names = chosen_studies(arguments.studies)
    told = arguments.seed, arguments.permutations, arguments.recheck
    kept = read_records(arguments.resume, *told) if arguments.resume else []
    done = {(record["study"], record["number"]) for record in kept}
    n_wanted = 0 if arguments.only_done else arguments.n
    tasks: list[Task] = [
        (name, number, arguments.seed, arguments.permutations, arguments.allow_missing)
        for number in range(n_wanted)  # in turns, so that a run that is cut short has something of each
        for name in names
        if (name, number) not in done
    ]
    records = list(kept)
    for record in run_all(tasks, arguments.workers):
        records.append(record)
        if arguments.resume:
            with open(arguments.resume, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        print(f"{len(records) - len(kept)} of {len(tasks)}: {record['study']}", end="\r", file=sys.stderr, flush=True)
    counted = [record for record in records if record["study"] in names and record["number"] < arguments.n]
    lines = [
        *machine_lines(arguments.seed),
        f"* permutations: {arguments.permutations}; errors are those of a mean over studies",
        "",
        *lines_of(counted, names),
    ]
    publish(RESULTS, HEADING, lines, write=arguments.write)


if __name__ == "__main__":
    sys.exit(main())
