"""Gram matrices of standardised features for every set of training rows, from one reading of the features.

Features are read in blocks of columns; of each block, every set of training rows takes its own means and scales, and
adds to its own Gram matrix of undelayed features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pipeline.encoding.arithmetic.columns import Columns, read_features
from pipeline.encoding.arithmetic.compute import Arithmetic
from pipeline.encoding.arithmetic.correlation import CONSTANT
from pipeline.encoding.ridge.sample_rows import SampleRows

BLOCK_MB = 48.0
"""Of one block of features in float64; about four such arrays exist at a time."""
GRAM_SHARE = 0.4
"""Of the memory budget, for Gram matrices that wait for their decomposition."""


def feature_blocks(features: Columns, missing: np.ndarray, on: Arithmetic) -> Iterator[torch.Tensor]:
    """Blocks ``(n_bins, n_columns)`` float64, each column once, as `arithmetic.columns.read_features` gives them."""
    n_bins, n_features = features.shape
    width = max(1, int(BLOCK_MB * 2**20 / (8 * n_bins)))
    for start in range(0, n_features, width):
        yield on.exact(read_features(features, slice(start, start + width), missing))


def delayed_features(
    features: Columns, samples: SampleRows, missing: np.ndarray, on: Arithmetic
) -> tuple[torch.Tensor, torch.Tensor]:
    """Delayed features ``(n_delays, n_samples, n_features)``, and undelayed ones ``(n_bins, n_features)``.

    All at once, so for features that are fewer than samples; see `SampleRows.columns`.
    """
    undelayed = torch.cat(list(feature_blocks(features, missing, on)), dim=1)
    return torch.stack([samples.columns(undelayed, delay) for delay in range(samples.n_delays)]), undelayed


def grams_at_once(n_bins: Sequence[int], memory_budget_mb: float) -> int:
    """Sets of training rows whose Gram matrices may wait at a time, one matrix for each number of bins; at least 1."""
    return max(1, int(GRAM_SHARE * memory_budget_mb * 2**20 / sum(8 * n**2 for n in n_bins)))


class GramQueue:
    """Gram matrices of undelayed features in order; the features are read once for as many as may wait at a time.

    Parameters
    ----------
    trains : numbers of the training samples, one array per matrix
    at_once : matrices that may wait, see `grams_at_once`
    features, samples, missing, scale, on : see `undelayed_grams`
    """

    def __init__(
        self,
        features: Columns,
        samples: SampleRows,
        missing: np.ndarray,
        trains: Sequence[np.ndarray],
        at_once: int,
        *,
        scale: bool,
        on: Arithmetic,
    ) -> None:
        self._features, self._samples, self._missing = features, samples, missing
        self._trains, self._scale, self._on = list(trains), scale, on
        self._at_once = at_once if scale else max(1, len(self._trains))  # unscaled, all are one matrix
        self._ready: list[torch.Tensor] = []

    @property
    def n_bytes(self) -> int:
        """Of matrices that wait."""
        return sum({id(gram): gram.nbytes for gram in self._ready}.values())

    def take(self) -> torch.Tensor:
        """The next matrix; features are read when none waits."""
        if not self._ready:
            trains = [self._on.rows(train) for train in self._trains[: self._at_once]]
            del self._trains[: self._at_once]
            self._ready = undelayed_grams(
                self._features, self._samples, self._missing, trains, scale=self._scale, on=self._on
            )
        return self._ready.pop(0)


def undelayed_grams(
    features: Columns,
    samples: SampleRows,
    missing: np.ndarray,
    trains: Sequence[torch.Tensor],
    *,
    scale: bool,
    on: Arithmetic,
) -> list[torch.Tensor]:
    """Gram matrices of the undelayed features, standardised with the training rows of each.

    Parameters
    ----------
    features : (n_bins, n_features); read once
    missing : (n_bins,) bool, bins without features
    trains : numbers of the training samples, one array per matrix
    scale : to variance 1 over the training samples, the same for all delays of a feature; False: all matrices are one,
        and are computed once. Means of training rows are taken off later, from the matrix

    Returns
    -------
    list of (n_bins, n_bins) float64
    """
    shape = (samples.n_bins, samples.n_bins)
    grams = [torch.zeros(shape, dtype=torch.float64, device=on.device) for _ in (trains if scale else trains[:1])]
    absent = torch.as_tensor(missing, device=on.device)
    for block in feature_blocks(features, missing, on):
        if scale:
            centres, factors = centres_and_factors(block, samples, trains)
        else:
            centres = block[~absent].mean(0, keepdim=True)
            factors = torch.ones_like(centres)
        for gram, centre, factor in zip(grams, centres, factors, strict=True):
            standard = torch.addcmul(-centre * factor, block, factor)
            standard[absent] = 0.0
            _add_product(gram, standard)
    for gram in grams:
        _mirror(gram)
    return grams if scale else grams * len(trains)


def centres_and_factors(
    block: torch.Tensor, samples: SampleRows, trains: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and 1 / SD of features over the training samples of each part, ``(n_parts, n_features)`` each.

    The variance is averaged over delays, so that a feature has one scale. It is that of the filtered feature where
    there is a filter. Features that do not vary have the factor zero.
    """
    weights = torch.stack([samples.weights(train) for train in trains])
    about = block.mean(0)
    near = block - about
    means = (weights.flatten(0, 1) @ near).view(*weights.shape[:2], -1)
    centres = means.mean(1)
    if samples.filtered:
        size = block.square().mean(0).sqrt()
        variance = torch.zeros_like(centres)
        shares = torch.stack([samples.share(train) for train in trains])
        for delay in range(samples.n_delays):
            values = samples.columns(block, delay)
            variance += (shares @ values.square() - (shares @ values).square()) / samples.n_delays
    else:
        size = torch.maximum(means.abs(), (means + about).abs()).amax(1)
        used = (weights.sum(2, keepdim=True) > 0).to(block.dtype)
        spread = (weights.flatten(0, 1) @ near.square()).view_as(means) - means.square()
        variance = (spread * used).sum(1) / used.sum(1).clamp_min(1.0)
    sd = variance.clamp_min(0.0).sqrt()
    varies = sd > CONSTANT * size
    return centres + about, torch.where(varies, 1.0 / torch.where(varies, sd, 1.0), 0.0)


def _add_product(total: torch.Tensor, values: torch.Tensor) -> None:
    """Add ``values @ values.T`` to the upper blocks of a symmetric matrix: about half of the products."""
    for start, stop in _chunks(len(total)):
        total[start:stop, start:].addmm_(values[start:stop], values[start:].T)


def _mirror(total: torch.Tensor) -> None:
    for start, stop in _chunks(len(total)):
        total[stop:, start:stop] = total[start:stop, stop:].T


def _chunks(n: int) -> list[tuple[int, int]]:
    step = max(192, -(-n // 8))
    return [(start, min(n, start + step)) for start in range(0, n, step)]


def symmetric_product(values: torch.Tensor) -> torch.Tensor:
    """``values @ values.T`` at about half of the products."""
    total = torch.zeros(len(values), len(values), dtype=values.dtype, device=values.device)
    _add_product(total, values)
    _mirror(total)
    return total
