"""The kinds of faults: one function each, and a line in `KINDS`.

A kind is handed a `Case`, does its damage to a copy of a finished study, runs the stages that follow, and returns the
verdict. All that is drawn comes from ``case.rng``, so that a seed and a number give the same fault again.
"""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.faults import damage
from tests.faults.case import Case, Verdict
from tests.faults.disk import full_disk
from tests.faults.doors import DOCUMENTS, DOORS, STORES, Door
from tests.faults.hubs import hostile_hub
from tests.faults.kills import killed
from tests.faults.lists import hostile_list
from tests.faults.transfers import damaged_part, wrong_answer

Kind = Callable[[Case], Verdict]


def _artifacts(case: Case, doors: tuple[Door, ...]) -> tuple[Door, list[Path]]:
    """The door whose turn it is, and all its artifacts in one of its studies."""
    door = doors[case.place % len(doors)]
    case.take(case.draw(sorted(door.where)))
    return door, [path for path in case.find(door.where[case.study.name]) if path.is_file() or door.is_store]


def _one_file(case: Case, door: Door, artifacts: list[Path]) -> Path:
    """An artifact, or a file within the store."""
    path = case.draw(artifacts)
    if door.is_store:
        path = case.draw(sorted(one for one in path.rglob("*") if one.is_file()))
    case.touch(path)
    return path


def go_on(case: Case, door: Door, what: str, **more: Any) -> Verdict:
    """Run what a user runs next: a stage that reads the artifact, and those that follow."""
    first = case.draw(door.readers).replace("scored", case.study.scored_by)
    stages = case.study.stages_from(first)
    what = f"{case.study.name}: {', '.join(sorted(case.touched))}: {what}, then {first}"
    if "map" not in door.readers and "report" not in door.readers:
        stages = stages[: stages.index("map")]  # of the same bytes the same map
    return case.judge(case.run(stages, **more), door.name, what)


def damaged(how: damage.Damage, doors: tuple[Door, ...], case: Case) -> Verdict:
    """The bytes of one file are changed."""
    door, artifacts = _artifacts(case, doors)
    path = _one_file(case, door, artifacts)
    return go_on(case, door, how(path, case.rng))


def metadata_edited(case: Case) -> Verdict:
    """What Zarr keeps of a store or an array says something else."""
    door, artifacts = _artifacts(case, STORES)
    path = case.draw(sorted(case.draw(artifacts).rglob("zarr.json")))
    case.touch(path)
    return go_on(case, door, damage.edit_json(path, case.rng))


def deleted(case: Case) -> Verdict:
    """A file, a store or a file within a store is gone."""
    door, artifacts = _artifacts(case, DOORS)
    if door.is_store and case.rng.random() < 0.3:
        path = case.draw(artifacts)
        case.touch(path)
        shutil.rmtree(path)
    else:
        path = _one_file(case, door, artifacts)
        path.unlink()
    return go_on(case, door, "deleted")


def swapped(case: Case) -> Verdict:
    """Two artifacts of one kind have each other's name; where there is but one, another study's or kind's has it."""
    door, artifacts = _artifacts(case, DOORS)
    one = case.draw(artifacts)
    others = [path for path in artifacts if path.suffix == one.suffix and path != one]
    case.touch(one)
    if others:
        other = case.draw(others)
        case.touch(other)
        damage.swap(one, other)
        return go_on(case, door, "swapped")
    other = case.draw(_elsewhere(case, [door], one) or _elsewhere(case, DOORS, one))
    shutil.rmtree(one) if one.is_dir() else one.unlink()
    (shutil.copytree if other.is_dir() else shutil.copyfile)(other, one)
    return go_on(case, door, f"replaced by {other.relative_to(case.finished)}")


def _elsewhere(case: Case, doors: Sequence[Door], one: Path) -> list[Path]:
    """What other studies have of some doors, files or folders as ``one`` is; of its form, if there is any."""
    found = {
        path
        for door in doors
        for study, where in door.where.items()
        if study != case.study.name
        for path in (case.finished / study).glob(where)
        if path.is_dir() == one.is_dir()
    }
    return sorted({path for path in found if path.suffix == one.suffix} or found)


def _chunks(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file() and "/c/" in f"{path}/")


def chunk_deleted(case: Case) -> Verdict:
    """One chunk of a store is gone: Zarr reads zeros there."""
    door, artifacts = _artifacts(case, STORES)
    path = case.draw(_chunks(case.draw(artifacts)))
    case.touch(path)
    path.unlink()
    return go_on(case, door, "deleted")


def chunks_swapped(case: Case) -> Verdict:
    """Two chunks have each other's place, in one store or in two."""
    door, artifacts = _artifacts(case, STORES)
    one, other = (
        Path(str(path)) for path in case.rng.choice([str(c) for a in artifacts for c in _chunks(a)], 2, False)
    )
    case.touch(one)
    case.touch(other)
    damage.swap(one, other)
    return go_on(case, door, "swapped")


def chunk_vanishes(case: Case) -> Verdict:
    """A chunk goes while its store is read: when the first of the others is opened, or the metadata."""
    door, artifacts = _artifacts(case, STORES)
    store = case.draw(artifacts)
    chunk = case.draw(_chunks(store))
    case.touch(chunk)
    after = int(case.rng.integers(1, 6))
    inside = str(store.relative_to(case.work))

    def watch() -> None:
        opened = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal opened
            if event == "open" and inside in str(arguments[0]):
                opened += 1
                if opened == after:
                    chunk.unlink(missing_ok=True)

        sys.addaudithook(hook)

    return go_on(case, door, f"gone when the store was opened {after} times", before=watch)


KINDS: dict[str, Kind] = {
    "bit flipped": functools.partial(damaged, damage.flip_bit, DOORS),
    "bytes replaced": functools.partial(damaged, damage.scramble, DOORS),
    "bytes zeroed": functools.partial(damaged, damage.zero, DOORS),
    "truncated": functools.partial(damaged, damage.truncate, DOORS),
    "bytes appended": functools.partial(damaged, damage.append, DOORS),
    "byte put in": functools.partial(damaged, damage.insert, DOORS),
    "JSON edited": functools.partial(damaged, damage.edit_json, DOCUMENTS),
    "metadata edited": metadata_edited,
    "deleted": deleted,
    "swapped": swapped,
    "chunk deleted": chunk_deleted,
    "chunks swapped": chunks_swapped,
    "chunk vanishes": chunk_vanishes,
    "part of a download": damaged_part,
    "wrong answer": wrong_answer,
    "hostile list": hostile_list,
    "hostile hub": hostile_hub,
    "killed": killed,
    "full disk": full_disk,
}
