"""One server on the loopback interface for the files and lists of the studies, which may answer wrongly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from tests import http_server
from tests.faults.studies import Study
from tests.http_server import HonestServer, Served, running

GRAPHQL = "openneuro.org/crn/graphql"
Answer = Callable[["Handler", bytes], None]


class Handler(http_server.Handler):
    """As an http mirror: HOST/PATH of public addresses, whatever version of a file is asked for."""

    server: Server

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        if parsed:
            self.path = unquote(urlsplit(self.path).path)
        return parsed

    def _answer(self) -> None:
        address = self.path.lstrip("/")
        wrong = self.server.wrong.get(address)
        if wrong is None:
            return super()._answer()
        wrong(self, self.server.files[address].body)

    def send(self, body: bytes, status: int = 200, kind: str = "application/octet-stream", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

    def cut(self, body: bytes, n_bytes: int) -> None:
        """Announce all and send less, then hang up."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", str(Served.etag))
        self.end_headers()
        self.wfile.write(body[:n_bytes])
        self.wfile.flush()
        self.close_connection = True


class Server(HonestServer):
    """``wrong`` holds, for some addresses, what is answered instead of the file."""

    def __init__(self, study: Study, port: int = 0) -> None:
        super().__init__(Handler, port)
        self.files = {address: Served(body) for address, body in study.served.items()}
        self.tell(json.dumps({"data": {"snapshot": {"files": list(study.listed)}}}).encode())
        self.wrong: dict[str, Answer] = {}

    def tell(self, answer: bytes) -> None:
        """What is answered to the question for the list of files."""
        self.files[GRAPHQL] = Served(answer, content_type="application/json", etag=None)


def serving(study: Study, port: int = 0) -> contextlib.AbstractContextManager[Server]:
    """The server of a study, in a thread of this process."""
    return running(Server(study, port))


def free_port() -> int:
    """A port for servers that follow each other, as one server would: downloads resume at the address they began at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def kill_after(n_bytes: int) -> Answer:
    """Kill this process while the first bytes of a file are on the disk."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.cut(body, n_bytes)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)

    return answer


def wrong_answers(body: bytes) -> dict[str, Answer]:
    """Name → what a server may say instead of a file of at least two bytes."""
    altered = bytes([body[0] ^ 1]) + body[1:]
    page = b"<!DOCTYPE html><title>Please log in</title>" + b" " * 200
    half = len(body) // 2
    return {
        "an HTML page": lambda one, _: one.send(page, kind="text/html"),
        "an HTML page that is called data": lambda one, _: one.send(page),
        "nothing": lambda one, _: one.send(b""),
        "half of it": lambda one, whole: one.send(whole[:half]),
        "half of it, then silence": lambda one, whole: one.cut(whole, half),
        "more than it": lambda one, whole: one.send(whole + b"\0" * 7),
        "one bit changed": lambda one, _: one.send(altered),
        "403": lambda one, _: one.send(b"no", 403, "text/plain"),
        "404": lambda one, _: one.send(b"no", 404, "text/plain"),
        "500": lambda one, _: one.send(b"no", 500, "text/plain"),
        "a part that nobody asked for": lambda one, whole: one.send(
            whole[half:], 206, Content_Range=f"bytes {half}-{len(whole) - 1}/{len(whole)}"
        ),
        "a link to nowhere": lambda one, _: one.send(b"", 302, "text/plain", Location="/nowhere/at/all"),
        "a link that goes in circles": lambda one, _: one.send(b"", 302, "text/plain", Location=one.path),
    }
