"""Are measured similarities those of the items that they name, or do a network's fit them in another order?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.comparison.similarity import upper_triangle
from pipeline.encoding.alignment.candidate_orders import candidate_orders
from pipeline.encoding.alignment.check import AlignmentCheck, Draw, judge
from pipeline.encoding.splits import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

REMEDY = "check the order of the items of the similarities (`items:` of the study file)"


def check_similarities(
    measured: NDArray[np.floating],
    modelled: NDArray[np.floating],
    items: NDArray[np.str_],
    stimulus_items: Sequence[str],
    seed: int,
) -> AlignmentCheck:
    """Compare the given order of the items with others, by Spearman's ρ averaged over targets.

    Parameters
    ----------
    measured : (n_items, n_items, n_targets)
    modelled : (n_items, n_items), one layer's
    items : (n_items,) names, in the order of the rows
    stimulus_items : the same in the order of the stimulus
    seed : of the surrogates, in which items are permuted
    """
    n = items.size
    model = _ranks(modelled)
    found = np.mean([_ranks(measured[:, :, target]) for target in range(measured.shape[2])], axis=0)
    samples = Samples("item", np.full(n, ""), np.full(n, ""), item=items)
    orders = candidate_orders(samples, stimulus_items=stimulus_items)
    # reordering one side is as good as reordering the other back
    models = np.stack([_reordered(model, np.argsort(rows)) for rows in (np.arange(n), *(one.rows for one in orders))])

    def scores(of: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.asarray(np.stack(of).reshape(len(of), -1) @ models.reshape(len(models), -1).T)

    def permuted(generator: np.random.Generator) -> Draw:
        rows = generator.permutation(n)
        return lambda matrix: _reordered(matrix, rows)

    def predicted() -> NDArray[np.float64]:
        return np.asarray(max(0.0, float((model * found).sum())) * model)

    return judge(orders, found, scores, predict=predicted, surrogate=permuted, seed=seed)


def _ranks(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks of the pairs, centred, of length 1 over the matrix, and 0 on the diagonal: products are Spearman's ρ."""
    from scipy.stats import rankdata

    ranks = rankdata(upper_triangle(matrix))
    ranks -= ranks.mean()
    filled = np.zeros(matrix.shape)
    filled[np.triu_indices(len(matrix), 1)] = ranks
    filled += filled.T
    return np.asarray(filled / (np.linalg.norm(filled) or 1.0))


def _reordered(matrix: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.asarray(matrix[np.ix_(rows, rows)])
