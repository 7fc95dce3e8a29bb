"""Asking the Hugging Face hub which bytes a name stands for. Only ``python -m pipeline pin`` does.

No account is used and no code of a repository is ever run: only weights, configurations and tokenizers are chosen.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.errors import BadConfiguration, FetchError
from pipeline.core.progress import Progress
from pipeline.fetch.download import download
from pipeline.fetch.failures import Unavailable
from pipeline.fetch.http.connections import Connections
from pipeline.fetch.http.part_file import PartFile
from pipeline.fetch.http.sessions import MOST_TEXT_BYTES
from pipeline.fetch.http.settings import FetchSettings
from pipeline.fetch.http.transfer import HttpTransfer
from pipeline.fetch.hub_files import (
    BESIDE,
    CONFIG,
    HUB,
    PREPROCESSOR,
    address_of_file,
    address_of_listing,
    at_endpoint,
    hub_host,
    main_weights,
)
from pipeline.fetch.mirror import Mirror
from pipeline.fetch.weights.pins import Pin, PinnedFile
from pipeline.formats.documents import parse_json, read_object
from pipeline.formats.weight_files import INDEXES, read_index

_SETTINGS = (CONFIG, PREPROCESSOR)
# somebody waits at the keyboard
SETTINGS = FetchSettings(retries=2)
_REPO = re.compile(r"[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_LOGIN = "layermap asks without an account: choose an open network, or give a mirror that holds it with --mirror PREFIX"


class _Lfs(BaseModel):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class _Sibling(BaseModel):
    rfilename: str
    size: int | None = Field(None, ge=0)
    blob_id: str | None = Field(None, alias="blobId", pattern=r"^[0-9a-f]{40}$")
    lfs: _Lfs | None = None


class _Listing(BaseModel):
    """What the hub says of a revision; fields beyond these are ignored."""

    sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    siblings: tuple[_Sibling, ...]
    gated: bool | str = False


class _NoListing(FetchError):
    """The answer of a hub that is no JSON."""


class _Hub:
    """One repository as it is being asked for: the settings and the folder that all requests share."""

    def __init__(self, repo: str, mirror: Mirror | None, settings: FetchSettings, folder: Path) -> None:
        self.repo = repo
        self.mirror = mirror
        self.settings = settings
        self.folder = folder
        self.progress = Progress(f"pin {repo}")
        self.connections = Connections(settings)

    def listing(self, revision: str) -> _Listing:
        url = address_of_listing(self.repo, revision)
        text, origin = self._from_mirror(url) or self._get(at_endpoint(url), revision)
        try:
            return _Listing.model_validate(parse_json(text, "it", "", error=_NoListing))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            reason = f"{where}: {first['msg']}"
        except _NoListing as error:
            reason = "it is not JSON" if isinstance(error.__cause__, ValueError) else str(error)
        raise FetchError(
            f"{origin} does not answer as the hub does ({reason}); mend HF_ENDPOINT or --mirror, or try again later"
        )

    def _from_mirror(self, url: str) -> tuple[str, str] | None:
        """The listing and where it was; None if the mirror has none, so that the hub is asked."""
        if self.mirror is None:
            return None
        if self.mirror.folder is not None:
            path = self.mirror.path_of(url)
            if not path.is_file():
                return None
            if path.stat().st_size > MOST_TEXT_BYTES:
                raise FetchError(f"{path} has more than {MOST_TEXT_BYTES} bytes and is no listing; mend the mirror")
            return path.read_text(encoding="utf-8", errors="replace"), str(path)
        address = self.mirror.url_of(url)
        try:
            return self._read(address), address
        except Unavailable as error:
            self.progress.say(f"the mirror has no listing of {self.repo} ({error}); asking {hub_host()}")
            return None

    def _get(self, url: str, revision: str) -> tuple[str, str]:
        try:
            return self._read(url), url
        except Unavailable as error:
            raise FetchError(self._explained(error, revision)) from error

    def _read(self, url: str) -> str:
        part = PartFile(self.folder / "listing.json")
        part.discard()
        file = RawFile(path="a listing of files", url=url)
        settings = self.settings.model_copy(update={"most_bytes": MOST_TEXT_BYTES})
        HttpTransfer(url, part, file, settings=settings, connections=self.connections, progress=self.progress).run()
        return part.path.read_text(encoding="utf-8", errors="replace")

    def _explained(self, error: Unavailable, revision: str) -> str:
        """What the hub's refusal means, and what to do."""
        page = f"{HUB}/{self.repo}"
        if error.code == "GatedRepo" or error.status == 403:
            return self.gated()
        if error.code == "RevisionNotFound":
            return f"'{self.repo}' has no revision '{revision}'; its commits and branches: {page}/commits/main"
        if error.status in (401, 404):
            return (
                f"{hub_host()} has no public model '{self.repo}' (it answers {error.status}); check its name at "
                f"{page}; private ones cannot be pinned, because {_LOGIN}"
            )
        if error.status == 429:
            return f"{hub_host()} asks for a pause (429, too many requests); pin '{self.repo}' again in a few minutes"
        return (
            f"cannot pin '{self.repo}': {error}; pin it where there is a network (workflows/weights.lock.json can be "
            "copied), or give another address with HF_ENDPOINT or --mirror"
        )

    def gated(self) -> str:
        return (
            f"'{self.repo}' is gated: an account has to accept its terms at {HUB}/{self.repo}, and {_LOGIN}; or name "
            "your own copy of its weights under networks: in the study"
        )

    def download(self, sibling: _Sibling, revision: str) -> tuple[Path, PinnedFile]:
        """A file of the repository, checked against the digest that the hub gives it."""
        path = self.folder / sibling.rfilename
        file = RawFile(
            path=sibling.rfilename,
            url=address_of_file(self.repo, revision, sibling.rfilename),
            bytes=sibling.lfs.size if sibling.lfs else sibling.size,
            sha256=sibling.lfs.sha256 if sibling.lfs else None,
            git_sha1=None if sibling.lfs else sibling.blob_id,
        )
        fetched = download(
            file,
            path,
            mirror=self.mirror,
            settings=self.settings,
            progress=self.progress,
            connections=self.connections,
        )
        return path, PinnedFile(name=sibling.rfilename, bytes=fetched.bytes, sha256=fetched.sha256)

    def close(self) -> None:
        self.connections.close()
        self.progress.close()


def ask(repo: str, revision: str = "main", mirror: Mirror | None = None, *, settings: FetchSettings = SETTINGS) -> Pin:
    """Ask the hub for the commit behind a revision and the digests of the files that are used.

    The hub gives the SHA-256 of large files. Of small ones it gives the digest of git, so they are downloaded,
    checked against it, and their SHA-256 is taken.

    Parameters
    ----------
    repo : e.g. ``facebook/dinov2-base``
    revision : branch, tag or commit
    mirror : asked before the hub, for ``HOST/PATH`` of ``https://huggingface.co/…``

    Raises
    ------
    BadConfiguration
        No name that the hub could have.
    FetchError
        Unknown, private or gated, no answer, or no weights that can be used; one line with the remedy.
    """
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise BadConfiguration(f"'{repo}' is no name of the hub; expected OWNER/NAME such as facebook/dinov2-base")
    if not revision.strip():
        raise BadConfiguration("--revision is empty; give a branch, tag or commit, or leave it out")
    with tempfile.TemporaryDirectory(prefix="layermap-pin-") as folder:
        hub = _Hub(repo, mirror, settings, Path(folder))
        try:
            listing = hub.listing(revision.strip())
            if listing.gated and mirror is None:
                raise FetchError(hub.gated())
            chosen = _choose(hub, listing)
            files = [_pin(hub, sibling, listing.sha) for sibling in chosen]
            stated = {one.rfilename: _json_of(hub, one, listing.sha) for one in chosen if one.rfilename in _SETTINGS}
        finally:
            hub.close()
    return Pin(
        repo=repo,
        revision=listing.sha,
        files=tuple(sorted(files, key=lambda file: file.name)),
        config=stated[CONFIG],
        preprocessor=stated.get(PREPROCESSOR, {}),
    )


def _json_of(hub: _Hub, sibling: _Sibling, revision: str) -> dict[str, Any]:
    """The contents of a configuration."""
    path = hub.folder / sibling.rfilename
    if not path.is_file():
        hub.download(sibling, revision)
    source = f"'{hub.repo}' at {revision[:12]}: {sibling.rfilename}"
    return read_object(path, "choose another revision", source=source, error=FetchError, constants=True)


def _pin(hub: _Hub, sibling: _Sibling, revision: str) -> PinnedFile:
    if sibling.lfs is not None:
        return PinnedFile(name=sibling.rfilename, bytes=sibling.lfs.size, sha256=sibling.lfs.sha256)
    return hub.download(sibling, revision)[1]


def _choose(hub: _Hub, listing: _Listing) -> Sequence[_Sibling]:
    """The weights, safetensors first, with their shards; configurations and tokenizers. Never code."""
    there = {sibling.rfilename: sibling for sibling in listing.siblings}
    where = f"'{hub.repo}' at {listing.sha[:12]}"
    main = main_weights(there)
    if main is None:
        others = sorted(name for name in there if name.endswith((".h5", ".msgpack", ".onnx", ".gguf", ".ckpt", ".pt")))
        has = f"it has {', '.join(others[:3])}" if others else "it has no weights at all"
        raise FetchError(
            f"{where} has neither model.safetensors nor pytorch_model.bin ({has}); choose a repository of transformers "
            "weights, or convert them and name the file under networks: in the study"
        )
    if CONFIG not in there:
        raise FetchError(f"{where} has no {CONFIG}, so its architecture is unknown; choose one made for transformers")
    names = [main, *(name for name in BESIDE if name in there)]
    for name in names:
        _check_digests(there[name], where)
    if main in INDEXES:
        path, _ = hub.download(there[main], listing.sha)
        shards = sorted(set(read_index(path).values()))
        missing = [shard for shard in shards if shard not in there]
        if missing:
            raise FetchError(f"{where}: {main} names {missing[0]}, which is not there; choose another revision")
        for shard in shards:
            _check_digests(there[shard], where)
        names += shards
    return [there[name] for name in names]


def _check_digests(sibling: _Sibling, where: str) -> None:
    if sibling.lfs is None and (sibling.blob_id is None or sibling.size is None):
        raise FetchError(
            f"{where}: {sibling.rfilename} was listed without size and digest; an endpoint or mirror has to answer "
            "?blobs=true as the hub does"
        )
