"""The cosine high-pass filter against nilearn's, and what it leaves of slow and constant columns."""

import numpy as np
import pytest

from pipeline.core.errors import BadConfiguration
from pipeline.stimuli.temporal_filter import cosine_basis, cosine_high_pass


@pytest.mark.parametrize(
    ("n_samples", "interval_s", "period_s"), [(362, 2.0, 128.0), (180, 2.0, 128.0), (300, 0.5, 40.0)]
)
def test_equals_nilearn(n_samples: int, interval_s: float, period_s: float) -> None:
    from nilearn.signal import clean

    values = np.random.default_rng(0).standard_normal((n_samples, 4)) + np.arange(n_samples)[:, None] / 50
    theirs = clean(values, filter="cosine", high_pass=1 / period_s, t_r=interval_s, detrend=False, standardize=None)
    ours = cosine_high_pass(values, interval_s, period_s)
    np.testing.assert_allclose(ours, theirs - theirs.mean(axis=0), atol=1e-10)


def test_basis_is_orthonormal_and_counts_as_spm_does() -> None:
    basis = cosine_basis(362, 2.0, 128.0)
    assert basis.shape == (362, int(2 * 362 * 2.0 / 128.0) + 1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)


def test_filter_passes_fast_and_stops_slow() -> None:
    time_s = np.arange(400) * 2.0
    fast, slow = np.sin(2 * np.pi * time_s / 20), np.cos(np.pi * (np.arange(400) + 0.5) / 400 * 3)
    filtered = cosine_high_pass(np.stack([fast, slow + 7], axis=1), 2.0, 128.0)
    assert np.corrcoef(filtered[:, 0], fast)[0, 1] > 0.99
    assert np.all(filtered[:, 1] == 0)


def test_constant_float32_column_is_exactly_zero() -> None:
    constant = np.full((100, 1), 0.1, np.float32) + np.float32(1e-8)
    assert np.all(cosine_high_pass(constant, 2.0, 128.0) == 0)


def test_period_below_two_samples_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="leaves nothing"):
        cosine_high_pass(np.zeros((10, 1)), 2.0, 4.0)
