"""Linear probes: how well a class can be read from each layer, by one protocol for all networks and layers.

A ridge classifier (least squares on ±1 for each class against the others, largest output wins) is fitted on features
with mean 0 and SD 1. Its penalty is chosen on a part of the training samples that it was not fitted on, then it is
fitted on all of them and scored on test samples. Closed form: no learning rate, no early stop, nothing to favour one
network by.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.linalg import eigh, solve
from statsmodels.stats.proportion import proportion_confint

from pipeline.training.streams import stream

PENALTIES = np.logspace(-5, 4, 19)
"""Relative to the mean eigenvalue of the features' Gram matrix: 1 for n standardised features."""
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Probe:
    """One probe.

    Parameters
    ----------
    accuracy : share of test samples whose class is named
    low, high : 95 % interval over test samples (Wilson); one network, so nothing on other seeds
    penalty : the one chosen, relative
    at_end : whether it is the smallest or largest of the grid
    n_features, n_train, n_test : what it was fitted and scored on
    """

    accuracy: float
    low: float
    high: float
    penalty: float
    at_end: bool
    n_features: int
    n_train: int
    n_test: int


def probe(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    *,
    n_classes: int,
    validation: float,
    seed: int,
) -> Probe:
    """Fit and score one probe.

    Parameters
    ----------
    train, test : (n, n_features) of any floats
    train_labels, test_labels : (n,) numbers of classes
    validation : share of training samples that the penalty is chosen on
    seed : of their choice

    References
    ----------
    Wilson 1927, JASA 22:209 (interval of a share)
    """
    n_features = train.shape[1]
    train, test = _standardised(train, test)
    train, test = _fewer_features(train, test)
    wanted = np.where(train_labels[:, None] == np.arange(n_classes), 1.0, -1.0)
    order = np.random.default_rng(stream(seed, "probe validation")).permutation(len(train))
    held, fitted = np.split(order, [max(1, round(validation * len(train)))])
    scores = _scores_by_penalty(train[fitted], wanted[fitted], train[held], train_labels[held])
    best = int(np.flatnonzero(scores == scores.max())[-1])  # of equals the largest: the smoothest classifier
    weights, offset = _fitted(train, wanted, PENALTIES[best])
    n_right = int(((test @ weights + offset).argmax(1) == test_labels).sum())
    low, high = proportion_confint(n_right, len(test), 1 - CONFIDENCE, method="wilson")
    return Probe(
        accuracy=n_right / len(test),
        low=float(low),
        high=float(high),
        penalty=float(PENALTIES[best]),
        at_end=best in (0, len(PENALTIES) - 1),
        n_features=n_features,
        n_train=len(train),
        n_test=len(test),
    )


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean 0 and SD 1 by the training rows; features that are constant there become 0."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, sd = train.mean(0), train.std(0)
    scale = np.where(sd > 1e-12 * np.abs(mean) + 1e-300, 1 / np.where(sd > 0, sd, 1), 0)
    return (train - mean) * scale, (test - mean) * scale


def _fewer_features(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features turned so that none is more than there are training rows; distances stay, and so do ridge fits."""
    n, n_features = train.shape
    if n_features <= n:
        return train, test
    squares, left = eigh(train @ train.T)
    kept = squares > squares.max() * 1e-12
    turn = left[:, kept] / np.sqrt(squares[kept])
    return left[:, kept] * np.sqrt(squares[kept]), test @ (train.T @ turn)


def _scores_by_penalty(train: np.ndarray, wanted: np.ndarray, held: np.ndarray, held_labels: np.ndarray) -> np.ndarray:
    """Share of held-out rows that are right, for every penalty: one decomposition for all of them."""
    mean, offset = train.mean(0), wanted.mean(0)
    values, vectors = eigh((train - mean).T @ (train - mean))
    projected = vectors.T @ ((train - mean).T @ (wanted - offset))
    turned = (held - mean) @ vectors
    unit = max(values.mean(), 1e-300)
    outputs = (turned @ (projected / (values + penalty * unit)[:, None]) + offset for penalty in PENALTIES)
    return np.array([(output.argmax(1) == held_labels).mean() for output in outputs])


def _fitted(train: np.ndarray, wanted: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    mean, offset = train.mean(0), wanted.mean(0)
    gram = (train - mean).T @ (train - mean)
    unit = max(np.trace(gram) / len(gram), 1e-300)
    weights = solve(gram + penalty * unit * np.eye(len(gram)), (train - mean).T @ (wanted - offset), assume_a="pos")
    return weights, offset - mean @ weights
