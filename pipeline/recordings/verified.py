"""Reading a fetched file while its bytes are compared with the digest that was recorded when it was fetched."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.config.keys import sha256_of_file
from pipeline.errors import BrokenArtifact
from pipeline.fetch.recorded_digests import digest_file, read_digest

FETCH_AGAIN = "run with the same --config: snakemake fetch --forcerun fetch_recordings"


@contextlib.contextmanager
def verified(path: Path) -> Iterator[None]:
    """Whatever is read from a file within counts only if all its bytes are those that were fetched.

    The digest is computed beside the reading, in a thread of its own: a file costs the longer of the two.

    Raises
    ------
    BrokenArtifact
        The file is missing, was never fetched whole, or changed since; the message says how to fetch it again.
    """
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; {FETCH_AGAIN}")
    expected = read_digest(path)
    if expected is None:
        raise BrokenArtifact(
            f"{digest_file(path)} is missing, so {path} may be incomplete; {FETCH_AGAIN}, or, where that folder cannot "
            f"be written, have its owner run there: sha256sum {path.name} > {path.name}.sha256"
        )
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(sha256_of_file, path)
        try:
            yield
        finally:
            # altered bytes explain whatever else went wrong in reading them
            if found.result() != expected:
                raise BrokenArtifact(
                    f"{path} changed since it was fetched (SHA-256 {found.result()[:12]}…, recorded {expected[:12]}…); "
                    f"{FETCH_AGAIN}"
                )


def sha_of_files(raw_folder: Path, files: Sequence[str]) -> str:
    """One hash over the recorded digests of the files that a recording is made from, whatever else was fetched."""
    text = "\n".join(f"{file} {read_digest(raw_folder / file)}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()
