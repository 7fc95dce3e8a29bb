"""Reading a fetched file while its bytes are compared with the digest that was recorded when it was fetched."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.core.errors import BrokenArtifact
from pipeline.fetch.checks.digests import digest_file, digests_of, read_digest

FETCH_AGAIN = "run with the same --config: snakemake fetch --forcerun fetch_recordings"


def verified(path: Path) -> contextlib.AbstractContextManager[None]:
    """`verified_all` of one file, with the digest that was recorded when it was fetched."""
    return verified_all({path: {}})


@contextlib.contextmanager
def verified_all(published: Mapping[Path, Mapping[str, str]]) -> Iterator[None]:
    """Whatever is read from files within counts only if all their bytes are those that were fetched.

    Digests are computed beside the reading, in a thread of its own: files cost the longer of the two.

    Parameters
    ----------
    published : file → its published digests (``md5``, ``git_sha1`` or ``sha256``, hex); a file without any is held
        to the SHA-256 that was recorded when it was fetched

    Raises
    ------
    BrokenArtifact
        A file is missing, was never fetched whole, or changed since; the message says how to fetch it again.
    """
    for path in published:
        if not path.is_file():
            raise BrokenArtifact(f"{path} is missing; {FETCH_AGAIN}")
    expected = {path: dict(digests) or {"sha256": _recorded(path)} for path, digests in published.items()}
    with ThreadPoolExecutor(1) as pool:
        found = {path: pool.submit(digests_of, path, set(wanted)) for path, wanted in expected.items()}
        try:
            yield
        except BaseException:
            # altered bytes explain what went wrong in reading them; files whose turn had not come explain nothing
            for path, digests in found.items():
                if not digests.cancel():
                    _check(path, digests.result(), expected[path])
            raise
        for path, digests in found.items():
            _check(path, digests.result(), expected[path])


def _check(path: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, digest in expected.items():
        if found[name] != digest:
            raise BrokenArtifact(
                f"{path} changed since it was fetched ({name} {found[name][:12]}…, expected {digest[:12]}…); "
                f"{FETCH_AGAIN}"
            )


def _recorded(path: Path) -> str:
    digest = read_digest(path)
    if digest is None:
        raise BrokenArtifact(
            f"{digest_file(path)} is missing, so {path} may be incomplete; {FETCH_AGAIN}, or, where that folder cannot "
            f"be written, have its owner run there: sha256sum {path.name} > {path.name}.sha256"
        )
    return digest


def sha_of_files(raw_folder: Path, files: Sequence[str]) -> str:
    """One hash over the recorded digests of the files that a recording is made from, whatever else was fetched."""
    text = "\n".join(f"{file} {read_digest(raw_folder / file)}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()
