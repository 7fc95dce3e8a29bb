"""Stages that are killed at a named moment, and run again."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Any

from tests.faults import damage
from tests.faults.case import HEALED, SILENT, UNNAMED, Case, Verdict
from tests.faults.servers import Server, kill_after
from tests.faults.transfers import FIRST_BYTES

OUTPUTS = {
    "catalogue": "data/catalogue",
    "fetch": "data/raw",
    "prepare": "data/prepared",
    "activate": "data/activations",
    "encode": "data/scores",
    "compare": "data/scores",
    "identify": "data/identifiability",
    "map": "data/maps",
    "report": "reports",
}


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a stage is killed.

    Parameters
    ----------
    steps : (event, pattern) in the order in which they must come; the process dies as the last is about to happen.
        Events are those of Python's audit hooks, ``written`` (open for writing) and ``pwrite`` among them
    times : how often the last step is seen before
    altered : pattern of a file that is altered before, so that the stage makes it anew
    over_older : whether the outputs of a finished run are there (True), not there (False), or either (None)
    """

    name: str
    study: str
    stage: str
    steps: tuple[tuple[str, str], ...]
    times: int = 0
    over_older: bool | None = None
    altered: str = ""


MOMENTS = (
    Moment("while a download grows", "likeness", "fetch", (), over_older=False),
    Moment(
        "before the note of a download has its name",
        "likeness",
        "fetch",
        (("os.rename", r" -> .*\.part\.json$"),),
        over_older=False,
    ),
    Moment(
        "after the last byte, before its digest is recorded",
        "likeness",
        "fetch",
        (("written", r"\.sha256\.part"),),
        over_older=False,
    ),
    Moment("between digest and rename", "likeness", "fetch", (("os.rename", r" -> .*large\.bin$"),), over_older=False),
    Moment(
        "after the rename, before the note is removed",
        "likeness",
        "fetch",
        (("os.rename", r" -> .*large\.bin$"), ("os.remove", r"large\.bin\.part\.json$")),
        over_older=False,
    ),
    Moment("before the receipt has its name", "listeners", "fetch", (("os.rename", r" -> .*receipt-"),)),
    Moment(
        "while the memo of digests is written",
        "pictures",
        "catalogue",
        (("os.rename", r" -> .*digests\.json$"),),
        over_older=False,
    ),
    Moment("before the catalogue has its name", "movie", "catalogue", (("os.rename", r" -> .*files-\w+\.json$"),)),
    Moment(
        "while weights are converted",
        "pictures",
        "fetch",
        (("open", r"\.net-\w+\.part/model\.safetensors$"),),
        over_older=False,
    ),
    Moment(
        "before weights have their name",
        "pictures",
        "fetch",
        (("os.rename", r" -> .*weights/net-\w+$"),),
        over_older=False,
    ),
    Moment(
        "after weights replaced altered ones, before those are removed",
        "pictures",
        "fetch",
        (("os.rename", r"\.part -> .*weights/net-\w+$"), ("shutil.rmtree", r"\.net-\w+\.old$")),
        over_older=True,
        altered="data/raw/weights/net-*/model.safetensors",
    ),
    Moment("while a dataset is simulated", "mice", "fetch", (("os.mkdir", r"\.part/mouse-2$"),), over_older=False),
    Moment(
        "before a simulated dataset has its name", "mice", "fetch", (("os.rename", r"\.part -> .*/simulated_mouse/"),)
    ),
    Moment("while a stimulus is written", "movie", "prepare", (("written", r"\.zarr\.part/.*/c/"),)),
    Moment("while blocks of a recording are written", "listeners", "prepare", (("pwrite", r"recordings/"),), times=20),
    Moment("before a recording has its name", "listeners", "prepare", (("os.rename", r" -> .*recordings/[^/]*\.nc$"),)),
    Moment("when a store is begun", "pictures", "activate", (("written", r"\.zarr\.part/"),)),
    Moment("while a store is written", "pictures", "activate", (("written", r"\.zarr\.part/.*/c/"),), times=1),
    Moment(
        "before a finished store moves aside",
        "pictures",
        "activate",
        (("os.rename", r"\.zarr -> .*\.old$"),),
        over_older=True,
    ),
    Moment(
        "between the two renames",
        "pictures",
        "activate",
        (("os.rename", r"\.zarr\.part -> .*\.zarr$"),),
        over_older=True,
    ),
    Moment(
        "after the second rename, before the older store is removed",
        "pictures",
        "activate",
        (("os.rename", r"\.zarr\.part -> .*\.zarr$"), ("shutil.rmtree", r"\.zarr\.old$")),
        over_older=True,
    ),
    Moment("while scores are written", "pictures", "encode", (("pwrite", r"scores/.*\.nc"),), times=5),
    Moment("before scores have their name", "likeness", "compare", (("os.rename", r" -> .*scores/.*\.nc$"),)),
    Moment("between two tables of the map", "pictures", "map", (("os.rename", r" -> .*-summary\.csv$"),)),
    Moment("between the tables of the map and the map", "pictures", "map", (("written", r"maps/\.[^/]*\.nc\.part"),)),
    Moment("while the map is written", "likeness", "map", (("pwrite", r"maps/"),), times=30),
    Moment("while the page is written", "pictures", "report", (("written", r"\.index\.html\.part"),)),
    Moment("before the page has its name", "likeness", "report", (("os.rename", r" -> .*index\.html$"),)),
)


def killed(case: Case) -> Verdict:
    """Killed at a moment, then run again to the end: the bytes of an uninterrupted run, and nothing beside them."""
    moments = [moment for moment in MOMENTS if moment.study in case.studies]
    moment = moments[case.place % len(moments)]
    case.take(moment.study)
    older = bool(case.rng.random() < 0.5) if moment.over_older is None else moment.over_older
    if not older:
        clear_outputs(case, moment.stage)
    for path in case.find(moment.altered) if moment.altered else ():
        damage.append(path, case.rng)
    if moment.steps:
        ran = case.run((moment.stage,), before=lambda: _die_at(moment))
    else:
        ran = case.run((moment.stage,), server=_dying)
    how = f"{moment.study}: {moment.stage} {'over a finished run' if older else 'for the first time'}"
    if ran.status != -signal.SIGKILL:
        return Verdict(UNNAMED, moment.name, f"{how}: the moment never came: status {ran.status} {ran.last_line}")
    half = case.half_written()
    if half:
        return Verdict(SILENT, moment.name, f"{how}: half written: {', '.join(half[:4])}")
    verdict = case.judge(case.run((moment.stage,)), moment.name, how)
    if verdict.outcome != HEALED:
        verdict.outcome = SILENT if "other bytes" in verdict.detail else UNNAMED
    return verdict


def clear_outputs(case: Case, stage: str) -> None:
    """As if a stage had not run; what comes after it stays."""
    shutil.rmtree(case.work / OUTPUTS[stage])


def _dying(server: Server) -> None:
    address = next(one for one, file in server.files.items() if len(file.body) > FIRST_BYTES["likeness"])
    server.wrong[address] = kill_after(FIRST_BYTES["likeness"])


def _die_at(moment: Moment) -> None:
    """Watch this process, and kill it."""
    waiting = [(event, re.compile(pattern)) for event, pattern in moment.steps]
    left = [moment.times]

    def seen(event: str, text: str) -> None:
        wanted, pattern = waiting[0]
        if event != wanted or not pattern.search(text):
            return
        if len(waiting) > 1:
            waiting.pop(0)
        elif left[0] > 0:
            left[0] -= 1
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            seen(event, f"{_text(arguments[0])} -> {_text(arguments[1])}")
        elif event in ("os.mkdir", "os.remove", "shutil.rmtree"):
            seen(event, _text(arguments[0]))
        elif event == "open":
            path, mode, flags = arguments
            seen("open", _text(path))
            if any(letter in (mode or "") for letter in "wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                seen("written", _text(path))

    sys.addaudithook(hook)
    os.pwrite = _watched(os.pwrite, seen)


def _watched(pwrite: Callable[..., int], seen: Callable[[str, str], None]) -> Callable[..., int]:
    """``os.pwrite``, of which Python tells nobody."""

    def watched(descriptor: int, *arguments: Any) -> int:
        seen("pwrite", os.readlink(f"/proc/self/fd/{descriptor}"))
        return pwrite(descriptor, *arguments)

    return watched


def _text(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
