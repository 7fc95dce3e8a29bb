"""How a layer's units are reduced while they are extracted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Section


class NoReduction(Section):
    """Keep every unit."""

    kind: Literal["none"] = "none"


class SparseProjection(Section):
    """Seeded sparse random projection (Li, Hastie & Church 2006): distances are kept as by Johnson–Lindenstrauss."""

    kind: Literal["sparse_projection"] = "sparse_projection"
    n_features: int = Field(1000, ge=1, description="features per layer after projection, the same for every layer")
    seed: int = Field(0, ge=0, description="seed of the projection")


class SpatialMean(Section):
    """Average a feature map over its spatial axes."""

    kind: Literal["spatial_mean"] = "spatial_mean"


Reduction = Annotated[NoReduction | SparseProjection | SpatialMean, Field(discriminator="kind")]
