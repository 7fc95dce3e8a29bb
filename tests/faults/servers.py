"""One server on the loopback interface for the files and lists of the studies, which may answer wrongly."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.faults.studies import Study

GRAPHQL = "openneuro.org/crn/graphql"
Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """As an http mirror: HOST/PATH of public addresses, with ranges."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send(self.server.graphql, kind="application/json")

    def do_GET(self) -> None:
        address = unquote(urlsplit(self.path).path).lstrip("/")
        body = self.server.files.get(address)
        if body is None:
            return self.send(b"no", 404, "text/plain")
        wrong = self.server.wrong.get(address)
        if wrong is not None:
            return wrong(self, body)
        tag = f'"{hashlib.sha1(body).hexdigest()}"'
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted is None or self.headers.get("If-Range") not in (None, tag):
            return self.send(body, ETag=tag)
        start = int(wanted[1])
        if start >= len(body):
            return self.send(b"", 416, Content_Range=f"bytes */{len(body)}")
        self.send(body[start:], 206, ETag=tag, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")

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
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.end_headers()
        self.wfile.write(body[:n_bytes])
        self.wfile.flush()
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """``wrong`` holds, for some addresses, what is answered instead of the file."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, study: Study, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.files = dict(study.served)
        self.graphql = json.dumps({"data": {"snapshot": {"files": list(study.listed)}}}).encode()
        self.wrong: dict[str, Answer] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @property
    def prefix(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def serving(study: Study, port: int = 0) -> Iterator[Server]:
    """The server of a study, in a thread of this process."""
    server = Server(study, port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


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
