"""The high-pass filter of an encoding fit: within what one outer fold holds out of one run."""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.stimuli.temporal_filter import cosine_basis, cosine_high_pass


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


def high_pass_within(
    values: np.ndarray, stretches: np.ndarray, sample_interval_s: float, period_s: float
) -> np.ndarray:
    """High-pass filter columns, each stretch of samples by itself.

    Parameters
    ----------
    values : array of shape (n_samples, n_columns), responses or a (delayed) design; NaN (nothing there) takes the
        stretch's mean before filtering
    stretches : array of shape (n_samples,), the stretch that each sample belongs to
    sample_interval_s, period_s : in s

    Returns
    -------
    array of shape (n_samples, n_columns), float64

    Notes
    -----
    A filter over a whole run makes every slow cosine sum to zero over training and test rows together, on both
    sides: a model with more features than samples then predicts the test rows' slow part from the training rows.
    Measured on Alice's responses rolled in time and filtered again, SmolLM2 layer 10, mean r over 27 listeners:
    .094 ± .004 with a filter over the run, .004 ± .006 with the stretches of the outer folds filtered by themselves.
    """
    filtered = np.zeros(values.shape)
    for stretch in dict.fromkeys(stretches.tolist()):
        here = stretches == stretch
        part = values[here].astype(np.float64)
        missing = np.isnan(part)
        if missing.any():
            present = np.maximum((~missing).sum(axis=0), 1)
            mean = np.where(missing, 0.0, part).sum(axis=0) / present
            part = np.where(missing, mean, part)
        filtered[here] = cosine_high_pass(part, sample_interval_s, period_s)
    return filtered
