"""How much memory encoding takes, from sizes alone: what `pipeline.encoding.ridge.fit` and its stage hold at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pipeline.encoding.arithmetic.scratch import SHARE_IN_MEMORY
from pipeline.encoding.mappings.banded_fit import SCORES_SHARE
from pipeline.encoding.ridge.cost import N_FILTERS, FitShape, FoldShape, Form, forms_of
from pipeline.encoding.ridge.gram import BLOCK_MB, GRAM_SHARE

BLOCKS_AT_ONCE = 4
"""Of features, while they are standardised."""
MATRICES_AT_ONCE = 6
"""As large as a part's Gram matrix, while it is diagonalised."""

KEPT_BYTES = 64e6
"""Of what is freed, the allocator keeps about as much as a fit takes, up to this: measured over the layers of a run."""


@dataclasses.dataclass(frozen=True)
class FitMemory:
    """Bytes that one fit holds at a time.

    Parameters
    ----------
    before : while there are no targets yet: Gram matrices, features, decompositions
    shared : whatever the number of targets: Gram matrices of later folds, eigenvectors, operators
    per_target : for each target of a batch
    batch : targets that are worked on together
    """

    before: float
    shared: float
    per_target: float
    batch: int

    @property
    def peak(self) -> float:
        return max(self.before, self.shared + self.batch * self.per_target)


def fit_memory(shape: FitShape, memory_budget_mb: float, *, most: int, n_filters: int = N_FILTERS) -> FitMemory:
    """Memory of one fit in the form that is cheaper; see `pipeline.encoding.ridge.fit.fit_ridge` for the budget.

    Parameters
    ----------
    most : targets in a batch at most, see `pipeline.encoding.arithmetic.compute.Arithmetic`
    """
    forms = forms_of(shape, n_filters)
    budget = memory_budget_mb * 2**20
    n_dual = sum(len(parts) for parts, form in zip(shape.parts, forms, strict=True) if form == "dual")
    each = 8.0 * shape.n_bins**2
    grams = each * min(n_dual, max(1, int(GRAM_SHARE * budget / each)))
    folds = [
        _fold_memory(shape, parts, form, grams, budget, n_filters, most)
        for parts, form in zip(shape.parts, forms, strict=True)
    ]
    return max(folds, key=lambda memory: memory.peak)


def _fold_memory(
    shape: FitShape, parts: Sequence[FoldShape], form: Form, grams: float, budget: float, n_filters: int, most: int
) -> FitMemory:
    *inner, outer = parts
    q = shape.n_delayed
    widths = [q + shape.n_delays if form == "primal" else part.n_train for part in parts]
    rows = [min(part.n_test, width) for part, width in zip(inner, widths, strict=False)]
    operators = 4.0 * sum(n_filters * (r + 1) * width for r, width in zip(rows, widths, strict=False))
    k = widths[-1]
    refit = 4.0 * shape.n_penalties * outer.n_test * k + 12.0 * k**2 + 8.0 * outer.n_test * k
    waiting = max(0.0, grams - len(parts) * 8.0 * shape.n_bins**2)
    if form == "primal":
        waiting = grams + 8.0 * q * shape.n_samples  # delayed features
    shared = waiting + operators + refit
    values = 3 * shape.n_samples + 2 * k + 2 * max(part.n_test for part in parts)
    if form == "primal":
        shared += 12.0 * shape.n_samples * q  # standardised, and again in float32
        values += len(parts) * k
    searched = max(((n_filters * (r + 1) + n_filters**2) * 4.0 + 48.0 * shape.n_penalties for r in rows), default=0.0)
    per_target = searched + 4.0 * values + 8.0 * shape.n_samples
    batch = int(min(max(1.0, (budget - shared) // per_target), most, shape.n_targets))
    block = BLOCKS_AT_ONCE * min(BLOCK_MB * 2**20, 8.0 * shape.n_bins * shape.n_features)
    matrices = MATRICES_AT_ONCE * 8.0 * max(shape.n_samples if form == "dual" else q, k) ** 2
    return FitMemory(max(grams + block, waiting + operators + matrices), shared, per_target, batch)


def stage_memory(
    shape: FitShape, *, n_layers: int, n_repeats: int, n_blocks: int, memory_budget_mb: float, most: int
) -> float:
    """Bytes that encoding one group and model takes at its peak, on top of the program itself.

    What outlives a batch is held in memory up to a share of the budget, and in files beyond that.

    Parameters
    ----------
    shape : of the largest layer
    n_repeats : of each response
    n_blocks : held-out blocks of the bootstrap, over all folds
    """
    by_sample = 4.0 * shape.n_samples * shape.n_targets
    by_layer = 8.0 * n_layers * shape.n_targets
    held = [
        n_repeats * by_sample,  # as measured
        by_sample,  # scored
        *[n_blocks * by_layer] * 3,
        *[len(shape.parts) * by_layer] * 2,
        by_sample,  # predictions
        4.0 * shape.n_bins * shape.n_features,
    ]
    budget = memory_budget_mb * 2**20
    in_memory = 0.0
    for n_bytes in held:
        if in_memory + n_bytes <= SHARE_IN_MEMORY * budget:
            in_memory += n_bytes
    fit = fit_memory(shape, memory_budget_mb - in_memory / 2**20, most=most)
    results = 8.0 * 4 * len(shape.parts) * shape.n_targets
    if shape.n_weightings > 1:  # scores of every weighting and penalty, for as many targets as fit their share
        scores = 16.0 * shape.n_weightings * shape.n_penalties * shape.n_targets
        results += min(scores, SCORES_SHARE * (budget - in_memory))
    return in_memory + fit.peak + min(fit.peak, KEPT_BYTES) + results
