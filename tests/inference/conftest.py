"""Synthetic scores with a known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.scores import write_scores
from pipeline.artifacts.storage.store import standard_attrs
from tests.inference_settings import Contrast, Settings


def block_dataset(
    p,
    y,
    fold,
    block,
    *,
    model="net",
    objective="supervised",
    group="g",
    regions=None,
    subjects=None,
    compartments=None,
    categories=None,
    n_subjects=1,
    reliability=None,
    ci_unit="block",
) -> xr.Dataset:
    """Encoding scores from predictions (sample, layer, target) and responses (sample, target)."""
    n_layers, n_targets = p.shape[1:]
    blocks = np.unique(block)
    sums = {
        name: np.stack([values[block == b].sum(axis=0) for b in blocks])
        for name, values in {"p": p, "p2": p**2, "py": p * y[:, None], "y": y, "y2": y**2}.items()
    }
    n_folds = np.unique(fold).size
    first = [np.flatnonzero(block == b)[0] for b in blocks]
    items = ci_unit == "item"
    reliability = np.full(n_targets, 0.5) if reliability is None else np.asarray(reliability, float)
    texts = {
        "region": regions or ["R"] * n_targets,
        "compartment": compartments or [""] * n_targets,
        "subject": subjects or ["s1"] * n_targets,
        "ceiling_kind": ["split-half"] * n_targets,
        "target": [f"t{i}" for i in range(n_targets)],
    }
    return xr.Dataset(
        {
            "n": ("block", np.array([(block == b).sum() for b in blocks])),
            "sum_p": (("block", "layer", "target"), sums["p"]),
            "sum_p2": (("block", "layer", "target"), sums["p2"]),
            "sum_py": (("block", "layer", "target"), sums["py"]),
            "sum_y": (("block", "target"), sums["y"]),
            "sum_y2": (("block", "target"), sums["y2"]),
            "penalty": (("fold_id", "layer", "target"), np.ones((n_folds, n_layers, n_targets))),
            "penalty_edge": (("fold_id", "layer", "target"), np.zeros((n_folds, n_layers, n_targets), int)),
            "constant": ("target", (y.std(axis=0) == 0).astype(int)),
            "predicted": (("example", "sample"), np.zeros((1, 2))),
            "measured": (("example", "sample"), np.zeros((1, 2))),
            "reliability": ("target", reliability),
            "ceiling": ("target", np.sqrt(reliability)),
            "reliability_deviation": (("part", "target"), np.full((20, n_targets), 0.01)),  # an SE of .045
        },
        coords={
            "layer": ("layer", np.array([f"layer{i}" for i in range(n_layers)], object)),
            "layer_index": ("layer", np.arange(n_layers)),
            "relative_depth": ("layer", np.linspace(0, 1, n_layers) if n_layers > 1 else np.zeros(1)),
            "pathway": ("layer", np.array(["main"] * n_layers, object)),
            **{name: ("target", np.array(values, object)) for name, values in texts.items()},
            "fold": ("block", np.asarray(fold)[first]),
            "block_start": ("block", blocks.astype(float) * 20),
            "block_item": ("block", np.array([f"item{b}" if items else "" for b in blocks], object)),
            "block_category": (
                "block",
                np.array([""] * blocks.size if categories is None else np.asarray(categories)[first], object),
            ),
            "sample_time": ("sample", np.arange(2.0)),
            "example_target": ("example", np.array(["t0"], object)),
            "example_layer": ("example", np.array(["layer0"], object)),
        },
        attrs={
            **standard_attrs("encoding_scores", "test", "c", "i"),
            "study": "s",
            "analysis": "a",
            "group": group,
            "model": model,
            "objective": objective,
            "metric": "ridge",
            "n_subjects": n_subjects,
            "split": "{}",
            "seed": 0,
            "ci_unit": ci_unit,
            "reliability_df": 19,
            "weights_sha256": "",
        },
    )


def folds_of_blocks(n_folds=5, blocks_per_fold=6, samples_per_block=20):
    """(fold, block) of each sample."""
    block = np.repeat(np.arange(n_folds * blocks_per_fold), samples_per_block)
    return block // blocks_per_fold, block


def planted(rng, strengths, fold, **options) -> xr.Dataset:
    """Predictions that share ``strengths[layer, target]`` of their variance's root with the responses.

    The population correlation of layer l with target t is strengths[l, t].
    """
    strengths = np.asarray(strengths, float)
    y = rng.standard_normal((fold[0].size, strengths.shape[1]))
    noise = rng.standard_normal((fold[0].size, *strengths.shape))
    p = strengths * y[:, None] + np.sqrt(1 - strengths**2) * noise
    return block_dataset(p, y, *fold, **options)


@pytest.fixture(scope="session")
def settings():
    return Settings


@pytest.fixture(scope="session")
def contrast():
    return Contrast


@pytest.fixture(scope="session")
def make_blocks():
    return folds_of_blocks


@pytest.fixture(scope="session")
def make_scores():
    return block_dataset


@pytest.fixture(scope="session")
def make_planted():
    return planted


@pytest.fixture
def save(tmp_path):
    """Write scores and return their path."""

    def write(dataset: xr.Dataset, folder: Path = tmp_path) -> Path:
        path = folder / dataset.attrs["group"] / f"{dataset.attrs['model'].replace('/', '-')}.nc"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_scores(dataset, path)
        return path

    return write
