"""One fault: a copy of a finished study, what is done to it, the stages that follow, and what became of it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from tests.faults.runs import Ran, in_child
from tests.faults.servers import Server, serving
from tests.faults.studies import Study, study_file

REFUSED, HEALED, SILENT, UNNAMED = "refused by name", "healed", "silent", "unnamed"
Thing = TypeVar("Thing")
MEMO = "data/catalogue/digests.json"
REMEDY = re.compile(
    r"\b(run|delete|give|put it back|make it with|mend|correct|fetch|remove|choose|free|change|connect|install"
    r"|report it|add|open|leave|rename|pin|use)\b"
)
ON_THE_WAY = re.compile(r"\.part(\.json)?$|/\.[^/]*\.(part|old|lock|source)(/|$)|\.sha256$|/\.digests\.json\.")


@dataclasses.dataclass
class Verdict:
    """What became of a fault; ``door`` is the artifact or the moment."""

    outcome: str
    door: str
    detail: str


@dataclasses.dataclass
class Case:
    """Where one fault happens.

    Parameters
    ----------
    place : its number among the faults of its kind, so that doors are taken in turn
    rng : everything that is drawn
    user, finished : folders of the users' files and of the finished studies
    work : an empty folder that does not exist yet
    """

    place: int
    rng: np.random.Generator
    studies: dict[str, Study]
    user: Path
    finished: Path
    work: Path
    touched: set[str] = dataclasses.field(default_factory=set)
    names: set[str] = dataclasses.field(default_factory=set)

    def take(self, study: str) -> Study:
        """Begin with the finished study."""
        self.study = self.studies[study]
        shutil.copytree(self.finished / study, self.work, symlinks=True, dirs_exist_ok=True)
        return self.study

    def draw(self, things: Iterable[Thing]) -> Thing:
        """One of these."""
        among = list(things)
        return among[int(self.rng.integers(len(among)))]

    def find(self, pattern: str) -> list[Path]:
        """Paths of the copy that fit, in order."""
        return sorted(self.work.glob(pattern))

    def touch(self, path: Path) -> None:
        """Say that a file is no longer what the stages left: it is not compared, and its name explains a refusal."""
        self.touched.add(str(path.relative_to(self.work)))
        if path.suffix == ".sha256" and "." in path.stem:
            self.names.add(path.stem)  # the file that it is the digest of
        stores = {part for part in path.parts if part.endswith(".zarr")}
        self.names |= stores or {path.name}  # a chunk is called 0
        if path.name == "receipt.json":
            self.names.add("model.safetensors")
        if path.name.startswith("receipt-"):
            self.names.add("data/raw/")  # one of the files that it lists

    def run(
        self,
        stages: Sequence[str],
        *,
        before: Callable[[], None] = lambda: None,
        server: Callable[[Server], None] = lambda server: None,
        port: int = 0,
    ) -> Ran:
        """Run stages one after another, as long as they succeed."""
        return in_child(lambda: run_stages(self.work, self.user, self.study, stages, before, server, port))

    def judge(self, ran: Ran, door: str, what: str) -> Verdict:
        """Refused, healed, silent or unnamed."""
        changed = self.changed()
        if ran.status == 0:
            outcome = SILENT if changed else HEALED
        elif not self.refused_by_name(ran):
            outcome = UNNAMED
        else:
            changed = self.half_written()
            outcome = SILENT if changed else REFUSED
        differs = f"; other bytes: {', '.join(changed[:4])}" if changed else ""
        said = f"status {ran.status}: {ran.last_line[:400]}" if ran.status else ""
        return Verdict(outcome, door, f"{what}; {said}{differs}".strip("; "))

    def refused_by_name(self, ran: Ran) -> bool:
        """Status 1, one line that names the file or value and a remedy, no traceback of anybody's."""
        line = ran.last_line
        return (
            ran.status == 1
            and line.startswith("layermap ")
            and "defect of layermap" not in line
            and any(name in line for name in self.names)
            and REMEDY.search(line) is not None
            and not re.search(r"Traceback \(|HDF5-DIAG|^Exception ignored", ran.said, re.MULTILINE)
        )

    def half_written(self) -> list[str]:
        """Final names that hold anything but what an untouched run leaves there."""
        return [path for path in self.changed() if not ON_THE_WAY.search(path) and (self.work / path).is_file()]

    def changed(self) -> list[str]:
        """Paths that were added, lost or altered, other than those that the fault itself touched."""
        before, now = digests(self.finished / self.study.name), digests(self.work)
        paths = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        return [path for path in paths if not any(path == one or path.startswith(f"{one}/") for one in self.touched)]


def run_stages(
    work: Path,
    user: Path,
    study: Study,
    stages: Sequence[str],
    before: Callable[[], None] = lambda: None,
    server: Callable[[Server], None] = lambda server: None,
    port: int = 0,
) -> int:
    """The stages in this process, which must be nobody else's; the exit status of the last."""
    from pipeline.study.cli import main

    os.chdir(work)
    with contextlib.ExitStack() as stack:
        mirror: list[str] = []
        if study.served:
            one = stack.enter_context(serving(study, port))
            server(one)
            mirror = ["--mirror", one.prefix]
            _impatient()
        before()
        for stage in stages:
            more = mirror if stage in ("catalogue", "fetch") else []
            status = main([stage, "--study", str(study_file(user, study.name)), *more])
            if status:
                return status
    return 0


def _impatient() -> None:
    """The pauses before a server is asked again, without the waiting."""
    from pipeline.fetch.http.connections import Connections

    Connections.pause = lambda self, seconds: time.sleep(min(seconds, 0.01))  # type: ignore[method-assign]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of all that runs leave in a folder, and folders that no run should leave; the memo only saves time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = str(path.relative_to(folder))
        if path.is_symlink() or path.is_file():
            found[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif ON_THE_WAY.search(relative):
            found[relative] = "a folder"
    found.pop(MEMO, None)
    return found
