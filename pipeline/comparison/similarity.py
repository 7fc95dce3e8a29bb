"""Similarity between items, and how two similarity matrices are compared.

References
----------
Kriegeskorte, Mur & Bandettini 2008, Frontiers in Systems Neuroscience 2:4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES_AT_ONCE = 65_536


def item_similarity(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson r over features between every two items, accumulated in float64.

    Parameters
    ----------
    features : (n_items, n_features)

    Returns
    -------
    (n_items, n_items), symmetric, 1 on the diagonal. An item whose features are all equal has no defined
    correlation: its similarity to every other item is 0.
    """
    n_items, n_features = features.shape
    mean = features.mean(axis=1, dtype=np.float64)[:, None]
    products = np.zeros((n_items, n_items))
    power = np.zeros(n_items)
    for start in range(0, n_features, FEATURES_AT_ONCE):
        part = features[:, start : start + FEATURES_AT_ONCE].astype(np.float64)
        power += (part**2).sum(axis=1)
        part -= mean
        products += part @ part.T
    variance = np.diag(products).copy()
    varies = variance > 1e-12 * power
    norm = np.sqrt(np.where(varies, variance, 1.0))
    similarity = np.where(np.outer(varies, varies), products / np.outer(norm, norm), 0.0)
    similarity = np.clip((similarity + similarity.T) / 2, -1.0, 1.0)
    np.fill_diagonal(similarity, 1.0)
    return similarity


def upper_triangle(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """The pairs above the diagonal: ``(…, n_items, n_items)`` → ``(…, n_pairs)``, row by row."""
    rows, columns = np.triu_indices(matrices.shape[-1], 1)
    return np.asarray(matrices[..., rows, columns], dtype=np.float64)


def compare(first: NDArray[np.floating], second: NDArray[np.floating], comparison: str) -> float:
    """Correlation of two vectors of pairs: ``spearman``, ``kendall`` (tau-b) or ``pearson``; 0 if one is constant."""
    from scipy import stats

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    function = {"spearman": stats.spearmanr, "kendall": stats.kendalltau, "pearson": stats.pearsonr}[comparison]
    return float(function(first, second).statistic)
