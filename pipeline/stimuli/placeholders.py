"""What servers and git leave in the place of a file."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import BrokenArtifact


def refuse_placeholder(path: Path, what: str, remedy: str) -> None:
    """Refuse a path that is not there, an empty file, a web page, and the pointer of git-annex or LFS.

    Parameters
    ----------
    what : it should be, for the message: ``sound``, ``picture``

    Raises
    ------
    BrokenArtifact
        As above; the message names the file and ``remedy``.
    """
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; {remedy}")
    with open(path, "rb") as stream:
        start = stream.read(200)
    if not start:
        raise BrokenArtifact(f"{path} is empty (0 bytes), no {what}; {remedy}")
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BrokenArtifact(f"{path} is a web page, no {what}; {remedy}")
    if b"annex/objects" in text or text.startswith(b"version https://git-lfs"):
        raise BrokenArtifact(f"{path} is the pointer that git keeps in place of the {what}; {remedy}")
