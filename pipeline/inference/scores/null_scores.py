"""What scores are where nothing predicts: the same fits to responses in other orders, and the p that they give.

Every order repeats all that was chosen with the responses: penalties, the nested layer, the mean over folds. Orders are
the same for all layers, regions, subjects and models that share their samples, so the largest of many scores can be
compared with the largest of as many in each order.

A place is tested on the means of its leaves. A leaf is what one subject has in one region and compartment; scores of
its targets are averaged by Fisher z within each fold. The data as they are go through the same sums.

References
----------
Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39 (p of permutations is never 0);
Westfall & Young 1993, Resampling-Based Multiple Testing (largest statistic, studentised);
Nichols & Holmes 2002, Hum Brain Mapp 15:1–25.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoding.options import FEWEST_ORDERS
from pipeline.inference.places import MEAN
from pipeline.inference.scores.fold_scores import FoldScores, average_folds

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


BYTES_AT_ONCE = 64 << 20
SIGNIFICANT_BELOW = 0.05


@dataclasses.dataclass(frozen=True)
class NullScores:
    """Scores of one model's leaves, of the data as they are and of other orders of the responses.

    Parameters
    ----------
    leaf_of : (target,) number of each target's leaf; −1 for a target that is in none (constant responses)
    observed : (1, …, leaf), of the data as they are
    orders : chunks of (order, …, leaf), once per iteration
    n_orders : how many there are in all
    units : (group, whether responses are averaged) → name of each parcel or vertex → its nested scores, (1 + order,),
        of the data as they are first
    """

    leaf_of: NDArray[np.intp]
    observed: FoldScores
    orders: Iterable[FoldScores]
    n_orders: int
    units: dict[tuple[str, bool], dict[str, NDArray[Any]]] = dataclasses.field(default_factory=dict)


def null_of(parts: Sequence[xr.Dataset], values: str = "null_z") -> NullScores | None:
    """Of encoding scores of groups that share their samples; None where they have too few other orders in common.

    Parameters
    ----------
    values : ``null_z``, Fisher z; or ``null_unique``, unique contributions, which stand in place of R²
    """
    if not all(values in part.variables for part in parts):
        return None
    first_leaf = np.cumsum([0, *(part.sizes["leaf"] for part in parts)])
    leaf_of = [
        np.where(part["leaf_of"].values >= 0, part["leaf_of"].values + first, -1)
        for part, first in zip(parts, first_leaf, strict=False)
    ]
    common = _common_orders(parts)
    if len(common) < FEWEST_ORDERS:
        return None
    codes = [part["order_code"].values.tolist() for part in parts]
    rows = [[0, *(own.index(code) for code in common)] for own in codes]
    z, inner = (
        np.concatenate([part[name].values[own] for part, own in zip(parts, rows, strict=True)], axis=-1)
        for name in (values, "null_inner")
    )
    orders = _Orders(z, inner, parts[0]["fold_weight"].values.astype(np.float32), values != "null_z")
    return NullScores(np.concatenate(leaf_of), orders.chunk(slice(0, 1)), orders, len(common), _units_of(parts))


def _common_orders(parts: Sequence[xr.Dataset]) -> list[int]:
    """Orders that all groups were put in: slower responses, and more targets, allow fewer."""
    first, *others = ([int(code) for code in part["order_code"].values[1:]] for part in parts)
    return [code for code in first if all(code in other for other in others)]


def _units_of(parts: Sequence[xr.Dataset]) -> dict[tuple[str, bool], dict[str, NDArray[Any]]]:
    found: dict[tuple[str, bool], dict[str, NDArray[Any]]] = {}
    for part in parts:
        if "null_unit" not in part.variables:
            continue
        labels = zip(part["null_unit_subject"].values, part["null_unit_name"].values, strict=True)
        for (subject, name), scores in zip(labels, part["null_unit"].values.T, strict=True):
            found.setdefault((str(part.attrs["group"]), subject == MEAN), {})[str(name)] = scores
    return found


@dataclasses.dataclass(frozen=True)
class _Orders:
    """Chunks of orders, made when iterated over.

    Parameters
    ----------
    z, inner : (1 + order, fold, layer, leaf), the given order first
    weight : (fold,)
    are_r2 : whether z holds what is averaged as R² is
    """

    z: NDArray[np.float32]
    inner: NDArray[np.float32]
    weight: NDArray[np.float32]
    are_r2: bool = False

    def chunk(self, which: slice) -> FoldScores:
        z = self.z[which]
        weight = np.broadcast_to(self.weight[:, None], (z.shape[0], self.weight.size, z.shape[-1]))
        return average_folds(z, weight, self.inner[which], z if self.are_r2 else None)

    def __iter__(self) -> Iterator[FoldScores]:
        size = max(1, BYTES_AT_ONCE // max(1, self.z[0].nbytes))
        for start in range(1, self.z.shape[0], size):
            yield self.chunk(slice(start, start + size))


def p_value(observed: NDArray[Any], null: NDArray[Any]) -> NDArray[np.float64]:
    """One-sided p of each statistic: (1 + orders that reach it) / (1 + orders); NaN where it is undefined.

    Parameters
    ----------
    observed : (…)
    null : (order, …)
    """
    defined = np.isfinite(observed) & np.isfinite(null).any(axis=0)
    reached = (np.where(np.isfinite(null), null, -np.inf) >= observed - 1e-12).sum(axis=0)
    return np.where(defined, (1 + reached) / (1 + null.shape[0]), np.nan)


def p_of_largest(observed: NDArray[Any], null: NDArray[Any]) -> NDArray[np.float64]:
    """p of each statistic against the largest of its family in each order, all of them standardised.

    Parameters
    ----------
    observed : (statistic,), a family
    null : (order, statistic)
    """
    own, others = standardised(observed, null)
    largest = np.where(np.isfinite(others), others, -np.inf).max(axis=1, initial=-np.inf)
    found = (1 + (largest[:, None] >= own - 1e-12).sum(axis=0)) / (1 + null.shape[0])
    return np.where(np.isfinite(own), found, np.nan)


def p_pooled(observed: NDArray[Any], null: NDArray[Any]) -> NDArray[np.float64]:
    """p of each statistic against all standardised ones of all orders together: many alike have p below 1/(1 + orders).

    Parameters
    ----------
    observed : (statistic,)
    null : (order, statistic)
    """
    own, others = standardised(observed, null)
    pool = np.sort(others[np.isfinite(others)])
    reached = pool.size - np.searchsorted(pool, own - 1e-12)
    return np.where(np.isfinite(own), (1 + reached) / (1 + pool.size), np.nan)


def standardised(observed: NDArray[Any], null: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Statistics less their mean and over their SD in the other orders; NaN where these do not vary.

    Every order is held against the orders beside itself, as the data are: with itself among them none could exceed
    (n − 1)/√n. The data are in no mean or SD: one large effect would shrink its own column, and the largest of the
    others would be too small for the rest of its family.

    Returns
    -------
    of the data, (statistic,), and of each order, (order, statistic)
    """
    there = np.isfinite(null)
    n = there.sum(axis=0)
    values = np.where(there, null, 0.0).astype(np.float64)
    centre = values.sum(axis=0) / np.maximum(n, 1)
    values = np.where(there, values - centre, 0.0)  # sums of squares lose nothing about their own mean
    squares = (values**2).sum(axis=0)
    known = (n > 2) & (squares > 1e-20 * np.maximum(centre**2, 1e-12))
    without = -values / np.maximum(n - 1, 1)
    variance = (squares - values**2 - (n - 1) * without**2) / np.maximum(n - 2, 1)
    usable = known & there & (variance > 0)
    others = np.where(usable, (values - without) / np.sqrt(np.where(usable, variance, 1.0)), np.nan)
    sd = np.sqrt(np.where(known, squares / np.maximum(n - 1, 1), 1.0))
    own = np.where(known & np.isfinite(observed), (observed - centre) / sd, np.nan)
    return own, others


def false_discovery_rate(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini–Hochberg q of each p; NaN where p is."""
    from scipy.stats import false_discovery_control

    q = np.full(p.size, np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
