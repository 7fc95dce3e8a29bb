"""The Allen Institute's public servers on the loopback interface: RMA queries and file downloads, for allensdk itself.

It stands where an http mirror stands: ``http://127.0.0.1:PORT/api.brain-map.org/api/v2/data/query.json?…``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.http_server import Handler, HonestServer, Served

API = "api.brain-map.org"
QUERY = re.compile(r"^/[^/]+/api/v2/data/query\.json\?")
PAGE = b"<!DOCTYPE html><html><body>Bad gateway</body></html>"

Row = dict[str, Any]


class ObservatoryHandler(Handler):
    server: ObservatoryServer

    def _answer(self) -> None:
        if not QUERY.match(self.path):
            return super()._answer()
        query = unquote(urlsplit(self.path).query)
        with self.server.lock:
            self.server.queries.append(query)
            fault = self.server.faults.pop(0) if self.server.faults else ""
        body = json.dumps(self.server.answer(query)).encode()
        if fault.isdigit():
            return self._plain(int(fault))
        if fault == "silent":
            self.server.closing.wait(2)
        if fault == "refused":
            body = json.dumps({"success": False, "id": 0, "start_row": 0, "num_rows": 0, "msg": "bad query"}).encode()
        self._send_json(PAGE if fault == "html" else body, fault)

    def _send_json(self, body: bytes, fault: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if fault == "html" else "application/json")
        if fault != "truncated":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault == "truncated":  # the connection ends in the middle, without having announced a length
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        step = max(1, len(body) // 20) if fault == "slow" else len(body)
        for start in range(0, len(body), step):
            self.wfile.write(body[start : start + step])
            if fault == "slow":
                time.sleep(0.05)


class ObservatoryServer(HonestServer):
    """Answers queries about ``rows`` and serves ``files``.

    Parameters
    ----------
    rows : model → its rows, nested as the warehouse nests what a query includes
    files : path on its host → contents, e.g. ``/api/v2/well_known_file_download/514422179``
    faults : what the next queries meet, one each: a status, ``html``, ``truncated``, ``slow``, ``silent``,
        ``refused`` or ``""``
    """

    def __init__(
        self, rows: dict[str, Sequence[Row]], files: dict[str, bytes], *, faults: Sequence[str] = (), port: int = 0
    ) -> None:
        super().__init__(ObservatoryHandler, port)
        self.rows = rows
        self.files = {f"{API}{path}": Served(body) for path, body in files.items()}
        self.faults = list(faults)
        self.queries: list[str] = []

    def answer(self, query: str) -> Row:
        """The envelope with the rows of a query, paged as it asks."""
        found = re.search(r"model::(\w+)", query)
        model = found[1] if found else ""
        criteria, _, options = query.partition("rma::options")
        rows = [row for row in self.rows.get(model, []) if all(test(row) for test in _tests(criteria))]
        start = int(_option(options, "start_row", "0"))
        wanted = _option(options, "num_rows", "50")
        page = rows[start:] if wanted == "all" else rows[start : start + int(wanted)]
        return {
            "success": True,
            "id": 0,
            "start_row": start,
            "num_rows": len(page),
            "total_rows": len(rows),
            "msg": page,
        }

    def redirect(self, path: str, to: str) -> None:
        """Answer a download link with another address, as the public server does."""
        served = self.files.pop(f"{API}{path}")
        self.files[f"download.alleninstitute.org{to}"] = served
        self.files[f"{API}{path}"] = Served(b"", location=f"{self.prefix}/download.alleninstitute.org{to}")


def _option(options: str, name: str, default: str) -> str:
    found = re.search(rf"\[{name}\$eq'?(\w+)'?\]", options)
    return found[1] if found else default


def _tests(criteria: str) -> list[Callable[[Row], bool]]:
    """What the criteria ask of a row: ``[field$eq…]``, ``[field$in…]``, also of the type of a well-known file."""
    tests: list[Callable[[Row], bool]] = []
    for of, name, comparison, values in re.findall(r"(\w*)\[(\w+)\$(eq|in)([^\]]*)\]", criteria):
        wanted = {value.strip().strip("'") for value in (values.split(",") if comparison == "in" else [values])}
        nested = of == "well_known_file_type"
        tests.append(lambda row, name=name, wanted=wanted, nested=nested: _has(row, name, wanted, nested))
    return tests


def _has(row: Row, name: str, wanted: set[str], nested: bool) -> bool:
    value = row["well_known_file_type"][name] if nested else row[name]
    return str(value) in wanted or (isinstance(value, bool) and str(value).lower() in wanted)
