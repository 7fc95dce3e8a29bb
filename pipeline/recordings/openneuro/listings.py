"""The files of a snapshot, as git and as OpenNeuro's GraphQL interface list them, before any of them is fetched.

The dataset's git repository has sizes and digests. What git-annex keeps is there a link whose target ends in its key,
``MD5E-s<bytes>--<md5><ext>``; the rest are git's blobs. The GraphQL interface is for where git cannot be used.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.core.limits import FILE_BYTES, size_in_words
from pipeline.fetch.annex import AnnexKey, key_in_pointer, parse_key
from pipeline.fetch.http import lists
from pipeline.fetch.http.lists import NoAnswer
from pipeline.fetch.http.sessions import ask_text
from pipeline.fetch.http.settings import PASSING_STATUS

GITHUB = "https://github.com"
OPENNEURO = "https://openneuro.org"
S3_BUCKET = "https://s3.amazonaws.com/openneuro.org"
LONGEST_CLONE_S = 1800.0
SLOWEST_BYTES_PER_S = 1000
"""A clone that stays below this for `lists.SILENCE_S` is given up."""
LONGEST_UNLOCKED_POINTER_BYTES = 512
LINK = "120000"
OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
"""What git sets for its hooks; layermap may be run from one."""
SUBMODULE = "commit"


@dataclass(frozen=True)
class ListedFile:
    """A file of a snapshot.

    Parameters
    ----------
    path : within the dataset
    bytes : size
    url : public address on S3
    md5, git_sha1, sha256 : hex digests, as far as the list tells them; ``git_sha1`` is that of the git blob
    """

    path: str
    bytes: int
    url: str
    md5: str | None = None
    git_sha1: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.bytes <= FILE_BYTES:
            size = size_in_words(self.bytes) if self.bytes > 0 else f"{self.bytes} bytes"
            raise ValueError(f"{self.path} is said to have {size}")


def s3_address(dataset: str, path: str) -> str:
    """Public address of the newest version of a file."""
    return f"{S3_BUCKET}/{dataset}/{quote(path)}"


@dataclass(frozen=True)
class _Entry:
    """A line of ``git ls-tree``."""

    mode: str
    kind: str
    sha1: str
    n_bytes: int
    path: str


def read_git_tree(dataset: str, tag: str, base: str) -> list[ListedFile]:
    """List a snapshot by a shallow clone of ``BASE/OpenNeuroDatasets/DATASET``, which is removed again.

    Submodules and links that are not git-annex's own have no contents on S3 and are left out.

    Raises
    ------
    NoAnswer
        git is not installed, the repository cannot be reached, or it has no such snapshot.
    """
    with tempfile.TemporaryDirectory(prefix="layermap-git-") as folder:
        repository = Path(folder) / "tree.git"
        _clone(f"{base}/OpenNeuroDatasets/{dataset}", tag, repository)
        return list(_files(dataset, repository, tag))


def _files(dataset: str, repository: Path, tag: str) -> Iterator[ListedFile]:
    entries = [one for one in _entries(repository, tag) if one.kind != SUBMODULE]
    # an unlocked file is no link but a blob with the key in it
    asked = [one.sha1 for one in entries if one.mode == LINK or one.n_bytes <= LONGEST_UNLOCKED_POINTER_BYTES]
    contents = _contents(repository, asked)
    for entry in entries:
        address = s3_address(dataset, entry.path)
        text = key_in_pointer(contents.get(entry.sha1, b""))
        if text is not None:
            key = parse_key(text)
            if key is None or key.bytes is None:
                raise NoAnswer(f"the git-annex key '{text}' of {entry.path} tells no size", passing=False)
            yield ListedFile(entry.path, key.bytes, address, md5=key.md5, sha256=key.sha256)
        elif entry.mode != LINK:
            yield ListedFile(entry.path, entry.n_bytes, address, git_sha1=entry.sha1)


def _entries(repository: Path, tag: str) -> list[_Entry]:
    # a branch of that name may move: only a tag is a snapshot
    listed = _git(["--git-dir", str(repository), "ls-tree", "-r", "-z", "--long", f"refs/tags/{tag}"])
    if listed.returncode:
        raise NoAnswer(f"it has no tag {tag}", passing=False)
    entries = []
    for line in listed.stdout.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, kind, sha1, n_bytes = head.decode().split()
        entries.append(_Entry(mode, kind, sha1, 0 if n_bytes == "-" else int(n_bytes), os.fsdecode(path)))
    return entries


def _contents(repository: Path, sha1s: list[str]) -> dict[str, bytes]:
    """Blobs by their SHA-1, all through one process."""
    distinct = list(dict.fromkeys(sha1s))
    asked = "".join(f"{sha1}\n" for sha1 in distinct).encode()
    answer = _git(["--git-dir", str(repository), "cat-file", "--batch"], asked).stdout
    contents, at = {}, 0
    for sha1 in distinct:
        end = answer.index(b"\n", at)
        n_bytes = int(answer[at:end].rpartition(b" ")[2])
        contents[sha1] = answer[end + 1 : end + 1 + n_bytes]
        at = end + n_bytes + 2
    return contents


def _clone(url: str, tag: str, repository: Path) -> None:
    cloned = _git(
        [
            *("-c", f"http.lowSpeedLimit={SLOWEST_BYTES_PER_S}"),
            *("-c", f"http.lowSpeedTime={max(1, round(lists.SILENCE_S))}"),
            *("clone", "--quiet", "--bare", "--template=", "--depth", "1", "--branch", tag, "--", url, str(repository)),
        ]
    )
    if cloned.returncode:
        raise _explained(cloned.stderr.decode("utf-8", "replace"), url, tag)


def _explained(said: str, url: str, tag: str) -> NoAnswer:
    """What git says about a clone that failed, in half a sentence."""
    if "Remote branch" in said and "not found" in said:
        return NoAnswer(f"it has no tag {tag}{_tags(url)}", passing=False)
    # GitHub asks for a password where there is no such repository
    if re.search(r"could not read Username|repository( '.*')? not found|Authentication failed", said, re.IGNORECASE):
        return NoAnswer(f"it has no repository {url.rpartition('/')[2]}", passing=False)
    if "Could not resolve host" in said or "Failed to connect" in said or "Couldn't connect" in said:
        return NoAnswer(f"it cannot be reached ({_last(said)})", passing=False)
    if "Operation too slow" in said:
        return NoAnswer(f"it was silent for {lists.SILENCE_S:g} s", passing=True)
    status = re.search(r"returned error: (\d+)", said)
    if status:
        return NoAnswer(f"it answers {status[1]}", passing=status[1].startswith("5") or status[1] == "429")
    return NoAnswer(f"git cannot clone it ({_last(said)})", passing="early EOF" in said or "hung up" in said)


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith(("fatal: ", "error: "))] or said.splitlines()
    return lines[-1].partition(": ")[2].strip()[:200] if lines else "it says nothing"


def _tags(url: str) -> str:
    listed = _git(["ls-remote", "--tags", "--refs", "--", url])
    tags = re.findall(r"refs/tags/(\S+)", listed.stdout.decode("utf-8", "replace"))
    return f" (it has {', '.join(tags)})" if tags else ""


def _git(arguments: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run git as on a machine without a user: no credentials, no questions, nobody's configuration."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPOSITORY}
    environment |= {
        "HOME": os.devnull,  # curl would read passwords from ~/.netrc
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ALLOW_PROTOCOL": "http:https",
        "LC_ALL": "C",
    }
    # a redirect could lead to what only this machine can reach
    command = ["git", "-c", "credential.helper=", "-c", "http.followRedirects=false", *arguments]
    try:
        return subprocess.run(
            command, input=given, capture_output=True, env=environment, timeout=LONGEST_CLONE_S, check=False
        )
    except FileNotFoundError as error:
        raise NoAnswer("git is not installed", passing=False) from error
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"git was not done after {LONGEST_CLONE_S:g} s", passing=False) from error


def ask_graphql(dataset: str, tag: str, base: str) -> list[ListedFile]:
    """List a snapshot by one query to ``BASE/crn/graphql``.

    Where the answer has the address of a version on S3, the file is taken from there, so that a later snapshot cannot
    change it. Its ``id`` is a git-annex key for big files, but was something else in earlier releases: a digest is
    taken from it only where it is one.

    Raises
    ------
    NoAnswer
        No such snapshot, or no list of files came back.
    """
    query = (
        f"query{{snapshot(datasetId:{json.dumps(dataset)},tag:{json.dumps(tag)})"
        "{files(recursive:true){filename urls size id directory}}}"
    )
    answer = ask_text("POST", f"{base}/crn/graphql", silence_s=lists.SILENCE_S, json={"query": query})
    if answer.status in PASSING_STATUS:
        raise NoAnswer(f"it answers {answer.status} {answer.reason}", passing=True)
    if answer.status != 200 and "json" not in answer.content_type:
        raise NoAnswer(f"it answers {answer.status} {answer.reason}", passing=False)
    files = _files_in(answer.json(), dataset, tag)
    return [_listed(dataset, row) for row in files if not row["directory"]]


def _files_in(answer: Any, dataset: str, tag: str) -> list[dict[str, Any]]:
    errors = answer.get("errors") or []
    if errors:
        said = " ".join(str(errors[0].get("message", errors[0])).split())
        raise NoAnswer(f"it refuses the query: {said[:160]}", passing=False)
    snapshot = answer["data"]["snapshot"]
    if snapshot is None:
        raise NoAnswer(f"it has no snapshot {tag} of {dataset}", passing=False)
    files: list[dict[str, Any]] = snapshot["files"]
    if not files:  # what it answers when its own worker was too slow
        raise NoAnswer("its list of files is empty", passing=True)
    return files


def _listed(dataset: str, row: dict[str, Any]) -> ListedFile:
    path = str(row["filename"])
    versions = [url for url in row["urls"] or () if url.startswith(f"{S3_BUCKET}/") and "versionId=" in url]
    key = parse_key(str(row["id"])) or AnnexKey(None)
    return ListedFile(
        path,
        int(row["size"]),
        versions[0] if versions else s3_address(dataset, path),
        md5=key.md5,
        sha256=key.sha256,
    )
