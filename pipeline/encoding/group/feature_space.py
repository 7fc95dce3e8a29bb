"""A feature space that layers are fitted jointly with, on the bins of a group."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.core.errors import UnknownName
from pipeline.encoding.arithmetic.columns import Columns
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.group_data import GroupOptions, open_group
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.mapping import SpaceFiles
from pipeline.encoding.splits import Fold


@dataclasses.dataclass(frozen=True)
class FeatureSpace:
    """One feature space on its bins, with the bins that each sample of the group sees.

    Parameters
    ----------
    features : array-like (n_bins, n_features), undelayed; NaN marks bins without features
    delays : of the response behind the features, in bins
    runs : (n_bins,) label of each bin's run; delays do not cross runs
    rows : (n_samples,) the bin of each sample
    """

    features: Columns
    delays: Sequence[int]
    runs: np.ndarray
    rows: np.ndarray

    def design(self, splits: Sequence[Fold], high_pass: HighPass | None) -> Design:
        """That of a fit of this space, on folds and with a filter that all spaces of the fit share."""
        return Design(splits, self.delays, self.runs, self.rows, high_pass)


def open_space(space: SpaceFiles, recordings: Sequence[Path], options: GroupOptions, scratch: Scratch) -> FeatureSpace:
    """The features of a named space on the bins of a group's recordings, its layers side by side.

    Raises
    ------
    UnknownName
        A layer that the activations do not hold.
    SampleMismatch
        Recordings and activations that do not belong together; the message names both files.
    """
    group = open_group(list(zip(recordings, space.activations, strict=True)), options, scratch)
    known = list(group.model_attrs["layer_order"])
    for layer in space.layers or ():
        if layer not in known:
            raise UnknownName(f"layer of space '{space.name}'", layer, known)
    parts = [group.features(layer) for layer in space.layers or known]
    features = parts[0]
    if len(parts) > 1:
        features = scratch.array((len(parts[0]), sum(part.shape[1] for part in parts)), np.float32)
        np.concatenate(parts, axis=1, out=features)
    return FeatureSpace(features, group.delays, group.bin_runs(), group.rows())
