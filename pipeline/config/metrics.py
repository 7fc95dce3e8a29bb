"""The metrics that a study can ask for by ``kind``. New metric = one function and a registry entry."""

from __future__ import annotations

import dataclasses

from pipeline.comparison.options import RsaOptions
from pipeline.config.base import MetricSection
from pipeline.encoding.options import MappingOptions, RidgeOptions
from pipeline.registry import Registry


@dataclasses.dataclass(frozen=True)
class MetricEntry:
    """A metric.

    Parameters
    ----------
    kind : its name
    stage : ``encode`` (recordings) or ``compare`` (geometries)
    options : its pydantic options, with ``kind: Literal[kind]``
    run : ``package.module:function`` computing the scores of one (group, model); see `pipeline.encoding.stage`
    """

    kind: str
    stage: str
    options: type[MetricSection]
    run: str


RIDGE = MetricEntry("ridge", "encode", RidgeOptions, "pipeline.encoding.stage:encode_group")
MAPPING = MetricEntry("mapping", "encode", MappingOptions, "pipeline.encoding.own_mapping:encode_mapping")
RSA = MetricEntry("rsa", "compare", RsaOptions, "pipeline.comparison.stage:compare_group")

METRICS: Registry[MetricEntry] = Registry(
    "metric",
    {
        "ridge": "pipeline.config.metrics:RIDGE",
        "mapping": "pipeline.config.metrics:MAPPING",
        "rsa": "pipeline.config.metrics:RSA",
    },
    group="layermap.metrics",
)
