"""Activations artifact: a Zarr group with one array per layer, ``(sample, feature)`` float32.

Samples are at the network's own rate and undelayed. ``time_s (sample)`` is the end of the input that
a sample has seen, on the stimulus clock, but for the ``look_ahead_s`` that its preprocessing states beyond it (0 unless
a study asks for more); ``item (sample)`` names the image or clip instead. Layers are
written batch by batch, so memory is one batch; they are read one at a time.

Group attrs: the standard ones and ``model, modality, objective, sample_kind, weights_sha256,
preprocessing (JSON), reduction (JSON), stimulus, rate`` (``mean`` or ``sum``: how encode bins it) and
``convolved`` (1 where a haemodynamic response is already in the features: encode adds no delays). ``content`` is the
digest of the stimulus' contents, or a list with that of each sample's item; without it, contents are taken to differ.
Array attrs: ``layer_index, relative_depth, pathway``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.storage.store import SCHEMA_VERSION
from pipeline.core.errors import BrokenArtifact, UnknownName

if TYPE_CHECKING:
    import numpy as np
    import zarr

LAYERS = "layers"
CHUNK_BYTES = 1 << 20
"""Of one layer's chunk: what waits in memory until it is written."""
ATTRS = (
    "model",
    "modality",
    "objective",
    "sample_kind",
    "weights_sha256",
    "preprocessing",
    "reduction",
    "stimulus",
    "rate",
    "convolved",
)


@dataclasses.dataclass(frozen=True)
class LayerInfo:
    """Where a layer stands in its network.

    Parameters
    ----------
    name : as in the network or registry
    index : 0 = embedding or stem, k = output of block k; a final norm is a layer of its own
    relative_depth : 0–1 within the pathway
    """

    name: str
    index: int
    relative_depth: float
    pathway: str = "main"


class ActivationWriter:
    """Writes the layers of one network to an open Zarr group, batch by batch.

    Parameters
    ----------
    path : the temporary folder given by `write_whole`
    layers : in order of depth
    n_samples : length of the sample axis
    clock : ``time_s`` values in s (float) or ``item`` names (str), one per sample
    attrs : the group's attributes, see the module
    """

    def __init__(
        self,
        path: Path,
        layers: list[LayerInfo],
        n_samples: int,
        clock: np.ndarray,
        attrs: dict[str, Any],
    ) -> None:
        import zarr

        self._path = path
        self._layers = {layer.name: layer for layer in layers}
        self._n_samples = n_samples
        self._group = zarr.open_group(path, mode="w", zarr_format=3)
        self._group.attrs.update({**attrs, "layer_order": [layer.name for layer in layers]})
        self._columns = {layer.name: _LayerColumn(self._group, layer, n_samples) for layer in layers}
        if attrs["sample_kind"] == "time":
            array = self._group.create_array(
                "time_s", shape=(n_samples,), dtype="float64", dimension_names=("sample",), **_checked_chunks()
            )
            array.attrs["units"] = "s"
            array[:] = clock
        else:
            self._group.attrs["item"] = [str(item) for item in clock]

    def write(self, start: int, batch: dict[str, np.ndarray]) -> None:
        """Write one batch, ``layer → (n, feature)``, which starts at sample ``start``.

        Raises
        ------
        BrokenArtifact
            The batch does not follow on the one before it, goes beyond the last sample, or has other features.
        """
        for name, values in batch.items():
            self._columns[name].append(start, values)

    def close(self) -> None:
        """Write what is left, check that every layer holds every sample, and seal the group."""
        from pipeline.artifacts.storage.sealed_zarr import seal

        for column in self._columns.values():
            column.close()
        seal(self._path)


def _checked_chunks() -> dict[str, Any]:
    """Arguments of an array whose chunks all have a checksum, those of zeros too."""
    from pipeline.artifacts.storage.sealed_zarr import compressors

    return {"compressors": compressors(), "config": {"write_empty_chunks": True}}


class _LayerColumn:
    """One layer's array, written by whole chunks: none is compressed twice, and bytes do not depend on batches."""

    def __init__(self, group: zarr.Group, layer: LayerInfo, n_samples: int) -> None:
        self._group = group
        self._layer = layer
        self._n_samples = n_samples
        self._array: Any = None
        self._waiting: list[np.ndarray] = []
        self._n_waiting = 0
        self._written = 0

    def append(self, start: int, values: np.ndarray) -> None:
        if start != self._written + self._n_waiting:
            raise BrokenArtifact(
                f"layer '{self._layer.name}' has samples up to {self._written + self._n_waiting}, but the next batch "
                f"starts at {start}; the network's batches must follow one another"
            )
        if start + len(values) > self._n_samples:
            raise BrokenArtifact(
                f"layer '{self._layer.name}' has a batch up to sample {start + len(values)}, but there are "
                f"{self._n_samples}; the network's clock and batches must agree"
            )
        if self._array is None:
            self._array = self._create(values.shape[1])
        if values.shape[1] != self._array.shape[1]:
            raise BrokenArtifact(
                f"layer '{self._layer.name}' has {self._array.shape[1]} features up to sample {start} and "
                f"{values.shape[1]} from there on; every sample must have the same"
            )
        self._waiting.append(values)
        self._n_waiting += len(values)
        rows = self._array.chunks[0]
        if self._n_waiting >= rows:
            self._write(self._n_waiting // rows * rows)

    def close(self) -> None:
        if self._n_waiting:
            self._write(self._n_waiting)
        if self._written != self._n_samples:
            raise BrokenArtifact(
                f"layer '{self._layer.name}' has {self._written} of {self._n_samples} samples; "
                "the extraction is incomplete"
            )

    def _write(self, n: int) -> None:
        import numpy as np

        values = np.concatenate(self._waiting)
        self._array[self._written : self._written + n] = values[:n]
        self._written += n
        self._waiting = [values[n:].copy()] if n < len(values) else []  # a view would keep all of them in memory
        self._n_waiting = len(values) - n

    def _create(self, n_features: int) -> Any:
        rows = max(1, min(self._n_samples, CHUNK_BYTES // max(1, 4 * n_features)))
        array = self._group.create_array(
            f"{LAYERS}/{self._layer.name}",
            shape=(self._n_samples, n_features),
            chunks=(rows, n_features),
            dtype="float32",
            dimension_names=("sample", "feature"),
            **_checked_chunks(),
        )
        array.attrs.update(
            {
                "layer_index": self._layer.index,
                "relative_depth": self._layer.relative_depth,
                "pathway": self._layer.pathway,
                "units": "network units",
            }
        )
        return array


class Activations:
    """A checked, lazily read activations artifact."""

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self._group = group
        self.attrs: dict[str, Any] = dict(group.attrs)
        self.layers = [self._layer(name) for name in self.attrs["layer_order"]]

    def _layer(self, name: str) -> LayerInfo:
        attrs: dict[str, Any] = dict(self._group[f"{LAYERS}/{name}"].attrs)
        return LayerInfo(name, int(attrs["layer_index"]), float(attrs["relative_depth"]), str(attrs["pathway"]))

    @property
    def sample_kind(self) -> str:
        return str(self.attrs["sample_kind"])

    @property
    def preprocessing(self) -> dict[str, Any]:
        return dict(json.loads(self.attrs["preprocessing"]))

    def clock(self) -> np.ndarray:
        """``time_s`` (float64, s) or ``item`` (str), shape (n_samples,)."""
        import numpy as np

        if self.sample_kind == "item":
            return np.asarray(self.attrs["item"])
        return np.asarray(self._array("time_s")[:])

    def contents(self) -> np.ndarray:
        """Digest of what each item holds, or one for the whole stimulus; empty where it was not kept."""
        import numpy as np

        kept = self.attrs.get("content", "")
        if self.sample_kind != "item":
            return np.array([kept if isinstance(kept, str) else ""])
        items = self.attrs["item"]
        return np.array(kept if isinstance(kept, list) and len(kept) == len(items) else [""] * len(items))

    def read(self, layer: str) -> np.ndarray:
        """All samples of one layer: ``(n_samples, n_features)`` float32.

        Raises
        ------
        UnknownName
            The model has no such layer; the message names the closest.
        """
        import numpy as np

        return np.asarray(self._layer_array(layer)[:], dtype=np.float32)

    def n_features(self, layer: str) -> int:
        """Of one layer; raises `UnknownName` as `read` does."""
        return int(self._layer_array(layer).shape[1])

    def blocks(self, layer: str, n_bytes: int) -> Iterator[tuple[int, np.ndarray]]:
        """One layer in order, in blocks of about ``n_bytes``: number of the first sample, ``(n, n_features)`` float32.

        Blocks are whole chunks of the store, at least one, so each chunk is read once.

        Raises
        ------
        UnknownName
            The model has no such layer; the message names the closest.
        BrokenArtifact
            Activations that are not finite.
        """
        import numpy as np

        array = self._layer_array(layer)
        n_samples, n_features = array.shape
        rows = array.chunks[0]
        step = rows * max(1, n_bytes // max(1, 4 * n_features * rows))
        for start in range(0, n_samples, step):
            block = np.asarray(array[start : start + step], dtype=np.float32)
            if not np.isfinite(block).all():
                raise BrokenArtifact(
                    f"{self.path}: layer '{layer}' holds NaN or infinite activations; "
                    "delete it and run: snakemake activate"
                )
            yield start, block

    def _layer_array(self, layer: str) -> zarr.Array:
        if layer not in self.attrs["layer_order"]:
            raise UnknownName(f"layer of {self.attrs['model']}", layer, self.attrs["layer_order"])
        return self._array(f"{LAYERS}/{layer}")

    def _array(self, name: str) -> zarr.Array:
        import zarr

        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise BrokenArtifact(f"{self.path}: '{name}' is no array; delete it and run: snakemake activate")
        return array


def open_activations(path: Path) -> Activations:
    """Open ``data/activations/<stimulus>/<model_id>-<act_key>.zarr``.

    Raises
    ------
    BrokenArtifact
        Missing, unreadable, of another schema, or without a needed attribute.
    """
    from pipeline.artifacts.storage.sealed_zarr import open_sealed

    remedy = "delete it and run: snakemake activate"
    if not path.is_dir():
        raise BrokenArtifact(f"{path} is missing; make it with: snakemake activate")
    group = open_sealed(path, "activate")
    if group.attrs.get("kind") != "activations" or group.attrs.get("schema_version") != SCHEMA_VERSION:
        raise BrokenArtifact(
            f"{path} is of kind '{group.attrs.get('kind')}', schema version {group.attrs.get('schema_version')}, "
            f"expected 'activations', {SCHEMA_VERSION}; {remedy}"
        )
    attrs: dict[str, Any] = dict(group.attrs)
    for name in (*ATTRS, "layer_order"):
        if name not in attrs:
            raise BrokenArtifact(f"{path} lacks attribute '{name}'; {remedy}")
    for name in attrs["layer_order"]:
        if f"{LAYERS}/{name}" not in group:
            raise BrokenArtifact(f"{path} lacks the array of layer '{name}'; {remedy}")
    return Activations(path, group)
