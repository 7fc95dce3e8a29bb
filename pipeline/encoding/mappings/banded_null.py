"""What a layer adds where it has nothing to add: joint fits of data whose remainder is in other orders.

The null keeps what the named spaces B predict: y* = ŷ_B + e*, with the held-out predictions ŷ_B of the fit of B alone
and the remainder e = y − ŷ_B in another order, rolled or permuted as responses are for the null of scores (Freedman &
Lane 1983). B and B with the layer are fitted anew to y*, with weightings and penalties of their own, and R² is
subtracted. Orders of y itself would not do: they also undo what B explains, and what a layer that is like B seems to
add depends on how much there is for it to take over. Held-out ŷ_B leave a remainder that holds all of the noise; what
the fit of B has gone through in training rows would be missing from it.

An order is as dear as more targets in a joint fit, as many times as there are weightings. So there are fewer orders
than of ridge: a layer is fitted to about as many targets × orders × weightings, but to 39 orders at least.

References
----------
Freedman & Lane 1983, J Bus Econ Stat 1:292–298;
Winkler et al. 2014, NeuroImage 92:381–397 (compared with other permutations of regressions).
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import numpy as np

from pipeline.encoding.arithmetic.scratch import Scratch, target_batches
from pipeline.encoding.design import Design
from pipeline.encoding.group.shuffle import Reordered
from pipeline.encoding.mapping import OtherOrders
from pipeline.encoding.mappings.banded_fit import BandedFit, Collect
from pipeline.encoding.null_tables import Dropped, Leaves, fold_weights, null_lots, order_codes

MOST_COLUMNS = 130_000
"""Targets × orders × weightings that a layer is fitted to; groups of more have fewer orders, but at least `FEWEST`."""
FEWEST = 39
"""Orders however many targets there are: the smallest p is .025."""
NO_VARIANCE = 1e-12
BATCH_MB = 64.0


class FitAgain(Protocol):
    """Fits the same feature spaces to other responses."""

    def __call__(self, responses: Reordered, *, predictions: np.ndarray, collect: Collect) -> BandedFit: ...


def n_unique_orders(n: int, n_targets: int, n_weightings: int) -> int:
    """In how many of n other orders the unique contributions of so many targets are tested."""
    return min(n, max(FEWEST, MOST_COLUMNS // max(1, n_targets * n_weightings)))


class FoldR2:
    """R² of held-out predictions in each fold: 1 − Σ(y − p)² / Σ(y − ȳ)²; 0 where responses do not vary.

    Attributes
    ----------
    values : (n_folds, n_targets) float64
    """

    def __init__(self, n_folds: int, n_targets: int) -> None:
        self.values = np.zeros((n_folds, n_targets))

    def add(
        self, number: int, targets: np.ndarray, parts: np.ndarray, predicted: np.ndarray, measured: np.ndarray
    ) -> None:
        """Take in predictions and responses ``(n_test, n_batch)`` of one fold and some targets."""
        y, p = measured.astype(np.float64), predicted.astype(np.float64)
        total, error = ((y - y.mean(axis=0)) ** 2).sum(axis=0), ((y - p) ** 2).sum(axis=0)
        varies = total > NO_VARIANCE * (y**2).sum(axis=0)
        self.values[number, targets] = np.where(varies, 1 - error / np.where(varies, total, 1), 0)


class UniqueNull:
    """Unique contributions of all layers to the data, and to data to which the layers have nothing to add.

    Parameters
    ----------
    others : orders of the remainder, of which the first few are taken
    responses, predicted : (n_samples, n_targets), and what the named spaces alone predict of them where held out
    design : of the fit
    targets : coordinates, name → (n_targets,)
    n_weightings : tried in each joint fit
    scratch : makes the arrays

    Notes
    -----
    `take_without` comes before the first layer, then `add` for each layer.
    """

    def __init__(
        self,
        others: OtherOrders,
        responses: np.ndarray,
        predicted: np.ndarray,
        design: Design,
        targets: dict[str, np.ndarray],
        *,
        n_weightings: int,
        scratch: Scratch,
    ) -> None:
        n_targets = responses.shape[1]
        self._orders = others.orders[: n_unique_orders(len(others.orders), n_targets, n_weightings)]
        self._after, self._n_folds = others.after, len(design.splits)
        self._leaves = Leaves(targets, others.constant)
        self._weight = fold_weights(design)
        self._kept, self._remainder = (scratch.array(responses.shape, np.float32) for _ in range(2))
        for batch in target_batches(n_targets, responses.shape[0], scratch.batch_mb(BATCH_MB)):
            self._kept[:, batch] = np.nan_to_num(predicted[:, batch])  # 0 for samples that no fold holds out
            self._remainder[:, batch] = responses[:, batch] - self._kept[:, batch]
        self._without = np.empty(0)
        self._unique: list[np.ndarray] = []
        self._inner: list[np.ndarray] = []

    def take_without(self, r2: np.ndarray, again: FitAgain) -> None:
        """Take in R² ``(n_folds, n_targets)`` of the fit without a layer, and fit it again in all orders."""
        self._without = np.concatenate([self._leaves.means(r2[None]), self._in_orders(again)[0]])

    def add(self, r2: np.ndarray, inner: np.ndarray, again: FitAgain) -> None:
        """Take in R² and inner r ``(n_folds, n_targets)`` of a joint fit, and fit it again in all orders."""
        in_orders = self._in_orders(again)
        joint, inner = (
            np.concatenate([self._leaves.means(one[None]), more])
            for one, more in zip((r2, inner), in_orders, strict=True)
        )
        self._unique.append((joint - self._without).astype(np.float32))
        self._inner.append(inner.astype(np.float32))

    def _in_orders(self, again: FitAgain) -> tuple[np.ndarray, np.ndarray]:
        """R² and inner r in each order, means over leaves: (n_orders, n_folds, n_leaves)."""
        n_targets, first = self._kept.shape[1], 0
        found: list[tuple[np.ndarray, ...]] = []
        for size in null_lots(len(self._orders), n_targets):
            orders = self._orders[first : first + size]
            responses = Reordered(self._remainder, orders, self._after, self._kept)
            r2 = FoldR2(self._n_folds, responses.shape[1])
            fit = again(responses, predictions=cast("np.ndarray", Dropped(responses.shape)), collect=r2.add)
            shape = (self._n_folds, size, n_targets)
            found.append(tuple(self._leaves.means(one.reshape(shape)) for one in (r2.values, fit.inner_score)))
            first += size
        r2_of, inner_of = (np.moveaxis(np.concatenate(part, axis=1), 1, 0) for part in zip(*found, strict=True))
        return r2_of, inner_of

    def variables(self) -> dict[str, Any]:
        """What scores hold of it."""
        by_leaf = ("order", "fold_id", "layer", "leaf")
        return {
            "null_unique": (by_leaf, np.stack(self._unique, axis=2)),
            "null_inner": (by_leaf, np.stack(self._inner, axis=2)),
            "leaf_of": ("target", self._leaves.number),
            "fold_weight": ("fold_id", self._weight),
            "order_code": ("order", order_codes(self._orders)),
        }
