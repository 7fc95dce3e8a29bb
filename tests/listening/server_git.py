"""Git repositories as OpenNeuro has them, made from lists of files, and served as GitHub serves them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from werkzeug.wrappers import Request, Response

BRANCH = "refs/heads/main"
COMMITTER = b"committer OpenNeuro <git@openneuro.org> 0 +0000\n"


@dataclass(frozen=True)
class TreeRow:
    """A file of a snapshot: a git-annex key, or contents in git, or filler of its size there."""

    path: str
    bytes: int
    annex_key: str | None = None
    contents: bytes | None = None

    def blob(self) -> bytes:
        """What git keeps: the target of the link, or the contents."""
        if self.annex_key is not None:
            digest = hashlib.md5(self.annex_key.encode()).hexdigest()
            up = "../" * self.path.count("/")
            folders = f"{digest[:2]}/{digest[2:4]}"
            return f"{up}.git/annex/objects/{folders}/{self.annex_key}/{self.annex_key}".encode()
        return self.contents if self.contents is not None else b"#" * self.bytes


def write_snapshot(repository: Path, tag: str, rows: Iterable[TreeRow]) -> None:
    """Give a bare repository, made if it is not there, a commit of these files under a tag."""
    if not repository.exists():
        _git(
            "init", "--quiet", "--bare", "--template=", f"--initial-branch={BRANCH.rpartition('/')[2]}", str(repository)
        )
    stream = [b"commit refs/tags/%s\n" % tag.encode(), COMMITTER, b"data 0\n", b"deleteall\n"]
    for row in rows:
        blob = row.blob()
        mode = b"120000" if row.annex_key is not None else b"100644"
        stream.append(b"M %s inline %s\ndata %d\n%s\n" % (mode, row.path.encode(), len(blob), blob))
    stream.append(b"reset %s\nfrom refs/tags/%s\n\n" % (BRANCH.encode(), tag.encode()))
    _git("--git-dir", str(repository), "fast-import", "--quiet", "--force", given=b"".join(stream))


def git_http(repositories: Path, path: str, request: Request) -> Response:
    """Answer a request of git through ``git http-backend``.

    Parameters
    ----------
    path : ``DATASET/info/refs`` and the like
    """
    body = request.get_data()
    environment = {
        "GIT_PROJECT_ROOT": str(repositories),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{path}",
        "QUERY_STRING": request.query_string.decode(),
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    answer = _git("http-backend", given=body, environment=environment)
    head, _, contents = answer.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
    status = int(headers.pop("Status", "200").split()[0])
    return Response(contents, status, headers)


def _git(*arguments: str, given: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
    """Run git without anybody's configuration; its output."""
    nobody = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], input=given, env=nobody | (environment or {}), capture_output=True)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.decode()}")
    return done.stdout
