"""Digests of files that nobody publishes a digest of: recorded when a file is first fetched, checked ever after.

``NAME.sha256`` beside ``NAME`` holds what ``sha256sum`` prints, so that ``sha256sum -c NAME.sha256`` checks it too.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.artifacts.storage.store import write_whole


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
