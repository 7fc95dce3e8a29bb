"""A model hub that answers with hostile names, other digests or no list at all, while a network is pinned."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

from tests.faults.case import HEALED, REFUSED, SILENT, UNNAMED, Case, Verdict
from tests.faults.runs import Ran, in_child
from tests.faults.servers import serving
from tests.faults.studies import Study

REPO, COMMIT, LOCK = "tiny/vit", "1" * 40, "pins.json"
LISTING = f"api/models/{REPO}/revision/main"
INDEX = "model.safetensors.index.json"
Change = Callable[[dict[str, Any], dict[str, bytes]], None]


def _sibling(name: str, contents: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()
    return {"rfilename": name, "size": len(contents), "blobId": blob}


def _honest() -> tuple[dict[str, Any], dict[str, bytes]]:
    """The listing, and the files by name."""
    files = {"config.json": b'{"model_type": "vit"}\n', "preprocessor_config.json": b"{}\n"}
    weights = {
        "rfilename": "model.safetensors",
        "size": 10,
        "blobId": "2" * 40,
        "lfs": {"sha256": "3" * 64, "size": 10},
    }
    siblings = [*(_sibling(name, contents) for name, contents in files.items()), weights]
    return {"sha": COMMIT, "siblings": siblings, "gated": False}, files


def _renamed(name: str) -> Change:
    def change(listing: dict[str, Any], files: dict[str, bytes]) -> None:
        listing["siblings"][0]["rfilename"] = name

    return change


def _besides(name: str) -> Change:
    def change(listing: dict[str, Any], files: dict[str, bytes]) -> None:
        listing["siblings"].append({**copy.deepcopy(listing["siblings"][2]), "rfilename": name})

    return change


def _sharded(name: str) -> Change:
    def change(listing: dict[str, Any], files: dict[str, bytes]) -> None:
        files[INDEX] = json.dumps({"weight_map": {"a": name}}).encode()
        listing["siblings"] += [_sibling(INDEX, files[INDEX]), {**listing["siblings"].pop(2), "rfilename": name}]

    return change


def _set(value: Any, *where: Any) -> Change:
    def change(listing: dict[str, Any], files: dict[str, bytes]) -> None:
        holder: Any = listing
        for key in where[:-1]:
            holder = holder[key]
        holder[where[-1]] = value

    return change


def _file(contents: bytes, listed_so: bool) -> Change:
    def change(listing: dict[str, Any], files: dict[str, bytes]) -> None:
        files["config.json"] = contents
        if listed_so:
            listing["siblings"][0] = _sibling("config.json", contents)

    return change


CHANGES: dict[str, Change] = {
    "a name that leads elsewhere": _renamed("../../../../escaped/config.json"),
    "an absolute name": _renamed("/tmp/escaped/config.json"),
    "a file beside the others that leads elsewhere": _besides("../../escaped.json"),
    "a name with a line break": _besides("x\ny.json"),
    "a shard that leads elsewhere": _sharded("../../../../escaped.safetensors"),
    "a shard with an absolute name": _sharded("/tmp/escaped.safetensors"),
    "a commit that is none": _set("../../main", "sha"),
    "a size below zero": _set(-1, "siblings", 2, "lfs", "size"),
    "a digest that is none": _set("x" * 64, "siblings", 2, "lfs", "sha256"),
    "names that are numbers": _set(7, "siblings", 0, "rfilename"),
    "no files": _set([], "siblings"),
    "files that are texts": _set(["x"], "siblings"),
    "gated": _set("auto", "gated"),
    "other settings than listed": _file(b'{"model_type": "bit"}\n', False),
    "settings that are no object": _file(b"[3]\n", True),
    "settings nested deeply": _file(b"[" * 200_000, True),
    "settings that are no text": _file(b"\xff\xfe\xff", True),
}
BODIES = {
    "a listing nested deeply": b"[" * 200_000,
    "a listing cut short": b'{"sha": "111',
    "an HTML page": b"<!DOCTYPE html><title>Please log in</title>",
    "nothing": b"",
}


def hostile_hub(case: Case) -> Verdict:
    """A network is pinned at an honest hub and at this one: refused, or the same pin."""
    name = [*CHANGES, *BODIES][case.place % (len(CHANGES) + len(BODIES))]
    honest, made = _pin(case, *_honest(), None)
    if honest.status or made is None:
        return Verdict(UNNAMED, "hub", f"the honest hub is refused: {honest.last_line}")
    listing, files = _honest()
    CHANGES.get(name, lambda listing, files: None)(listing, files)
    case.names |= {REPO, "config.json", "escaped"}
    ran, pin = _pin(case, listing, files, BODIES.get(name))
    detail = f"{name}; status {ran.status}: {ran.last_line[:400]}"
    escaped = list(case.work.parent.rglob("*escaped*"))
    if escaped:
        return Verdict(SILENT, "hub", f"{detail}; wrote {escaped[0]}")
    if ran.status == 0:
        return Verdict(HEALED if pin == made else SILENT, "hub", detail)
    return Verdict(REFUSED if case.refused_by_name(ran) and pin is None else UNNAMED, "hub", detail)


def _pin(case: Case, listing: dict[str, Any], files: dict[str, bytes], body: bytes | None) -> tuple[Ran, bytes | None]:
    """How ``pin`` ended, and the pins that it wrote."""
    served = {f"{REPO}/resolve/{COMMIT}/{name}": contents for name, contents in files.items()}
    served[LISTING] = json.dumps(listing).encode() if body is None else body
    case.work.mkdir(parents=True, exist_ok=True)
    pins = case.work / LOCK
    pins.unlink(missing_ok=True)

    def job() -> int:
        from pipeline.study.cli import main

        os.chdir(case.work)
        with serving(Study("hub", "", served)) as server:
            os.environ |= {"HF_ENDPOINT": server.prefix, "LAYERMAP_WEIGHTS_LOCK": str(pins)}
            return main(["pin", REPO])

    ran = in_child(job)
    return ran, pins.read_bytes() if pins.is_file() else None
