"""What counts as refused, healed, silent and unnamed, and that a fault comes again."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.faults import damage
from tests.faults.case import HEALED, REFUSED, SILENT, UNNAMED, Case
from tests.faults.runs import HUNG, Ran, in_child
from tests.faults.studies import Study

LINE = "layermap encode: data/a.nc was altered; delete it and run: snakemake prepare"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    finished = tmp_path / "finished" / "small"
    (finished / "data" / "catalogue").mkdir(parents=True)
    for name in ("a.nc", "b.nc", "catalogue/digests.json"):
        (finished / "data" / name).write_text(name)
    studies = {"small": Study("small", "encode")}
    case = Case(0, np.random.default_rng(0), studies, tmp_path, tmp_path / "finished", tmp_path / "work")
    case.take("small")
    case.touch(case.work / "data" / "a.nc")
    return case


def outcome(case: Case, status: int, said: str) -> str:
    return case.judge(Ran(status, said), "door", "what").outcome


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (0, "", HEALED),
        (1, f"fetch: 3 files\n{LINE}\n", REFUSED),
        (1, LINE.replace("a.nc", "c.nc"), UNNAMED),  # another file
        (1, "layermap encode: data/a.nc is odd", UNNAMED),  # no remedy
        (1, f"Traceback (most recent call last):\n{LINE}", UNNAMED),
        (1, f"HDF5-DIAG: Error detected\n{LINE}", UNNAMED),
        (3, f"{LINE}; this is a defect of layermap", UNNAMED),
        (-11, "", UNNAMED),
        (HUNG, "", UNNAMED),
    ],
)
def test_verdicts_where_all_bytes_are_right(case: Case, status: int, said: str, expected: str) -> None:
    assert outcome(case, status, said) == expected


def test_other_bytes_are_silent_also_after_a_refusal(case: Case) -> None:
    (case.work / "data" / "a.nc").write_text("damaged: the fault itself")
    (case.work / "data" / "catalogue" / "digests.json").write_text("a memo")
    assert outcome(case, 0, "") == HEALED
    (case.work / "data" / "b.nc").write_text("other numbers")
    assert outcome(case, 0, "") == SILENT
    assert outcome(case, 1, LINE) == SILENT


@pytest.mark.parametrize("left", ["data/.b.nc.part", "data/.b.nc.lock", "data/raw.bin.part.json", "data/.s.zarr.old/c"])
def test_leftovers_are_silent_after_a_success_and_allowed_after_a_refusal(case: Case, left: str) -> None:
    path = case.work / left
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("left")
    assert outcome(case, 0, "") == SILENT
    assert outcome(case, 1, LINE) == REFUSED


def test_a_lost_output_is_silent(case: Case) -> None:
    (case.work / "data" / "b.nc").unlink()
    assert outcome(case, 0, "") == SILENT


def test_processes_that_die_and_hang_are_told_apart() -> None:
    assert in_child(lambda: 1).status == 1
    assert in_child(lambda: os.kill(os.getpid(), signal.SIGKILL) or 0).status == -signal.SIGKILL
    assert in_child(lambda: time.sleep(30) or 0, limit_s=0.2).status == HUNG
    raised = in_child(lambda: 1 // 0)
    assert raised.status == 99 and "ZeroDivisionError" in raised.said


@pytest.mark.parametrize(
    "how",
    [damage.flip_bit, damage.scramble, damage.zero, damage.truncate, damage.append, damage.insert, damage.edit_json],
)
def test_the_same_seed_gives_the_same_damage(tmp_path: Path, how: damage.Damage) -> None:
    document = json.dumps({"files": [{"path": "a", "bytes": 3}, {"path": "b", "bytes": 4}], "key": "k" * 50}).encode()
    made = []
    for name, seed in (("one", 5), ("other", 5), ("third", 6)):
        path = tmp_path / name
        path.write_bytes(document)
        made.append((how(path, np.random.default_rng(seed)), path.read_bytes()))
    assert made[0] == made[1]
    assert made[0] != made[2]
    assert how is damage.zero or made[0][1] != document
