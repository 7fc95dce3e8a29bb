"""Similarity between items, how two similarity matrices are compared, and what the comparison leaves.

References
----------
Kriegeskorte, Mur & Bandettini 2008, Frontiers in Systems Neuroscience 2:4;
Kornblith, Norouzi, Lee & Hinton 2019, ICML, PMLR 97:3519–3529 (linear kernels).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.activations import LayerInfo
from pipeline.comparison.measures import MEASURES
from pipeline.comparison.vectors import ComparedPairs, cosines

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES_AT_ONCE = 64 << 20  # of features in double precision


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
    n_items = features.shape[0]
    mean = features.mean(axis=1, dtype=np.float64)[:, None]
    products = np.zeros((n_items, n_items))
    power = np.zeros(n_items)
    for part in _parts(features):
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


def item_products(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Linear kernel: products of every two items' features less the features' means over items, in float64.

    Parameters
    ----------
    features : (n_items, n_features)

    Returns
    -------
    (n_items, n_items), symmetric, divided by the mean over its diagonal; 0 throughout where no feature varies
    """
    products = np.zeros((features.shape[0], features.shape[0]))
    power = 0.0
    for part in _parts(features):
        power += float((part**2).sum())
        part -= part.mean(axis=0)
        products += part @ part.T
    trace = float(np.trace(products))
    varies = trace > 1e-12 * power
    return (products + products.T) / 2 * (features.shape[0] / trace if varies else 0.0)


def _parts(features: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """Copies of some columns after others, few enough for memory."""
    n_items, n_features = features.shape
    step = max(1, BYTES_AT_ONCE // (8 * n_items))
    for start in range(0, n_features, step):
        yield features[:, start : start + step].astype(np.float64)


SIMILARITIES: dict[str, Callable[[NDArray[np.floating]], NDArray[np.float64]]] = {
    "pearson": item_similarity,
    "inner_product": item_products,
}
"""Name in a study file → features (item, feature) → (item, item2)."""


def upper_triangle(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """The pairs above the diagonal: ``(…, n_items, n_items)`` → ``(…, n_pairs)``, row by row."""
    rows, columns = np.triu_indices(matrices.shape[-1], 1)
    return np.asarray(matrices[..., rows, columns], dtype=np.float64)


def compare(first: NDArray[np.floating], second: NDArray[np.floating], comparison: str) -> float:
    """How alike two upper triangles are, by one of `MEASURES`; 0 if there is nothing to compare, as in a constant one.

    Parameters
    ----------
    first, second : (pair,), all pairs of some items
    """
    from scipy import stats

    if MEASURES[comparison].kendall:
        constant = np.ptp(first) == 0 or np.ptp(second) == 0
        return 0.0 if constant else float(stats.kendalltau(first, second).statistic)
    return float(agreement_of(np.stack([first, second]), comparison)[0, 1])


def agreement_of(pairs: NDArray[np.floating], comparison: str) -> NDArray[np.float64]:
    """How alike every two upper triangles are, by any measure but Kendall's τ: (matrix, pair) → (matrix, matrix2)."""
    from scipy import stats

    measure = MEASURES[comparison]
    values = stats.rankdata(pairs, axis=1) if measure.ranked else np.asarray(pairs, dtype=np.float64)
    vectors = ComparedPairs.of_all(values.shape[1], measure).unit_vectors(values)
    return cosines(vectors, vectors)


@dataclasses.dataclass(frozen=True)
class Compared:
    """All that the scores of one network and group hold.

    Parameters
    ----------
    similarity : (item, item2, target) measured
    model_similarity : (layer, item, item2)
    reference : (target, target2), how alike two targets' matrices are
    item : (item,) names
    targets : target, region, compartment and subject of each target
    reliability, ceiling, ceiling_kind : (target,)
    reliability_deviation, reliability_df : (part, target) and the degrees of freedom of the reliabilities' errors
    model_attrs : attributes of the activations
    split : how items are halved, and what else decided the matrices
    leave_one_out : (target,) agreement with the mean of the other animals' matrices; None for geometries
    stretch : (item,) items of one stretch are drawn together; None where every item is drawn by itself
    stimulus : (item,) that a block of time is of, blocks in the order of time; empty for items. None as for ``stretch``
    equal : which names of items stand for one content, in words; empty if none do
    n_samples, n_without_features : of the recordings, and of them samples with nothing of the stimulus in their bin
    """

    similarity: NDArray[np.float64]
    model_similarity: NDArray[np.float64]
    reference: NDArray[np.float64]
    layers: list[LayerInfo]
    item: NDArray[Any]
    targets: dict[str, NDArray[Any]]
    reliability: NDArray[np.float64]
    ceiling: NDArray[np.float64]
    ceiling_kind: NDArray[np.object_]
    reliability_deviation: NDArray[np.float64]
    reliability_df: int
    n_subjects: int
    ci_unit: str
    model_attrs: dict[str, Any]
    split: dict[str, Any]
    leave_one_out: NDArray[np.float64] | None = None
    stretch: NDArray[np.intp] | None = None
    stimulus: NDArray[np.str_] | None = None
    equal: str = ""
    n_samples: int = 0
    n_without_features: int = 0
