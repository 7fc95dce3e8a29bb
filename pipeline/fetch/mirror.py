"""Mirrors: a folder or an http(s) prefix that holds files as ``HOST/PATH`` of their public address."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.errors import BadConfiguration, FetchError

ENVIRONMENT_VARIABLE = "LAYERMAP_MIRROR"


@dataclass(frozen=True)
class Mirror:
    """Where copies of public files are: exactly one of ``folder`` and ``prefix`` is set.

    Parameters
    ----------
    folder : ``https://HOST/PATH`` is at ``folder/HOST/PATH``
    prefix : ``https://HOST/PATH`` is at ``prefix/HOST/PATH``; no slash at the end
    """

    folder: Path | None = None
    prefix: str | None = None

    def __str__(self) -> str:
        return str(self.folder or self.prefix)

    def path_of(self, url: str) -> Path:
        """The file of a folder mirror that stands for a public address; a query string is dropped.

        Raises
        ------
        FetchError
            The address is not http(s), or would lead out of the folder.
        """
        if self.folder is None:
            raise ValueError(f"{self.prefix} is not a folder")
        parts = split_address(url)
        path = PurePosixPath(unquote(parts.path).lstrip("/"))
        if ".." in path.parts or "\0" in str(path):
            raise FetchError(f"address {url} leads out of the mirror {self.folder}; mend the catalogue")
        return self.folder / parts.netloc / path

    def url_of(self, url: str) -> str:
        """The address within an http(s) mirror that stands for a public address."""
        if self.prefix is None:
            raise ValueError(f"{self.folder} is not an http(s) prefix")
        parts = split_address(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self.prefix}/{parts.netloc}/{parts.path.lstrip('/')}{query}"

    def locate(self, url: str) -> Path | str:
        """The path (folder) or the address (http) that stands for a public address."""
        return self.path_of(url) if self.folder is not None else self.url_of(url)


def split_address(url: str) -> SplitResult:
    """Split an http(s) address; the host loses any ``user:password@``.

    Raises
    ------
    FetchError
        Not an http(s) address with a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(f"'{url}' is not an address that can be fetched; expected https://HOST/PATH")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2])


def parse_mirror(text: str | Path | None) -> Mirror | None:
    """Read ``--config mirror=…``; without it the environment variable LAYERMAP_MIRROR; without both no mirror.

    Raises
    ------
    BadConfiguration
        A folder that does not exist, or an address that is not http(s).
    """
    origin = "mirror"
    if text is None:
        text = os.environ.get(ENVIRONMENT_VARIABLE)
        origin = ENVIRONMENT_VARIABLE
    if text is None or not str(text).strip():
        return None
    text = str(text).strip()
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise BadConfiguration(f"{origin}={text} is neither a folder nor an http(s) prefix")
        return Mirror(prefix=text.rstrip("/"))
    folder = Path(text).expanduser()
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise BadConfiguration(
            f"{origin}={text}: {folder.absolute()} {what}; "
            "give a folder or an http(s) prefix that holds files as HOST/PATH"
        )
    return Mirror(folder=folder.absolute())
