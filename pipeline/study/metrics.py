"""The metrics that a study can ask for by ``kind``. A new mapping is one module and one line here.

See `pipeline.encoding.mapping` and `pipeline.comparison.options` for what such a module holds.
"""

from __future__ import annotations

from pipeline.comparison.options import ComparisonEntry
from pipeline.core.registry import Registry
from pipeline.encoding.mapping import MappingEntry

MetricEntry = MappingEntry | ComparisonEntry

METRICS: Registry[MetricEntry] = Registry(
    "metric",
    {
        "ridge": "pipeline.encoding.mappings.ridge:RIDGE",
        "banded_ridge": "pipeline.encoding.mappings.banded_ridge:BANDED_RIDGE",
        "fixed_ridge": "pipeline.encoding.mappings.fixed_ridge:FIXED_RIDGE",
        "pls": "pipeline.encoding.mappings.pls:PLS",
        "best_unit": "pipeline.encoding.mappings.best_unit:BEST_UNIT",
        "mapping": "pipeline.encoding.mappings.own:MAPPING",
        "rsa": "pipeline.comparison.options:RSA",
    },
    group="layermap.metrics",
)
