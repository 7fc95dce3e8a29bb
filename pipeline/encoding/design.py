"""The design of a fit: which samples are held out, and what of the features each sample follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.splits import Fold


@dataclasses.dataclass(frozen=True)
class Design:
    """What all layers of a model share in a fit; see `Design.of_bins` where each bin is a sample.

    Parameters
    ----------
    splits : outer folds with inner folds; row numbers count samples
    delays : of the response behind the features, in bins
    runs : (n_bins,) label of each bin's run; delays do not cross runs
    rows : (n_samples,) the bin of each sample
    high_pass : the filter that the responses went through, applied to the delayed features as well; None for none
    """

    splits: Sequence[Fold]
    delays: Sequence[int]
    runs: np.ndarray
    rows: np.ndarray
    high_pass: HighPass | None = None

    @classmethod
    def of_bins(
        cls,
        n_bins: int,
        splits: Sequence[Fold],
        *,
        delays: Sequence[int] = (0,),
        runs: np.ndarray | None = None,
        high_pass: HighPass | None = None,
    ) -> Design:
        """Every bin is a sample, in order; without ``runs``, of one run."""
        runs = np.zeros(n_bins, int) if runs is None else runs
        return cls(splits, delays, runs, np.arange(n_bins), high_pass)

    def delayed(self, features: np.ndarray) -> np.ndarray:
        """The explicit delayed matrix, filtered.

        Parameters
        ----------
        features : array of shape (n_bins, n_features), the bins of all runs one after another

        Returns
        -------
        array of shape (n_samples, n_delays · n_features), delay by delay
            Without a filter, NaN where a delay reaches before the run's first bin.
        """
        side_by_side = self._side_by_side(features)
        return side_by_side if self.high_pass is None else self.high_pass.apply(side_by_side)

    def _side_by_side(self, features: np.ndarray) -> np.ndarray:
        rows, n_bins = self.rows, features.shape[0]
        if list(self.delays) == [0] and rows.size == n_bins and np.array_equal(rows, np.arange(rows.size)):
            return features
        values = np.full((rows.size, len(self.delays), features.shape[1]), np.nan, features.dtype)
        for number, delay in enumerate(self.delays):
            reached = np.clip(rows - delay, 0, n_bins - 1)
            inside = (rows - delay == reached) & (self.runs[reached] == self.runs[rows])
            values[inside, number] = features[reached[inside]]
        return values.reshape(rows.size, -1)
