"""Options of encoding models, and of the ridge among them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.core.section import MetricSection, OwnFunction, Section


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


class MappingOptions(EncodingOptions):
    """A mapping of one's own, scored on held-out blocks."""

    kind: Literal["mapping"] = "mapping"
    predict: OwnFunction = Field(
        description="FILE.py:function (relative to the study file) or package.module:function; gets training features, "
        "training responses and held-out features, and returns predictions. Called for inner folds as well"
    )


class PlsOptions(EncodingOptions):
    """Partial least squares regression with a fixed number of components."""

    kind: Literal["pls"] = "pls"
    n_components: int = Field(
        25, ge=1, description="components; fewer where training rows and features span fewer dimensions"
    )
    together: Literal["region", "subject", "group"] = Field(
        "region",
        description="which targets share their components: region: one subject's in one region (where every parcel is "
        "a region, each is fitted by itself, which is slow); subject: all of one "
        "subject's; group: all of a group's, so that subjects are not independent of one another",
    )


class FixedRidgeOptions(EncodingOptions):
    """Linear encoding model: ridge with one fixed penalty for all targets."""

    kind: Literal["fixed_ridge"] = "fixed_ridge"
    penalty: float = Field(1.0, gt=0, description="the ridge penalty")
    penalty_unit: Literal["mean_eigenvalue", "absolute"] = Field(
        "mean_eigenvalue",
        description="mean_eigenvalue: relative to the mean eigenvalue of the training Gram matrix of standardised "
        "features; absolute: added to its eigenvalues as it is, like alpha in scikit-learn",
    )


class BestUnitOptions(EncodingOptions):
    """One-to-one mapping: each target is predicted by the unit (a feature at one delay) that follows it best."""

    kind: Literal["best_unit"] = "best_unit"


class RidgeOptions(EncodingOptions):
    """Linear encoding model: one ridge penalty per target, chosen in inner folds, scored on held-out blocks."""

    kind: Literal["ridge"] = "ridge"
    penalties: PenaltyGrid = Field(default_factory=PenaltyGrid, description="the grid of ridge penalties")


class BandedRidgeOptions(EncodingOptions):
    """Joint linear encoding model of each layer and of named feature spaces, with a weight of its own for each.

    Scores are those of the joint fit. Variance is divided among the spaces, and the layer's unique contribution is
    what the joint fit explains beyond a fit of the named spaces alone.
    """

    kind: Literal["banded_ridge"] = "banded_ridge"
    spaces: tuple[str, ...] = Field(
        min_length=1,
        description="models of this analysis that are fitted jointly with every layer of every other model: NAME for "
        "all its layers side by side, NAME:LAYER for one of them. They are scored by themselves",
    )
    penalties: PenaltyGrid = Field(default_factory=PenaltyGrid, description="the grid of ridge penalties")
    n_weightings: int = Field(
        0,
        ge=3,
        description="weightings of layer and spaces that are tried for each target: of a layer and one space, each "
        "alone and log-spaced ratios; of more, each alone, all equal, and random draws (with `seed`). Left out: 13 for "
        "one space, 60 for more",
    )
    choose_by: Literal["r2", "r"] = Field(
        "r2",
        description="what weightings and penalties are chosen by in inner folds: r2 (squared error), which dividing "
        "explained variance needs; or r, as ridge does, which leaves the size of predictions open, and so their R²",
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

    @field_validator("spaces")
    @classmethod
    def _spaces_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            model = name.partition(":")[0]
            if value.count(name) > 1 or (name != model and model in value):
                raise ValueError(f"'{name}' is taken twice; name a model once, or its layers one by one")
        return value
