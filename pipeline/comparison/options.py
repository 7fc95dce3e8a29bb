"""The metrics of stage ``compare``: representational similarity analysis and CKA, their options and entries."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.core.section import MetricSection


class _OfSimilarities(MetricSection):
    """What all comparisons of similarities have."""

    block_s: float | None = Field(
        None,
        gt=0,
        description="recordings in time: length of the blocks whose mean responses are compared, in s, a whole "
        "multiple of the sample interval; needed for time, refused for items",
    )
    stretch_s: float = Field(
        3.0,
        gt=0,
        description="recordings in time: neighbouring blocks are drawn and halved together, in stretches of at least "
        "this length, in s",
    )
    min_cells: int = Field(
        5, ge=2, description="recordings: a region in which an animal has fewer cells is left out for that animal"
    )
    nuisance: tuple[Literal["running_speed", "pupil_area"], ...] = Field(
        (), description="recordings: what is regressed out of single repeats before they are averaged"
    )
    n_splits: int = Field(20, ge=2, description="random halvings of the items for the nested choice of the layer")
    seed: int = Field(0, ge=0, description="seed of the halvings")


class RsaOptions(_OfSimilarities):
    """Compare a layer's item × item similarities with measured ones, or with those of recorded cells."""

    kind: Literal["rsa"] = "rsa"
    similarity: Literal["pearson"] = Field(
        "pearson", description="similarity between two items' features: Pearson r over features"
    )
    comparison: Literal["spearman", "kendall", "pearson", "cosine", "whitened_cosine", "whitened_pearson"] = Field(
        "spearman",
        description="how two upper triangles are compared; cosine and whitened ones are of the distances 1 − r",
    )
    centred: bool = Field(
        False,
        description="recordings: remove each cell's and each feature's mean over blocks or items before correlating",
    )


class CkaOptions(_OfSimilarities):
    """Compare a layer's linear kernel over items with that of recorded cells, by debiased CKA."""

    kind: Literal["cka"] = "cka"
    similarity: Literal["inner_product"] = Field(
        "inner_product", description="similarity between two items' features: inner product of features less their mean"
    )
    comparison: Literal["debiased_cka"] = Field(
        "debiased_cka", description="how two kernels are compared: unbiased HSIC, divided by the kernels' own"
    )
    centred: Literal[True] = Field(True, description="kernels are centred over items in any case")


SimilarityOptions = RsaOptions | CkaOptions


@dataclasses.dataclass(frozen=True)
class ComparisonEntry:
    """A metric of stage ``compare``.

    Parameters
    ----------
    kind : its name in a study file
    options : its pydantic options, with ``kind: Literal[kind]``
    run : ``package.module:function`` that computes the scores of one (group, model), with the arguments and the result
        of `pipeline.comparison.stage.compare_group`
    words : ``package.module:name`` of what the page says of it, a `pipeline.core.prose.MetricWords`
    """

    kind: str
    options: type[MetricSection]
    run: str
    words: str = ""

    stage: ClassVar[str] = "compare"


RSA = ComparisonEntry("rsa", RsaOptions, "pipeline.comparison.stage:compare_group", "pipeline.comparison.words:RSA")
CKA = ComparisonEntry("cka", CkaOptions, "pipeline.comparison.stage:compare_group", "pipeline.comparison.words:CKA")
