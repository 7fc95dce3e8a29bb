"""The high-pass filter of an encoding fit: within what one outer fold holds out of one run."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.encoding.group.align import high_pass_within
from pipeline.stimuli.temporal_filter import cosine_basis


@dataclasses.dataclass(frozen=True)
class HighPass:
    """A high-pass filter within stretches of samples.

    Parameters
    ----------
    stretches : array of shape (n_samples,), the stretch of each sample: what one outer fold holds out of one run
    sample_interval_s, period_s : in s
    """

    stretches: np.ndarray
    sample_interval_s: float
    period_s: float

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Columns ``(n_samples, n_columns)`` without what is slower than the period."""
        return high_pass_within(values, self.stretches, self.sample_interval_s, self.period_s)

    def by_stretch(self) -> list[np.ndarray]:
        """The samples of each stretch."""
        return [np.flatnonzero(self.stretches == stretch) for stretch in dict.fromkeys(self.stretches.tolist())]

    def slow(self) -> np.ndarray:
        """Orthonormal columns ``(n_samples, n_slow)`` of what the filter takes out, each within one stretch."""
        columns = []
        for rows in self.by_stretch():
            basis = cosine_basis(rows.size, self.sample_interval_s, self.period_s)
            columns.append(np.zeros((self.stretches.size, basis.shape[1])))
            columns[-1][rows] = basis
        return np.concatenate(columns, axis=1)
