"""``python -m tests.faults``: damages everything that can be damaged, and counts what passes silently.

Each fault strikes a copy of a finished study; then the stages run that a user would run. It is *refused by name* (one
line with the file and a remedy, status 1), *healed* (status 0 and the bytes of the untouched run), *silent* (anything
else that succeeds) or *unnamed* (anything else that fails). The exit status is 1 if any is silent or unnamed. A fault
comes again with ``--seed`` and ``--only``.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.runs import import_everything, prepare_environment


def main() -> int:
    """The exit status: 0 where nothing was silent or unnamed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="default: a fresh one, which is printed")
    parser.add_argument("--n", type=int, default=560, help="number of faults (default: %(default)s)")
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="only these faults, and all about them")
    parser.add_argument("--quick", action="store_true", help="leave out the study that runs a pretrained network")
    parser.add_argument("--workers", type=int, default=2, help="faults at a time (default: %(default)s)")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="layermap-faults-") as name:
        scratch = Path(name)
        prepare_environment(scratch)
        import_everything()
        (scratch / "here").mkdir()
        os.chdir(scratch / "here")
        from tests.faults.disk import unmount_below  # imports NumPy, which reads the environment

        try:
            return _campaign(scratch, seed, arguments)
        finally:
            unmount_below(scratch)


def _campaign(scratch: Path, seed: int, arguments: argparse.Namespace) -> int:
    from tests.faults.campaign import HEALED, REFUSED, Campaign, Result, table
    from tests.faults.studies import write_studies

    campaign = Campaign(scratch, write_studies(scratch / "user", arguments.quick), seed)
    campaign.warm_up()
    campaign.run_untouched(arguments.workers)
    numbers = arguments.only or list(range(arguments.n))
    began, n_done = time.monotonic(), 0

    def told(result: Result) -> None:
        nonlocal n_done
        n_done += 1
        fine = result.verdict.outcome in (REFUSED, HEALED)
        if arguments.only or not fine:
            print(f"  {result.number} {result.kind}: {result.verdict.outcome}: {result.verdict.detail}", flush=True)
        if n_done % 50 == 0:
            spent = time.monotonic() - began
            left = spent / n_done * (len(numbers) - n_done)
            print(f"{n_done} of {len(numbers)} faults in {spent:.0f} s, {left:.0f} s left", flush=True)

    results = campaign.run(numbers, arguments.workers, told)
    print(table(results, lambda result: result.kind, "kind"))
    print()
    print(table(results, lambda result: result.verdict.door, "what was struck"))
    bad = [result for result in results if result.verdict.outcome not in (REFUSED, HEALED)]
    if bad:
        quick = " --quick" if arguments.quick else ""
        print(f"\n{len(bad)} of {len(results)} faults were silent or unnamed; again, with --seed {seed}{quick} --only:")
        print(" ".join(str(result.number) for result in bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
