"""A mapping of one's own from features to responses: a function of the user's predicts, all else is as for ridge.

In a study file it is ``metric: {kind: mapping, predict: my_mapping.py:predict}``; a package that adds a metric of its
own name has options, a function that makes a mapping of them by `predicted_by`, and an entry.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.core.errors import LayermapError
from pipeline.core.registry import import_function
from pipeline.core.section import OwnFunction
from pipeline.encoding.mapping import Mapping, MappingEntry, MappingInputs
from pipeline.encoding.options import EncodingOptions

if TYPE_CHECKING:
    import numpy as np

    from pipeline.encoding.arithmetic.compute import Compute
    from pipeline.encoding.design import Design
    from pipeline.encoding.layer_fit import LayerFit
    from pipeline.encoding.splits import Fold

Predict = Callable[["np.ndarray", "np.ndarray", "np.ndarray"], "np.ndarray"]
"""Training features (n_train, n_features), training responses (n_train, n_targets), held-out features → predictions."""


class MappingOptions(EncodingOptions):
    """A mapping of one's own, scored on held-out blocks."""

    kind: Literal["mapping"] = "mapping"
    predict: OwnFunction = Field(
        description="FILE.py:function (relative to the study file) or package.module:function; gets training features, "
        "training responses and held-out features, and returns predictions. Called for inner folds as well"
    )


def make(options: MappingOptions, inputs: MappingInputs) -> Mapping:
    """By the function that a study file names.

    Raises
    ------
    LayermapError
        The function cannot be imported or, later, fails; the message has what Python said.
    """
    predict = import_function(options.predict, "predict")

    def guarded(train: np.ndarray, responses: np.ndarray, test: np.ndarray) -> np.ndarray:
        try:
            predicted: np.ndarray = predict(train, responses, test)
        except Exception as error:  # whatever the user's code raises, the user has to mend
            raise LayermapError(f"{options.predict} failed ({type(error).__name__}: {error})") from error
        return predicted

    return predicted_by(guarded, options.kind)


def predicted_by(predict: Predict, kind: str) -> Mapping:
    """A mapping of one's own.

    Parameters
    ----------
    predict : gets features with their delays, centred and scaled with training rows only, and responses; returns
        predictions (n_test, n_targets). What it chooses, it has to choose on the training rows. Called for every outer
        fold and each of its inner folds, whose scores decide which layer the outer fold is scored with
    kind : what messages call the metric; predictions of another shape, or such that are not finite, are a
        `LayermapError` of the fit
    """
    from pipeline.artifacts.scores import NO_PENALTY

    fit = functools.partial(fit_predicted, predict=predict, kind=kind)
    return Mapping(fit, lambda scores: scores.assign_attrs(penalties=NO_PENALTY))


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
    import numpy as np

    from pipeline.encoding.arithmetic.correlation import correlate, fisher_z, standardise
    from pipeline.encoding.layer_fit import fit_without_penalty

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


MAPPING = MappingEntry("mapping", MappingOptions, make, "pipeline.encoding.mappings.words:MAPPING")
