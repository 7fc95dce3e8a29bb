"""Mirrors: a folder or an http(s) prefix that holds files as ``HOST/PATH`` of their public address."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult

from pipeline.core.errors import BadConfiguration, FetchError
from pipeline.fetch.http.addresses import path_within, split_address

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

        Links within the folder are followed, also those of git-annex; the folder itself may be a link.

        Raises
        ------
        FetchError
            The address is not http(s), or it or a link would lead out of the folder.
        """
        if self.folder is None:
            raise ValueError(f"{self.prefix} is not a folder")
        parts = self._checked(url)
        path = self.folder / parts.netloc / (path_within(parts) or "")
        try:
            real, root = path.resolve(), self.folder.resolve()
        except (OSError, RuntimeError) as error:  # a link that leads to itself, a name that is too long
            raise FetchError(f"{path} cannot be read ({error}); mend the mirror {self.folder}") from error
        if not real.is_relative_to(root):
            raise FetchError(
                f"{path} is a link to {real}, outside the mirror {self.folder}; put the file itself there, or give a "
                "folder that holds both as the mirror"
            )
        return path

    def url_of(self, url: str) -> str:
        """The address within an http(s) mirror that stands for a public address.

        Raises
        ------
        FetchError
            The address is not http(s), or would lead out of the prefix.
        """
        if self.prefix is None:
            raise ValueError(f"{self.folder} is not an http(s) prefix")
        parts = self._checked(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{self.prefix}/{parts.netloc}/{parts.path.lstrip('/')}{query}"

    def _checked(self, url: str) -> SplitResult:
        parts = split_address(url)
        if path_within(parts) is None:
            raise FetchError(f"address {url} leads out of the mirror {self}; mend the catalogue")
        return parts

    def locate(self, url: str) -> Path | str:
        """The path (folder) or the address (http) that stands for a public address."""
        return self.path_of(url) if self.folder is not None else self.url_of(url)


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
        try:
            parts = split_address(text)
        except FetchError as error:
            raise BadConfiguration(f"{origin}={text} is neither a folder nor an http(s) prefix") from error
        if parts.query or parts.fragment:
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
