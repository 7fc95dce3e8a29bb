"""A network's matrices beside measured ones, before they are written as geometry scores."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.activations import LayerInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Compared:
    """All that the scores of one network and group hold.

    Parameters
    ----------
    similarity : (item, item2, target) measured
    model_similarity : (layer, item, item2)
    reference : (target, target2), how alike two targets' matrices are
    item : (item,) names
    targets : target, region, compartment and subject of each target
    reliability, ceiling, ceiling_kind : (target,)
    model_attrs : attributes of the activations
    split : how items are halved, and what else decided the matrices
    leave_one_out : (target,) agreement with the mean of the other animals' matrices; None for geometries
    stretch : (item,) items of one stretch are drawn together; None where every item is drawn by itself
    equal : which names of items stand for one content, in words; empty if none do
    n_samples, n_without_features : of the recordings, and of them samples with nothing of the stimulus in their bin
    """

    similarity: NDArray[np.float64]
    model_similarity: NDArray[np.float64]
    reference: NDArray[np.float64]
    layers: list[LayerInfo]
    item: NDArray[Any]
    targets: dict[str, NDArray[Any]]
    reliability: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    ceiling_kind: NDArray[np.object_]
    n_subjects: int
    ci_unit: str
    model_attrs: dict[str, Any]
    split: dict[str, Any]
    leave_one_out: NDArray[np.float64] | None = None
    stretch: NDArray[np.intp] | None = None
    equal: str = ""
    n_samples: int = 0
    n_without_features: int = 0
