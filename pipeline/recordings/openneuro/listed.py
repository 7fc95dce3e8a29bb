"""A file in the list of a snapshot, as both ways of listing give it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from pipeline.core.limits import FILE_BYTES, size_in_words

S3_BUCKET = "https://s3.amazonaws.com/openneuro.org"


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
