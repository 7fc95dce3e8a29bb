"""What is said of the files of a stimulus: one line per kind on what is taken all the same, a refusal of what is none.

Servers and git leave other things in the place of a file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.core.errors import BrokenArtifact


class Notes:
    """Remarks on the files that are being read, said together when all are.

    A folder of a thousand sounds with one silent channel each is one line, not a thousand.
    """

    def __init__(self) -> None:
        self._found: dict[str, list[tuple[Path, str]]] = {}

    def add(self, kind: str, path: Path, sentence: str) -> None:
        """Keep a remark; of a kind, only the sentence of the first file is said."""
        self._found.setdefault(kind, []).append((path, sentence))

    def say(self) -> None:
        """One line per kind on stderr."""
        for remarks in self._found.values():
            path, sentence = remarks[0]
            others = f" (and {len(remarks) - 1} more like it)" if len(remarks) > 1 else ""
            print(f"warning: {path}{others}: {sentence}", file=sys.stderr, flush=True)
        self._found.clear()


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
