"""What a mapping without penalties leaves of a layer, in the form that ridge leaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.encoding.correlation import is_constant
from pipeline.encoding.ridge.fit import RidgeFit
from pipeline.encoding.scratch import target_batches
from pipeline.encoding.splits import Fold

BATCH_MB = 32.0


def fit_without_penalty(responses: np.ndarray, splits: Sequence[Fold], predictions: np.ndarray) -> RidgeFit:
    """A fit whose scores are still zero; there are no penalties, so none lies at the end of a grid.

    Parameters
    ----------
    responses : (n_samples, n_targets), read by slices of columns
    predictions : (n_samples, n_targets), to be filled
    """
    n_samples, n_targets = responses.shape
    by_fold = (len(splits), n_targets)
    constant = np.zeros(n_targets, bool)
    for batch in target_batches(n_targets, n_samples, BATCH_MB):
        constant[batch] = is_constant(np.asarray(responses[:, batch]))
    return RidgeFit(
        predictions=predictions,
        penalty=np.zeros(by_fold),
        penalty_edge=np.zeros(by_fold, np.int8),
        inner_score=np.zeros(by_fold),
        score=np.zeros(by_fold),
        constant=constant,
    )
