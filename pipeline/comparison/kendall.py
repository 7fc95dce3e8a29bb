"""Kendall's τ-b between many pairs of vectors at once, as the cosine of their signs of differences.

τ-b is Σ s_x(a, b)·s_y(a, b) / √(Σ s_x² · Σ s_y²) over all pairs a < b of entries, with s the sign of their difference.
Where an entry occurs several times, a pair counts as often as the product of its entries' multiplicities. The
numerators of all vectors are then one matrix product over pairs of entries, made in chunks of single precision that are
small enough for every sum to be exact.

References
----------
Kendall 1945, Biometrika 33:239–251 (τ-b, as a product-moment correlation of scores of pairs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ENTRIES = 4000
"""Work grows with the square of the entries: beyond this many, sorting pair by pair (scipy) is as fast."""
_BYTES_AT_ONCE = 1 << 20  # of signs: what stays in the processor's cache
_LARGEST_SUM = 1 << 22  # multiples of a half up to here are exact in float32


def kendall_tau(rows: NDArray[np.intp], columns: NDArray[np.intp], weight: NDArray[Any]) -> NDArray[np.float64]:
    """τ-b of every row of two arrays; 0 if one of the two is constant.

    Parameters
    ----------
    rows, columns : (a, entry), (b, entry) dense ranks: integers in the order of the values, equal for equal values
    weight : (entry,), how often each occurs: positive whole numbers

    Returns
    -------
    (a, b)
    """
    power = np.outer(_untied(rows, weight), _untied(columns, weight))
    tau = _concordance(rows, columns, weight) / np.sqrt(np.where(power > 0, power, 1.0))
    return np.where(power > 0, np.clip(tau, -1.0, 1.0), 0.0)


def dense_ranks(values: NDArray[Any]) -> NDArray[np.intp]:
    """Ranks from 0 within each row, equal values sharing one: (row, entry)."""
    return np.stack([np.unique(row, return_inverse=True)[1] for row in values])


def _untied(ranks: NDArray[np.intp], weight: NDArray[Any]) -> NDArray[np.float64]:
    """How many pairs of each vector differ: (row,)."""
    tied = np.array([(np.bincount(row, weights=weight) ** 2).sum() for row in ranks])
    return (float(weight.sum()) ** 2 - tied) / 2


def _concordance(rows: NDArray[np.intp], columns: NDArray[np.intp], weight: NDArray[Any]) -> NDArray[np.float64]:
    """Concordant minus discordant pairs: (a, b)."""
    n_entries = weight.size
    whole = np.int16 if n_entries <= np.iinfo(np.int16).max else np.int32
    rows, columns = rows.astype(whole), columns.astype(whole)
    weight = weight.astype(np.float32)
    exact = _LARGEST_SUM / float(weight.max() * weight.sum())
    fits = _BYTES_AT_ONCE / (4 * n_entries * (rows.shape[0] + columns.shape[0]))
    step = max(1, int(min(exact, fits)))
    total = np.zeros((rows.shape[0], columns.shape[0]))
    for start in range(0, n_entries, step):
        times = np.outer(weight[start : start + step], weight[start:])
        times[:, :step] *= 0.5  # both orders of these pairs are in the chunk
        signs = _signs(columns, start, step) * times
        total += _signs(rows, start, step).reshape(rows.shape[0], -1) @ signs.reshape(columns.shape[0], -1).T
    return total


def _signs(ranks: NDArray[Any], start: int, step: int) -> NDArray[np.float32]:
    """Signs of the entries from ``start`` on minus each of the next ``step``: (row, step, entry)."""
    difference = ranks[:, None, start:] - ranks[:, start : start + step, None]
    return np.clip(difference, -1, 1, out=difference).astype(np.float32)
