"""The metrics that a study can ask for by ``kind``. New metric = one function and a registry entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from pipeline.comparison import words as comparison_words
from pipeline.comparison.options import RsaOptions
from pipeline.core.prose import MetricWords
from pipeline.core.registry import Registry
from pipeline.core.section import MetricSection
from pipeline.encoding.mappings import words as mapping_words
from pipeline.encoding.options import (
    BandedRidgeOptions,
    BestUnitOptions,
    FixedRidgeOptions,
    MappingOptions,
    PlsOptions,
    RidgeOptions,
)


@dataclasses.dataclass(frozen=True)
class MetricEntry:
    """A metric.

    Parameters
    ----------
    kind : its name
    stage : ``encode`` (recordings) or ``compare`` (geometries)
    options : its pydantic options, with ``kind: Literal[kind]``
    run : ``package.module:function`` computing the scores of one (group, model); see `pipeline.encoding.stage`
    takes_compute : whether it is also told ``compute``, a `pipeline.encoding.compute.Compute`
    takes_spaces : whether it fits layers jointly with those of its option ``spaces``: it is also told ``spaces``, a
        list of `pipeline.encoding.mappings.feature_spaces.SpaceFiles`, empty for a model that is one of them
    words : what the page says of it
    n_penalties : (options) → penalties that each of its ridge fits tries, by which `encode --estimate` counts what they
        cost; None where they are not counted
    """

    kind: str
    stage: str
    options: type[MetricSection]
    run: str
    takes_compute: bool = False
    takes_spaces: bool = False
    words: MetricWords = dataclasses.field(default_factory=MetricWords)
    n_penalties: Callable[[Any], int] | None = None


def _of_the_grid(options: RidgeOptions | BandedRidgeOptions) -> int:
    return options.penalties.n


def _one(options: FixedRidgeOptions) -> int:
    return 1


RIDGE = MetricEntry(
    "ridge",
    "encode",
    RidgeOptions,
    "pipeline.encoding.stage:encode_group",
    takes_compute=True,
    words=mapping_words.RIDGE,
    n_penalties=_of_the_grid,
)
MAPPING = MetricEntry(
    "mapping",
    "encode",
    MappingOptions,
    "pipeline.encoding.mappings.own_mapping:encode_mapping",
    takes_compute=True,
    words=mapping_words.MAPPING,
)
BANDED_RIDGE = MetricEntry(
    "banded_ridge",
    "encode",
    BandedRidgeOptions,
    "pipeline.encoding.mappings.banded_stage:encode_banded",
    takes_compute=True,
    takes_spaces=True,
    words=mapping_words.BANDED_RIDGE,
    n_penalties=_of_the_grid,
)
PLS = MetricEntry(
    "pls",
    "encode",
    PlsOptions,
    "pipeline.encoding.mappings.published:encode_pls",
    takes_compute=True,
    words=mapping_words.PLS,
)
FIXED_RIDGE = MetricEntry(
    "fixed_ridge",
    "encode",
    FixedRidgeOptions,
    "pipeline.encoding.mappings.published:encode_fixed_ridge",
    takes_compute=True,
    words=mapping_words.FIXED_RIDGE,
    n_penalties=_one,
)
BEST_UNIT = MetricEntry(
    "best_unit",
    "encode",
    BestUnitOptions,
    "pipeline.encoding.mappings.published:encode_best_unit",
    takes_compute=True,
    words=mapping_words.BEST_UNIT,
)
RSA = MetricEntry("rsa", "compare", RsaOptions, "pipeline.comparison.stage:compare_group", words=comparison_words.RSA)

METRICS: Registry[MetricEntry] = Registry(
    "metric",
    {
        "ridge": "pipeline.study.metrics:RIDGE",
        "banded_ridge": "pipeline.study.metrics:BANDED_RIDGE",
        "fixed_ridge": "pipeline.study.metrics:FIXED_RIDGE",
        "pls": "pipeline.study.metrics:PLS",
        "best_unit": "pipeline.study.metrics:BEST_UNIT",
        "mapping": "pipeline.study.metrics:MAPPING",
        "rsa": "pipeline.study.metrics:RSA",
    },
    group="layermap.metrics",
)
