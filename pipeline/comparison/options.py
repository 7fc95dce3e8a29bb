"""Options of representational similarity analysis."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.config.base import MetricSection


class RsaOptions(MetricSection):
    """Compare a layer's item × item similarities with measured ones."""

    kind: Literal["rsa"] = "rsa"
    similarity: Literal["pearson"] = Field(
        "pearson", description="similarity between two items' features: Pearson r over features"
    )
    comparison: Literal["spearman", "kendall", "pearson"] = Field(
        "spearman", description="how two upper triangles are compared"
    )
    n_splits: int = Field(20, ge=2, description="random halvings of the items for the nested choice of the layer")
    seed: int = Field(0, ge=0, description="seed of the halvings")
