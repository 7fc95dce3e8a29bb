"""A whole grid of ridge penalties as combinations of a few filters.

A prediction at penalty α weighs the directions of the training rows by 1 / (e + α), where e are the eigenvalues of
their Gram matrix. Over a grid of penalties these weights hardly differ in shape: a handful of filters span them, so
that only a handful of predictions has to be computed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclasses.dataclass(frozen=True)
class LowRankFilters:
    """``1 / (e + α) ≈ length · (mix @ filters)``.

    Parameters
    ----------
    filters : (n_filters, rank) float64
    mix : (n_penalties, n_filters) float64; rows have length 1 to the tolerance
    length : (n_penalties,) float64, of the expected prediction at each penalty
    """

    filters: torch.Tensor
    mix: torch.Tensor
    length: torch.Tensor


def low_rank_filters(
    eigenvalues: torch.Tensor, penalties: torch.Tensor, size: torch.Tensor, tolerance: float
) -> LowRankFilters:
    """The fewest filters from which the predictions at every penalty can be combined.

    Each penalty's filter is weighted by what a direction contributes to the held-out predictions and scaled to length
    1, as a correlation does not depend on the scale; of the singular value decomposition of these rows, as many
    components are kept as the tolerance needs.

    Parameters
    ----------
    eigenvalues : (rank,) of the training rows' Gram matrix
    penalties : (n_penalties,), absolute
    size : (rank,), root mean square of what each direction adds to the predictions of white responses, but for the
        factor 1 / (e + α)
    tolerance : largest error of the predictions at any penalty, as a share of their length, for white responses; a
        Pearson r cannot change by more than twice the error of the target at hand. 0: none

    Returns
    -------
    LowRankFilters
        At least one filter; filters are zero where ``size`` is.
    """
    import torch

    if not len(eigenvalues):  # nothing varies: one filter of nothing
        return LowRankFilters(size[None], torch.ones_like(penalties)[:, None], torch.zeros_like(penalties))
    rows = size / (eigenvalues + penalties[:, None])
    length = torch.linalg.norm(rows, dim=1)
    rows = rows / length.clamp_min(torch.finfo(rows.dtype).tiny)[:, None]
    left, singular, right = torch.linalg.svd(rows, full_matrices=False)
    mix = left * singular
    # what each penalty lacks if the components from the j-th on are dropped
    lacking = (mix**2).flip(1).cumsum(1).flip(1).sqrt().amax(0)
    n_filters = max(1, int((lacking > tolerance).sum()))
    used = size > 0
    filters = torch.where(used, right[:n_filters] / torch.where(used, size, 1.0), 0.0)
    return LowRankFilters(filters, mix[:, :n_filters], length)
