"""From bins of features to delayed and filtered samples, for Gram matrices as well as for columns.

A delayed sample reads the bin that lies its delay earlier within the run. The Gram matrix of delayed features is the
sum over delays of the undelayed one's rows and columns, taken in that order: the wide matrix never exists.
"""

from __future__ import annotations

import numpy as np
import torch

from pipeline.encoding.arithmetic.compute import Arithmetic
from pipeline.encoding.design import Design


class SampleRows:
    """Which bin each delayed sample reads, what stands in for bins without features, and the filter.

    Where a delay reaches before the run's first bin, or a bin has no features, the sample takes the mean over the
    training rows; where there is a filter, the mean over its stretch, as the filter has to have something there.

    Parameters
    ----------
    design : delays, runs, rows and filter; its folds are not looked at
    missing : array of shape (n_bins,), bool: bins without features
    """

    def __init__(self, design: Design, missing: np.ndarray, on: Arithmetic) -> None:
        delays, runs, rows, high_pass = design.delays, design.runs, design.rows, design.high_pass
        self.n_samples, self.n_delays, self.n_bins = rows.size, len(delays), runs.size
        reached = rows - np.asarray(delays)[:, None]
        bins = np.clip(reached, 0, runs.size - 1)
        present = (bins == reached) & (runs[bins] == runs[rows]) & ~missing[bins]
        self._in_order = bool((bins == np.arange(runs.size)).all()) if rows.size == runs.size else False
        self.bins, self.present = on.rows(bins), torch.as_tensor(present, device=on.device)
        self._complete = [bool(here.all()) for here in present]
        self._on = on
        self._stretches = [on.rows(where) for where in high_pass.by_stretch()] if high_pass else []
        self._slow = on.exact(high_pass.slow()) if high_pass else None

    @property
    def filtered(self) -> bool:
        """Whether there is a filter, and so no sample without features."""
        return self._slow is not None

    def weights(self, samples: torch.Tensor) -> torch.Tensor:
        """Of each bin in the mean over some samples that have features: ``(n_delays, n_bins)``, rows of sum 1 or 0."""
        here = self.present[:, samples].to(torch.float64)
        weights = torch.zeros(self.n_delays, self.n_bins, dtype=torch.float64, device=self._on.device)
        weights.scatter_add_(1, self.bins[:, samples], here)
        return weights / here.sum(1, keepdim=True).clamp_min(1.0)

    def share(self, samples: torch.Tensor) -> torch.Tensor:
        """Of each sample in the mean over some samples, ``(n_samples,)``."""
        share = torch.zeros(self.n_samples, dtype=torch.float64, device=self._on.device)
        share[samples] = 1.0 / max(1, len(samples))
        return share

    def columns(self, features: torch.Tensor, delay: int) -> torch.Tensor:
        """Delayed features ``(n_samples, n_features)``; filtered, or 0 where there are none."""
        values = features[self.bins[delay]]
        if not self._complete[delay]:
            values[~self.present[delay]] = 0.0
            for where in self._stretches:
                _fill(values, where[~self.present[delay][where]], where[self.present[delay][where]])
        return self._high_pass(values)

    def gram(self, undelayed: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
        """Gram matrix of delayed features.

        Parameters
        ----------
        undelayed : (n_bins, n_bins) float64, of the features without delays; zero where there are none
        train : numbers of the training samples

        Returns
        -------
        (n_samples, n_samples) float64; not centred
        """
        if self._in_order and self.n_delays == 1 and self._complete[0]:
            total = undelayed
        else:
            total = torch.zeros(self.n_samples, self.n_samples, dtype=torch.float64, device=self._on.device)
            for delay in range(self.n_delays):
                total += self._delayed(undelayed, delay, train)
        if not self.filtered:
            return total
        return self._high_pass(self._high_pass(total).T)

    def _delayed(self, undelayed: torch.Tensor, delay: int, train: torch.Tensor) -> torch.Tensor:
        bins, present = self.bins[delay], self.present[delay]
        part = undelayed.index_select(0, bins).index_select(1, bins)
        if self._complete[delay]:
            return part
        everyone = torch.arange(self.n_samples, device=self._on.device)
        for side in (part, part.T):  # what stands in is a mean of rows, then of columns
            side[~present] = 0.0
            if not self.filtered:
                _fill(side, everyone[~present], train[present[train]])
            for where in self._stretches:
                _fill(side, where[~present[where]], where[present[where]])
        return part

    def _high_pass(self, values: torch.Tensor) -> torch.Tensor:
        return values if self._slow is None else values - self._slow @ (self._slow.T @ values)


def _fill(values: torch.Tensor, absent: torch.Tensor, sources: torch.Tensor) -> None:
    """Rows that are absent take the mean of others, in place; zero where there are none."""
    if sources.numel():
        values[absent] = values[sources].mean(0)
