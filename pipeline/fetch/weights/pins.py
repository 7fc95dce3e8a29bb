"""The lock file of hub weights: which bytes a network's hub name stands for.

``python -m pipeline pin NAME`` writes it once, with a network; planning reads it without one, and ``fetch``
downloads exactly what it says. It is ``workflows/weights.lock.json``, or the file that the environment variable
LAYERMAP_WEIGHTS_LOCK names (where the project's folder cannot be written).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.artifacts.storage.store import write_whole
from pipeline.core.code_version import ROOT
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.fetch.hub_files import address_of_file, main_weights
from pipeline.fetch.weights.source import ExtraFile, WeightSource
from pipeline.formats.documents import read_json
from pipeline.formats.weight_files import SAFETENSORS

if TYPE_CHECKING:
    from pipeline.models.entry import ModelEntry

ENVIRONMENT_VARIABLE = "LAYERMAP_WEIGHTS_LOCK"
LOCK = ROOT / "workflows" / "weights.lock.json"
CONVERT = "pipeline.models.convert.hub:convert"
WAIT_S = 60.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PinnedFile(_Strict):
    """One file of a repository at its pinned revision."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", description="no folders: it lies beside the weights")
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Pin(_Strict):
    """A repository of the hub at one revision, and the files of it that are used."""

    repo: str = Field(exclude=True, description="e.g. facebook/dinov2-base; the key in the lock file")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit, hex")
    files: tuple[PinnedFile, ...] = Field(description="sorted by name")
    config: dict[str, Any] = Field(description="config.json: planning has to know the architecture")
    preprocessor: dict[str, Any] = Field(
        default_factory=dict, description="preprocessor_config.json, where there is one"
    )

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def lock_path() -> Path:
    """Where the lock file is."""
    given = os.environ.get(ENVIRONMENT_VARIABLE, "").strip()
    return Path(given).expanduser() if given else LOCK


def read_pins(path: Path | None = None) -> dict[str, Pin]:
    """Repository → pin; empty without a lock file.

    Raises
    ------
    BrokenArtifact
        The file is not what ``write_pin`` writes; the message names file, repository and field.
    """
    path = path or lock_path()
    remedy = "mend it, or delete it and pin again with: python -m pipeline pin NAME"
    if not path.exists():
        return {}
    raw = read_json(path, remedy, constants=True)
    if not isinstance(raw, dict) or not all(isinstance(entry, dict) for entry in raw.values()):
        raise BrokenArtifact(f"{path} must hold an object per repository; {remedy}")
    pins = {}
    for repo, entry in raw.items():
        try:
            pins[repo] = Pin.model_validate({**entry, "repo": repo})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise BrokenArtifact(f"{path}: '{repo}': {where}: {first['msg']}; {remedy}") from error
    return pins


def find_pin(repo: str) -> Pin:
    """The pin of a repository.

    Raises
    ------
    LayermapError
        It is not pinned; the message has the command that does it.
    """
    pins = read_pins()
    if repo not in pins:
        raise LayermapError(
            f"weights of '{repo}' are not pinned yet; pin them (once, with a network): python -m pipeline pin {repo}"
        )
    return pins[repo]


def write_pin(pin: Pin) -> Pin | None:
    """Put a pin into the lock file, which is written whole; two runs wait for each other.

    Returns
    -------
    Pin or None
        The pin that it replaces, if there was one.
    """
    path = lock_path()
    with write_whole(path, WAIT_S) as temporary:
        pins = read_pins(path)
        older = pins.get(pin.repo)
        pins[pin.repo] = pin
        content = {repo: pins[repo].model_dump(mode="json") for repo in sorted(pins)}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return older


def source_of(entry: ModelEntry) -> WeightSource | None:
    """Where the weights of a network come from: as its entry says, or as they are pinned on the hub."""
    return weight_source(entry.hub) if entry.hub else entry.weights


def has_weights(entry: ModelEntry) -> bool:
    """Whether there is anything to fetch."""
    return bool(entry.hub) or entry.weights is not None


def weight_source(repo: str) -> WeightSource:
    """Where ``fetch`` gets the weights of a pinned repository, with the digest of every file.

    Shards lie beside the weights until ``convert`` has made one file of them.

    Raises
    ------
    LayermapError
        The repository is not pinned, or the lock file is broken.
    """
    pin = find_pin(repo)
    files = {file.name: file for file in pin.files}
    main = main_weights(files)
    if main is None:
        raise BrokenArtifact(f"{lock_path()}: '{repo}' has no weights; pin it again: python -m pipeline pin {repo}")
    return WeightSource(
        sha256=files[main].sha256,
        url=address_of_file(repo, pin.revision, main),
        bytes=files[main].bytes,
        extra_files=tuple(
            ExtraFile("", name, file.sha256, address_of_file(repo, pin.revision, name), file.bytes)
            for name, file in files.items()
            if name != main
        ),
        convert="" if main == SAFETENSORS else CONVERT,
    )
