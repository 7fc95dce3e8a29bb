"""What scores are where nothing predicts: every layer fitted again to the responses in other orders.

An order costs what more targets cost: features, folds and decompositions are those of the fit itself. Penalties are
chosen anew in each order. What is kept are means over leaves, so that the map can choose layers and average subjects
and regions in every order as it does in the data. A leaf is what one subject has in one region and compartment.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.design import Design
from pipeline.encoding.group.reliability import MEAN_SUBJECT
from pipeline.encoding.group.shuffle import Reordered
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.mapping import FitLayer
from pipeline.encoding.options import NullOptions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from pipeline.encoding.arithmetic.scratch import Scratch

MOST_COLUMNS = 100_000
"""Targets × orders that a layer is fitted to; groups of more targets have fewer orders, but as many as `FEWEST`."""
FEWEST = 99
"""Orders however many targets there are: the smallest p is .01."""


def n_orders_of(options: NullOptions, n_targets: int) -> int:
    """How many orders a group of so many targets has; see `MOST_COLUMNS` and `FEWEST`."""
    return min(options.n, max(FEWEST, MOST_COLUMNS // max(1, n_targets)))


def null_lots(n_orders: int, n_targets: int) -> list[int]:
    """How many of so many orders each fit of a layer holds side by side."""
    size = max(1, MOST_COLUMNS // max(1, n_targets))
    return [min(size, n_orders - start) for start in range(0, n_orders, size)]


class Dropped:
    """Takes predictions that nobody will read."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def __setitem__(self, key: Any, values: Any) -> None:
        pass


class Leaves:
    """Means over what one subject has in one region and compartment.

    Parameters
    ----------
    targets : coordinates, name → (n_targets,)
    constant : (n_targets,) bool, targets that are in no leaf

    Attributes
    ----------
    number : (n_targets,) number of each target's leaf, −1 for none
    n : how many leaves there are
    """

    def __init__(self, targets: dict[str, np.ndarray], constant: np.ndarray) -> None:
        names = ("subject", "region", "compartment")
        self.number = leaf_numbers([targets[name] for name in names], ~constant)
        self._to_leaves = leaf_means(self.number)
        self.n = self._to_leaves.shape[1]

    def means(self, values: np.ndarray) -> np.ndarray:
        """(…, n_targets) → (…, n_leaves)."""
        return over_leaves(values, self._to_leaves)


def fold_weights(design: Design) -> np.ndarray:
    """(n_folds,) of an outer fold in the mean, its degrees of freedom."""
    return np.array([max(fold.test.size - 3.0, 0.0) for fold in design.splits])


def order_codes(orders: Sequence[np.ndarray]) -> np.ndarray:
    """One number for each order, the same in all files, after 0 for the given one."""
    return np.array([0, *(zlib.crc32(order.tobytes()) for order in orders)])


class NullTables:
    """Scores of all layers in every order, the given one first.

    Parameters
    ----------
    reordered : the responses in some orders side by side, of which only slices of columns are read
    orders : of the samples
    design : of the fit
    targets : coordinates, name → (n_targets,)
    constant : (n_targets,) bool, targets that are in no leaf
    n_layers : how many are added
    scratch : makes the tables

    Attributes
    ----------
    z, inner : (1 + n_orders, n_folds, n_layers, n_leaves) float32, of outer folds (Fisher z) and inner ones (r)
    leaf : (n_targets,) number of each target's leaf, −1 for none
    weight : (n_folds,) of a fold in the mean, its degrees of freedom
    """

    def __init__(
        self,
        reordered: Callable[[Sequence[np.ndarray]], Reordered],
        orders: Sequence[np.ndarray],
        design: Design,
        targets: dict[str, np.ndarray],
        constant: np.ndarray,
        n_layers: int,
        scratch: Scratch,
    ) -> None:
        self._reordered, self._orders, self._design, self._scratch = reordered, list(orders), design, scratch
        self._leaves = Leaves(targets, constant)
        self.leaf = self._leaves.number
        shape = (1 + len(self._orders), len(design.splits), n_layers, self._leaves.n)
        self.z, self.inner = (scratch.array(shape, np.float32) for _ in range(2))
        self.weight = fold_weights(design)
        self.units = _Units(targets, constant, shape[:2], self.weight, scratch) if "unit" in targets else None

    def add(self, layer: int, fitted: LayerFit, features: np.ndarray, fit: FitLayer) -> None:
        """Take in the fit of a layer, and fit it to all orders."""
        self._take(layer, slice(0, 1), fitted.score[:, None], fitted.inner_score[:, None])
        n_targets, first = self.leaf.size, 0
        for size in null_lots(len(self._orders), n_targets):
            responses = self._reordered(self._orders[first : first + size])
            again = fit(
                features,
                cast("np.ndarray", responses),
                self._design,
                compute=self._scratch.left,
                predictions=cast("np.ndarray", Dropped(responses.shape)),
                after_fold=lambda: None,
            )
            shape = (len(self._design.splits), -1, n_targets)
            here = slice(1 + first, 1 + first + size)
            self._take(layer, here, again.score.reshape(shape), again.inner_score.reshape(shape))
            first += size

    def _take(self, layer: int, orders: slice, score: np.ndarray, inner: np.ndarray) -> None:
        """From (n_folds, n_orders, n_targets)."""
        z, inner = np.moveaxis(fisher_z(score), 1, 0), np.moveaxis(inner, 1, 0)
        self.z[orders, :, layer] = self._leaves.means(z)
        self.inner[orders, :, layer] = self._leaves.means(inner)
        if self.units is not None:
            self.units.take(orders, z, inner)

    def variables(self) -> dict[str, Any]:
        """What scores hold of it."""
        by_leaf = ("order", "fold_id", "layer", "leaf")
        found: dict[str, Any] = {"null_z": (by_leaf, self.z), "null_inner": (by_leaf, self.inner)}
        found |= {"leaf_of": ("target", self.leaf), "fold_weight": ("fold_id", self.weight)}
        found["order_code"] = ("order", order_codes(self._orders))
        if self.units is not None:
            found["null_unit"] = (("order", "null_unit_name"), self.units.scores())
            found["null_unit_subject"] = ("null_unit_name", self.units.subjects)
            found["null_unit_name"] = ("null_unit_name", self.units.names)
        return found


class _Units:
    """Nested scores of parcels or vertices, each by itself: of averaged responses, and the mean over listeners.

    The layer of a unit is the best so far in the inner folds of each outer fold, so nothing grows with the layers.
    """

    def __init__(
        self,
        targets: dict[str, np.ndarray],
        constant: np.ndarray,
        shape: tuple[int, ...],
        weight: np.ndarray,
        scratch: Scratch,
    ) -> None:
        averaged = np.where(targets["subject"] == MEAN_SUBJECT, MEAN_SUBJECT, "all")
        numbers = leaf_numbers([averaged, targets["unit"]], ~constant)
        self._to_units, self._weight = leaf_means(numbers), weight
        kept = np.flatnonzero(numbers >= 0)
        first = kept[np.unique(numbers[kept], return_index=True)[1]]
        self.subjects, self.names = (v[first].astype(object) for v in (averaged, targets["unit"]))
        self._best, self._z = (scratch.array((*shape, len(first)), np.float32) for _ in range(2))
        self._best[:] = -np.inf

    def take(self, orders: slice, z: np.ndarray, inner: np.ndarray) -> None:
        """From (n_orders, n_folds, n_targets) of one layer."""
        inner, z = over_leaves(inner, self._to_units), over_leaves(z, self._to_units)
        better = inner > self._best[orders]
        self._best[orders] = np.where(better, inner, self._best[orders])
        self._z[orders] = np.where(better, z, self._z[orders])

    def scores(self) -> np.ndarray:
        """(order, unit), mean over folds by Fisher z."""
        if not self._weight.any():
            return np.full(self._z.shape[::2], np.nan)
        return np.asarray(np.tanh(np.einsum("okt,k->ot", self._z, self._weight / self._weight.sum())))


def leaf_numbers(columns: Sequence[np.ndarray], kept: np.ndarray) -> np.ndarray:
    """Number of each row's combination of values, in order of appearance; −1 for rows that are not kept."""
    found: dict[tuple[Any, ...], int] = {}
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return np.array([found.setdefault(row, len(found)) if keep else -1 for row, keep in zip(rows, kept, strict=True)])


def leaf_means(number: np.ndarray) -> csr_array:
    """(n_targets, n_numbers), which takes means over the targets of each number."""
    from scipy.sparse import csr_array

    rows = np.flatnonzero(number >= 0)
    size = np.bincount(number[rows])
    return csr_array((1 / size[number[rows]], (rows, number[rows])), shape=(number.size, size.size))


def over_leaves(values: np.ndarray, means: csr_array) -> np.ndarray:
    """(…, n_targets) → (…, n_numbers)."""
    flat = values.reshape(-1, values.shape[-1]) @ means
    return np.asarray(flat).reshape(*values.shape[:-1], means.shape[1])
