"""Linear readouts of one layer that an encoding model can tell apart from readouts of the other layers.

Neighbouring layers of a network share most of what they say about a stimulus, so an arbitrary readout of one
layer is predicted almost as well from its neighbours, and no method could give the planted layer back. What a
simulation plants here is therefore **identifiable by construction**: among the readouts of a layer's leading
principal components, those that cross-validated ridge regression predicts well from the planted layer, poorly
from its neighbours and not at all from the rest. That is favourable by design: it asks whether the pipeline
finds an answer that is there to be found, not how often brains offer one.

With the penalty fixed, ridge predictions of held-out samples are linear in the responses: layer L and penalty λ
have a matrix H with ``predictions = H(L, λ) @ signal``. Readouts start as random rotations of the leading
eigenvectors of ``H(planted) − H(others)`` (means over λ, symmetric parts, within the span of the components). Each
then takes Gauss–Newton steps until its correlation in every other layer, at every penalty that an inner fold may
choose, is the one aimed for, and climbs towards a higher one in its own layer where that leaves the others alone.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch, UnknownName

if TYPE_CHECKING:
    import numpy as np

N_STEPS = 30
STEP = 0.7  # part of a Gauss–Newton step that is taken
CLIMB = 0.15  # first step towards a higher score in the own layer, as a part of the readout's length
DAMPING = 1e-3  # of the Gauss–Newton steps, relative to the mean squared slope
PENALTIES = (0.001, 0.1, 1.0, 10.0, 1000.0)
"""Relative to the mean eigenvalue of the training Gram matrix, from hardly any shrinkage to nothing but shrinkage."""
FITTING_PENALTIES = 3
"""The first so many of them are what inner folds choose for a signal that a layer does predict."""


@dataclasses.dataclass(frozen=True)
class LayerSmoothers:
    """What `layer_smoothers` leaves, to be shared by all planted layers of one stimulus.

    Parameters
    ----------
    layers : names in order of depth
    matrices : (n_layers, n_penalties, n_samples, n_samples); ``matrices[l, k] @ responses`` are the held-out
        predictions of layer l at penalty k
    test_rows : rows held out by each fold
    """

    layers: tuple[str, ...]
    matrices: np.ndarray
    test_rows: tuple[slice, ...]

    def score(self, signals: np.ndarray) -> np.ndarray:
        """Pearson r within folds, averaged over folds: signals (n_samples, m) → (n_layers, n_penalties, m)."""
        import numpy as np

        predicted = self.matrices @ signals
        scores = np.zeros((*predicted.shape[:2], signals.shape[1]))
        for rows in self.test_rows:
            p = predicted[:, :, rows] - predicted[:, :, rows].mean(axis=2, keepdims=True)
            y = signals[rows] - signals[rows].mean(axis=0)
            length = np.sqrt((p**2).sum(axis=2) * (y**2).sum(axis=0))
            scores += np.einsum("lkst,st->lkt", p, y) / np.where(length > 0, length, 1.0)
        return scores / len(self.test_rows)


@dataclasses.dataclass(frozen=True)
class Readouts:
    """Planted signals and the weights that make them.

    Parameters
    ----------
    signals : (n_samples, n_readouts), mean 0 and variance 1, equal to ``(drive − drive.mean(0)) @ weights``
    weights : (n_features, n_readouts); they also apply to the layer's features before any linear filter, as a
        filter over time and a readout over features commute
    profile : (n_layers, n_penalties), noise-free cross-validated r of each layer, mean over readouts
    """

    signals: np.ndarray
    weights: np.ndarray
    profile: np.ndarray


def layer_smoothers(
    features: Mapping[str, np.ndarray],
    *,
    delays: Sequence[int] = (0,),
    n_folds: int = 5,
    gap_samples: int = 0,
    penalties: Sequence[float] = PENALTIES,
) -> LayerSmoothers:
    """Matrices that take responses to their held-out ridge predictions, one per layer.

    Parameters
    ----------
    features : layer → (n_samples, n_features) in order of depth, undelayed, on the recording's clock (binned as
        encode bins them, and high-pass filtered where the recording is)
    delays : in samples, as the study's encoding model has them
    n_folds : contiguous outer folds, as the study has them
    gap_samples : training samples this close to a held-out one are dropped
    penalties : ascending, relative to the mean eigenvalue of the training Gram matrix

    Raises
    ------
    SampleMismatch
        Layers have different numbers of samples.
    """
    import numpy as np

    counts = {name: values.shape[0] for name, values in features.items()}
    if len(set(counts.values())) != 1:
        raise SampleMismatch(f"layers differ in their number of samples: {counts}")
    n = next(iter(counts.values()))
    edges = [round(n * fold / n_folds) for fold in range(n_folds + 1)]
    matrices = np.zeros((len(features), len(penalties), n, n))
    for matrix, values in zip(matrices, features.values(), strict=True):
        design = _delayed(np.asarray(values, np.float64), delays)
        for first, last in itertools.pairwise(edges):
            train = np.r_[0 : max(0, first - gap_samples), min(n, last + gap_samples) : n]
            matrix[:, first:last, train] = _smoothers(design[train], design[first:last], penalties)
    test_rows = tuple(slice(first, last) for first, last in itertools.pairwise(edges))
    return LayerSmoothers(tuple(features), matrices, test_rows)


def choose_readouts(
    smoothers: LayerSmoothers,
    drive: np.ndarray,
    planted: str,
    n_readouts: int,
    *,
    n_components: int = 90,
    n_dimensions: int | None = None,
    neighbour_r: float = 0.15,
    n_steps: int = N_STEPS,
    climb: float = CLIMB,
    seed: int = 0,
) -> Readouts:
    """Readouts of a layer that are predictable from it, little from its neighbours and not from other layers.

    Parameters
    ----------
    smoothers : of all layers, from `layer_smoothers`
    drive : (n_samples, n_features), the planted layer's features after the (linear) response kernel, binned to
        the recording's clock; the responses are linear in it
    planted : name of the planted layer
    n_readouts : how many signals, e.g. cells of all mice of an area
    n_components : leading principal components of ``drive`` (each feature scaled to unit variance first) that
        readouts live in
    n_dimensions : the readouts start as random rotations of this many orthogonal signals; None for one per readout
    neighbour_r : noise-free r aimed for in the layers right before and after; 0 in all others
    n_steps : steps that every readout takes
    climb : length of the first step towards a higher score in the own layer; it shrinks to 0 at the last
    seed : of the rotations

    Returns
    -------
    Readouts

    Raises
    ------
    UnknownName
        There is no layer ``planted``.
    SampleMismatch
        ``drive`` and the smoothers have different numbers of samples.
    """
    import numpy as np

    if planted not in smoothers.layers:
        raise UnknownName("planted layer", planted, smoothers.layers)
    if drive.shape[0] != smoothers.matrices.shape[2]:
        raise SampleMismatch(
            f"drive of '{planted}' has {drive.shape[0]} samples, the layers have {smoothers.matrices.shape[2]}"
        )
    own = smoothers.layers.index(planted)
    distance = np.abs(np.arange(len(smoothers.layers)) - own)
    target = np.where(distance == 1, neighbour_r, 0.0)[distance > 0]
    components, to_weights = _principal_components(np.asarray(drive, np.float64), n_components)
    forms = _Forms.of(smoothers, components)
    n_dimensions = min(n_readouts if n_dimensions is None else n_dimensions, components.shape[1])
    rotations = _rotations(n_dimensions, n_readouts, np.random.default_rng(seed))
    readout = forms.most_distinct(own, n_dimensions) @ rotations
    for step in range(n_steps):
        score, slope = forms.correlate(readout)
        missed = (score[:, distance > 0] - target[:, None]).reshape(n_readouts, -1)
        length = climb * (1 - step / max(1, n_steps - 1))
        readout = _step(readout, slope[:, own, :FITTING_PENALTIES].mean(axis=1), missed, slope[:, distance > 0], length)
    signals = components @ readout
    scale = signals.std(axis=0)
    return Readouts(signals / scale, to_weights @ readout / scale, smoothers.score(signals).mean(axis=2))


def _step(
    readout: np.ndarray, own_slope: np.ndarray, missed: np.ndarray, slope: np.ndarray, climb: float
) -> np.ndarray:
    """One step of every readout, (k, m): towards the other layers' targets, and up in the own layer beside them.

    Parameters
    ----------
    own_slope : (m, k), slope of the own layer's score
    missed : (m, n_conditions), other layers' scores less their targets
    slope : (m, n_layers − 1, n_penalties, k), slopes of these scores
    climb : length of the step up
    """
    import numpy as np

    slope = slope.reshape(*missed.shape, -1)
    gram = slope @ slope.transpose(0, 2, 1)
    damping = DAMPING * np.trace(gram, axis1=1, axis2=2)[:, None, None] / gram.shape[1]
    gram = gram + damping * np.eye(gram.shape[1])
    back = slope.transpose(0, 2, 1) @ np.linalg.solve(gram, missed[..., None])
    along = slope.transpose(0, 2, 1) @ np.linalg.solve(gram, slope @ own_slope[..., None])
    up = own_slope - along[..., 0]
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    moved = readout + (climb * up - STEP * back[..., 0]).T
    return np.asarray(moved / np.linalg.norm(moved, axis=0))


@dataclasses.dataclass(frozen=True)
class _Forms:
    """Scores of mixtures of components as ratios of quadratic forms, per fold.

    Parameters
    ----------
    product : (n_folds, n_layers, n_penalties, k, k), symmetric: predictions times responses
    power : the same shape: predictions times predictions
    spread : (n_folds, k, k): responses times responses
    """

    product: np.ndarray
    power: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, smoothers: LayerSmoothers, components: np.ndarray) -> _Forms:
        import numpy as np

        predicted = smoothers.matrices @ components
        product, power, spread = [], [], []
        for rows in smoothers.test_rows:
            p = predicted[:, :, rows] - predicted[:, :, rows].mean(axis=2, keepdims=True)
            y = components[rows] - components[rows].mean(axis=0)
            p_transposed = p.transpose(0, 1, 3, 2)
            cross = p_transposed @ y
            product.append((cross + cross.transpose(0, 1, 3, 2)) / 2)
            power.append(p_transposed @ p)
            spread.append(y.T @ y)
        return cls(np.stack(product), np.stack(power), np.stack(spread))

    def most_distinct(self, own: int, n_dimensions: int) -> np.ndarray:
        """(k, n_dimensions): mixtures that the own layer predicts best and the mean of the others worst."""
        import numpy as np

        size = np.sqrt(np.trace(self.power.sum(axis=0), axis1=2, axis2=3))[..., None, None]
        gain = self.product.sum(axis=0) / size
        others = np.delete(gain, own, axis=0).mean(axis=(0, 1))
        _, vectors = np.linalg.eigh(gain[own, :FITTING_PENALTIES].mean(axis=0) - others)
        return np.asarray(vectors[:, ::-1][:, :n_dimensions])

    def correlate(self, readout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score (m, n_layers, n_penalties) and slope (…, k) of readouts (k, m), mean over folds.

        The slope takes the lengths of predictions and responses as constant.
        """
        import numpy as np

        applied = self.product @ readout
        product = np.einsum("flpkm,km->flpm", applied, readout)
        power = np.einsum("flpkm,km->flpm", self.power @ readout, readout)
        spread = np.einsum("fkm,km->fm", self.spread @ readout, readout)
        length = np.sqrt(np.maximum(power, 0.0) * spread[:, None, None])
        inverse = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
        score = (product * inverse).mean(axis=0)
        slope = 2 * np.einsum("flpkm,flpm->mlpk", applied, inverse) / len(self.spread)
        return score.transpose(2, 0, 1), slope


def _delayed(features: np.ndarray, delays: Sequence[int]) -> np.ndarray:
    """Delayed copies side by side; the first sample stands in for what came before."""
    import numpy as np

    rows = np.arange(features.shape[0])
    return np.concatenate([features[np.clip(rows - delay, 0, None)] for delay in delays], axis=1)


def _smoothers(train: np.ndarray, test: np.ndarray, penalties: Sequence[float]) -> np.ndarray:
    """(n_penalties, n_test, n_train): ridge predictions of the test rows, less the training mean."""
    import numpy as np

    mean, sd = train.mean(axis=0), train.std(axis=0)
    scale = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 1e-6 * np.abs(mean))
    x, x_test = (train - mean) * scale, (test - mean) * scale
    values, vectors = np.linalg.eigh(x @ x.T)
    values = np.clip(values, 0.0, None)
    shrink = np.stack([1 / (values + penalty * values.mean()) for penalty in penalties])
    weights = ((x_test @ (x.T @ vectors)) * shrink[:, None]) @ vectors.T
    return np.asarray(weights - weights.mean(axis=2, keepdims=True))


def _principal_components(drive: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal components (n_samples, k) and the weights on ``drive`` that make them (n_features, k)."""
    import numpy as np

    centred = drive - drive.mean(axis=0)
    sd = centred.std(axis=0)
    scale = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0)
    left, size, right = np.linalg.svd(centred * scale, full_matrices=False)
    kept = min(n_components, int((size > 1e-6 * size[0]).sum()))
    return left[:, :kept], scale[:, None] * (right[:kept].T / size[:kept])


def _rotations(n_dimensions: int, n_readouts: int, generator: np.random.Generator) -> np.ndarray:
    """Columns of random rotations, as many as needed: (n_dimensions, n_readouts), each of length 1."""
    import numpy as np

    rotations = []
    for _ in range(-(-n_readouts // n_dimensions)):
        rotation, upper = np.linalg.qr(generator.standard_normal((n_dimensions, n_dimensions)))
        rotations.append(rotation * np.sign(np.diag(upper)))
    return np.concatenate(rotations, axis=1)[:, :n_readouts]
