"""What Amazon's S3 tells beyond plain HTTP: the MD5 of a file, and why it refuses one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_S3_HOST = re.compile(r"(?:[\w.-]+\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com")
_MD5 = re.compile(r'"([0-9a-f]{32})"')
_NOT_MD5 = ("aws:kms", "aws:kms:dsse")


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
