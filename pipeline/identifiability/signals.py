"""Signals that a layer could give a region, and responses made of them.

Two kinds of read-out are tried, as they bound what can be known. *Fitted* ones are what the layer's own encoding model
makes of the measured responses, fitted to all samples: mostly the layer's largest components, which neighbouring layers
share. *Generic* ones weigh all features (at all delays) at random, so layers differ in them as much as they can.

Measured responses are z-scored within runs before they are fitted, and so are signals: what differs from run to run in
features would otherwise be part of simulated responses, and of their amplitude, but never of measured ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.design import Design
from pipeline.encoding.mapping import FitLayer
from pipeline.encoding.splits import Fold

FEATURES_AT_ONCE = 512


def fitted_signals(
    features: np.ndarray, responses: np.ndarray, design: Design, fit: FitLayer, compute: Compute
) -> np.ndarray:
    """What the layer says of each target when it is fitted to all samples; penalties chosen in the outer folds.

    Parameters
    ----------
    features : (n_bins, n_features), undelayed
    responses : (n_samples, n_targets)

    Returns
    -------
    (n_samples, n_targets) float32, columns of mean 0 and SD 1; zeros for a target of which nothing is said
    """
    rows = np.arange(responses.shape[0])
    inner = tuple(Fold(fold.train, fold.test, np.zeros(fold.test.size, int)) for fold in design.splits)
    everything = dataclasses.replace(design, splits=[Fold(rows, rows, np.zeros(rows.size, int), inner)])
    signals = np.zeros(responses.shape, np.float32)
    fit(features, responses, everything, compute=compute, predictions=signals, after_fold=lambda: None)
    return standardised(signals)


def generic_signals(features: np.ndarray, design: Design, n: int, generator: np.random.Generator) -> np.ndarray:
    """Random weights on all delayed features, each scaled to SD 1.

    Parameters
    ----------
    features : (n_bins, n_features), undelayed; NaN in all features marks a bin without
    n : how many signals

    Returns
    -------
    (n_samples, n) float32, columns of mean 0 and SD 1
    """
    signals = np.zeros((design.rows.size, n))
    for start in range(0, features.shape[1], FEATURES_AT_ONCE):
        delayed = design.delayed(np.asarray(features[:, start : start + FEATURES_AT_ONCE]))
        known = np.isfinite(delayed)
        mean = np.where(known, delayed, 0).sum(axis=0, dtype=np.float64) / np.maximum(known.sum(axis=0), 1)
        filled = standardised(np.where(known, delayed, mean))
        signals += filled @ generator.standard_normal((filled.shape[1], n))
    return standardised(signals)


def standardised(columns: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and SD 1, float32; zeros where a column does not vary."""
    centred = columns - columns.mean(axis=0, dtype=np.float64)
    sd = np.sqrt((centred**2).mean(axis=0))
    varies = sd > 1e-6 * np.sqrt((np.asarray(columns, np.float64) ** 2).mean(axis=0))
    return np.asarray(np.where(varies, centred / np.where(varies, sd, 1.0), 0.0), np.float32)


@dataclasses.dataclass(frozen=True)
class Part:
    """One simulated data set of all targets.

    Parameters
    ----------
    signal : (n_samples, n_targets), mean 0 and SD 1 in each run
    amplitude : (n_targets,) of the signal, 0 to 1; its share of the variance is the square
    noise : number of the noise
    """

    signal: np.ndarray
    amplitude: np.ndarray
    noise: int


class SimulatedResponses:
    """Data sets side by side, made as their columns are read: amplitude · signal + √(1 − amplitude²) · noise.

    Parameters
    ----------
    parts : in order; columns of one follow those of another
    noise : (n_noises, n_samples, n_targets), SD 1
    """

    def __init__(self, parts: Sequence[Part], noise: np.ndarray) -> None:
        self._parts, self._noise = list(parts), noise
        self.shape = (noise.shape[1], len(self._parts) * noise.shape[2])

    def __getitem__(self, key: Any) -> np.ndarray:
        start, stop, _ = key[1].indices(self.shape[1])
        n_targets, columns = self._noise.shape[2], []
        for number in range(start // n_targets, -(-stop // n_targets)):
            part = self._parts[number]
            here = slice(max(start - number * n_targets, 0), min(stop - number * n_targets, n_targets))
            amplitude = part.amplitude[here]
            mixed = amplitude * part.signal[:, here]
            mixed += np.sqrt(1 - amplitude**2) * self._noise[part.noise][:, here]
            columns.append(np.asarray(mixed, np.float32))
        return np.concatenate(columns, axis=1)[key[0]]


class SideBySide:
    """Columns of two sets of responses, one behind the other."""

    def __init__(self, first: np.ndarray, second: SimulatedResponses) -> None:
        self._first, self._second = first, second
        self.shape = (first.shape[0], first.shape[1] + second.shape[1])

    def __getitem__(self, key: Any) -> np.ndarray:
        start, stop, _ = key[1].indices(self.shape[1])
        n_first = self._first.shape[1]
        parts = []
        if start < n_first:
            parts.append(np.asarray(self._first[key[0], start : min(stop, n_first)]))
        if stop > n_first:
            parts.append(self._second[key[0], max(start - n_first, 0) : stop - n_first])
        return np.concatenate(parts, axis=1)
