"""A disk that is full while a stage writes: a small file system in memory, or a limit on the size of files."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.faults.case import HEALED, REFUSED, SILENT, UNNAMED, Case, Verdict
from tests.faults.kills import clear_outputs

SIZE_MB = 64
FILLER = ".filler"
PROGRAMS = "/usr/sbin:/usr/bin:/sbin:/bin"


def full_disk(case: Case) -> Verdict:
    """Each stage in turn finds little room, says so, and gives the same bytes once there is some."""
    stages = [(study.name, stage) for study in case.studies.values() for stage in study.stages]
    name, stage = stages[case.place % len(stages)]
    room_kb = int(case.rng.choice([0, 4, 8, 16, 40]))
    with _small_disk(case.work) as small:
        case.take(name)
        clear_outputs(case, stage)
        case.touched.add(FILLER)
        case.names |= {"disk is full", "takes no file of that size", "free"}
        how = f"{name}: {stage} with {room_kb} kB"
        if small:
            with _filled(case.work, room_kb):
                first = case.judge(case.run((stage,)), stage, how)
        else:
            first = case.judge(case.run((stage,), before=lambda: _limit(room_kb)), stage, how)
        if first.outcome not in (REFUSED, HEALED):
            return first
        again = case.judge(case.run((stage,)), stage, f"{how}: then with room")
        if again.outcome != HEALED:
            outcome = SILENT if "other bytes" in again.detail else UNNAMED
            return Verdict(outcome, stage, again.detail)
        return first


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own in a folder; yields False where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not _program(mount):
        yield False
        return
    try:
        yield True
    finally:
        _program(["umount", "-l", str(folder)])


def unmount_below(folder: Path) -> None:
    """What a fault that was stopped left mounted."""
    mounts = Path("/proc/self/mounts")
    for line in mounts.read_text().splitlines() if mounts.is_file() else ():
        place = line.split(" ")[1]
        if place.startswith(f"{folder}/"):
            _program(["umount", "-l", place])


def _program(command: list[str]) -> bool:
    program = shutil.which(command[0], path=PROGRAMS)
    return program is not None and subprocess.run([program, *command[1:]], capture_output=True).returncode == 0


@contextlib.contextmanager
def _filled(folder: Path, room_kb: int) -> Iterator[None]:
    """All but so much of the disk is taken."""
    filler, disk = folder / FILLER, os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    descriptor = os.open(filler, os.O_CREAT | os.O_WRONLY)
    try:
        os.posix_fallocate(descriptor, 0, max(1, free - 1024 * room_kb))
        yield
    finally:
        os.close(descriptor)
        filler.unlink()


def _limit(room_kb: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * max(1, room_kb), resource.RLIM_INFINITY))
