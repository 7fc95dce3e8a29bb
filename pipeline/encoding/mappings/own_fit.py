"""The fit of a mapping of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.errors import LayermapError
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.correlation import correlate, fisher_z, standardise
from pipeline.encoding.design import Design
from pipeline.encoding.layer_fit import LayerFit, fit_without_penalty
from pipeline.encoding.splits import Fold

if TYPE_CHECKING:
    from pipeline.encoding.mappings.own import Predict


def fit_predicted(
    features: np.ndarray,
    responses: np.ndarray,
    design: Design,
    *,
    predict: Predict,
    kind: str,
    compute: Compute,
    predictions: np.ndarray,
    after_fold: Callable[[], object],
) -> LayerFit:
    """Predictions of each fold, and scores of its inner folds.

    A mapping sees all targets and delayed features at once, so that both have to fit into memory.
    """
    delayed = design.delayed(features)
    measured = np.asarray(responses)
    fit = fit_without_penalty(measured, design.splits, predictions)

    def predicted(part: Fold) -> np.ndarray:
        train, test = standardise(delayed[part.train], delayed[part.test])
        found = np.asarray(predict(train, measured[part.train], test), dtype=np.float64)
        if found.shape != (part.test.size, measured.shape[1]) or not np.isfinite(found).all():
            raise LayermapError(
                f"metric '{kind}' gave predictions of shape {found.shape}, expected "
                f"({part.test.size}, {measured.shape[1]}) without NaN"
            )
        return found

    for number, fold in enumerate(design.splits):
        inner = [fisher_z(correlate(predicted(part), measured[part.test])) for part in fold.inner]
        if inner:
            fit.inner_score[number] = np.tanh(np.mean(inner, axis=0))
        fit.predictions[fold.test] = predicted(fold)
        fit.score[number] = correlate(fit.predictions[fold.test], measured[fold.test])
        after_fold()
    return fit
