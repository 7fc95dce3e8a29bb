"""A mapping of one's own from features to responses, scored as ridge is: same folds, delays, filters and report.

In a study file it is ``metric: {kind: mapping, predict: my_mapping.py:predict}``; a package that adds a metric of its
own name has an options class and one call of `encode_with`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoding.align import delayed_design
from pipeline.encoding.compute import Compute
from pipeline.encoding.options import EncodingOptions, MappingOptions
from pipeline.encoding.ridge import HighPass, RidgeFit, correlate, is_constant, standardise
from pipeline.encoding.splits import Fold
from pipeline.encoding.stage import score_group
from pipeline.errors import LayermapError
from pipeline.registry import import_function

if TYPE_CHECKING:
    import xarray as xr

Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Training features (n_train, n_features), training responses (n_train, n_targets), held-out features → predictions."""


def encode_mapping(
    *,
    runs: list[tuple[Path, Path]],
    options: MappingOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer by the function that a study file names.

    Raises
    ------
    LayermapError
        The function cannot be imported or fails; the message has what Python said.
    """
    predict = import_function(options.predict, "predict")

    def guarded(train: np.ndarray, responses: np.ndarray, test: np.ndarray) -> np.ndarray:
        try:
            predicted: np.ndarray = predict(train, responses, test)
        except Exception as error:  # whatever the user's code raises, the user has to mend
            raise LayermapError(f"{options.predict} failed ({type(error).__name__}: {error})") from error
        return predicted

    return encode_with(
        guarded,
        runs=runs,
        options=options,
        layers=layers,
        attrs=attrs,
        shuffle_seed=shuffle_seed,
        compute=compute,
    )


def encode_with(
    predict: Predict,
    *,
    runs: list[tuple[Path, Path]],
    options: EncodingOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group by a mapping of one's own.

    Parameters
    ----------
    predict : gets features with their delays, centred and scaled with training rows only, and responses; returns
        predictions (n_test, n_targets). What it chooses, it has to choose on the training rows.
    runs, options, layers, attrs, shuffle_seed : as layermap hands them to a metric
    compute : how it is computed; None: with the defaults

    Returns
    -------
    encoding scores, see `pipeline.artifacts.scores`

    Raises
    ------
    LayermapError
        The mapping gives predictions of another shape, or such that are not finite.
    """
    fit = functools.partial(_fit, predict=predict, kind=options.kind)
    return score_group(
        runs=runs,
        options=options,
        layers=layers,
        attrs=attrs,
        shuffle_seed=shuffle_seed,
        fit=fit,
        compute=compute,
    )


def _fit(
    features: np.ndarray,
    responses: np.ndarray,
    *,
    predict: Predict,
    kind: str,
    splits: Sequence[Fold],
    delays: Sequence[int],
    runs: np.ndarray,
    rows: np.ndarray,
    high_pass: HighPass | None,
    compute: Compute,
    predictions: np.ndarray,
    after_fold: Callable[[], object],
) -> RidgeFit:
    """Predictions of each fold; there are no penalties, so none lies at the end of a grid."""
    design = delayed_design(features, delays, runs, rows)
    if high_pass is not None:
        design = high_pass.apply(design)
    by_fold = (len(splits), responses.shape[1])
    fit = RidgeFit(
        predictions=predictions,
        penalty=np.zeros(by_fold),
        penalty_edge=np.zeros(by_fold, np.int8),
        inner_score=np.zeros(by_fold),
        score=np.zeros(by_fold),
        constant=is_constant(responses),
    )
    for number, fold in enumerate(splits):
        train, test = standardise(design[fold.train], design[fold.test])
        predicted = np.asarray(predict(train, responses[fold.train], test), dtype=np.float64)
        if predicted.shape != (fold.test.size, responses.shape[1]) or not np.isfinite(predicted).all():
            raise LayermapError(
                f"metric '{kind}' gave predictions of shape {predicted.shape}, expected "
                f"({fold.test.size}, {responses.shape[1]}) without NaN"
            )
        fit.predictions[fold.test] = predicted
        fit.score[number] = correlate(predicted, responses[fold.test])
        after_fold()
    return fit
