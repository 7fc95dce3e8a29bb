"""git-annex: what a key says about a file, and telling a pointer to a file from the file.

Datasets on OpenNeuro and DataLad keep big files in git-annex: git itself holds only a link (or a small text) that
names a key, and the key names size and digest. A folder or server that was filled without ``datalad get`` gives that
text where a file is expected.

References
----------
https://git-annex.branchable.com/internals/key_format/ and .../internals/pointer_file/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LONGEST_POINTER_BYTES = 32 * 1024
"""git-annex itself takes no bigger file for a pointer."""
_KEY = re.compile(r"(?P<backend>[A-Z0-9_]+)(?:-s(?P<bytes>\d+))?(?:-m\d+)?(?:-S\d+-C\d+)?--(?P<name>[^/\s]+)")
_POINTER = re.compile(
    rb"/annex/objects/(?P<pointed>[^/\s]+)|(?:\.\./)*\.git/annex/objects/(?:[^/\s]+/)*(?P<linked>[^/\s]+)"
)
_LENGTHS = {"MD5": ("md5", 32), "SHA256": ("sha256", 64)}


@dataclass(frozen=True)
class AnnexKey:
    """What a key tells: size in bytes and hex digest of the contents, as far as its kind has them."""

    bytes: int | None
    md5: str | None = None
    sha256: str | None = None


def parse_key(text: str) -> AnnexKey | None:
    """Read a key such as ``MD5E-s65590796--36b310929b34ae47f93afa78a714a612.wav``; None if it is none."""
    found = _KEY.fullmatch(text)
    if found is None:
        return None
    n_bytes = None if found["bytes"] is None else int(found["bytes"])
    # backends that end in E keep the file's extension behind the digest
    name, length = _LENGTHS.get(found["backend"].removesuffix("E"), ("", 0))
    digest = re.match(r"[0-9a-f]+", found["name"])
    if not name or digest is None or len(digest[0]) != length:
        return AnnexKey(n_bytes)
    return AnnexKey(n_bytes, **{name: digest[0]})


def key_in_pointer(head: bytes) -> str | None:
    """The key that a pointer file or the text of an annex link names.

    Parameters
    ----------
    head : the first bytes of a file, or all of them

    Returns
    -------
    str or None
        None if these bytes are no pointer: the file itself is there.
    """
    found = _POINTER.match(head)
    if found is None:
        return None
    return (found["pointed"] or found["linked"]).decode("utf-8", "replace")


def is_pointer(head: bytes, n_bytes: int | None) -> bool:
    """Whether a file of a size (None: not known) that begins so is an annex pointer rather than contents."""
    return (n_bytes is None or n_bytes <= LONGEST_POINTER_BYTES) and key_in_pointer(head) is not None


def absent_contents(path: Path) -> str | None:
    """Half a sentence about a link whose contents git-annex has not got; None if the path is no such link."""
    if path.is_symlink() and not path.exists() and ".git/annex/objects/" in str(path.readlink()):
        return f"{path} is a git-annex link without its contents: `datalad get` it there"
    return None


def pointer_refused(origin: str, name: str) -> str:
    """The sentence about a pointer in place of a file.

    Parameters
    ----------
    origin : where the bytes came from
    name : the file that was expected
    """
    return f"{origin} is a git-annex pointer, not {name}: `datalad get` it there, or give another mirror"
