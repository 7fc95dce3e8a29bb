"""What the fit of one layer leaves, whatever the mapping."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.encoding.arithmetic.correlation import is_constant
from pipeline.encoding.arithmetic.scratch import target_batches
from pipeline.encoding.splits import Fold

BATCH_MB = 32.0
SHRINKS = 0.01


@dataclasses.dataclass(frozen=True)
class LayerFit:
    """Held-out predictions of one layer, how good they are, and the penalties chosen for them.

    Parameters
    ----------
    predictions : (n_samples, n_targets); of the fold that held the sample out, NaN where none did
    penalty : (n_folds, n_targets), in the unit of the grid; 0 where the mapping has none
    penalty_edge : (n_folds, n_targets) int8; −1/+1 where the penalty is the smallest/largest of the grid; 0 for
        constant targets, which choose nothing, and where the smallest shrinks nothing, so that no other would matter
    inner_score : (n_folds, n_targets), Pearson r (of the chosen penalty), Fisher-averaged over inner folds
    score : (n_folds, n_targets), Pearson r in each outer fold
    constant : (n_targets,) bool; the responses do not vary: score 0
    """

    predictions: np.ndarray
    penalty: np.ndarray
    penalty_edge: np.ndarray
    inner_score: np.ndarray
    score: np.ndarray
    constant: np.ndarray

    def note_penalties(
        self, fold: int, targets: slice, grid: np.ndarray, chosen: np.ndarray, *, shrinks: bool = True
    ) -> None:
        """Write down which penalties of a grid some targets chose in an outer fold, and which lie at its ends.

        Parameters
        ----------
        shrinks : whether the smallest penalty changes predictions; see `shrinks_something`
        """
        constant = self.constant[targets]
        self.penalty[fold, targets] = np.where(constant, grid[-1], grid[chosen])
        lowest = -1 if shrinks else 0
        edge = np.where(chosen == 0, lowest, np.where(chosen == grid.size - 1, 1, 0)) if grid.size > 1 else 0
        self.penalty_edge[fold, targets] = np.where(constant, 0, edge)


def shrinks_something(penalty: float, smallest_eigenvalue: float) -> bool:
    """Whether a penalty takes 1 % or more off any direction of the training rows, λ being their smallest eigenvalue.

    Where it does not, a smaller one would predict the same: that is the fit without a penalty, which of more features
    than samples goes through every training row.
    """
    return penalty >= SHRINKS * (smallest_eigenvalue + penalty)


def fit_without_penalty(responses: np.ndarray, splits: Sequence[Fold], predictions: np.ndarray) -> LayerFit:
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
    return LayerFit(
        predictions=predictions,
        penalty=np.zeros(by_fold),
        penalty_edge=np.zeros(by_fold, np.int8),
        inner_score=np.zeros(by_fold),
        score=np.zeros(by_fold),
        constant=constant,
    )
