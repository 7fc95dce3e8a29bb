"""Partial least squares with a fixed number of components, as published comparisons with visual cortex use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.encoding.mapping import Mapping, MappingEntry, MappingInputs
from pipeline.encoding.mappings.own import predicted_by
from pipeline.encoding.options import EncodingOptions

if TYPE_CHECKING:
    import numpy as np


class PlsOptions(EncodingOptions):
    kind: Literal["example_pls"] = "example_pls"
    n_components: int = Field(25, ge=1, description="components")


def make(options: PlsOptions, inputs: MappingInputs) -> Mapping:
    """What fits a layer; runs, folds, delays and the report are layermap's."""
    from sklearn.cross_decomposition import PLSRegression

    def predict(train: np.ndarray, responses: np.ndarray, test: np.ndarray) -> np.ndarray:
        n = min(options.n_components, train.shape[1], train.shape[0] - 1)
        predicted: np.ndarray = PLSRegression(n, scale=False).fit(train, responses).predict(test)
        return predicted

    return predicted_by(predict, options.kind)


PLS = MappingEntry("example_pls", PlsOptions, make)
