"""The metrics that a study can ask for by ``kind``. A new mapping is one module and one line here.

See `pipeline.encoding.mapping` and `pipeline.comparison.options` for what such a module holds.
"""

from __future__ import annotations

from pipeline.comparison.options import ComparisonEntry
from pipeline.core.prose import MetricWords
from pipeline.core.registry import Registry, import_object
from pipeline.encoding.mapping import MappingEntry

MetricEntry = MappingEntry | ComparisonEntry

METRICS: Registry[MetricEntry] = Registry(
    "metric",
    (MappingEntry, ComparisonEntry),
    "kind",
    {
        "ridge": "pipeline.encoding.mappings.ridge:RIDGE",
        "banded_ridge": "pipeline.encoding.mappings.banded_ridge:BANDED_RIDGE",
        "fixed_ridge": "pipeline.encoding.mappings.ridge:FIXED_RIDGE",
        "pls": "pipeline.encoding.mappings.pls:PLS",
        "best_unit": "pipeline.encoding.mappings.best_unit:BEST_UNIT",
        "mapping": "pipeline.encoding.mappings.own:MAPPING",
        "rsa": "pipeline.comparison.options:RSA",
        "cka": "pipeline.comparison.options:CKA",
    },
    group="layermap.metrics",
)


def metric_words(entry: MetricEntry) -> MetricWords:
    """What the page says of a metric."""
    words: MetricWords = import_object(entry.words) if entry.words else MetricWords()
    return words
