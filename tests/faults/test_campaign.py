"""The campaign in small, with a fixed seed, and every named moment of a kill; `make faults` runs it whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.kills import MOMENTS
from tests.faults.kinds import KINDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SEED = 7
QUICK = [moment for moment in MOMENTS if moment.study != "mice"]


def test_no_fault_is_silent_and_none_unnamed() -> None:
    kills = [list(KINDS).index("killed") + len(KINDS) * turn for turn in range(len(QUICK))]
    numbers = sorted({*range(len(KINDS)), *kills})
    command = [sys.executable, "-m", "tests.faults", "--seed", str(SEED), "--quick", "--only", *map(str, numbers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counted = re.search(r"^together +(\d+) +(\d+) +(\d+) +(\d+)$", done.stdout, re.MULTILINE)
    assert counted is not None and sum(map(int, counted.groups())) == len(numbers)
    assert counted.groups()[2:] == ("0", "0")
    for name in [*KINDS, *(moment.name for moment in QUICK)]:
        assert re.search(rf"^{re.escape(name)} ", done.stdout, re.MULTILINE), name
