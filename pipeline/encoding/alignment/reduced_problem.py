"""A few components of features and responses, and a ridge of them with one penalty: cheap enough for hundreds of fits.

The products that lead from training responses to held-out predictions do not depend on the responses, so that any
number of orders of these are scored by two products per fold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from pipeline.encoding.arithmetic.correlation import CONSTANT, standardise
from pipeline.encoding.design import Design
from pipeline.encoding.splits import Fold

MOST_FEATURES = 128
MOST_FEATURE_COMPONENTS = 30
MOST_COLUMNS = 120
MOST_DELAYS = 6
MOST_TARGETS = 200
MOST_RESPONSE_COMPONENTS = 20
MOST_ROWS = 2000
"""That a fit or score takes; of more, every second, third … is taken."""
NOISE_TO_SIGNAL = 2.0
"""Variance of the responses that features leave, over that which they explain: what the penalty takes for granted."""


def feature_components(features: np.ndarray, seed: int) -> np.ndarray:
    """Leading principal components of a layer's standardised features; of many features, of some drawn at random.

    Parameters
    ----------
    features : (n_bins, n_features), NaN in bins without

    Returns
    -------
    (n_bins, n_components) float32, the first of variance 1; NaN in bins without features
    """
    n_features = features.shape[1]
    chosen = np.arange(n_features)
    if n_features > MOST_FEATURES:
        chosen = np.sort(np.random.default_rng(seed).choice(n_features, MOST_FEATURES, replace=False))
    values = np.asarray(features[:, chosen], np.float32)
    present = np.isfinite(values).all(axis=1)
    components = np.full((len(values), min(MOST_FEATURE_COMPONENTS, chosen.size)), np.nan, np.float32)
    components[present] = _components(values[present], components.shape[1], np.ones(chosen.size), whiten=0.0)
    return components


def response_components(responses: np.ndarray, reliability: np.ndarray) -> np.ndarray:
    """Leading principal components of the most reliable targets, which weigh as much as they are reliable.

    Of a component's SD beside that of the first, the root is kept: what little varies is most likely noise.

    Parameters
    ----------
    responses : (n_samples, n_targets), read by columns
    reliability : (n_targets,), NaN where unknown

    Returns
    -------
    (n_samples, n_components) float32
    """
    n_targets = responses.shape[1]
    weight = np.clip(np.nan_to_num(reliability), 0.0, 1.0)
    chosen = np.linspace(0, n_targets - 1, min(n_targets, MOST_TARGETS)).round().astype(int)
    if weight.any():
        chosen = np.sort(np.argsort(-weight, kind="stable")[:MOST_TARGETS])
    else:  # of none is known how reliable it is
        weight = np.ones(n_targets)
    values = np.asarray(responses[:, chosen], np.float32)
    n_components = min(MOST_RESPONSE_COMPONENTS, chosen.size, len(values) // 4)
    return _components(values, n_components, weight[chosen], whiten=0.5)


def _components(values: np.ndarray, n: int, weight: np.ndarray, *, whiten: float) -> np.ndarray:
    """Principal components of standardised, weighted columns, ``(n_rows, n)``; zeros where there are no more that vary.

    Parameters
    ----------
    whiten : power of each SD by which a component is divided: 0 leaves them, 1 makes them equal
    """
    mean, sd = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    values = values - mean.astype(np.float32)
    values *= np.divide(weight, sd, out=np.zeros_like(sd), where=sd > CONSTANT * np.abs(mean)).astype(np.float32)
    some = values[:: every_row(len(values))].astype(np.float64)
    variances, directions = np.linalg.eigh(some.T @ some / len(some))
    variances, directions = variances[::-1][:n], directions[:, ::-1][:, :n]
    varies = variances > CONSTANT * variances[0]
    sd = np.sqrt(np.where(varies, variances, 1.0))
    size = sd[0] * (sd / sd[0]) ** whiten
    return np.asarray(values @ (np.where(varies, directions, 0.0) / size).astype(np.float32))


def every_row(n_rows: int) -> int:
    """Every which row is taken of many."""
    return max(1, math.ceil(n_rows / MOST_ROWS))


def delayed_components(components: np.ndarray, design: Design) -> np.ndarray:
    """Components at some of the delays, filtered as the features of the fit are: ``(n_samples, n_columns)``, finite."""
    delays = design.delays
    places = np.linspace(0, len(delays) - 1, min(len(delays), MOST_DELAYS)).round().astype(int)
    kept = [delays[place] for place in places]
    columns = components[:, : max(1, MOST_COLUMNS // len(kept))]
    delayed = dataclasses.replace(design, delays=kept).delayed(columns)
    return standardise(delayed, delayed, scale=False)[0] if design.high_pass is None else delayed


@dataclasses.dataclass(frozen=True)
class _Part:
    train: np.ndarray
    test: np.ndarray
    fit: np.ndarray  # (n_columns, n_train): training responses to weights
    columns: np.ndarray  # (n_test, n_columns), centred as the training rows
    held_out: np.ndarray  # all rows that the fold holds out, not every second or third
    whole: np.ndarray  # their columns


class ReducedFit:
    """Ridge of delayed components in the study's outer folds, for any order of the responses.

    Parameters
    ----------
    columns : (n_samples, n_columns)
    folds : outer folds
    """

    def __init__(self, columns: np.ndarray, folds: Sequence[Fold]) -> None:
        every = every_row(len(columns))
        self._parts = []
        for fold in folds:
            train, test = fold.train[::every], fold.test[::every]
            mean = columns[train].mean(axis=0)
            x = columns[train] - mean
            gram = x.T @ x
            penalty = NOISE_TO_SIGNAL * max(np.trace(gram) / len(train), 1e-12)
            fit = np.linalg.solve(gram + penalty * np.eye(len(gram)), x.T)
            parts = (fit, columns[test] - mean, columns[fold.test] - mean)
            fit, shown, whole = (part.astype(np.float32) for part in parts)
            self._parts.append(_Part(train, test, fit, shown, fold.test, whole))

    def score(self, responses: np.ndarray) -> np.ndarray:
        """How well each of several orders is predicted in held-out rows.

        Parameters
        ----------
        responses : (n_samples, n_orders, n_components)

        Returns
        -------
        (n_orders,) Pearson r of predictions and responses less their means in each fold, over all folds and components
        """
        n_orders, n_components = responses.shape[1:]
        sums = np.zeros((3, n_orders))
        flat = responses.reshape(len(responses), -1).astype(np.float32, copy=False)
        for part in self._parts:
            predicted = part.columns @ (part.fit @ flat[part.train])
            measured = flat[part.test]
            predicted -= predicted.mean(axis=0)
            measured = measured - measured.mean(axis=0)
            for number, (one, other) in enumerate(
                ((predicted, measured), (predicted, predicted), (measured, measured))
            ):
                sums[number] += np.einsum("ij,ij->j", one, other).reshape(n_orders, n_components).sum(axis=1)
        size = np.sqrt(sums[1] * sums[2])
        return np.divide(sums[0], size, out=np.zeros(n_orders), where=size > 0)

    def predict(self, responses: np.ndarray) -> np.ndarray:
        """Held-out predictions of ``(n_samples, n_components)``, less their means in each fold; shrunk to what holds.

        Each component's predictions are multiplied by their slope on the responses, cut to between 0 and 1.
        """
        predicted = np.zeros_like(responses)
        for part in self._parts:
            values = part.whole @ (part.fit @ responses[part.train])
            predicted[part.held_out] = values - values.mean(axis=0)
        shared = np.einsum("ij,ij->j", predicted, responses)
        size = np.einsum("ij,ij->j", predicted, predicted)
        slope = np.divide(shared, size, out=np.zeros_like(size), where=size > 0)
        return predicted * np.clip(slope, 0.0, 1.0)
