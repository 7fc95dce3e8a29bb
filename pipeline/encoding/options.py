"""Options that encoding models share; each mapping's own are in its module in `pipeline.encoding.mappings`."""

from __future__ import annotations

import dataclasses
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline.core.section import MetricSection, Section

FEWEST_ORDERS = 20
"""Other orders of the responses: with fewer no p is below .05."""
FEWEST_REPEATS = 20
"""Responses simulated from a layer: with fewer a 95 % credible set would hold all layers, however sure a name is."""
MOST_COLUMNS = 60_000
"""Simulated targets that a layer is fitted to."""
FEWEST_DATA_SETS = 5
"""Of nothing, and planted ones, that a study's own calibration counts: with fewer no share says anything."""


@dataclasses.dataclass(frozen=True)
class NullOptions:
    """In how many other orders the responses are fitted as well, so that scores have a p.

    Parameters
    ----------
    n : at most; 0 for none
    seed : of the orders
    """

    n: int = 0
    seed: int = 0


class Splits(Section):
    """How samples are divided into outer folds; inner folds are made the same way from the training rows."""

    kind: Literal["contiguous", "random_items", "leave_one_category_out"] = Field(
        "contiguous",
        description="contiguous: stretches of time; random_items: shuffled items, balanced over categories; "
        "leave_one_category_out: one fold per category of items",
    )
    n_folds: int = Field(5, ge=2, description="outer folds (ignored by leave_one_category_out)")
    n_inner_folds: int = Field(5, ge=2, description="inner folds, in which penalties and layers are chosen")
    gap_s: float = Field(
        10.0, ge=0, description="training samples this close to a held-out sample are dropped, in s (time only)"
    )
    block_s: float = Field(20.0, gt=0, description="shortest block of the bootstrap, in s (time only)")


class PenaltyGrid(Section):
    """Log-spaced ridge penalties, relative to the mean eigenvalue of the training Gram matrix."""

    lowest: float = Field(1e-4, gt=0, description="smallest penalty, dimensionless")
    highest: float = Field(1e6, gt=0, description="largest penalty, dimensionless")
    n: int = Field(21, ge=15, description="how many; at least 15")

    @model_validator(mode="after")
    def _ordered(self) -> PenaltyGrid:
        if self.highest <= self.lowest:
            raise ValueError(f"highest ({self.highest:g}) must exceed lowest ({self.lowest:g})")
        return self

    def values(self) -> list[float]:
        """The penalties in ascending order."""
        import numpy as np

        return [float(v) for v in np.geomspace(self.lowest, self.highest, self.n)]


Criterion = Literal["r2", "r"]
"""What is chosen by in inner folds: squared error, or Pearson r."""
Regressor = Literal["running_speed", "pupil_area"]


class EncodingOptions(MetricSection):
    """What every encoding model has: held-out blocks, delays, and what is reported; a metric adds its own fields."""

    splits: Splits = Field(default_factory=Splits, description="outer and inner folds")
    delays_s: tuple[float, float] | None = Field(
        None,
        description="first and last delay of the response behind the stimulus, in s; None for no delays (items). "
        "fMRI: ceil(2/TR)·TR to floor(8/TR)·TR",
    )
    nuisance: tuple[Regressor, ...] = Field(
        (),
        description="what the animal did, taken out of its single-trial responses before they are averaged and scored: "
        "running_speed, pupil_area; the scores hold the share of variance that is theirs. Needs repeats",
    )
    within_category: bool = Field(
        False, description="also score within categories of items (category means removed per fold)"
    )
    n_examples: int = Field(4, ge=0, description="targets whose held-out predictions are kept for the report")
    seed: int = Field(0, ge=0, description="seed of random folds and of the random halves behind reliabilities")

    @field_validator("delays_s")
    @classmethod
    def _ordered_delays(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] <= value[1]:
            raise ValueError(f"first ({value[0]:g}) and last ({value[1]:g}) delay must be in order, and not negative")
        return value

    @field_validator("nuisance")
    @classmethod
    def _each_once(cls, value: tuple[Regressor, ...]) -> tuple[Regressor, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"names a regressor twice: {', '.join(value)}")
        return value


class JointOptions(EncodingOptions):
    """Those of a joint fit: every layer with feature spaces that the study names."""

    spaces: tuple[str, ...] = Field(
        min_length=1,
        description="models of this analysis that are fitted jointly with every layer of every other model: NAME for "
        "all its layers side by side, NAME:LAYER for one of them. They are scored by themselves",
    )

    @field_validator("spaces")
    @classmethod
    def _spaces_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            model = name.partition(":")[0]
            if value.count(name) > 1 or (name != model and model in value):
                raise ValueError(f"'{name}' is taken twice; name a model once, or its layers one by one")
        return value
