"""What the head of an http answer promises of a file, read strictly: which bytes of how many, and of which version.

Amazon's S3 tells more: the MD5 of a file, and why it refuses one.

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
from urllib.parse import urlsplit

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_REFUSED_RANGE = re.compile(r"bytes \*/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
PACKED = (".gz", ".tgz", ".mgz")
_GZIP = b"\x1f\x8b"
_S3_HOST = re.compile(r"(?:[\w.-]+\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com")
_MD5 = re.compile(r'"([0-9a-f]{32})"')
_NOT_MD5 = ("aws:kms", "aws:kms:dsse")


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


def md5_in_etag(public_url: str, headers: Mapping[str, str]) -> str | None:
    """MD5 (hex) of a whole object: the ETag that S3 gives what was uploaded in one part.

    An ETag ``hash-N`` of an upload in N parts is no digest of the contents, nor is that of an object encrypted with a
    key of its own. A mirror's ETag counts only if the answer is S3's, passed on: web servers make tags of 32 hex digits
    out of dates and sizes too.

    Parameters
    ----------
    public_url : the file's public address
    headers : of the answer, from S3 or a mirror of it

    References
    ----------
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    names = [name.lower() for name in headers]
    passed_on = any(name.startswith("x-amz") for name in names)
    from_s3 = _S3_HOST.fullmatch(urlsplit(public_url).hostname or "") and passed_on
    encrypted = headers.get("x-amz-server-side-encryption") in _NOT_MD5 or any(
        name.startswith("x-amz-server-side-encryption-customer") for name in names
    )
    found = _MD5.fullmatch(headers.get("ETag", ""))
    return found[1] if found and from_s3 and not encrypted else None


def s3_reason(document: bytes) -> str:
    """S3's own word for a refusal, in brackets; empty if there is none.

    Parameters
    ----------
    document : the XML that S3 sends with 403, 404, …
    """
    code = re.search(rb"<Code>(\w+)</Code>", document)
    if code is None:
        return ""
    name = code[1].decode()
    if name == "AccessDenied":
        return " (AccessDenied: it is not public, or not there)"
    return f" ({name})"
