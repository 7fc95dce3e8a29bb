"""Are these bytes the file that was asked for? Sizes, digests, and error pages posing as data.

Files that nobody publishes a digest of have it recorded when they are first fetched, and are held to it ever after:
``NAME.sha256`` beside ``NAME`` holds what ``sha256sum`` prints, so that ``sha256sum -c NAME.sha256`` checks it too.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from pipeline.artifacts.catalogue import RawFile
from pipeline.artifacts.storage.store import write_whole
from pipeline.fetch.annex import is_pointer, pointer_refused
from pipeline.fetch.failures import WrongContents

CHUNK_BYTES = 1 << 20


def is_pinned(file: RawFile) -> bool:
    """Whether the catalogue gives a digest of the file."""
    return bool(file.sha256 or file.md5 or file.git_sha1)


def digests_of(path: Path, names: set[str]) -> dict[str, str]:
    """Hex digests of a file, in one pass.

    Parameters
    ----------
    names : of ``sha256``, ``md5``, ``git_sha1`` (the digest git gives a blob)
    """
    digests = {}
    for name in names:
        # not a matter of security: MD5 and SHA-1 are what OpenNeuro and git publish
        digests[name] = hashlib.new("sha1" if name == "git_sha1" else name, usedforsecurity=False)
    if "git_sha1" in digests:
        digests["git_sha1"].update(f"blob {path.stat().st_size}\0".encode())
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def check_contents(path: Path, expected: RawFile, origin: str) -> str:
    """Check size, digests and that data are neither an HTML page nor a git-annex pointer.

    Files may be empty, but only if their size or digest was published.

    Parameters
    ----------
    origin : where the bytes came from, for the message

    Returns
    -------
    str
        SHA-256 of the file, hex.

    Raises
    ------
    WrongContents
        The message names the origin, what was expected and what was found.
    """
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(512)
    if is_html(head) and not may_be_html(expected.path):
        raise WrongContents(f"{origin} is an HTML page, not {expected.path}: {_A_PAGE}")
    if is_pointer(head, size):
        raise WrongContents(pointer_refused(origin, expected.path))
    if size == 0 and expected.bytes is None and not is_pinned(expected):
        raise WrongContents(f"{origin} is empty, and nobody published that {expected.path} is: {_REMEDY}")
    if expected.bytes is not None and size != expected.bytes:
        raise WrongContents(f"{origin} has {size} bytes where {expected.bytes} were expected: {_REMEDY}")
    wanted = {
        name: value.lower()
        for name in ("sha256", "md5", "git_sha1")
        if (value := getattr(expected, name, None)) is not None
    }
    found = digests_of(path, {"sha256", *wanted})
    for name, value in wanted.items():
        if found[name] != value:
            raise WrongContents(f"{origin} has {name} {found[name]} where {value} was expected: {_REMEDY}")
    return found["sha256"]


_A_PAGE = "an error or log-in page stands there; open it in a browser, or give a mirror with --config mirror=FOLDER"
_REMEDY = "it was altered or cut short there; give another mirror with --config mirror=FOLDER, or mend that copy"


def is_html(head: bytes) -> bool:
    """Whether the first bytes are those of an HTML page."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower()
    return start.startswith((b"<!doctype html", b"<html"))


def may_be_html(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in (".html", ".htm", ".xhtml")


def digest_file(path: Path) -> Path:
    """Where the digest of a file is recorded."""
    return path.with_name(f"{path.name}.sha256")


def read_digest(path: Path) -> str | None:
    """The recorded SHA-256 of a file, hex; None if there is none that can be read."""
    try:
        text = digest_file(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = re.match(r"^([0-9a-f]{64})  ", text)
    return found[1] if found else None


def record_digest(path: Path, sha256: str) -> None:
    """Write the digest of a file, whole or not at all."""
    with write_whole(digest_file(path)) as temporary:
        temporary.write_text(f"{sha256}  {path.name}\n", encoding="utf-8")
