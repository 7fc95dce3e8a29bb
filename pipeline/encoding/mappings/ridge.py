"""Ridge: with one penalty per target, chosen in inner folds, and with one fixed penalty.

With a fixed penalty nothing is chosen, so that inner folds only give the scores that the layer is chosen by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.encoding.mapping import FitLayer, Mapping, MappingEntry, MappingInputs
from pipeline.encoding.options import Criterion, EncodingOptions, PenaltyGrid

if TYPE_CHECKING:
    import numpy as np

    from pipeline.encoding.arithmetic.compute import Compute
    from pipeline.encoding.design import Design
    from pipeline.encoding.layer_fit import LayerFit

PenaltyUnit = Literal["mean_eigenvalue", "absolute"]


class RidgeOptions(EncodingOptions):
    """Linear encoding model: one ridge penalty per target, chosen in inner folds, scored on held-out blocks."""

    kind: Literal["ridge"] = "ridge"
    penalties: PenaltyGrid = Field(default_factory=PenaltyGrid, description="the grid of ridge penalties")
    choose_by: Criterion = Field(
        "r2",
        description="what penalties are chosen by in inner folds: r2 (squared error); or r, which leaves the size of "
        "predictions open, and so their R²",
    )


class FixedRidgeOptions(EncodingOptions):
    """Linear encoding model: ridge with one fixed penalty for all targets."""

    kind: Literal["fixed_ridge"] = "fixed_ridge"
    penalty: float = Field(1.0, gt=0, description="the ridge penalty")
    penalty_unit: PenaltyUnit = Field(
        "mean_eigenvalue",
        description="mean_eigenvalue: relative to the mean eigenvalue of the training Gram matrix of standardised "
        "features; absolute: added to its eigenvalues as it is, like alpha in scikit-learn",
    )


def make(options: RidgeOptions, inputs: MappingInputs) -> Mapping:
    return Mapping(_fit_with(options.penalties.values(), "mean_eigenvalue", options.choose_by))


def make_fixed(options: FixedRidgeOptions, inputs: MappingInputs) -> Mapping:
    from pipeline.artifacts.scores import FIXED

    fit = _fit_with([options.penalty], options.penalty_unit)
    return Mapping(fit, lambda scores: scores.assign_attrs(penalties=FIXED))


def _fit_with(grid: Sequence[float] | np.ndarray, penalty_unit: PenaltyUnit, choose_by: Criterion = "r2") -> FitLayer:
    from pipeline.encoding.ridge.fit import fit_ridge

    def fit(features: np.ndarray, responses: np.ndarray, design: Design, *, compute: Compute, **told: Any) -> LayerFit:
        told |= {"device": compute.device, "memory_budget_mb": compute.memory_budget_mb}
        return fit_ridge(features, responses, grid, design, penalty_unit=penalty_unit, choose_by=choose_by, **told)

    return fit


RIDGE = MappingEntry(
    "ridge",
    RidgeOptions,
    make,
    "pipeline.encoding.mappings.words:RIDGE",
    lambda options: options.penalties.n,
    side_by_side=True,
)
FIXED_RIDGE = MappingEntry(
    "fixed_ridge",
    FixedRidgeOptions,
    make_fixed,
    "pipeline.encoding.mappings.words:FIXED_RIDGE",
    lambda options: 1,
    side_by_side=True,
)
