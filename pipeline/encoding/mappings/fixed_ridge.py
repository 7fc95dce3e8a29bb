"""Ridge with one fixed penalty: nothing is chosen, so inner folds only give the scores that the layer is chosen by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.encoding.mapping import Mapping, MappingEntry, MappingInputs
from pipeline.encoding.options import EncodingOptions

if TYPE_CHECKING:
    import numpy as np

    from pipeline.encoding.arithmetic.compute import Compute
    from pipeline.encoding.design import Design
    from pipeline.encoding.layer_fit import LayerFit


class FixedRidgeOptions(EncodingOptions):
    """Linear encoding model: ridge with one fixed penalty for all targets."""

    kind: Literal["fixed_ridge"] = "fixed_ridge"
    penalty: float = Field(1.0, gt=0, description="the ridge penalty")
    penalty_unit: Literal["mean_eigenvalue", "absolute"] = Field(
        "mean_eigenvalue",
        description="mean_eigenvalue: relative to the mean eigenvalue of the training Gram matrix of standardised "
        "features; absolute: added to its eigenvalues as it is, like alpha in scikit-learn",
    )


def make(options: FixedRidgeOptions, inputs: MappingInputs) -> Mapping:
    from pipeline.artifacts.scores import FIXED
    from pipeline.encoding.ridge.fit import fit_ridge

    grid, unit = [options.penalty], options.penalty_unit

    def fit(features: np.ndarray, responses: np.ndarray, design: Design, *, compute: Compute, **told: Any) -> LayerFit:
        told |= {"device": compute.device, "memory_budget_mb": compute.memory_budget_mb}
        return fit_ridge(features, responses, grid, design, penalty_unit=unit, **told)

    return Mapping(fit, lambda scores: scores.assign_attrs(penalties=FIXED))


FIXED_RIDGE = MappingEntry(
    "fixed_ridge",
    FixedRidgeOptions,
    make,
    "pipeline.encoding.mappings.words:FIXED_RIDGE",
    lambda options: 1,
    side_by_side=True,
)
