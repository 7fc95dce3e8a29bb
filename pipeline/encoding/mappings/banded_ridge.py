"""Banded ridge: every layer jointly with named feature spaces, each weighted for itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.encoding.mapping import Mapping, MappingEntry, MappingInputs
from pipeline.encoding.options import Criterion, JointOptions, PenaltyGrid


class BandedRidgeOptions(JointOptions):
    """Joint linear encoding model of each layer and of named feature spaces, with a weight of its own for each.

    Scores are those of the joint fit. Variance is divided among the spaces, and the layer's unique contribution is
    what the joint fit explains beyond a fit of the named spaces alone.
    """

    kind: Literal["banded_ridge"] = "banded_ridge"
    penalties: PenaltyGrid = Field(default_factory=PenaltyGrid, description="the grid of ridge penalties")
    n_weightings: int = Field(
        0,
        ge=3,
        description="weightings of layer and spaces that are tried for each target: of a layer and one space, each "
        "alone and log-spaced ratios; of more, each alone, all equal, and random draws (with `seed`). Left out: 13 for "
        "one space, 60 for more",
    )
    choose_by: Criterion = Field(
        "r2",
        description="what weightings and penalties are chosen by in inner folds: r2 (squared error), which dividing "
        "explained variance needs; or r, which leaves the size of predictions open, and so their R²",
    )
    largest_ratio: float = Field(
        1000.0,
        gt=1,
        description="of the weights of a layer and one space: ratios from 1/largest_ratio to largest_ratio",
    )

    @model_validator(mode="before")
    @classmethod
    def _tried(cls, values: Any) -> Any:
        """How many weightings there are depends on the number of spaces, and is part of the key."""
        if isinstance(values, dict) and "n_weightings" not in values:
            spaces = values.get("spaces")
            several = isinstance(spaces, list | tuple) and len(spaces) > 1
            return {**values, "n_weightings": 60 if several else 13}
        return values


def make(options: BandedRidgeOptions, inputs: MappingInputs) -> Mapping:
    """Scores hold the division of variance, but for a model that is one of the spaces: its layers stand alone."""
    from pipeline.encoding.mappings.banded_variance import JointFit, with_variance

    joint = JointFit(inputs.spaces, options, inputs.scratch, inputs.targets)
    if not inputs.spaces:
        return Mapping(joint)
    return Mapping(joint, lambda scores: with_variance(scores, joint), joint.test_in)


BANDED_RIDGE = MappingEntry(
    "banded_ridge",
    BandedRidgeOptions,
    make,
    "pipeline.encoding.mappings.words:BANDED_RIDGE",
    lambda options: options.penalties.n,
    tested_in_orders=True,
)
