"""Artifacts of realistic size, filled with noise: one of each kind, with how it is written and read whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pipeline.artifacts.activations import ATTRS, ActivationWriter, LayerInfo, open_activations
from pipeline.artifacts.catalogue import (
    Catalogue,
    FetchedFile,
    Group,
    RawFile,
    Receipt,
    Run,
    StimulusEntry,
    open_catalogue,
    open_receipt,
    write_json,
)
from pipeline.artifacts.geometry import open_geometry, write_geometry
from pipeline.artifacts.map import TABLES, open_map, write_map
from pipeline.artifacts.recording import blocks_of_samples, open_recording_blocks, read_samples, write_recording
from pipeline.artifacts.scores import ENCODING_SCORES, open_scores, write_scores
from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs, write_whole

BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Kind:
    """One kind of artifact: how it is written to a path, and read whole from there."""

    name: str
    file: str
    write: Callable[[Path], None]
    read: Callable[[Path], Any]


def kinds(scale: float, seed: int) -> list[Kind]:
    """Every kind of artifact; ``scale`` multiplies the number of samples, files or rows."""
    generator = np.random.default_rng(seed)

    def n(full: int) -> int:
        return max(8, int(full * scale))

    recording, movie, scores = _recording(generator, n(10_000)), _movie(generator, n(900)), _scores(generator, n(300))
    layer = generator.standard_normal((n(10_000), 1000)).astype(np.float32)
    matrices, catalogue, receipt, tables = (
        _matrices(generator, n(120)),
        _catalogue(n(600)),
        _receipt(n(600)),
        _tables(n(5000)),
    )
    return [
        Kind("recording, 3,000 targets", "r.nc", lambda path: write_recording(recording, path), _read_recording),
        Kind("geometry, 120 items", "g.nc", lambda path: write_geometry(matrices, path), open_geometry),
        Kind("stimulus, a movie of 900 frames", "s.zarr", lambda path: write_stimulus(movie, path), _read_stimulus),
        Kind(
            "activations, 3 layers of 1,000 features", "a.zarr", lambda path: _write_layers(layer, path), _read_layers
        ),
        Kind("encoding scores, 12 layers, 2,000 targets", "e.nc", lambda path: write_scores(scores, path), open_scores),
        Kind("catalogue, 600 files", "c.json", lambda path: write_json(catalogue, path), open_catalogue),
        Kind("receipt, 600 files", "t.json", lambda path: write_json(receipt, path), open_receipt),
        Kind(
            "map, 6 tables of 5,000 rows",
            "m.nc",
            lambda path: write_map(tables, _attrs("map", study="s"), path),
            open_map,
        ),
    ]


def _attrs(kind: str, **more: Any) -> dict[str, Any]:
    return {**standard_attrs(kind, "benchmark", "c", "i"), **more}


def _recording(generator: np.random.Generator, n_samples: int, n_targets: int = 3000) -> xr.Dataset:
    labels = {name: ("target", np.full(n_targets, "x")) for name in ("region", "subject")}
    return xr.Dataset(
        {
            "responses": (
                ("repeat", "sample", "target"),
                generator.standard_normal((1, n_samples, n_targets), dtype=np.float32),
            ),
            "n_repeats": (("sample", "target"), np.ones((n_samples, n_targets), np.int16)),
        },
        coords={
            **{name: ("sample", np.full(n_samples, "x")) for name in ("run", "stimulus")},
            "time_s": ("sample", np.arange(n_samples) * 1.0),
            "target": ("target", [f"t{number}" for number in range(n_targets)]),
            **labels,
        },
        attrs=_attrs(
            "recording", units="z", sample_kind="time", sample_interval_s=1.0, high_pass_s=0.0, z_scored=1, n_subjects=1
        ),
    )


def _read_recording(path: Path) -> None:
    """As encode reads it: block by block."""
    with open_recording_blocks(path) as recording:
        for block in blocks_of_samples(recording, BLOCK_BYTES):
            read_samples(recording, path, "responses", block)
            read_samples(recording, path, "n_repeats", block)


def _matrices(generator: np.random.Generator, n_items: int, n_targets: int = 20) -> xr.Dataset:
    similarity = np.stack([np.corrcoef(generator.standard_normal((n_items, 50))) for _ in range(n_targets)], axis=2)
    names = [f"t{number}" for number in range(n_targets)]
    return xr.Dataset(
        {
            "similarity": (("item", "item2", "target"), similarity.astype(np.float32)),
            "ceiling": ("target", np.full(n_targets, 0.5)),
        },
        coords={
            "item": [f"i{number}" for number in range(n_items)],
            **dict.fromkeys(("target", "region", "compartment", "subject"), ("target", names)),
        },
        attrs=_attrs("geometry", similarity="pearson", ceiling_kind="k", stimulus="s", units="1", n_subjects=1),
    )


def _movie(generator: np.random.Generator, n_frames: int) -> xr.Dataset:
    """Smooth frames with some noise: pixels of natural pictures shrink somewhat when they are compressed."""
    y, x = np.mgrid[:304, :608] / 40
    frames = np.stack([100 + 60 * np.sin(x + number / 9) * np.cos(y) for number in range(n_frames)])
    frames += generator.normal(0, 2, (1, 304, 608))
    return xr.Dataset(
        {"frames": (("frame", "y", "x", "colour"), frames.astype(np.uint8)[..., None])},
        attrs=_attrs("stimulus", modality="movie", name="s", frame_rate_hz=30.0),
    )


def _read_stimulus(path: Path) -> None:
    open_stimulus(path).load()


def _write_layers(layer: np.ndarray, path: Path) -> None:
    attrs = {**dict.fromkeys(ATTRS, "x"), **_attrs("activations"), "sample_kind": "time"}
    layers = [LayerInfo(f"layer{number}", number, number / 2) for number in range(3)]
    with write_whole(path) as temporary:
        writer = ActivationWriter(temporary, layers, len(layer), np.arange(len(layer)) * 1.0, attrs)
        for start in range(0, len(layer), 64):
            writer.write(start, {one.name: layer[start : start + 64] for one in layers})
        writer.close()


def _read_layers(path: Path) -> None:
    activations = open_activations(path)
    for layer in activations.layers:
        for _ in activations.blocks(layer.name, BLOCK_BYTES):
            pass


def _scores(generator: np.random.Generator, n_blocks: int, n_layers: int = 12, n_targets: int = 2000) -> xr.Dataset:
    sizes = {"block": n_blocks, "layer": n_layers, "target": n_targets, "fold_id": 5, "example": 4, "sample": 500}
    text = {"layer", "pathway", "target", "region", "compartment", "subject", "ceiling_kind", "block_item"}
    text |= {"block_category", "example_target", "example_layer"}
    variables = {}
    for name, dims in ENCODING_SCORES.variables.items():
        shape = tuple(sizes[dim] for dim in dims)
        values: Any = (
            np.full(shape, "x", object) if name in text else generator.standard_normal(shape).astype(np.float32)
        )
        if (name,) == dims:
            values = np.array([f"{name}{number}" for number in range(sizes[name])], object)
        variables[name] = (dims, values)
    return xr.Dataset(variables, attrs={**_attrs("encoding_scores"), **dict.fromkeys(ENCODING_SCORES.attrs, "x")})


def _catalogue(n_files: int) -> Catalogue:
    files = tuple(
        RawFile(path=f"{number}.nwb", url=f"https://host/{number}.nwb", bytes=number, sha256=f"{number:064x}")
        for number in range(n_files)
    )
    group = Group(name="g", runs=(Run(stimulus="s", recording="r"),), subjects=("m",))
    stimuli = (StimulusEntry(name="s", modality="movie"),)
    return Catalogue(dataset="d", key="0" * 10, groups=(group,), recordings=("r",), stimuli=stimuli, files=files)


def _receipt(n_files: int) -> Receipt:
    files = tuple(
        FetchedFile(path=f"{number}.nwb", url=f"https://host/{number}.nwb", bytes=number, sha256=f"{number:064x}")
        for number in range(n_files)
    )
    return Receipt(what="d", key="0" * 10, files=files)


def _tables(n_rows: int) -> dict[str, pd.DataFrame]:
    kinds = {"s": "some text", "f": 0.123456789, "i": 3}
    return {
        name: pd.DataFrame({c: [kinds[k]] * n_rows for c, k in columns.items()}) for name, columns in TABLES.items()
    }
