"""Simulated animals: cells that are random projections of a layer's features, and the files that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.activations import ActivationWriter, LayerInfo
from pipeline.artifacts.recording import write_recording
from pipeline.artifacts.storage.store import standard_attrs

INTERVAL_S = 0.1
PER_BLOCK = 5  # samples: blocks of 0.5 s
MOVIE = "movie_one"


def layer_features(rng, n_layers=5, n_blocks=40, n_features=30, per_block=PER_BLOCK):
    """Layers that share nothing, (sample, feature): a pattern per block and a little change within it."""
    shape = (n_layers, n_blocks * per_block, n_features)
    blocks = rng.standard_normal((n_layers, n_blocks, n_features)).repeat(per_block, axis=1)
    return dict(zip([f"layer{i}" for i in range(n_layers)], blocks + 0.2 * rng.standard_normal(shape), strict=True))


def cells_of(rng, features, n_cells=20, signal=0.3, n_repeats=2):
    """(repeat, sample, cell) of unit variance, of which ``signal`` is a random projection of the features."""
    projected = features @ rng.standard_normal((features.shape[1], n_cells)) / np.sqrt(features.shape[1])
    noise = rng.standard_normal((n_repeats, *projected.shape))
    return np.sqrt(signal) * projected + np.sqrt(1 - signal) * noise


def recording(responses, *, subject="m0", regions=None, run="r", names=None, stimulus=MOVIE, items=None, **options):
    """A recording of one animal: (repeat, sample, cell); in time unless ``items`` are given.

    ``first_s`` is the time of the first sample's end, ``member`` the attribute of that name, ``compartment`` of cells.
    """
    n_repeats, n_samples, n_cells = responses.shape
    texts = {
        "target": names or [f"{subject}-{options.get('first_cell', 0) + i}" for i in range(n_cells)],
        "region": regions or ["VISp"] * n_cells,
        "subject": [subject] * n_cells,
    }
    if "compartment" in options:
        texts["compartment"] = options["compartment"]
    first_s = options.get("first_s", INTERVAL_S)
    clock = {"time_s": ("sample", first_s + INTERVAL_S * np.arange(n_samples))}
    if items is not None:
        clock = {"item": ("sample", np.array(items, object))}
    return xr.Dataset(
        {"responses": (("repeat", "sample", "target"), responses.astype(np.float32))},
        coords={
            **clock,
            "run": ("sample", np.array([run] * n_samples, object)),
            "stimulus": ("sample", np.array([stimulus] * n_samples, object)),
            **{name: ("target", np.array(values, object)) for name, values in texts.items()},
            "n_repeats": (("sample", "target"), np.full((n_samples, n_cells), n_repeats)),
        },
        attrs={
            **standard_attrs("recording", "test", "c", "i"),
            "units": "dF/F",
            "sample_kind": "time" if items is None else "item",
            **({"sample_interval_s": INTERVAL_S} if items is None else {}),
            "high_pass_s": options.get("high_pass_s", 0.0),
            "z_scored": 0,
            "n_subjects": 1,
            **({"member": options["member"]} if "member" in options else {}),
        },
    )


def write_activations(
    path, features, *, clock=None, stimulus=MOVIE, model="net", objective="supervised", items=None, content=None
):
    """Layers (sample, feature) in order of depth; ``content`` is the digest of each item, or of the whole stimulus."""
    n = len(next(iter(features.values())))
    if clock is None:
        clock = INTERVAL_S * np.arange(1, n + 1) if items is None else np.array(items)
    attrs = {
        **standard_attrs("activations", "test", "c", "i"),
        "model": model,
        "modality": "video",
        "objective": objective,
        "sample_kind": "time" if items is None else "item",
        "weights_sha256": "abc",
        "preprocessing": "{}",
        "reduction": "{}",
        "stimulus": stimulus,
        "rate": "mean",
        "convolved": 0,
        **({} if content is None else {"content": content}),
    }
    layers = [LayerInfo(name, i, i / max(1, len(features) - 1)) for i, name in enumerate(features)]
    writer = ActivationWriter(path, layers, n, np.asarray(clock), attrs)
    writer.write(0, {name: values.astype(np.float32) for name, values in features.items()})
    writer.close()
    return path


class Study:
    """Writes recordings and activations into a folder, and gives the group's runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def runs(self, recordings, features, **about):
        """(recording, activations) of each run, all of one stimulus."""
        activations = write_activations(self.folder / f"{about.get('model', 'net')}.zarr", features, **about)
        paths = []
        for number, dataset in enumerate(recordings):
            paths.append((self.folder / f"r{number}.nc", activations))
            write_recording(dataset, paths[-1][0])
        return paths


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


@pytest.fixture(scope="session")
def make_layers():
    return layer_features


@pytest.fixture(scope="session")
def make_cells():
    return cells_of


@pytest.fixture(scope="session")
def make_recording():
    return recording
