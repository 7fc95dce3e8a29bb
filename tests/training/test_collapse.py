"""Measures of collapse on features whose spread is known."""

import numpy as np
import pytest
import torch

from pipeline.training.collapse import effective_rank, feature_sd, is_collapsed


def test_equal_features_have_collapsed():
    features = torch.randn(1, 16).expand(64, -1)
    assert feature_sd(features) == pytest.approx(0, abs=1e-9) and effective_rank(features) == pytest.approx(0, abs=1e-9)
    assert is_collapsed(feature_sd(features), effective_rank(features))


def test_features_along_one_line_have_rank_1():
    torch.manual_seed(0)
    features = torch.randn(200, 1) * torch.randn(1, 16) + 3
    assert effective_rank(features) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("n", [6, 4000])
def test_white_features_use_every_direction(n):
    torch.manual_seed(0)
    features = torch.randn(n, 16)
    expected = min(n - 1, 16)
    assert 0.8 * expected < effective_rank(features) <= expected
    if n > 1000:
        assert feature_sd(features) == pytest.approx(1, abs=0.02)
        assert not is_collapsed(feature_sd(features), effective_rank(features))


def test_rank_is_the_exponential_entropy_of_the_spectrum():
    torch.manual_seed(0)
    directions = torch.linalg.qr(torch.randn(300, 4).double() - 0.0).Q
    directions = directions - directions.mean(0)
    features = directions @ torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5]).double())
    squares = np.linalg.svd((features - features.mean(0)).numpy(), compute_uv=False) ** 2
    share = squares / squares.sum()
    assert effective_rank(features) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-6)
