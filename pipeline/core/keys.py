"""Keys: 10 hex digits that change exactly when the numbers behind them can change."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

KEY_DIGITS = 10


def key_of(slice_of_configuration: Any) -> str:
    """Hash whatever JSON can hold into a key of 10 hex digits; the order of dict keys does not matter."""
    text = json.dumps(slice_of_configuration, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def sha256_of_file(path: Path, chunk_bytes: int = 1 << 20) -> str:
    """SHA-256 of a file's bytes, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(chunk_bytes):
            digest.update(chunk)
    return digest.hexdigest()


def slug(name: str) -> str:
    """A name that is safe in a path and in a Snakemake wildcard: hub names contain ``/``."""
    return re.sub(r"[^A-Za-z0-9._@-]+", "--", name)
