"""What the head of an http answer promises of a file, read strictly: which bytes of how many, and of which version.

References
----------
RFC 9110, sections 8.4 (Content-Encoding), 8.6 (Content-Length), 14 (ranges); RFC 9112, section 6.3 (length of a body).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_REFUSED_RANGE = re.compile(r"bytes \*/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
PACKED = (".gz", ".tgz", ".mgz")
_GZIP = b"\x1f\x8b"


class BadAnswer(Exception):
    """An answer that cannot be the file; the message is half a sentence."""


@dataclass(frozen=True)
class Promise:
    """The bytes of a file that an answer brings.

    Parameters
    ----------
    first, end : they begin here and end before there; ``end`` is None where the answer does not tell
    total : bytes of the whole file; None where it does not tell
    """

    first: int
    end: int | None
    total: int | None


def whole_of(headers: Mapping[str, str]) -> Promise:
    """What a 200 brings.

    Raises
    ------
    BadAnswer
        Its length is no number, or there are two.
    """
    length = content_length(headers)
    return Promise(0, length, length)


def part_of(headers: Mapping[str, str], first: int) -> Promise:
    """What a 206 brings, to a question for all bytes from ``first`` on.

    Raises
    ------
    BadAnswer
        It does not say, says what cannot be, or brings other bytes.
    """
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None or int(found[1]) != first:
        raise BadAnswer(f"the server did not go on at byte {first}")
    last, total = int(found[2]), None if found[3] == "*" else int(found[3])
    if last < first or (total is not None and last >= total):
        raise BadAnswer(f"the server sends '{found[0]}', which is no part of a file")
    length = content_length(headers)
    if length not in (None, last + 1 - first):
        raise BadAnswer(f"the server sends '{found[0]}' in {length} bytes")
    return Promise(first, last + 1, total)


def refused_total(headers: Mapping[str, str]) -> int | None:
    """Bytes of the whole file that a 416 tells; None if it does not."""
    found = _REFUSED_RANGE.fullmatch(headers.get("Content-Range", ""))
    return None if found is None else int(found[1])


def content_length(headers: Mapping[str, str]) -> int | None:
    """Content-Length in bytes; None where it is not given.

    Raises
    ------
    BadAnswer
        It is no number, negative, or given twice with different values.
    """
    if "Content-Length" not in headers:
        return None
    text = headers["Content-Length"]
    values = {value.strip() for value in text.split(",")}  # headers that come twice are joined by commas
    value = values.pop()
    if values or not _LENGTH.fullmatch(value):
        raise BadAnswer(f"the server gives its length as '{text}'")
    return int(value)


def tells_its_end(headers: Mapping[str, str]) -> bool:
    """Whether a connection that breaks off can be told from the end of the file."""
    return "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()


def validator_of(headers: Mapping[str, str]) -> str | None:
    """What If-Range accepts: a strong ETag, else the date of the last change."""
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified")


def check_encoding(headers: Mapping[str, str], path: str, first: bytes | None = None) -> None:
    """Refuse bytes that are a packed form of the file.

    Many servers call every file whose name ends in ``.gz`` packed for the transfer. What they send is the file itself,
    which is told by its first bytes: packed once, it is taken as it is; packed twice or not at all, it is not.

    Parameters
    ----------
    path : of the file, whose ending says whether it is packed itself
    first : the first bytes of the file; None where they came in an earlier answer

    Raises
    ------
    BadAnswer
        They are packed for the transfer.
    """
    named = [one.strip().lower() for one in headers.get("Content-Encoding", "").split(",")]
    packed = [one for one in named if one not in ("", "identity")]
    if not packed:
        return
    if packed not in (["gzip"], ["x-gzip"]) or PurePosixPath(path).suffix.lower() not in PACKED:
        raise BadAnswer(
            f"it sends {path} packed (Content-Encoding: {', '.join(packed)}), although it was asked for as it is"
        )
    if first is None:
        return
    if not first.startswith(_GZIP) or _unpacked_start(first).startswith(_GZIP):
        raise BadAnswer(f"it sends {path} packed {'twice' if first.startswith(_GZIP) else 'in no known way'}")


def _unpacked_start(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(packed, len(_GZIP))
    except zlib.error:
        return b""
