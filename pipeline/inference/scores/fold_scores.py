"""From sums per held-out block to Pearson r within folds, for the data and for bootstrap draws of the blocks.

A score is Pearson r within each outer fold, averaged over folds by Fisher z; predictions are never pooled
over folds, whose penalties and means differ. Folds weigh n − 3, the inverse variance of z. Within categories,
the category means of a fold are removed from predictions and responses first; that costs one more degree of
freedom per further category, hence n − 2 − (number of means removed), which is n − 3 for a single mean.

R² is 1 − Σ(y − p)² / Σ(y − ȳ)² over the samples of a fold, ȳ their mean: what is predicted better than by the best
constant. Folds are averaged with the same weights, never pooled. It is below 0 where predictions are worse than that
mean, without a lower bound. Within categories both sides lose their category means first, as for r. Draws of blocks
keep the mean of the whole fold: taken anew from the few blocks of a draw, it fits these better than the data's own
does, and R² of draws was far too low (−10.67 to −3.19 where the estimate is −2.60).

References
----------
Fisher 1921, Metron 1:3–32; Corey, Dunlap & Burke 1998, J Gen Psychol 125:245–261 (averaging by z).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

LARGEST_R = 1 - 1e-6
# Variances below these shares of the raw (then of the standardised) power are rounding, not variance.
NO_VARIANCE_RAW = 1e-12
NO_VARIANCE_DRAWN = 1e-5


@dataclasses.dataclass(frozen=True)
class FoldScores:
    """Scores of every layer and target, for one or more draws.

    Parameters
    ----------
    score : (draw, layer, target), r averaged over folds by Fisher z; NaN where no fold is left
    choice : (draw, fold, layer, target), r on the data other than the fold's: what a layer is named by
    held_z : (draw, fold, layer, target), Fisher z on the fold
    weight : (draw, fold, target), of the fold in the mean; 0 where it is dropped
    inner : (1, fold, layer, target), r in the inner folds of each fold's training rows: what the layer that is scored
        on the fold is chosen by; None where nothing was fitted in inner folds
    r2 : (draw, layer, target), R² averaged over folds; NaN where no fold is left. None where nothing was predicted
    held_r2 : (draw, fold, layer, target), R² on the fold

    Notes
    -----
    Models that predict the other folds were trained on the fold in question, so their scores know its responses: a
    choice by them leaks. On noise (8 layers, 400 samples, one listener) the nested score was .10 that way, and .01
    with a choice by inner folds.
    """

    score: NDArray[np.floating]
    choice: NDArray[np.floating]
    held_z: NDArray[np.floating]
    weight: NDArray[np.floating]
    inner: NDArray[np.floating] | None = None
    r2: NDArray[np.floating] | None = None
    held_r2: NDArray[np.floating] | None = None

    def layers(self, which: slice | NDArray[np.intp]) -> FoldScores:
        """The same for some layers."""
        inner, r2, held_r2 = (
            None if values is None else values[..., which, :] for values in (self.inner, self.r2, self.held_r2)
        )
        score, choice, held_z = (values[..., which, :] for values in (self.score, self.choice, self.held_z))
        return FoldScores(score, choice, held_z, self.weight, inner, r2, held_r2)

    @property
    def scored_by(self) -> NDArray[np.floating]:
        """What the layer that is scored on each fold is chosen by, (draw or 1, fold, layer, target)."""
        return self.choice if self.inner is None else self.inner


def join_targets(parts: list[FoldScores]) -> FoldScores:
    """Put the targets of several groups that share their draws side by side."""
    if len(parts) == 1:
        return parts[0]

    def joined(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if any(one is None for one in values) else np.concatenate(values, axis=-1)

    return FoldScores(*(joined(field.name) for field in dataclasses.fields(FoldScores)))


@dataclasses.dataclass(frozen=True)
class BlockSums:
    """One group's sufficient statistics, centred and scaled within folds so that float32 keeps its precision.

    Parameters
    ----------
    n : (block,) samples
    fold, cell : (block,) integers; the mean of each cell is removed, and a cell lies within one fold
    p, p2, py : (block, layer, target) sums of standardised predictions, their squares and products, floating
    y, y2 : (block, target)
    error : (block, layer, target) sums of squared errors, in units of the fold's variance of the responses
    p_varies : (fold, layer, target); y_varies : (fold, target)
    min_blocks : a cell with fewer distinct blocks is left out (2 within categories, else 1)
    inner : (fold, layer, target) r in inner folds; None where there were none
    """

    n: NDArray[np.floating]
    fold: NDArray[np.intp]
    cell: NDArray[np.intp]
    p: NDArray[np.floating]
    p2: NDArray[np.floating]
    py: NDArray[np.floating]
    y: NDArray[np.floating]
    y2: NDArray[np.floating]
    error: NDArray[np.floating]
    p_varies: NDArray[np.bool_]
    y_varies: NDArray[np.bool_]
    min_blocks: int
    inner: NDArray[np.float64] | None = None

    @property
    def n_blocks(self) -> int:
        return int(self.n.size)

    @property
    def size_per_draw(self) -> int:
        """Numbers that one draw's largest array holds."""
        return int(self.p_varies.size)

    def as_floats(self, dtype: np.dtype[Any]) -> BlockSums:
        """The same in the precision of the draws, so that it is not converted for each chunk of them."""
        sums = {name: getattr(self, name).astype(dtype) for name in ("n", "p", "p2", "py", "y", "y2", "error")}
        return dataclasses.replace(self, **sums)


def block_sums(scores: xr.Dataset, *, within_category: bool = False) -> BlockSums:
    """Take the sums of one encoding-scores file, standardised within each fold (and category).

    Blocks of a category that is alone in its fold carry no information within categories and drop out.
    """
    fold = np.unique(scores["fold"].values, return_inverse=True)[1]
    label = np.zeros(fold.size, dtype=np.intp)
    if within_category:
        label = np.unique(scores["block_category"].values.astype(str), return_inverse=True)[1]
    cell = np.unique(fold * (label.max() + 1) + label, return_inverse=True)[1]
    raw = {name: scores[f"sum_{name}"].values.astype(np.float64) for name in ("p", "p2", "py", "y", "y2")}
    raw["error"] = np.zeros_like(raw["p"])
    n = scores["n"].values.astype(np.float64)
    min_blocks = 2 if within_category else 1
    kept = np.bincount(cell)[cell] >= min_blocks
    p_varies = np.zeros((fold.max() + 1, *raw["p"].shape[1:]), dtype=bool)
    y_varies = np.zeros((fold.max() + 1, raw["y"].shape[1]), dtype=bool)
    for k in range(fold.max() + 1):
        rows = np.flatnonzero((fold == k) & kept)
        if rows.size:
            p_varies[k], y_varies[k] = _standardise(raw, n, rows, cell[rows], keep_offset=not within_category)
    inner = scores["inner_score"].values.astype(np.float64) if "inner_score" in scores.variables else np.zeros(0)
    return BlockSums(
        n,
        fold,
        cell,
        **raw,
        p_varies=p_varies,
        y_varies=y_varies,
        min_blocks=min_blocks,
        inner=inner if inner.any() else None,  # a package's own metric may have fitted nothing in inner folds
    )


def _standardise(
    raw: dict[str, Any], n: NDArray[np.float64], rows: NDArray[np.intp], cell: NDArray[np.intp], *, keep_offset: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Remove cell means from the sums of a fold's rows and divide by the fold's SD, in place.

    Fills the squared errors as well; ``keep_offset``: those between the means of both sides are part of them.
    """
    power_p, power_y = raw["p2"][rows].sum(axis=0), raw["y2"][rows].sum(axis=0)
    for one in np.unique(cell):
        members = rows[cell == one]
        m = n[members]
        mean_p = raw["p"][members].sum(axis=0) / m.sum()
        mean_y = raw["y"][members].sum(axis=0) / m.sum()
        m_p, m_y = m[:, None, None], m[:, None]
        raw["py"][members] += (
            -mean_y * raw["p"][members] - mean_p * raw["y"][members][:, None] + m_p * (mean_p * mean_y)
        )
        raw["p2"][members] += -2 * mean_p * raw["p"][members] + m_p * mean_p**2
        raw["y2"][members] += -2 * mean_y * raw["y"][members] + m_y * mean_y**2
        raw["p"][members] -= m_p * mean_p
        raw["y"][members] -= m_y * mean_y
        error = raw["y2"][members][:, None] - 2 * raw["py"][members] + raw["p2"][members]
        if keep_offset:
            offset = mean_y - mean_p
            error += 2 * offset * (raw["y"][members][:, None] - raw["p"][members]) + m_p * offset**2
        raw["error"][members] = np.maximum(error, 0)  # rounding
    square_p, square_y = raw["p2"][rows].sum(axis=0), raw["y2"][rows].sum(axis=0)
    p_varies, y_varies = square_p > NO_VARIANCE_RAW * power_p, square_y > NO_VARIANCE_RAW * power_y
    scale_p = 1 / np.sqrt(np.where(p_varies, square_p / n[rows].sum(), 1.0))
    scale_y = 1 / np.sqrt(np.where(y_varies, square_y / n[rows].sum(), 1.0))
    raw["p"][rows] *= scale_p
    raw["p2"][rows] *= scale_p**2
    raw["py"][rows] *= scale_p * scale_y
    raw["y"][rows] *= scale_y
    raw["y2"][rows] *= scale_y**2
    raw["error"][rows] *= scale_y**2
    return p_varies, y_varies


def fold_scores(sums: BlockSums, counts: NDArray[np.floating] | None = None) -> FoldScores:
    """Scores of all layers and targets, each block taken as often as a draw says.

    Parameters
    ----------
    counts : (draw, block) multiplicities, floating; results have their precision. None: the data as they are

    Notes
    -----
    A fold drops out of a target's mean where its (distinct) samples leave no degree of freedom, n ≤ 3 for
    plain scores, or where the responses do not vary. A prediction that does not vary scores 0: dropping
    it would let a layer that often predicts nothing be judged by its good folds alone.
    """
    if counts is None:
        counts = np.ones((1, sums.n_blocks))
    n_draws, n_folds = counts.shape[0], sums.y_varies.shape[0]
    z, r2 = (np.zeros((n_draws, *sums.p_varies.shape), dtype=counts.dtype) for _ in range(2))
    weight = np.zeros((n_draws, n_folds, sums.y_varies.shape[1]), dtype=counts.dtype)
    for k in range(n_folds):
        _score_fold(sums, counts, k, z[:, k], weight[:, k], r2[:, k])
    return average_folds(z, weight, None if sums.inner is None else sums.inner[None].astype(counts.dtype), r2)


def _score_fold(
    sums: BlockSums, counts: NDArray[Any], k: int, z: NDArray[Any], weight: NDArray[Any], r2: NDArray[Any]
) -> None:
    """Fill Fisher z and R² (draw, layer, target) and weight (draw, target) of fold ``k``."""
    n_draws, dtype = counts.shape[0], counts.dtype
    square_p, product, square_y = np.zeros_like(z), np.zeros_like(z), np.zeros_like(weight)
    about_mean = np.zeros_like(weight)
    total, distinct = np.zeros(n_draws, dtype), np.zeros(n_draws, dtype)
    n_cells = np.zeros(n_draws, dtype)
    for cell in np.unique(sums.cell[sums.fold == k]):
        rows = np.flatnonzero(sums.cell == cell)
        drawn = counts[:, rows]
        drawn = drawn * ((drawn > 0).sum(axis=1, keepdims=True) >= sums.min_blocks)
        n = drawn @ sums.n[rows].astype(dtype, copy=False)
        inverse_n = 1 / np.where(n > 0, n, 1)
        p, p2, py, y, y2, error = (
            np.tensordot(drawn, sums_of[rows].astype(dtype, copy=False), axes=1)
            for sums_of in (sums.p, sums.p2, sums.py, sums.y, sums.y2, sums.error)
        )
        r2 += error
        square_p += p2 - p**2 * inverse_n[:, None, None]
        product += py - p * y[:, None] * inverse_n[:, None, None]
        square_y += y2 - y**2 * inverse_n[:, None]
        about_mean += y2  # of the fold, not of the draw
        total += n
        distinct += (drawn > 0) @ sums.n[rows].astype(dtype, copy=False)
        n_cells += n > 0
    small = NO_VARIANCE_DRAWN * total
    y_varies = sums.y_varies[k] & (square_y > small[:, None])
    p_varies = sums.p_varies[k] & (square_p > small[:, None, None])
    both = p_varies & y_varies[:, None]
    r = np.where(both, product, 0) / np.sqrt(np.where(both, square_p * square_y[:, None], 1))
    z[:] = np.arctanh(np.clip(r, -LARGEST_R, LARGEST_R))
    np.divide(r2, np.where(y_varies, about_mean, 1)[:, None], out=r2)
    np.subtract(1, r2, out=r2)
    r2 *= y_varies[:, None]
    freedom = np.where(distinct > n_cells + 2, total - n_cells - 2, 0)
    weight[:] = freedom[:, None] * y_varies


def average_folds(
    z: NDArray[Any], weight: NDArray[Any], inner: NDArray[Any] | None = None, r2: NDArray[Any] | None = None
) -> FoldScores:
    """Average Fisher z over all folds, and over all folds but each in turn; R² over all folds.

    Parameters
    ----------
    z : (draw, fold, layer, target)
    weight : (draw, fold, target)
    inner : (1, fold, layer, target), kept
    r2 : (draw, fold, layer, target)
    """
    weighted = weight[:, :, None] * z
    total, weights = weighted.sum(axis=1), weight.sum(axis=1)
    others, other_weights = total[:, None] - weighted, weights[:, None] - weight
    mean_r2 = None if r2 is None else _mean(np.einsum("dkt,dklt->dlt", weight, r2), weights)
    return FoldScores(_mean_r(total, weights), _mean_r(others, other_weights), z, weight, inner, mean_r2, r2)


def _mean_r(weighted_z: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """tanh of Σwz / Σw over a layer axis before the last; NaN where the weights are 0."""
    return np.asarray(np.tanh(_mean(weighted_z, weights)))


def _mean(weighted: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    left = weights > 1e-6
    mean: NDArray[Any] = weighted / np.where(left, weights, 1)[..., None, :]
    mean[np.broadcast_to(~left[..., None, :], mean.shape)] = np.nan
    return mean
