"""What is kept of every layer's fit: sums over held-out blocks, penalties, and predictions of the best targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.encoding.arithmetic.correlation import fisher_z, is_constant
from pipeline.encoding.arithmetic.scratch import Scratch, target_batches
from pipeline.encoding.blocks import BlockSums
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.splits import Fold

BATCH_MB = 256.0
ARRAYS_AT_ONCE = 6  # of (sample, target) float64, while a batch of targets is summed


class LayerTables:
    """Sums of all layers' predictions, and the predictions of the targets that are shown.

    Parameters
    ----------
    folds : outer folds
    responses : (n_samples, n_targets), scored
    regions : (n_targets,) str
    n_layers, n_examples : how many layers are added, and how many targets are shown
    scratch : makes the tables

    Attributes
    ----------
    sum_p, sum_p2, sum_py : (n_blocks, n_layers, n_targets) float64, of held-out predictions p and responses y
    sum_y, sum_y2 : (n_blocks, n_targets) float64
    penalty, penalty_edge, inner_score : (n_folds, n_layers, n_targets)
    constant : (n_targets,) bool
    best_layer : (n_targets,) int, the layer of highest r, Fisher-averaged over folds, among those added
    """

    def __init__(
        self,
        folds: list[Fold],
        responses: np.ndarray,
        *,
        regions: np.ndarray,
        n_layers: int,
        n_examples: int,
        scratch: Scratch,
    ) -> None:
        self.sums = BlockSums(folds)
        self.responses = responses
        self._scratch = scratch
        self._regions = np.unique(regions, return_inverse=True)[1]
        self._n_examples = n_examples
        n_targets = responses.shape[1]
        blocks, choices = (self.sums.n.size, n_layers, n_targets), (len(folds), n_layers, n_targets)
        self.sum_p, self.sum_p2, self.sum_py = (scratch.array(blocks, np.float64) for _ in range(3))
        self.penalty, self.inner_score = (scratch.array(choices, np.float64) for _ in range(2))
        self.penalty_edge = scratch.array(choices, np.int8)
        self.sum_y, self.sum_y2 = (scratch.array((self.sums.n.size, n_targets), np.float64) for _ in range(2))
        self.constant = np.empty(n_targets, bool)
        for batch in self._batches():
            measured = responses[:, batch].astype(np.float64)
            self.sum_y[:, batch] = self.sums.sum(measured)
            self.sum_y2[:, batch] = self.sums.sum(measured**2)
            self.constant[batch] = is_constant(responses[:, batch])
        self._best_z = np.full(n_targets, -np.inf)
        self.best_layer = np.zeros(n_targets, int)
        self._shown: dict[int, np.ndarray] = {}

    def add(self, layer: int, fit: LayerFit) -> None:
        """Take in the fit of one layer."""
        for batch in self._batches():
            predicted = fit.predictions[:, batch].astype(np.float64)
            self.sum_p[:, layer, batch] = self.sums.sum(predicted)
            self.sum_p2[:, layer, batch] = self.sums.sum(predicted**2)
            self.sum_py[:, layer, batch] = self.sums.sum(predicted * self.responses[:, batch])
        self.penalty[:, layer] = fit.penalty
        self.penalty_edge[:, layer] = fit.penalty_edge
        self.inner_score[:, layer] = fit.inner_score
        z = fisher_z(fit.score).mean(axis=0)
        better = z > self._best_z
        self._best_z[better] = z[better]
        self.best_layer[better] = layer
        # Best scores only rise, so whoever is among the best in the end is from its best layer on: no other target's
        # predictions need be kept.
        self._shown = {
            target: fit.predictions[:, target].astype(np.float32) if better[target] else self._shown[target]
            for target in self._examples()
        }

    @property
    def shown(self) -> list[int]:
        """The best targets, those of regions not yet shown first."""
        return list(self._shown)

    def shown_predictions(self) -> np.ndarray:
        """Held-out predictions of each by its best layer: ``(n_shown, n_samples)`` float32."""
        return np.array(list(self._shown.values()), np.float32).reshape(-1, self.responses.shape[0])

    def _examples(self) -> list[int]:
        ranked = np.argsort(-self._best_z, kind="stable")
        ranked = ranked[~self.constant[ranked]]
        first = np.zeros(ranked.size, bool)
        first[np.unique(self._regions[ranked], return_index=True)[1]] = True
        examples: list[int] = np.concatenate([ranked[first], ranked[~first]])[: self._n_examples].tolist()
        return examples

    def _batches(self) -> Iterator[slice]:
        n_samples, n_targets = self.responses.shape
        return target_batches(n_targets, ARRAYS_AT_ONCE * n_samples, self._scratch.batch_mb(BATCH_MB))
