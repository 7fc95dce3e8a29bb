"""OpenNeuro, its git repositories, S3 and DataLad on the loopback interface, for a mirror prefix ``http://127.0.0.1:PORT``.

S3 is moto's. The list of a snapshot is given both as a git repository with git-annex links (through git's own
``git http-backend``) and by GraphQL, so that what is fetched from a test goes the ways of the real addresses.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any
from urllib.parse import quote

import moto.s3.models
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeKey, S3Backend, get_canned_acl
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from tests.listening.server_git import TreeRow, git_http, write_snapshot

S3_HOST = "s3.amazonaws.com"
S3_FOLDER = "openneuro.org"
PLAIN_HOSTS = ("raw.githubusercontent.com", "datasets.datalad.org")
REPOSITORIES = "/github.com/OpenNeuroDatasets/"
GRAPHQL = "/openneuro.org/crn/graphql"
IN_GIT = (".json", ".tsv", ".bidsignore", ".gitattributes", "README", "CHANGES")
"""Endings of what OpenNeuro keeps in git itself rather than in git-annex."""


@dataclass(frozen=True)
class ListedRow:
    """A row of a real list of files (``openneuro-trees/*.tsv.gz``): a file of which only name and size are known.

    Parameters
    ----------
    bytes : size; a file in git becomes filler of that size
    digest : md5 (store ``annex``) or git's SHA-1 (store ``git``)
    store : ``annex`` or ``git``
    """

    path: str
    bytes: int
    digest: str
    store: str


Contents = bytes | Path | ListedRow


def listed_rows(mirror: Path, dataset: str) -> list[ListedRow]:
    """The rows of a real list, ``openneuro-trees/DATASET.tsv.gz`` in the mirror of real data."""
    with gzip.open(mirror / "openneuro-trees" / f"{dataset}.tsv.gz", "rt", encoding="utf-8") as stream:
        return [
            ListedRow(row["path"], int(row["bytes"]), row["digest"], row["store"])
            for row in csv.DictReader(stream, delimiter="\t")
        ]


@dataclass
class _Snapshot:
    rows: list[TreeRow]
    urls: dict[str, str] = field(default_factory=dict)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


class ListeningServer:
    """One server for everything that the listening datasets are fetched from; use it with ``with``.

    Attributes
    ----------
    prefix : give it as the mirror
    git_status, graphql_status : a status that git or GraphQL answers with instead, e.g. 503; None where they work
    graphql_answer : what GraphQL answers with instead, e.g. ``(b"<html>", "text/html")``
    cuts : ``/HOST/PATH`` of contents → bytes after which the connection breaks off, one for each of the next requests
    bytes_per_s : speed at which contents are sent; None sends them at once
    requests : ``METHOD PATH`` of all that was asked, with ``?QUERY`` and `` bytes=FROM-`` where there were any
    """

    def __init__(self) -> None:
        self.git_status: int | None = None
        self.graphql_status: int | None = None
        self.graphql_answer: tuple[bytes, str] | None = None
        self.cuts: dict[str, list[int]] = {}
        self.bytes_per_s: float | None = None
        self.requests: list[str] = []
        self._plain: dict[str, bytes | Path] = {}
        self._snapshots: dict[tuple[str, str], _Snapshot] = {}
        self._s3 = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        # moto's buckets belong to the process, and two servers may run in it
        self._bucket = f"{S3_HOST}-{self._server.server_port}"
        self._backend: S3Backend = moto.s3.models.s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._folder = tempfile.TemporaryDirectory(prefix="layermap-repositories-")
        self._repositories = Path(self._folder.name)

    def __enter__(self) -> ListeningServer:
        self._backend.create_bucket(self._bucket, "us-east-1")
        self._backend.put_bucket_versioning(self._bucket, "Enabled")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._backend.get_bucket(self._bucket).keys.clear()
        self._backend.delete_bucket(self._bucket)
        self._folder.cleanup()

    @property
    def prefix(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def add_snapshot(self, dataset: str, tag: str, files: Mapping[str, Contents]) -> None:
        """Publish a snapshot: contents on S3, the list in git and GraphQL. The same tag again replaces it.

        Parameters
        ----------
        files : path → contents, a file that holds them, or a `ListedRow` where there is nothing to fetch
        """
        snapshot = _Snapshot([])
        for path, contents in sorted(files.items()):
            if isinstance(contents, ListedRow):
                snapshot.rows.append(_listed(contents, path))
                continue
            data = contents.read_bytes() if isinstance(contents, Path) else contents
            key = self.put(f"{S3_FOLDER}/{dataset}/{path}", data)
            snapshot.urls[path] = f"https://{S3_HOST}/{S3_FOLDER}/{dataset}/{quote(path)}?versionId={key.version_id}"
            if path.endswith(IN_GIT):
                snapshot.rows.append(TreeRow(path, len(data), contents=data))
            else:
                annex_key = f"MD5E-s{len(data)}--{hashlib.md5(data).hexdigest()}{_extension(path)}"
                snapshot.rows.append(TreeRow(path, len(data), annex_key=annex_key))
        write_snapshot(self.repository(dataset), tag, snapshot.rows)
        self._snapshots[dataset, tag] = snapshot

    def add_listed_rows(self, dataset: str, tag: str, rows: Iterable[ListedRow]) -> None:
        """Publish the list of a snapshot of which nothing can be fetched."""
        self.add_snapshot(dataset, tag, {row.path: row for row in rows})

    def add_file(self, address: str, contents: bytes | Path) -> None:
        """Serve ``https://ADDRESS``, e.g. ``datasets.datalad.org/labs/…``, as a plain file with ranges."""
        if address.partition("/")[0] not in PLAIN_HOSTS:
            raise ValueError(f"{address} is on none of {PLAIN_HOSTS}")
        self._plain[f"/{address}"] = contents

    def put(
        self,
        key: str,
        contents: bytes,
        *,
        public: bool = True,
        part_bytes: int | None = None,
        etag: str | None = None,
    ) -> FakeKey:
        """Put an object into S3; returns moto's, with ``version_id`` and ``etag``.

        Parameters
        ----------
        key : without the host, e.g. ``openneuro.org/ds002345/README``
        part_bytes : upload it in parts of this size, as S3 asks for with big files
        etag : one that is not that of the contents, as if they had been altered since
        """
        if part_bytes is not None:
            parts = [contents[at : at + part_bytes] for at in range(0, len(contents), part_bytes)]
            etag = f"{hashlib.md5(b''.join(hashlib.md5(part).digest() for part in parts)).hexdigest()}-{len(parts)}"
        stored = self._backend.put_object(self._bucket, key, contents, etag=etag)
        stored.set_acl(get_canned_acl("public-read" if public else "private"))
        return stored

    def repository(self, dataset: str) -> Path:
        """The bare git repository of a dataset."""
        return self._repositories / dataset

    def remove(self, key: str) -> None:
        """Take every version of an object out of S3."""
        self._backend.get_bucket(self._bucket).keys.pop(key)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        query = environ.get("QUERY_STRING", "")
        asked = f"{environ['REQUEST_METHOD']} {path}{'?' if query else ''}{query} {environ.get('HTTP_RANGE', '')}"
        self.requests.append(asked.strip())
        try:
            if path.startswith(REPOSITORIES):
                return self._git(environ)(environ, start_response)
            if path == GRAPHQL:
                return self._graphql(Request(environ))(environ, start_response)
            plain = path.startswith(tuple(f"/{host}/" for host in PLAIN_HOSTS))
            response = self._file(path, environ) if plain else self._object(path, environ)
        except HTTPException as error:
            return error(environ, start_response)
        sent = response(environ, start_response)
        if self.bytes_per_s is not None:
            sent = _slowed(sent, self.bytes_per_s)
        return _cut(sent, self.cuts[path].pop(0)) if self.cuts.get(path) else sent

    def _object(self, path: str, environ: dict[str, Any]) -> Response:
        """S3's answer; moto refuses without the document in which S3 says why."""
        for name in ("PATH_INFO", "RAW_URI", "REQUEST_URI"):
            environ[name] = re.sub(rf"^/{re.escape(S3_HOST)}(?![^/?])", f"/{self._bucket}", environ.get(name, path))
        response = Response.from_app(self._s3, environ)
        if response.status_code == 403 and not response.get_data():
            response.set_data(b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
            response.content_type = "application/xml"
        return response

    def _git(self, environ: dict[str, Any]) -> Response:
        if self.git_status is not None:
            return Response("no", self.git_status)
        return git_http(self._repositories, environ["PATH_INFO"].removeprefix(REPOSITORIES), Request(environ))

    def _graphql(self, request: Request) -> Response:
        if self.graphql_status is not None:
            return Response("<html><title>no</title></html>", self.graphql_status, content_type="text/html")
        if self.graphql_answer is not None:
            return Response(self.graphql_answer[0], content_type=self.graphql_answer[1])
        query = json.loads(request.get_data())["query"]
        named = re.search(r'snapshot\(datasetId:"([^"]+)",tag:"([^"]+)"\)', query)
        if named is None:
            answer: dict[str, Any] = {"errors": [{"message": f"Cannot query {query}"}]}
        else:
            snapshot = self._snapshots.get((named[1], named[2]))
            answer = {
                "data": {"snapshot": snapshot and {"files": [_graphql_row(row, snapshot) for row in snapshot.rows]}}
            }
        return Response(json.dumps(answer), content_type="application/json")

    def _file(self, path: str, environ: dict[str, Any]) -> Response:
        contents = self._plain.get(path)
        if contents is None:
            raise NotFound
        source = io.BytesIO(contents) if isinstance(contents, bytes) else contents
        tag = hashlib.sha1(contents).hexdigest() if isinstance(contents, bytes) else True
        return send_file(source, environ, "application/octet-stream", conditional=True, etag=tag)


def _slowed(sent: Iterable[bytes], bytes_per_s: float) -> Iterator[bytes]:
    step = 1 << 14
    for piece in sent:
        for at in range(0, len(piece), step):
            time.sleep(step / bytes_per_s)
            yield piece[at : at + step]


def _cut(sent: Iterable[bytes], n_bytes: int) -> Iterator[bytes]:
    """The first bytes of an answer; then the connection breaks off."""
    for piece in sent:
        yield piece[:n_bytes]
        n_bytes -= len(piece)
        if n_bytes <= 0:
            raise ConnectionAbortedError


def _listed(row: ListedRow, path: str) -> TreeRow:
    if row.store == "annex":
        return TreeRow(path, row.bytes, annex_key=f"MD5E-s{row.bytes}--{row.digest}{_extension(path)}")
    return TreeRow(path, row.bytes)


def _extension(path: str) -> str:
    """As git-annex keeps it behind a digest."""
    return "".join(PurePosixPath(path).suffixes[-2:])


def _graphql_row(row: TreeRow, snapshot: _Snapshot) -> dict[str, Any]:
    sha1 = hashlib.sha1(b"blob %d\0" % row.bytes + row.blob()).hexdigest() if row.annex_key is None else ""
    elsewhere = f"https://openneuro.org/crn/objects/{sha1 or row.annex_key}"
    return {
        "filename": row.path,
        "urls": [snapshot.urls.get(row.path, elsewhere)],
        "size": row.bytes,
        "id": row.annex_key or sha1,
        "directory": False,
    }
