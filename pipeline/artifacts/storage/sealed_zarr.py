"""Zarr artifacts, sealed when they are written: a chunk that is lost, altered or in another's place is an error.

Zarr takes a chunk that is not there for one of zeros: black pictures, silence. So every chunk is written, also one of
zeros; each ends with its CRC32C, by Zarr's own codec; and ``manifest.json`` in the group's folder lists the checksums
of all chunks and the SHA-256 of all metadata. Other programs read such a group as any other, and find altered chunks
by the codec.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from pipeline.artifacts.storage.checksums import broken_if_unreadable, crc32c
from pipeline.core.errors import BrokenArtifact
from pipeline.formats.documents import digest_of

if TYPE_CHECKING:
    import zarr
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

MANIFEST = "manifest.json"
METADATA = "zarr.json"
CODEC = "crc32c"
CHECKSUM_BYTES = 4


def compressors() -> tuple[ZstdCodec, Crc32cCodec]:
    """How chunks are written: compressed, then with their checksum at the end."""
    return ZstdCodec(level=0), Crc32cCodec()


def seal(folder: Path) -> None:
    """List a finished group's checksums in its manifest.

    Raises
    ------
    ValueError
        A chunk without checksum: the group was not written with `compressors`.
    """
    metadata, chunks = {}, {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        key = path.relative_to(folder).as_posix()
        if path.name == METADATA:
            metadata[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            chunks[key] = _last_bytes(path).hex()
    for key in metadata:
        described = json.loads((folder / key).read_text(encoding="utf-8"))
        if described.get("node_type") == "array" and CODEC not in [codec["name"] for codec in described["codecs"]]:
            raise ValueError(f"{folder / key} is written without checksums")
    listed = {"metadata": metadata, "chunks": chunks}
    (folder / MANIFEST).write_text(
        json.dumps({**listed, "sha256": digest_of(listed)}, indent=0, sort_keys=True) + "\n", encoding="utf-8"
    )


def _last_bytes(path: Path) -> bytes:
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - CHECKSUM_BYTES))
        return stream.read()


broken_zarr = functools.partial(broken_if_unreadable, form="Zarr", damage="incomplete")


def open_sealed(path: Path, stage: str) -> zarr.Group:
    """The group of a sealed artifact, to be read lazily.

    Parameters
    ----------
    stage : the stage that makes it, for messages

    Raises
    ------
    BrokenArtifact
        No manifest, or metadata that do not fit it. Reading raises it too, for a chunk that is lost or altered.
    """
    import zarr

    with broken_zarr(path, stage):
        return zarr.open_group(SealedStore(path, _read_manifest(path, stage), stage), mode="r", use_consolidated=False)


def _read_manifest(path: Path, stage: str) -> dict[str, dict[str, str]]:
    manifest = path / MANIFEST
    again = f"delete {path} and run: snakemake {stage}"
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8"))
        stated = listed.pop("sha256")
        if stated != digest_of(listed):
            raise ValueError("its digest is another")
        return {"metadata": dict(listed["metadata"]), "chunks": dict(listed["chunks"])}
    except FileNotFoundError as error:
        raise BrokenArtifact(f"{manifest} is missing: incomplete, or of an older layermap; {again}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BrokenArtifact(f"{manifest} was altered since it was written ({error}); {again}") from error


class SealedStore(LocalStore):
    """A folder whose files are compared with a manifest as they are read.

    Checksums are taken off the chunks here, and their codec off the metadata: each is computed once, and what differs
    is named.

    Parameters
    ----------
    manifest : ``metadata`` and ``chunks``: file → digest
    stage : the stage that makes the artifact, for messages
    """

    def __init__(self, root: Path, manifest: dict[str, dict[str, str]], stage: str) -> None:
        super().__init__(root, read_only=True)
        self._manifest = manifest
        self._stage = stage

    def with_read_only(self, read_only: bool = False) -> SealedStore:
        if not read_only:
            raise ValueError(f"{self.root} is sealed: it is only read")
        return SealedStore(self.root, self._manifest, self._stage)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        return self._checked(key, await super().get(key, prototype), byte_range)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        return self._checked(key, super().get_sync(key, prototype=prototype), byte_range)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """What the manifest lists: Snakemake leaves a file of its own in the folder."""
        start = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        listed = [key for files in self._manifest.values() for key in files]
        inside = {key[len(start) :].partition("/")[0] for key in listed if key.startswith(start)}
        for name in sorted(inside):
            yield name

    def _checked(self, key: str, found: Buffer | None, byte_range: ByteRequest | None) -> Buffer | None:
        if byte_range is not None:
            raise NotImplementedError(f"{self.root / key}: checksums are of whole chunks")
        if key in self._manifest["metadata"]:
            return self._metadata(key, found)
        if key in self._manifest["chunks"]:
            return self._chunk(key, found)
        if found is not None:
            self._refuse(key, "is not listed in its manifest")
        if not key.endswith((METADATA, ".zarray", ".zgroup", ".zattrs", ".zmetadata")):
            self._refuse(key, "is missing")
        return None

    def _metadata(self, key: str, found: Buffer | None) -> Buffer:
        if found is None:
            self._refuse(key, "is missing")
        contents = found.to_bytes()
        if hashlib.sha256(contents).hexdigest() != self._manifest["metadata"][key]:
            self._refuse(key, "was altered since it was written")
        described: dict[str, Any] = json.loads(contents)
        if "codecs" in described:
            described["codecs"] = [codec for codec in described["codecs"] if codec["name"] != CODEC]
        return type(found).from_bytes(json.dumps(described).encode())

    def _chunk(self, key: str, found: Buffer | None) -> Buffer:
        if found is None:
            self._refuse(key, "is missing")
        contents = found.as_numpy_array()
        stated = contents[-CHECKSUM_BYTES:].tobytes()
        body = contents[:-CHECKSUM_BYTES]
        if stated.hex() != self._manifest["chunks"][key] or crc32c(body).to_bytes(CHECKSUM_BYTES, "little") != stated:
            self._refuse(key, "was altered since it was written")
        return found[:-CHECKSUM_BYTES]

    def _refuse(self, key: str, what: str) -> NoReturn:
        raise BrokenArtifact(f"{self.root / key} {what}; delete {self.root} and run: snakemake {self._stage}")
