"""Ridge with one penalty per target, chosen in inner folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.encoding.mapping import Mapping, MappingEntry, MappingInputs
from pipeline.encoding.options import EncodingOptions, PenaltyGrid

if TYPE_CHECKING:
    import numpy as np

    from pipeline.encoding.arithmetic.compute import Compute
    from pipeline.encoding.design import Design
    from pipeline.encoding.layer_fit import LayerFit


class RidgeOptions(EncodingOptions):
    """Linear encoding model: one ridge penalty per target, chosen in inner folds, scored on held-out blocks."""

    kind: Literal["ridge"] = "ridge"
    penalties: PenaltyGrid = Field(default_factory=PenaltyGrid, description="the grid of ridge penalties")


def make(options: RidgeOptions, inputs: MappingInputs) -> Mapping:
    from pipeline.encoding.ridge.fit import fit_ridge

    grid = options.penalties.values()

    def fit(features: np.ndarray, responses: np.ndarray, design: Design, *, compute: Compute, **told: Any) -> LayerFit:
        told |= {"device": compute.device, "memory_budget_mb": compute.memory_budget_mb}
        return fit_ridge(features, responses, grid, design, **told)

    return Mapping(fit)


RIDGE = MappingEntry(
    "ridge",
    RidgeOptions,
    make,
    "pipeline.encoding.mappings.words:RIDGE",
    lambda options: options.penalties.n,
    side_by_side=True,
)
