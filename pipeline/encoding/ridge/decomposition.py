"""The training rows of a fold diagonalised, from a Gram matrix of samples (dual) or of features (primal)."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import torch

from pipeline.encoding.arithmetic.compute import Arithmetic
from pipeline.encoding.ridge.gram import centres_and_factors, symmetric_product
from pipeline.encoding.ridge.sample_rows import SampleRows
from pipeline.encoding.splits import Fold

Form = Literal["primal", "dual"]
UNEVEN = 1e3
"""Ratio of a feature's SDs beyond which products over a part's rows cannot be had by subtraction in float32."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One set of training rows and the rows it predicts: an inner fold, or an outer one.

    The prediction of the test rows at penalty α is ``evaluate @ ((basis.T @ inputs) / (eigenvalues + α))``, where the
    inputs are the training responses (dual) or their products with the features (primal, see
    `pipeline.encoding.ridge.target_batch.PrimalInputs`).

    Parameters
    ----------
    train, test : numbers of samples
    eigenvalues : (rank,) float64 of the training rows' Gram matrix, ascending, none of them zero to rounding
    basis : (n_inputs, rank)
    evaluate : (n_test, rank)
    mean_eigenvalue : of the (n_train, n_train) Gram matrix, zeros included
    input_size : (rank,), root mean square of ``basis.T @ inputs`` for white responses
    """

    train: torch.Tensor
    test: torch.Tensor
    eigenvalues: torch.Tensor
    basis: torch.Tensor
    evaluate: torch.Tensor
    mean_eigenvalue: float
    input_size: torch.Tensor

    def without_directions(self) -> Part:
        """The same without what is as large as the features or training rows squared."""
        return dataclasses.replace(self, basis=self.basis[:, :0].clone(), evaluate=self.evaluate[:, :0].clone())


def dual_part(gram: torch.Tensor, train: torch.Tensor, test: torch.Tensor) -> Part:
    """Diagonalise a Gram matrix of samples, centred with its training rows.

    Parameters
    ----------
    gram : (n_samples, n_samples) float64, of features that need not be centred
    """
    within = gram[train][:, train]
    across = gram[test][:, train]
    mean = within.mean(0)
    across = across - across.mean(1, keepdim=True) - (mean - mean.mean())
    within = within - mean - mean[:, None] + mean.mean()
    eigenvalues, vectors = _eigh(within)
    mean_eigenvalue = float(within.diagonal().sum()) / max(1, len(train))
    return Part(train, test, eigenvalues, vectors, across @ vectors, mean_eigenvalue, torch.ones_like(eigenvalues))


def _eigh(gram: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues and vectors, without those that are zero to rounding, some of which come out negative."""
    if gram.device.type == "cpu":  # NumPy's LAPACK is the faster one there
        values, vectors = (torch.from_numpy(found) for found in np.linalg.eigh(gram.numpy()))
    else:
        values, vectors = torch.linalg.eigh(gram)
    rounding = len(gram) * torch.finfo(gram.dtype).eps
    kept = values > rounding * values[-1].clamp_min(0.0)
    return values[kept], vectors[:, kept]


class PrimalFold:
    """Features of one outer fold, standardised with its training rows, and its parts diagonalised in features.

    Inputs of all parts are products of these features with responses, and the responses' sums: a part's own means
    and scales are in its ``basis``. So products over the training rows of a part are those of the outer fold's less
    those of the rows that it leaves out.

    Parameters
    ----------
    by_delay : (n_delays, n_samples, n_features) float64, filtered, or 0 where there are none
    scale : see `pipeline.encoding.ridge.fit.fit_ridge`
    """

    def __init__(
        self,
        by_delay: torch.Tensor,
        samples: SampleRows,
        undelayed: torch.Tensor,
        fold: Fold,
        scale: bool,
        on: Arithmetic,
    ) -> None:
        self._by_delay, self._samples, self._undelayed, self._scale = by_delay, samples, undelayed, scale
        self._mean, self._factor = self._standard(on.rows(fold.train))
        self.features = self._apply(self._mean, self._factor)
        """(n_samples, n_delays · n_features) float64, delay by delay; zero where there are none."""
        self.uneven = False
        """Whether a feature varies much less in a part's training rows than in the outer fold's."""

    def _standard(self, train: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means ``(n_delays, n_features)`` and factors ``(n_features,)`` of training rows."""
        present = self._present()[:, train].to(torch.float64)
        mean = torch.einsum("dt,dtf->df", present, self._by_delay[:, train]) / present.sum(1).clamp_min(1.0)[:, None]
        if not self._scale:
            return mean, torch.ones_like(mean[0])
        return mean, centres_and_factors(self._undelayed, self._samples, [train])[1][0]

    def _present(self) -> torch.Tensor:
        return torch.ones_like(self._samples.present) if self._samples.filtered else self._samples.present

    def _apply(self, mean: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        standard = (self._by_delay - mean[:, None]) * factor
        standard[~self._present()] = 0.0
        return standard.permute(1, 0, 2).reshape(standard.shape[1], -1)

    def part(self, fold: Fold, on: Arithmetic) -> Part:
        """Diagonalise one part; its inputs are those of `pipeline.encoding.ridge.target_batch.PrimalInputs`."""
        train, test = on.rows(fold.train), on.rows(fold.test)
        mean, factor = self._standard(train)
        own = self._apply(mean, factor)
        gram = symmetric_product(own[train].T)
        eigenvalues, vectors = _eigh(gram)
        ratio = torch.where(self._factor > 0, factor / self._factor.clamp_min(torch.finfo(factor.dtype).tiny), 0.0)
        mapped = vectors * ratio.repeat(len(mean))[:, None]
        self.uneven |= bool((ratio > UNEVEN).any())
        shift = ((mean - self._mean) * self._factor)[:, :, None] * mapped.reshape(*mean.shape, -1)
        return Part(
            train,
            test,
            eigenvalues,
            torch.cat([mapped, -shift.sum(1)]),
            own[test] @ vectors,
            float(gram.diagonal().sum()) / max(1, len(train)),
            eigenvalues.sqrt(),
        )

    def counted(self, train: torch.Tensor) -> torch.Tensor:
        """Which samples' responses each delay sums over, ``(n_delays, n_samples)`` float64 of 0 and 1."""
        counted = torch.zeros_like(self._samples.present, dtype=torch.float64)
        counted[:, train] = self._present()[:, train].to(torch.float64)
        return counted

    def complete(self, samples: torch.Tensor) -> bool:
        """Whether samples have features at all delays."""
        return bool(self._present()[:, samples].all())
