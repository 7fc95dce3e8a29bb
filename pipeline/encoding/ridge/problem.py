"""What a ridge is fitted to, and whether that is small."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.encoding.arithmetic.columns import Columns
from pipeline.encoding.design import Design
from pipeline.encoding.options import Criterion
from pipeline.encoding.ridge.cost import FitShape, fit_cost, fold_shapes

SMALL_FLOPS = 4e9
"""Fits that take no more operations are solved plainly: about what a core does while torch is imported, ten layers a
job. A matter of sizes alone, so that a fit is the same wherever it runs."""


@dataclasses.dataclass(frozen=True)
class RidgeProblem:
    """What is to be fitted; see `pipeline.encoding.ridge.fit.fit_ridge`."""

    features: Columns
    responses: Columns
    grid: np.ndarray
    design: Design
    scale: bool
    absolute: bool
    choose_by: Criterion

    @property
    def is_small(self) -> bool:
        """Whether it is solved plainly."""
        n_samples, n_targets = self.responses.shape
        n_bins, n_features = self.features.shape
        sizes = (n_bins, n_samples, n_features, len(self.design.delays), n_targets, self.grid.size)
        return fit_cost(FitShape(*sizes, parts=fold_shapes(self.design.splits))).total_flops <= SMALL_FLOPS
