"""From sums per held-out block to the R² of a joint fit, the share of each space, and what a layer adds to the others.

The joint R² is that of `pipeline.inference.scores.fold_scores`. A space's share is Σ p_s (2y − p) / Σ y² with its part
p_s of the held-out prediction p, both sides less the fold's mean of the responses (the product measure): shares of all
spaces and of the offset, the difference between the training and the held-out mean, sum to the joint R². A share says
how the joint fit divides what spaces have in common. The unique contribution does not: it is the joint R² minus the R²
of a fit of the other spaces alone, on the same folds.

References
----------
Dupré la Tour et al. 2022, NeuroImage 264:119728 (product measure, as ``himalaya.scoring.r2_score_split``);
de Heer et al. 2017, J Neurosci 37:6539–6557 (unique contributions by variance partitioning).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.scores.fold_scores import NO_VARIANCE_DRAWN, NO_VARIANCE_RAW
from pipeline.inference.scores.null_scores import NullScores, null_of

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

BYTES_AT_ONCE = 32 << 20
JOINT, WITHOUT, UNIQUE, OFFSET, FIRST_SHARE = range(5)
"""Places along the axis of quantities; the shares of the spaces come last."""


@dataclasses.dataclass(frozen=True)
class VarianceSums:
    """One group's sums per block, in units of each fold's variance of the responses.

    Parameters
    ----------
    spaces : names; the layer itself comes first
    n, fold : (block,) samples, and the fold's number from 0
    y2 : (block, target) sums of squares of the responses less their fold's mean
    explained : (quantity, block, layer, target) sums of what is explained, less what the fold's mean explains
    y_varies : (fold, target)
    """

    spaces: list[str]
    n: NDArray[np.floating]
    fold: NDArray[np.intp]
    y2: NDArray[np.floating]
    explained: NDArray[np.floating]
    y_varies: NDArray[np.bool_]

    def as_floats(self, dtype: np.dtype[Any]) -> VarianceSums:
        """The same in the precision of the draws."""
        return dataclasses.replace(
            self, **{name: getattr(self, name).astype(dtype) for name in ("n", "y2", "explained")}
        )


def variance_sums(scores: xr.Dataset) -> VarianceSums | None:
    """Take the sums of one file of encoding scores; None unless they are of a joint fit."""
    if "space" not in scores.dims:
        return None
    fold = np.unique(scores["fold"].values, return_inverse=True)[1]
    n = scores["n"].values.astype(np.float64)
    raw = {name: scores[f"sum_{name}"].values.astype(np.float64) for name in ("p2", "py", "y", "y2")}
    without = {name: scores[f"without_sum_{name}"].values.astype(np.float64) for name in ("p2", "py")}
    shares = 2 * scores["sum_spy"].values.astype(np.float64) - scores["sum_spp"].values
    explained = np.zeros((FIRST_SHARE + shares.shape[0], *shares.shape[1:]))
    y2 = np.zeros_like(raw["y"])
    varies = np.zeros((fold.max() + 1, y2.shape[1]), bool)
    for k in range(fold.max() + 1):
        rows = np.flatnonzero(fold == k)
        m = n[rows][:, None]
        mean = raw["y"][rows].sum(axis=0) / m.sum()
        y2[rows] = raw["y2"][rows] - 2 * mean * raw["y"][rows] + m * mean**2
        # Σ (p − ȳ) (2 (y − ȳ) − (p − ȳ)) over a block's samples
        of_mean = m * mean**2 - 2 * mean * raw["y"][rows]
        explained[JOINT][rows] = 2 * raw["py"][rows] - raw["p2"][rows] + of_mean[:, None]
        explained[WITHOUT][rows] = (2 * without["py"][rows] - without["p2"][rows] + of_mean)[:, None]
        explained[FIRST_SHARE:, rows] = shares[:, rows] - mean * scores["sum_sp"].values[:, rows]
        total = y2[rows].sum(axis=0)
        varies[k] = total > NO_VARIANCE_RAW * raw["y2"][rows].sum(axis=0)
        variance = np.where(varies[k], total / m.sum(), 1.0)
        y2[rows] /= variance
        explained[:, rows] /= variance
    explained[UNIQUE] = explained[JOINT] - explained[WITHOUT]
    explained[OFFSET] = explained[JOINT] - explained[FIRST_SHARE:].sum(axis=0)
    return VarianceSums([str(name) for name in scores["space"].values], n, fold, y2, explained, varies)


@dataclasses.dataclass(frozen=True)
class VarianceScores:
    """R² and its parts in each fold, for one or more draws.

    Parameters
    ----------
    held : (draw, fold, quantity, layer, target)
    weight : (draw, fold, target), of the fold in the mean; 0 where it is dropped
    """

    held: NDArray[np.floating]
    weight: NDArray[np.floating]

    def over_folds(self, targets: NDArray[np.intp]) -> NDArray[Any]:
        """Mean over folds at every layer: (draw, quantity, layer, target), NaN where no fold is left."""
        return _mean_over_folds(self.held[..., targets], self.weight[:, :, None, None, targets])

    def at_layers(self, targets: NDArray[np.intp], choices: NDArray[np.intp]) -> NDArray[Any]:
        """Mean over folds, each at the layer chosen for it: (draw, quantity, target).

        Parameters
        ----------
        choices : (draw or 1, fold) number of a layer; −1 leaves the fold out
        """
        held, weight = self.held[..., targets], self.weight[..., targets]
        n_draws = max(len(held), len(choices))
        picked = np.empty((n_draws, *held.shape[1:3], targets.size), held.dtype)
        for fold in range(held.shape[1]):
            layer = np.broadcast_to(np.maximum(choices[:, fold], 0), n_draws)
            draw = np.arange(n_draws) if len(held) > 1 else np.zeros(n_draws, int)
            picked[:, fold] = held[draw, fold, :, layer]
        return _mean_over_folds(picked, (weight * (choices >= 0)[:, :, None])[:, :, None])


def _mean_over_folds(values: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    total = weight.sum(axis=1)
    mean: NDArray[Any] = (weight * values).sum(axis=1) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, np.nan)


def variance_scores(sums: VarianceSums, counts: NDArray[np.floating] | None = None) -> VarianceScores:
    """R² and its parts, each block taken as often as a draw says; the fold's mean stays that of the whole fold.

    Parameters
    ----------
    counts : (draw, block) multiplicities, floating; results have their precision. None: the data as they are
    """
    if counts is None:
        counts = np.ones((1, sums.n.size))
    n_quantities, _, n_layers, n_targets = sums.explained.shape
    n_folds = sums.y_varies.shape[0]
    held = np.zeros((len(counts), n_folds, n_quantities, n_layers, n_targets), counts.dtype)
    weight = np.zeros((len(counts), n_folds, n_targets), counts.dtype)
    for k in range(n_folds):
        rows = np.flatnonzero(sums.fold == k)
        drawn = counts[:, rows]
        n = drawn @ sums.n[rows].astype(counts.dtype, copy=False)
        square = drawn @ sums.y2[rows]
        varies = sums.y_varies[k] & (square > NO_VARIANCE_DRAWN * n[:, None])
        explained = np.moveaxis(np.tensordot(drawn, sums.explained[:, rows], axes=(1, 1)), 1, 1)
        held[:, k] = np.where(varies, 1 / np.where(varies, square, 1), 0)[:, None, None] * explained
        distinct = (drawn > 0) @ sums.n[rows].astype(counts.dtype, copy=False)
        weight[:, k] = np.where(distinct > 3, n - 3, 0)[:, None] * varies
    return VarianceScores(held, weight)


def join_groups(parts: Sequence[VarianceScores]) -> VarianceScores:
    """Put the targets of several groups that share their draws side by side."""
    if len(parts) == 1:
        return parts[0]
    return VarianceScores(
        np.concatenate([part.held for part in parts], axis=-1), np.concatenate([part.weight for part in parts], axis=-1)
    )


@dataclasses.dataclass(frozen=True)
class Division:
    """How one model's explained variance divides in a batch of groups.

    Parameters
    ----------
    sums : one per group
    counts : (draw, block) of the bootstrap over blocks
    weight : (fold, space, layer, target) chosen weights of the spaces
    null : unique contributions of the data, and where the layer adds nothing; None where there are none
    """

    sums: list[VarianceSums]
    counts: NDArray[np.float32]
    weight: NDArray[np.floating]
    null: NullScores | None = None

    @property
    def spaces(self) -> list[str]:
        return self.sums[0].spaces

    @property
    def point(self) -> VarianceScores:
        return join_groups([variance_scores(one) for one in self.sums])

    def draws(self) -> Iterator[VarianceScores]:
        """Chunks of draws over blocks."""
        sums = [one.as_floats(self.counts.dtype) for one in self.sums]
        per_draw = 4 * sum(one.y_varies.size * int(np.prod(one.explained.shape[::2])) for one in sums)
        at_once = max(1, BYTES_AT_ONCE // per_draw)
        for start in range(0, len(self.counts), at_once):
            yield join_groups([variance_scores(one, self.counts[start : start + at_once]) for one in sums])


def division_of(parts: Sequence[xr.Dataset], counts: NDArray[np.float32]) -> Division | None:
    """What divides the variance of several groups' scores of one model; None unless all are of a joint fit."""
    sums = [one for one in (variance_sums(part) for part in parts) if one is not None]
    if not sums or len(sums) < len(parts):
        return None
    weight = np.concatenate([part["weight"].values for part in parts], axis=-1)
    return Division(sums, counts, weight, null_of(parts, "null_unique"))
