"""A real HTTP server on the loopback interface that can be told to misbehave."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.fetch.mirror import Mirror

# a host that no name server knows: what the mirror does not give cannot be had
HOST = "data.example.invalid"


@dataclass
class Served:
    """One file and how the server behaves when asked for it. ``*_each`` give one value per request."""

    body: bytes
    ranges: bool = True
    etag: str | None = '"v1"'
    content_type: str = "application/octet-stream"
    announced: int | None = None  # a Content-Length that may be a lie
    chunked: bool = False
    status_each: list[int] = field(default_factory=list)
    page: tuple[bytes, str] = (b"no", "text/plain")  # body and type of answers with another status than 200
    cut_each: list[int | None] = field(default_factory=list)  # bytes after which the connection breaks
    stall_each: list[int | None] = field(default_factory=list)  # bytes after which nothing more comes
    bytes_per_s: float | None = None
    location: str | None = None
    changes_to: bytes | None = None  # the second request finds another version
    encoding: str | None = None  # a Content-Encoding, whatever the body is
    raw: dict[int, bytes] = field(default_factory=dict)  # request → all that is sent in answer, head and body
    endless: bytes | None = None  # sent again and again after ``raw``, until the other side hangs up
    requests: list[dict[str, str]] = field(default_factory=list)
    served: list[int] = field(default_factory=list)  # bytes of body sent, one entry per request


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HonestServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        """As GET, without the body; misbehaviour is kept for GET."""
        file = self.server.files.get(self.path.lstrip("/"))
        if file is None:
            return self._plain(404)
        if file.location:
            self.send_response(302)
            self.send_header("Location", file.location)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(200)
        self.send_header("Content-Type", file.content_type)
        self.send_header("Content-Length", str(len(file.body)))
        self.end_headers()

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.active += 1
            self.server.most_active = max(self.server.most_active, self.server.active)
        self.busy = True
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self._leave()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def _leave(self) -> None:
        if self.busy:
            self.busy = False
            with self.server.lock:
                self.server.active -= 1

    def _answer(self) -> None:
        file = self.server.files.get(self.path.lstrip("/"))
        if file is None:
            return self._plain(404)
        with self.server.lock:
            turn = len(file.requests)
            file.requests.append(dict(self.headers))
            file.served.append(0)
        if turn in file.raw:
            return self._send_raw(file, turn)
        if file.location:
            self.send_response(302)
            self.send_header("Location", file.location)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        status = file.status_each[turn] if turn < len(file.status_each) else 200
        if status != 200:
            return self._plain(status, *file.page)
        if turn > 0 and file.changes_to is not None:
            file.body, file.etag, file.changes_to = file.changes_to, '"v2"', None
        self._send(file, turn)

    def _plain(self, status: int, text: bytes = b"no", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _send_raw(self, file: Served, turn: int) -> None:
        self.close_connection = True
        self.wfile.write(file.raw[turn])
        file.served[turn] += len(file.raw[turn])
        while file.endless and not self.server.closing.is_set():
            self.wfile.write(file.endless)
            file.served[turn] += len(file.endless)

    def _send(self, file: Served, turn: int) -> None:
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if wanted and file.ranges and condition in (None, file.etag):
            start = int(wanted[1])
            if start >= len(file.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(file.body)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(file.body) - 1}/{len(file.body)}")
        else:
            self.send_response(200)
        body = file.body[start:]
        self.send_header("Content-Type", file.content_type)
        if file.etag:
            self.send_header("ETag", file.etag)
        if file.encoding:
            self.send_header("Content-Encoding", file.encoding)
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body) if file.announced is None else file.announced))
        self.end_headers()
        cut = file.cut_each[turn] if turn < len(file.cut_each) else None
        stall = file.stall_each[turn] if turn < len(file.stall_each) else None
        self._write(file, turn, body, cut, stall)

    def _write(self, file: Served, turn: int, body: bytes, cut: int | None, stall: int | None) -> None:
        end = min(len(body), *(limit for limit in (cut, stall, len(body)) if limit is not None))
        step = 16384
        for at in range(0, end, step):
            piece = body[at : min(at + step, end)]
            if file.bytes_per_s:
                time.sleep(len(piece) / file.bytes_per_s)
            if at + step >= end:
                self._leave()  # the other side may start its next request as soon as it has the last byte
            file.served[turn] += len(piece)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if file.chunked else piece)
        if file.chunked and end == len(body):
            self.wfile.write(b"0\r\n\r\n")
        if stall is not None:
            self.server.closing.wait(5)
        if cut is not None or stall is not None or file.announced is not None:
            self.close_connection = True


class HonestServer(ThreadingHTTPServer):
    """Serves ``files`` by ``HOST/PATH``, the way an http mirror does."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, handler: type[Handler] = Handler, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.files: dict[str, Served] = {}
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.active = self.most_active = 0

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    @property
    def prefix(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def mirror(self) -> Mirror:
        return Mirror(prefix=self.prefix)

    def serve(self, path: str, body: bytes, **behaviour: object) -> Served:
        self.files[f"{HOST}/{path}"] = served = Served(body, **behaviour)  # type: ignore[arg-type]
        return served


def raw_answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    """An answer as it goes over the line: ``raw_answer("200 OK", "Content-Length: 3", body=b"abc")``."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin-1") + body


@contextlib.contextmanager
def running(server: Any) -> Iterator[Any]:
    """Serve in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
