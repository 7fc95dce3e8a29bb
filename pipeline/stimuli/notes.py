"""What is worth knowing about stimuli that are taken all the same: one line per kind, not one per file."""

from __future__ import annotations

import sys
from pathlib import Path


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
