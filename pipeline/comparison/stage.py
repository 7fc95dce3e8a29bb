"""Stage `compare`: one network's similarity matrices beside measured ones, for one group."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.storage.contract import read_attrs
from pipeline.artifacts.storage.store import SCHEMA_VERSION
from pipeline.comparison.alignment import REMEDY, check_similarities
from pipeline.comparison.geometries import compare_geometry
from pipeline.comparison.options import SimilarityOptions
from pipeline.comparison.recordings import compare_recordings
from pipeline.comparison.similarity import Compared
from pipeline.core.errors import LayermapError
from pipeline.encoding.alignment.check import told

if TYPE_CHECKING:
    import xarray as xr


def compare_group(
    *,
    runs: Sequence[tuple[Path, Path]],
    options: SimilarityOptions,
    layers: Sequence[str] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
) -> xr.Dataset:
    """Similarities of every layer beside the measured ones of every target, items in the same order.

    Parameters
    ----------
    runs : one pair (geometry, activations), or (recording, activations) of each run, of one animal or several
    layers : in order of depth; None compares all that the activations hold
    attrs : ``study, analysis, group, created_by, config_sha, inputs_sha``
    shuffle_seed : permute the items of the measured matrices (roll blocks of time), all targets alike; None leaves them

    Returns
    -------
    Dataset of kind ``geometry_scores``, see `pipeline.artifacts.scores`; beside it ``reference_similarity
    (target, target2)``: how alike two targets' matrices are, the practical reference for a network's scores.

    Raises
    ------
    SampleMismatch
        An item or block has no activations, or files do not belong together; the message names them.
    BadConfiguration
        Options that the data do not allow.
    LayermapError
        Several geometries.
    """
    if read_attrs(runs[0][0], "prepare")["kind"] == "recording":
        compared = compare_recordings(runs, options, layers, shuffle_seed)
        return _scores(compared, options, attrs, _alignment(compared, options, attrs, runs[0][0], shuffle_seed))
    if len(runs) != 1:
        raise LayermapError(
            f"group '{attrs['group']}' has {len(runs)} runs, but similarities are compared over one set of items; "
            "give each its own group"
        )
    compared = compare_geometry(*runs[0], options, layers, shuffle_seed)
    return _scores(compared, options, attrs, _alignment(compared, options, attrs, runs[0][0], shuffle_seed))


def _alignment(
    compared: Compared, options: SimilarityOptions, attrs: dict[str, Any], source: Path, shuffle_seed: int | None
) -> dict[str, str]:
    """The attribute of the check of alignment.

    Empty where items were shuffled, and for blocks of time: neighbours are alike there, so that no order of blocks
    drawn at random says what chance is.
    """
    if shuffle_seed is not None or compared.ci_unit != "item":
        return {}
    modelled = compared.model_similarity[len(compared.layers) // 2]
    items, stimulus_items = compared.item.astype(str), [str(item) for item in compared.model_attrs.get("item", ())]
    found = check_similarities(compared.similarity, modelled, items, stimulus_items, options.seed)
    model = compared.model_attrs["model"]
    return {"alignment": told(found, "compare", attrs, model=model, remedy=REMEDY, source=source)}


def _scores(
    compared: Compared, options: SimilarityOptions, attrs: dict[str, Any], alignment: dict[str, str]
) -> xr.Dataset:
    import xarray as xr

    layers = compared.layers
    variables: dict[str, Any] = {
        "model_similarity": (("layer", "item", "item2"), compared.model_similarity),
        "similarity": (("item", "item2", "target"), compared.similarity),
        "reference_similarity": (("target", "target2"), compared.reference),
        "reliability": ("target", compared.reliability),
        "ceiling": ("target", compared.ceiling),
        "ceiling_kind": ("target", compared.ceiling_kind),
        "reliability_deviation": (("part", "target"), compared.reliability_deviation),
    }
    coords: dict[str, Any] = {
        "layer": ("layer", np.array([layer.name for layer in layers], dtype=object)),
        "layer_index": ("layer", np.array([layer.index for layer in layers])),
        "relative_depth": ("layer", np.array([layer.relative_depth for layer in layers], dtype=np.float64)),
        "pathway": ("layer", np.array([layer.pathway for layer in layers], dtype=object)),
        "item": ("item", compared.item.astype(object)),
        **{name: ("target", values.astype(object)) for name, values in compared.targets.items()},
    }
    if compared.leave_one_out is not None:
        variables["leave_one_out"] = ("target", compared.leave_one_out)
    if compared.stretch is not None:
        coords["stretch"] = ("item", compared.stretch)
    if compared.stimulus is not None:
        coords["stimulus"] = ("item", compared.stimulus.astype(object))
    return xr.Dataset(
        variables,
        coords,
        {
            **attrs,
            "kind": "geometry_scores",
            "schema_version": SCHEMA_VERSION,
            "metric": options.kind,
            "comparison": options.comparison,
            "similarity": options.similarity,
            "model": compared.model_attrs["model"],
            "objective": compared.model_attrs["objective"],
            "weights_sha256": compared.model_attrs["weights_sha256"],
            "n_subjects": compared.n_subjects,
            "split": json.dumps(compared.split),
            "seed": options.seed,
            "ci_unit": compared.ci_unit,
            "equal_contents": compared.equal,
            "n_samples": compared.n_samples,
            "n_without_features": compared.n_without_features,
            "reliability_df": compared.reliability_df,
            **alignment,
        },
    )
