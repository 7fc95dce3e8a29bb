"""Pairs of items as the vectors whose cosines are a measure's scores; see `pipeline.comparison.measures`."""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.comparison.measures import Measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_VARIANCE = 1e-20  # of the squares that were there: what is left below it is rounding
FEWEST_ITEMS = 4  # the effects of three items fit their three pairs, whatever these are


@dataclasses.dataclass(frozen=True)
class ComparedPairs:
    """Pairs of items, how often each is compared, and by what.

    Parameters
    ----------
    measure : any but Kendall's τ
    first, second : (pair,), the items of each pair
    weight : (pair,) multiplicities, floating
    times : (item,) how often an item is there; ignored for items without a pair
    """

    measure: Measure
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    weight: NDArray[np.float64]
    times: NDArray[np.float64]

    @classmethod
    def of_all(cls, n_pairs: int, measure: Measure) -> ComparedPairs:
        """All pairs of some items, each once, in the order of an upper triangle."""
        n_items = (1 + math.isqrt(1 + 8 * n_pairs)) // 2
        return cls(measure, *np.triu_indices(n_items, 1), np.ones(n_pairs), np.ones(n_items))

    def unit_vectors(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Vectors of length 1 whose products are the measure's scores; 0 throughout where nothing varies.

        Parameters
        ----------
        values : (matrix, pair) similarities, or their ranks among these pairs for a measure of ranks

        Returns
        -------
        (matrix, pair); effects of items that are shrunk, not taken out altogether, add a column per item
        """
        penalty = self.measure.item_effects
        if self.measure.distances:
            values = 1 - values
        power = values**2 @ self.weight
        if self.measure.centred:
            values = values - (values @ self.weight / self.weight.sum())[:, None]
        root = np.sqrt(self.weight)
        if penalty is None:
            vectors = values * root
        else:
            effects = (self._incidence.T @ (values * self.weight).T).T @ self._inverse
            vectors = (values - effects[:, self.first] - effects[:, self.second]) * root
            if penalty:
                # what the regression minimises: its residuals, and its coefficients times the root of the penalty
                vectors = np.hstack([vectors, effects * np.sqrt(penalty * self.times)])
            elif np.count_nonzero(self._inverse.diagonal()) < FEWEST_ITEMS:
                vectors = np.zeros_like(vectors)
        length = np.linalg.norm(vectors, axis=1)
        varies = length**2 > NO_VARIANCE * power
        return np.asarray(vectors * (varies / np.where(varies, length, 1.0))[:, None])

    @functools.cached_property
    def _incidence(self) -> Any:
        """Sparse (pair, item), 1 for the two items of a pair."""
        from scipy import sparse

        indices = np.stack([self.first, self.second], axis=1).ravel()
        starts = np.arange(0, indices.size + 1, 2)
        return sparse.csr_array((np.ones(indices.size), indices, starts), (self.first.size, self.times.size))

    @functools.cached_property
    def _inverse(self) -> NDArray[np.float64]:
        """Of the normal equations of the items' effects, (item, item2); 0 for items without a pair.

        Pairs count as often as they are there, as if written out. Copies of an item have the same effect, so that there
        is one unknown per item, each copy of which is penalised.
        """
        from scipy import linalg

        degree = self._incidence.T @ self.weight
        system = np.zeros((degree.size, degree.size))
        system[self.first, self.second] = system[self.second, self.first] = self.weight
        np.fill_diagonal(system, degree + (self.measure.item_effects or 0.0) * self.times)
        there = np.ix_(degree > 0, degree > 0)
        inverse = np.zeros_like(system)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", linalg.LinAlgWarning)
                inverse[there] = linalg.inv(system[there], assume_a="pos")
        except (linalg.LinAlgError, linalg.LinAlgWarning):
            # copies of two items alone, say, have effects up to a constant; the sums that are taken out are unique
            inverse[there] = linalg.pinvh(system[there])
        return inverse


def cosines(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of vectors of length 1 or 0: (a, entry), (b, entry) → (a, b)."""
    return np.clip(rows @ columns.T, -1.0, 1.0)
