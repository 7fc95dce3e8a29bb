"""Whether features still differ from picture to picture: the collapse that self-supervised learning has to avoid."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

SMALLEST_SD = 0.1
SMALLEST_RANK = 2.0
"""Below either, features are called collapsed."""


def feature_sd(features: torch.Tensor) -> float:
    """SD over pictures of each unit of features of norm 1, times √units: 1 where directions are spread, 0 where all
    pictures have one.

    Parameters
    ----------
    features : (n, n_features)

    References
    ----------
    Chen & He 2021, Exploring simple Siamese representation learning, CVPR, section 4.1
    """
    unit = normalize(features.detach().double(), dim=1)
    return float(unit.std(0, correction=0).mean() * unit.shape[1] ** 0.5)


def effective_rank(features: torch.Tensor) -> float:
    """Exponential of the entropy of the covariance's spectrum: how many directions are used, at most min(n − 1,
    n_features); 0 where all pictures have the same features.

    References
    ----------
    Roy & Vetterli 2007, The effective rank, EUSIPCO
    """
    centred = features.detach().double()
    centred = centred - centred.mean(0)
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    spectrum = torch.linalg.eigvalsh(gram).clamp(min=0)
    if float(spectrum.sum()) == 0:
        return 0.0
    share = spectrum / spectrum.sum()
    return float(torch.special.entr(share).sum().exp())


def is_collapsed(sd: float, rank: float) -> bool:
    """Whether either measure is so low that features tell hardly anything apart."""
    return sd < SMALLEST_SD or rank < SMALLEST_RANK
