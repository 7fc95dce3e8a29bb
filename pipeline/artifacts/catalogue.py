"""Catalogue and receipts: which files a study needs, and which it has got.

``data/catalogue/<dataset>-<key>.json`` says which groups, recordings, stimuli and files a selection of
a dataset consists of. ``data/raw/<dataset>/receipt-<key>.json`` and
``data/raw/weights/<model_id>/receipt.json`` say what was fetched: address, bytes and SHA-256 of every file.

Key ``sha256`` of such a document is the digest of all others, so that altered ones are found when they are read.
Servers and folders give names and paths: they are checked when made and when read
(`pipeline.artifacts.storage.safe_names`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.artifacts.storage.safe_names import check_name, check_path, check_shown
from pipeline.artifacts.storage.store import SCHEMA_VERSION, write_whole
from pipeline.core.errors import BrokenArtifact, UnsafeName
from pipeline.formats.documents import digest_of, read_json


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RawFile(_Strict):
    """One file to fetch. Pinned files have a digest; that of any other is recorded beside it when it first comes."""

    path: str = Field(description="where it goes, relative to data/raw/<dataset>/")
    url: str = Field(description="public address; also HOST/PATH in a mirror")
    bytes: int | None = Field(None, description="size in bytes")
    sha256: str | None = Field(None, description="SHA-256 of the contents, hex")
    md5: str | None = Field(None, description="MD5 of the contents, hex")
    git_sha1: str | None = Field(None, description="git blob SHA-1 of the contents, hex")
    holds: tuple[str, ...] = Field(
        (), description="datasets that the HDF5 or npz file must hold; it is opened for that"
    )
    contents: str | None = Field(None, description="the text itself, where the catalogue brings it")
    part: int | None = Field(
        None,
        description="number, from 1, of the experiment that needs it, in the order in which `limit` takes them",
    )

    @model_validator(mode="after")
    def _stays_in_its_folder(self) -> RawFile:
        check_path(self.path, self.url)
        return self


class Run(_Strict):
    """A stretch of recording and the stimulus that went with it."""

    stimulus: str
    recording: str


class Group(_Strict):
    """Runs that share one target axis: they are encoded or compared together."""

    name: str
    runs: tuple[Run, ...]
    subjects: tuple[str, ...]


class StimulusEntry(_Strict):
    name: str
    modality: str = Field(description="movie, images, audio or words")


class Catalogue(_Strict):
    """What one selection of a dataset consists of."""

    schema_version: str = SCHEMA_VERSION
    dataset: str
    key: str
    simulated: bool = False
    groups: tuple[Group, ...]
    recordings: tuple[str, ...]
    stimuli: tuple[StimulusEntry, ...]
    files: tuple[RawFile, ...]

    @model_validator(mode="after")
    def _names_are_safe(self) -> Catalogue:
        """Not a ValueError: what is refused here is told as it stands, also where a catalogue is made."""
        check_name(self.dataset, "dataset")
        check_name(self.key, f"dataset {self.dataset}: key")
        for group in self.groups:
            check_name(group.name, f"dataset {self.dataset}: group")
            for subject in group.subjects:
                check_shown(subject, f"dataset {self.dataset}: subject")
        runs = [run for group in self.groups for run in group.runs]
        for recording in dict.fromkeys([*self.recordings, *(run.recording for run in runs)]):
            check_name(recording, f"dataset {self.dataset}: recording")
        for stimulus in dict.fromkeys([*(one.name for one in self.stimuli), *(run.stimulus for run in runs)]):
            check_name(stimulus, f"dataset {self.dataset}: stimulus")
        return self


class FetchedFile(_Strict):
    path: str
    url: str
    bytes: int
    sha256: str

    @model_validator(mode="after")
    def _stays_in_its_folder(self) -> FetchedFile:
        check_path(self.path, self.url)
        return self


class Receipt(_Strict):
    """What was fetched (or simulated), with the hashes of the bytes on disk."""

    schema_version: str = SCHEMA_VERSION
    what: str
    key: str
    files: tuple[FetchedFile, ...]

    def sha(self) -> str:
        """One hash over all files, for ``inputs_sha``."""
        text = "\n".join(f"{file.path} {file.sha256}" for file in sorted(self.files, key=lambda f: f.path))
        return hashlib.sha256(text.encode()).hexdigest()


Document = TypeVar("Document", bound=BaseModel)


DIGEST = "sha256"


def write_json(document: BaseModel, path: Path) -> None:
    """Write a catalogue, a receipt or the like with its digest, whole or not at all."""
    contents = document.model_dump(mode="json")
    with write_whole(path) as temporary:
        text = json.dumps({**contents, DIGEST: digest_of(contents)}, indent=1, sort_keys=True)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_sealed(path: Path, model: type[Document], remedy: str) -> Document:
    """What `write_json` wrote.

    Raises
    ------
    BrokenArtifact
        It is of another schema, was altered since, or is no such document; the message names the file and ``remedy``.
    """
    raw = read_json(path, remedy)
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise BrokenArtifact(f"{path} has schema version {version}, this layermap reads {SCHEMA_VERSION}; {remedy}")
    if raw.pop(DIGEST, None) != digest_of(raw):
        raise BrokenArtifact(f"{path} was altered since it was written: its contents do not fit its digest; {remedy}")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BrokenArtifact(f"{path}: {where}: {first['msg']}; {remedy}") from error


def open_catalogue(path: Path) -> Catalogue:
    return _open(path, Catalogue, "catalogue")


def open_receipt(path: Path) -> Receipt:
    return _open(path, Receipt, "fetch")


def _open(path: Path, model: type[Document], stage: str) -> Document:
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; make it with: snakemake {stage}")
    try:
        return read_sealed(path, model, f"delete it and run: snakemake {stage}")
    except UnsafeName as error:
        raise BrokenArtifact(f"{path}: {error}; then delete it and run: snakemake {stage}") from error
