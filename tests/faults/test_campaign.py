"""The campaign in small, with a fixed seed; `make faults` runs it whole, with a fresh one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.faults.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
SEED, N = 7, 3 * len(KINDS)


def test_no_fault_is_silent_and_none_unnamed() -> None:
    command = [sys.executable, "-m", "tests.faults", "--seed", str(SEED), "--n", str(N), "--quick"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counted = re.search(r"^together +(\d+) +(\d+) +(\d+) +(\d+)$", done.stdout, re.MULTILINE)
    assert counted is not None and sum(map(int, counted.groups())) == N
    assert counted.groups()[2:] == ("0", "0")
    for kind in KINDS:
        assert re.search(rf"^{re.escape(kind)} ", done.stdout, re.MULTILINE), kind
