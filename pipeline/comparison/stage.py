"""Stage `compare`: one network's item × item similarities beside measured ones, for one group."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.activations import Activations, open_activations
from pipeline.artifacts.geometry import open_geometry
from pipeline.artifacts.store import SCHEMA_VERSION
from pipeline.comparison.options import RsaOptions
from pipeline.comparison.similarity import compare, item_similarity, upper_triangle
from pipeline.errors import BrokenArtifact, LayermapError, SampleMismatch

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


def compare_group(
    *,
    runs: Sequence[tuple[Path, Path]],
    options: RsaOptions,
    layers: Sequence[str] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
) -> xr.Dataset:
    """Similarities of every layer beside the measured ones of every target, items in the same order.

    Parameters
    ----------
    runs : one pair (geometry, activations)
    layers : in order of depth; None compares all that the activations hold
    attrs : ``study, analysis, group, created_by, config_sha, inputs_sha``
    shuffle_seed : permute the items of the measured matrices, all targets alike; None leaves them

    Returns
    -------
    Dataset of kind ``geometry_scores``, see `pipeline.artifacts.scores`; beside it ``reference_similarity
    (target, target2)``: how alike two targets' matrices are, the practical reference for a network's scores.

    Raises
    ------
    SampleMismatch
        An item of the geometry has no activations; the message names it and both files.
    LayermapError
        Several runs, or a recording where similarities are needed.
    """
    if len(runs) != 1:
        raise LayermapError(
            f"group '{attrs['group']}' has {len(runs)} runs, but rsa compares one set of items; use metric kind 'ridge'"
        )
    recording_path, activations_path = runs[0]
    geometry = _measured(recording_path)
    activations = open_activations(activations_path)
    rows = _rows_of_items(geometry["item"].values, activations, recording_path)
    layers = layers or activations.attrs["layer_order"]
    order = np.arange(rows.size) if shuffle_seed is None else np.random.default_rng(shuffle_seed).permutation(rows.size)
    measured = geometry["similarity"].values[np.ix_(order, order)].astype(np.float64)
    model = np.stack([item_similarity(activations.read(layer)[rows]) for layer in layers])
    return _scores(geometry, measured, model, activations, list(layers), options, attrs)


def _measured(path: Path) -> xr.Dataset:
    try:
        return open_geometry(path)
    except BrokenArtifact as error:
        if "'recording'" in str(error):
            raise LayermapError(
                f"{path} holds responses, but rsa needs a dataset of similarities; use metric kind 'ridge'"
            ) from error
        raise


def _rows_of_items(items: NDArray[np.str_], activations: Activations, source: Path) -> NDArray[np.intp]:
    """The row of each item in the activations, matched by name."""
    if activations.sample_kind != "item":
        raise SampleMismatch(
            f"{activations.path} is sampled in time, but {source} lists items; use a stimulus of images or clips"
        )
    row_of = {str(item): row for row, item in enumerate(activations.clock())}
    missing = [str(item) for item in items if str(item) not in row_of]
    if missing:
        raise SampleMismatch(
            f"item '{missing[0]}' of {source} ({len(missing)} of {len(items)} items) is not in {activations.path}; "
            "prepare and activate the same stimulus again"
        )
    return np.array([row_of[str(item)] for item in items])


def _scores(
    geometry: xr.Dataset,
    measured: NDArray[np.float64],
    model: NDArray[np.float64],
    activations: Activations,
    layers: list[str],
    options: RsaOptions,
    attrs: dict[str, Any],
) -> xr.Dataset:
    import xarray as xr

    info = {layer.name: layer for layer in activations.layers}
    reliability = geometry["ceiling"].values.astype(np.float64)
    kind = str(geometry.attrs["ceiling_kind"])
    pairs = upper_triangle(np.moveaxis(measured, 2, 0))
    n_targets = pairs.shape[0]
    reference = np.array([[compare(a, b, options.comparison) for b in pairs] for a in pairs])
    split = {"kind": "random_halves", "n_splits": options.n_splits, "seed": options.seed}
    return xr.Dataset(
        {
            "model_similarity": (("layer", "item", "item2"), model),
            "similarity": (("item", "item2", "target"), measured),
            "reference_similarity": (("target", "target2"), reference),
            "reliability": ("target", reliability),
            "ceiling": ("target", np.sqrt(np.where(reliability > 0, reliability, np.nan))),
            "ceiling_kind": ("target", np.array([f"√({kind})"] * n_targets, dtype=object)),
        },
        coords={
            "layer": ("layer", np.array(layers, dtype=object)),
            "layer_index": ("layer", np.array([info[name].index for name in layers])),
            "relative_depth": ("layer", np.array([info[name].relative_depth for name in layers], dtype=np.float64)),
            "pathway": ("layer", np.array([info[name].pathway for name in layers], dtype=object)),
            "item": ("item", geometry["item"].values.astype(object)),
            **{
                name: ("target", geometry[name].values.astype(object))
                for name in ("target", "region", "compartment", "subject")
            },
        },
        attrs={
            **attrs,
            "kind": "geometry_scores",
            "schema_version": SCHEMA_VERSION,
            "metric": options.kind,
            "comparison": options.comparison,
            "similarity": options.similarity,
            "model": activations.attrs["model"],
            "objective": activations.attrs["objective"],
            "weights_sha256": activations.attrs["weights_sha256"],
            "n_subjects": int(geometry.attrs["n_subjects"]),
            "split": json.dumps(split),
            "seed": options.seed,
            "ci_unit": "item",
        },
    )
