"""Partial least squares regression: as scikit-learn's, in memory that does not grow with features, delays or targets.

Rotations of features or of targets among themselves change no prediction of it (Rännar et al. 1994). So training rows
enter as their coordinates in the space that they span, which a Gram matrix of samples gives where there are more
features than rows, and targets as at most as many columns as there are training rows, with the same Gram matrix. The
first target, with which scikit-learn's iterations begin, stays as it is, so that they run through the same steps. Each
target's predictions are then a product with its training responses.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from pipeline.encoding.arithmetic.columns import Columns, missing_bins
from pipeline.encoding.arithmetic.compute import Arithmetic, Compute, arithmetic
from pipeline.encoding.arithmetic.correlation import correlate, fisher_z, is_constant
from pipeline.encoding.arithmetic.scratch import target_batches
from pipeline.encoding.design import Design
from pipeline.encoding.layer_fit import LayerFit, fit_without_penalty
from pipeline.encoding.ridge.decomposition import PrimalFold, dual_part
from pipeline.encoding.ridge.gram import GramQueue, delayed_features, grams_at_once
from pipeline.encoding.ridge.sample_rows import SampleRows
from pipeline.encoding.splits import Fold

BATCH_SHARE = 0.1
"""Of the memory budget, for one array of a batch of targets."""
RANK = 1e-7
"""Singular values below this share of the largest are rounding."""


class Pls:
    """Fits a layer by partial least squares.

    Parameters
    ----------
    n_components : asked for; fewer are fitted where training rows and features span fewer dimensions
    together : (n_targets,) labels; only targets with one label share their components. None: all do

    Notes
    -----
    ``fewest`` is the smallest number of components that an outer fold was fitted with.

    References
    ----------
    Wold, Sjöström & Eriksson 2001, Chemometrics and Intelligent Laboratory Systems 58:109–130; Schrimpf et al. 2018,
    bioRxiv 407007 (25 components); Rännar et al. 1994, Journal of Chemometrics 8:111–125 (wide data).
    """

    def __init__(self, n_components: int, together: np.ndarray | None = None) -> None:
        self.n_components = n_components
        self.fewest = n_components
        self._together = together

    def __call__(
        self,
        features: Columns,
        responses: np.ndarray,
        design: Design,
        *,
        compute: Compute,
        predictions: np.ndarray,
        after_fold: Callable[[], object],
    ) -> LayerFit:
        """Fit one layer in every outer fold, and in its inner folds for the inner score.

        Parameters
        ----------
        features : (n_bins, n_features), undelayed; NaN in all features marks a bin without
        responses : (n_samples, n_targets)
        design : folds, delays, runs, rows and filter; features are centred and scaled, responses centred, with the
            training rows of the fold at hand
        compute : device and memory budget
        predictions : (n_samples, n_targets), filled where a fold holds samples out
        after_fold : called after each outer fold

        Returns
        -------
        LayerFit without penalties
        """
        on = arithmetic(compute.device, "float64")
        missing = missing_bins(features)
        samples = SampleRows(design, missing, on)
        spanned = _Spanned(features, samples, missing, compute.memory_budget_mb, on)
        together = np.zeros(responses.shape[1], int) if self._together is None else self._together
        sets = [np.flatnonzero(together == label) for label in np.unique(together)]
        batch_mb = BATCH_SHARE * compute.memory_budget_mb
        fit = fit_without_penalty(responses, design.splits, predictions)
        for number, fold in enumerate(design.splits):
            parts = (*fold.inner, fold)
            inner_z = np.zeros(responses.shape[1])
            for part, (train, test) in zip(parts, spanned.of(parts), strict=True):
                n_components = min(self.n_components, train.shape[1])
                if part is fold:
                    self.fewest = min(self.fewest, n_components)
                for targets in sets:
                    for batch, predicted in _predict(train, test, responses, targets, part, n_components, batch_mb):
                        r = correlate(predicted, responses[np.ix_(part.test, batch)])
                        if part is fold:
                            fit.predictions[np.ix_(part.test, batch)] = predicted
                            fit.score[number, batch] = r
                        else:
                            inner_z[batch] += fisher_z(r)
            fit.inner_score[number] = np.tanh(inner_z / max(1, len(fold.inner)))
            after_fold()
        return fit


class _Spanned:
    """Standardised features of training and test rows, as coordinates in the space that training rows span."""

    def __init__(
        self, features: Columns, samples: SampleRows, missing: np.ndarray, memory_budget_mb: float, on: Arithmetic
    ) -> None:
        self._features, self._samples, self._missing, self._on = features, samples, missing, on
        self._at_once = grams_at_once([samples.n_bins], memory_budget_mb)
        self._n_columns = features.shape[1] * samples.n_delays
        self._by_delay: tuple[torch.Tensor, torch.Tensor] | None = None

    def of(self, parts: Sequence[Fold]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each part: (n_train, rank) and (n_test, rank), the training rows centred."""
        wide = [part.train.size < self._n_columns for part in parts]
        trains = [part.train for part, is_wide in zip(parts, wide, strict=True) if is_wide]
        grams = GramQueue(self._features, self._samples, self._missing, trains, self._at_once, scale=True, on=self._on)
        for part, is_wide in zip(parts, wide, strict=True):
            yield self._wide(part, grams.take()) if is_wide else self._tall(part)

    def _wide(self, fold: Fold, undelayed: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """From the Gram matrix of samples; its eigenvectors times the roots of its eigenvalues are coordinates."""
        train, test = self._on.rows(fold.train), self._on.rows(fold.test)
        part = dual_part(self._samples.gram(undelayed, train), train, test)
        root = part.eigenvalues.sqrt()
        return (part.basis * root).cpu().numpy(), (part.evaluate / root).cpu().numpy()

    def _tall(self, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
        """From the features themselves, of which there are fewer than training rows."""
        if self._by_delay is None:
            self._by_delay = delayed_features(self._features, self._samples, self._missing, self._on)
        by_delay, undelayed = self._by_delay
        standard = PrimalFold(by_delay, self._samples, undelayed, fold, True, self._on).features.cpu().numpy()
        left, singular, right = np.linalg.svd(standard[fold.train], full_matrices=False)
        kept = singular > RANK * singular[0]
        return left[:, kept] * singular[kept], standard[fold.test] @ right[kept].T


def _predict(
    train: np.ndarray,
    test: np.ndarray,
    responses: np.ndarray,
    targets: np.ndarray,
    part: Fold,
    n_components: int,
    batch_mb: float,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of some targets, and their predictions ``(n_test, n_targets)``, until all are predicted."""
    batches = [targets[one] for one in target_batches(targets.size, part.train.size, batch_mb)]

    def centred(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = np.asarray(responses[:, batch][part.train], np.float64)
        mean = own.mean(axis=0)
        return np.where(is_constant(own), 0.0, own - mean), mean

    operator = _operator(train, test, _condensed(batches, centred, part.train.size), n_components)
    for batch in batches:
        own, mean = centred(batch)
        yield batch, mean + operator @ own


def _condensed(
    batches: Sequence[np.ndarray], centred: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], n_train: int
) -> np.ndarray:
    """The targets, or no more columns than about training rows with the same Gram matrix: (n_train, n_columns)."""
    if sum(batch.size for batch in batches) <= n_train:
        return np.concatenate([centred(batch)[0] for batch in batches], axis=1)
    gram = np.zeros((n_train, n_train))
    first = np.zeros((n_train, 0))
    for batch in batches:
        own, _ = centred(batch)
        gram += own @ own.T
        if not first.size:
            first = own[:, own.any(axis=0)][:, :1]
    values, vectors = np.linalg.eigh(gram - first @ first.T)
    kept = values > n_train * np.finfo(float).eps * max(values[-1], 0.0)
    return np.concatenate([first, vectors[:, kept] * np.sqrt(values[kept])], axis=1)


def _operator(train: np.ndarray, test: np.ndarray, targets: np.ndarray, n_components: int) -> np.ndarray:
    """What gives predictions of test rows when it is multiplied with training responses: (n_test, n_train)."""
    from sklearn.cross_decomposition import PLSRegression

    if n_components == 0 or not targets.any():
        return np.zeros((len(test), len(train)))
    with warnings.catch_warnings():
        # targets that fewer components fit without a residual, and components that all but equal the next
        warnings.simplefilter("ignore")
        rotations = PLSRegression(n_components, scale=False).fit(train, targets).x_rotations_
    scores = train @ rotations
    power = np.einsum("tc,tc->c", scores, scores)
    fitted = power > RANK**2 * np.einsum("td,td->", train, train)
    return np.asarray((test @ rotations[:, fitted] / power[fitted]) @ scores[:, fitted].T)
