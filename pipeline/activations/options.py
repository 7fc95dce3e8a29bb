"""How a layer's units are reduced while they are extracted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.core.section import Section

LARGEST_UNASKED = 100_000
"""Units of a layer that is kept whole although no reduction was asked for."""


class NoReduction(Section):
    """Keep every unit."""

    kind: Literal["none"] = "none"


class SparseProjection(Section):
    """Seeded sparse random projection (Li, Hastie & Church 2006): distances are kept as by Johnson–Lindenstrauss."""

    kind: Literal["sparse_projection"] = "sparse_projection"
    n_features: int = Field(1000, ge=1, description="features per layer after projection, the same for every layer")
    distortion: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="instead of n_features: largest relative error of squared distances among n_samples samples; the "
        "number of features is the Johnson–Lindenstrauss bound for it",
    )
    n_samples: int = Field(1000, ge=2, description="how many samples the bound of distortion is for")
    seed: int = Field(0, ge=0, description="seed of the projection")

    @model_validator(mode="after")
    def _one_size(self) -> SparseProjection:
        if self.distortion is not None and "n_features" in self.model_fields_set:
            raise ValueError("give n_features or distortion, not both")
        return self


class SpatialMean(Section):
    """Average a layer over its positions (space, and time within a clip); class tokens are left out."""

    kind: Literal["spatial_mean"] = "spatial_mean"


class ClassToken(Section):
    """Keep a vision transformer's class token only."""

    kind: Literal["class_token"] = "class_token"


class PrincipalComponents(Section):
    """Principal components fitted on stimuli that no study uses (`pipeline.models.calibration`).

    Layers of more than ``LARGEST_FITTED`` units are projected to that many first, by the same seed.
    """

    kind: Literal["pca"] = "pca"
    n_features: int = Field(100, ge=1, le=500, description="components kept per layer (fewer where it has fewer units)")
    seed: int = Field(0, ge=0, description="seed of the projection that precedes it in wide layers")


Reduction = Annotated[
    NoReduction | SparseProjection | SpatialMean | ClassToken | PrincipalComponents, Field(discriminator="kind")
]
