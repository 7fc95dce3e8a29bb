"""A list of files as a server could give it: names that lead elsewhere, rows that are no rows, other files."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from typing import Any

from tests.faults.case import SILENT, Case, Verdict
from tests.faults.servers import Server

Rows = list[dict[str, Any]]
OUTSIDE = "escaped"
NAMES = (
    f"../../../../../{OUTSIDE}/sub-03_task-t_bold.nii.gz",
    f"sub-03/func/../../../../../../{OUTSIDE}/sub-03_task-t_bold.nii.gz",
    f"/tmp/{OUTSIDE}/sub-03/func/sub-03_task-t_bold.nii.gz",
    "sub-03/func/sub-03_task-t_bold.nii.gz\0",
    "sub-03/func/sub-03_task-t_\nbold.nii.gz",
    "sub-$(touch x)/func/sub-03_task-t_bold.nii.gz",
    "sub-{wildcard}/func/sub-03_task-t_bold.nii.gz",
    "-rf/func/sub-03_task-t_bold.nii.gz",
    "sub-03/func/" + "x" * 5000 + "_task-t_bold.nii.gz",
    "sub-\ud800/func/sub-03_task-t_bold.nii.gz",
    "sub-01/func/sub-01_task-t_run-\u202e1_bold.nii.gz",
    "",
)


def _with_row(name: str) -> Callable[[Rows], Any]:
    def change(rows: Rows) -> Any:
        scan = copy.deepcopy(next(row for row in rows if row["filename"].endswith(".nii.gz")))
        return [*rows, {**scan, "filename": name}]

    return change


def _with_value(column: str, value: Any) -> Callable[[Rows], Any]:
    def change(rows: Rows) -> Any:
        return [{**row, column: value} if row["filename"].endswith(".nii.gz") else row for row in rows]

    return change


def hostile_lists() -> dict[str, Callable[[Rows], Any]]:
    """What is wrong → the rows instead of the honest ones."""
    made = {f"a file called {name[:40]!r}": _with_row(name) for name in NAMES}
    values = {
        "size": ("many", -1, None, 1e300, [3], 10**30, True),
        "urls": (
            None,
            ["file:///etc/passwd"],
            ["https://../../x"],
            ["http://127.0.0.1:9/x?versionId=1"],
            "x",
            [None],
            7,
        ),
        "id": (None, "MD5E-s-3--zz", "MD5E-s5--" + "0" * 32 + ".nii.gz", 7),
        "filename": (None, 7, ["x"]),
        "directory": ("no", None),
    }
    for column, wrong in values.items():
        made |= {f"{column} is {str(value)[:40]!r}": _with_value(column, value) for value in wrong}
    return made | {
        "a file twice": lambda rows: [*rows, {**rows[-1], "size": rows[-1]["size"] + 1}],
        "no files": lambda rows: [],
        "rows that are texts": lambda rows: ["x"] * 3,
        "a number": lambda rows: 3,
        "words missing": lambda rows: [row for row in rows if row["filename"] != "words.tsv"],
        "names in other letters": lambda rows: [*rows, {**rows[-1], "filename": rows[-1]["filename"].upper()}],
    }


def _bodies(rows: Rows) -> dict[str, bytes]:
    """Whole answers that are no lists."""
    honest = json.dumps({"data": {"snapshot": {"files": rows}}})
    return {
        "an answer cut short": honest[: len(honest) // 2].encode(),
        "an answer nested deeply": b"[" * 200_000,
        "null": b"null",
        "NaN": b'{"data": NaN}',
        "bytes that are no text": b"\xff\xfe" * 50,
        "an error without words": b'{"errors": [3]}',
        "an HTML page": b"<!DOCTYPE html><title>no</title>",
    }


def hostile_list(case: Case) -> Verdict:
    """The list is asked for anew, and what follows runs with what came."""
    case.take("listeners")
    lists, bodies = hostile_lists(), _bodies(list(case.study.listed))
    names = [*lists, *bodies]
    name = names[case.place % len(names)]
    rows = list(case.study.listed)
    if name in lists:
        body = json.dumps({"data": {"snapshot": {"files": lists[name](rows)}}}).encode()
    else:
        body = bodies[name]
    shutil.rmtree(case.work / "data" / "catalogue")
    shutil.rmtree(case.work / "data" / "raw")
    # the list itself is what is told otherwise; whatever is made from it is compared
    case.touched |= {"data/catalogue", "data/raw"}
    case.names |= {"ds999999", "sub-03", "sub-01", "words.tsv", "openneuro.org"}

    def lie(server: Server) -> None:
        server.tell(body)

    ran = case.run(case.study.stages[: -len(("map", "report"))], server=lie)
    verdict = case.judge(ran, "list of files", name)
    escaped = list(case.work.parent.rglob(f"*{OUTSIDE}*"))
    if escaped:
        return Verdict(SILENT, verdict.door, f"{name}: wrote {escaped[0]}")
    return verdict
