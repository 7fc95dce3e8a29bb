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

from pipeline.artifacts.scores import NO_PENALTY
from pipeline.core.errors import LayermapError
from pipeline.core.registry import import_function
from pipeline.encoding.compute import Compute
from pipeline.encoding.correlation import correlate, fisher_z
from pipeline.encoding.group.align import delayed_design
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.mappings.mapping_fit import fit_without_penalty
from pipeline.encoding.options import EncodingOptions, MappingOptions
from pipeline.encoding.ridge.fit import RidgeFit
from pipeline.encoding.splits import Fold
from pipeline.encoding.stage import score_group
from pipeline.encoding.standardise import standardise

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
        predictions (n_test, n_targets). What it chooses, it has to choose on the training rows. Called for every outer
        fold and each of its inner folds, whose scores decide which layer the outer fold is scored with
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
    scores = score_group(
        runs=runs,
        options=options,
        layers=layers,
        attrs=attrs,
        shuffle_seed=shuffle_seed,
        fit=fit,
        compute=compute,
    )
    return scores.assign_attrs(penalties=NO_PENALTY)


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
    """Predictions of each fold, and scores of its inner folds.

    A mapping sees all targets and delayed features at once, so that both have to fit into memory.
    """
    design = delayed_design(features, delays, runs, rows)
    if high_pass is not None:
        design = high_pass.apply(design)
    measured = np.asarray(responses)
    fit = fit_without_penalty(measured, splits, predictions)

    def predicted(part: Fold) -> np.ndarray:
        train, test = standardise(design[part.train], design[part.test])
        found = np.asarray(predict(train, measured[part.train], test), dtype=np.float64)
        if found.shape != (part.test.size, measured.shape[1]) or not np.isfinite(found).all():
            raise LayermapError(
                f"metric '{kind}' gave predictions of shape {found.shape}, expected "
                f"({part.test.size}, {measured.shape[1]}) without NaN"
            )
        return found

    for number, fold in enumerate(splits):
        inner = [fisher_z(correlate(predicted(part), measured[part.test])) for part in fold.inner]
        if inner:
            fit.inner_score[number] = np.tanh(np.mean(inner, axis=0))
        fit.predictions[fold.test] = predicted(fold)
        fit.score[number] = correlate(fit.predictions[fold.test], measured[fold.test])
        after_fold()
    return fit
