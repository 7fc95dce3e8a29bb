"""Partial least squares with a fixed number of components, as published comparisons with visual cortex use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.encoding.options import EncodingOptions
from pipeline.study.metrics import MetricEntry

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


class PlsOptions(EncodingOptions):
    kind: Literal["example_pls"] = "example_pls"
    n_components: int = Field(25, ge=1, description="components")


def encode(*, options: PlsOptions, **group: Any) -> xr.Dataset:
    """Scores of one group and model; layermap hands over runs, layers, attributes and seeds."""
    from sklearn.cross_decomposition import PLSRegression

    from pipeline.encoding.mappings.own_mapping import encode_with

    def predict(train: np.ndarray, responses: np.ndarray, test: np.ndarray) -> np.ndarray:
        n = min(options.n_components, train.shape[1], train.shape[0] - 1)
        predicted: np.ndarray = PLSRegression(n, scale=False).fit(train, responses).predict(test)
        return predicted

    return encode_with(predict, options=options, **group)


PLS = MetricEntry("example_pls", "encode", PlsOptions, "layermap_example.metric:encode")
