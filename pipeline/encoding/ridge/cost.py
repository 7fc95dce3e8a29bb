"""What a nested ridge fit costs: floating-point operations by phase, and bytes moved; and whether it is a small one.

Counted are the operations of `pipeline.encoding.ridge.fit`, a multiplication and an addition as two. A *part* is one
set of training rows with the rows it predicts: each inner fold, and the outer fold itself. With ``n`` training and
``m`` test rows in a part, ``N`` rows in all, ``p`` features, ``q`` delayed ones, ``J`` filters, ``A`` penalties, ``V``
targets, ``k`` = n in the dual form, q in the primal one, and ``r`` = min(m, k):

============== ========= ========================== =================================================================
phase          precision operations                 of
============== ========= ========================== =================================================================
gram           float64   ``N² p`` or ``n q²``       each part; half of a symmetric product
decomposition  float64   ``9 k³``                   each part
projection     float64   ``2 m k²``                 each part: test rows in the directions of the training rows
operators      float32   ``2 J r k²``               each inner part: from training responses to filters' predictions
products       float32   ``2 m q V``                each inner part in the primal form: features with responses
reduction      float32   ``2 m k V`` or ``2 k² V``  each inner part with m > k, dual or primal: r rows for m
search         float32   ``2 J r k V``              each inner part
scoring        float32   ``2 J² (r + A) V``         each inner part: small products for each target
penalties      float32   ``2 A m k²``               the outer part, if some target chooses each penalty
refit          float32   ``2 m k V``                the outer part
============== ========= ========================== =================================================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.encoding.arithmetic.columns import Columns
from pipeline.encoding.design import Design
from pipeline.encoding.options import Criterion
from pipeline.encoding.splits import Fold

Form = Literal["primal", "dual"]
N_FILTERS = 12
"""What about 20 penalties over ten decades need at the engine's tolerance: 5 for flat spectra, 15 for steep ones."""
EIGH_FLOPS = 9.0
"""Of a float64 eigendecomposition with vectors, times k³."""
FLOAT64 = ("gram", "projection")
"""Products in float64; the others are in float32, but for the decomposition."""
PHASES = (*FLOAT64, "decomposition", "operators", "products", "reduction", "search", "scoring", "penalties", "refit")

AGAIN = ("decomposition", "projection", "operators", "reduction", "search", "scoring")
"""Done for each weighting of feature spaces."""


@dataclasses.dataclass(frozen=True)
class FoldShape:
    """Rows of one part: an inner fold, or an outer one."""

    n_train: int
    n_test: int


@dataclasses.dataclass(frozen=True)
class FitShape:
    """The sizes of one fit: one layer, all targets.

    Parameters
    ----------
    n_bins : rows of the undelayed features
    n_samples : rows of the responses
    n_features : undelayed
    parts : of each outer fold: its inner folds, then itself
    n_weightings : of feature spaces fitted jointly, whose features are counted together; each is a fit of its own in
        the dual form, but for the Gram matrices. 1: ridge
    """

    n_bins: int
    n_samples: int
    n_features: int
    n_delays: int
    n_targets: int
    n_penalties: int
    parts: tuple[tuple[FoldShape, ...], ...]
    n_weightings: int = 1

    @property
    def n_delayed(self) -> int:
        return self.n_features * self.n_delays


@dataclasses.dataclass(frozen=True)
class Rates:
    """How fast a machine does what a fit is made of, per second.

    Parameters
    ----------
    float32_product, float64_product : FLOP/s of matrix products
    float64_eigh : FLOP/s of eigendecompositions, counted as `EIGH_FLOPS` k³
    memory : bytes/s of passes over arrays
    disk : bytes/s of reading files
    """

    float32_product: float
    float64_product: float
    float64_eigh: float
    memory: float
    disk: float


TYPICAL = Rates(100e9, 50e9, 25e9, 5e9, 1e9)
"""Of one core. The form is chosen by these and not by the machine at hand, so that a fit is the same everywhere."""


@dataclasses.dataclass(frozen=True)
class FitCost:
    """What one fit costs.

    Parameters
    ----------
    forms : of each outer fold
    flops : by phase, see `PHASES`
    bytes_moved : of features, responses and predictions, each time memory is passed over
    """

    forms: tuple[Form, ...]
    flops: dict[str, float]
    bytes_moved: float

    @property
    def total_flops(self) -> float:
        return sum(self.flops.values())

    def seconds(self, rates: Rates) -> float:
        """How long the products, decompositions and passes over memory take where nothing else runs."""
        decomposition, scoring = self.flops["decomposition"], self.flops["scoring"]
        float64 = sum(self.flops[phase] for phase in FLOAT64)
        float32 = self.total_flops - float64 - decomposition - scoring
        return (
            float32 / rates.float32_product
            + float64 / rates.float64_product
            + decomposition / rates.float64_eigh
            + scoring / (SCORING_PER_BYTE * rates.memory)
            + self.bytes_moved / rates.memory
        )


SCORING_PER_BYTE = 2.5
"""Operations of scoring, which are small products for each target, for each byte that memory moves meanwhile."""


def fold_shapes(splits: Sequence[Fold]) -> tuple[tuple[FoldShape, ...], ...]:
    """The parts of each outer fold: its inner folds, then itself."""
    return tuple(tuple(FoldShape(part.train.size, part.test.size) for part in (*fold.inner, fold)) for fold in splits)


def cheaper_form(
    parts: Sequence[FoldShape], n_features: int, n_delays: int, n_targets: int, n_filters: int = N_FILTERS
) -> Form:
    """The form in which one outer fold is fitted faster; primal only where features are fewer than training rows.

    Parameters
    ----------
    parts : inner folds, then the outer fold
    n_features : undelayed
    """
    if n_features * n_delays >= min(part.n_train for part in parts):
        return "dual"
    n_rows = parts[-1].n_train + parts[-1].n_test
    shape = FitShape(n_rows, n_rows, n_features, n_delays, n_targets, 2 * n_filters, (tuple(parts),))
    primal, dual = (fit_cost(shape, n_filters=n_filters, form=form).seconds(TYPICAL) for form in ("primal", "dual"))
    return "primal" if primal <= dual else "dual"


def fit_cost(shape: FitShape, *, n_filters: int = N_FILTERS, form: Form | None = None) -> FitCost:
    """Count one fit.

    Parameters
    ----------
    n_filters : of the penalty search, J; no more than there are penalties
    form : of all outer folds; None for the cheaper one of each
    """
    flops = dict.fromkeys(PHASES, 0.0)
    forms = forms_of(shape, n_filters) if form is None else (form,) * len(shape.parts)
    for parts, own in zip(shape.parts, forms, strict=True):
        _add_fold(flops, shape, parts, own, min(n_filters, shape.n_penalties))
    for phase in AGAIN:
        flops[phase] *= shape.n_weightings
    return FitCost(forms, flops, _bytes_moved(shape, forms))


def _bytes_moved(shape: FitShape, forms: Sequence[Form]) -> float:
    """Bytes of large arrays that are passed over, or made anew; counted from profiles of the engine."""
    features, responses = 8.0 * shape.n_bins * shape.n_features, 4.0 * shape.n_samples * shape.n_targets
    moved = 0.0
    for parts, form in zip(shape.parts, forms, strict=True):
        # every part standardises the features for itself, and cuts, centres and correlates responses
        moved += len(parts) * (8 * features + 10 * shape.n_weightings * responses)
        if form == "dual":  # a Gram matrix shifted by each delay and summed, then cut to the part and centred
            moved += len(parts) * (3 * shape.n_delays + 8 * shape.n_weightings) * 8.0 * shape.n_samples**2
        else:
            moved += len(parts) * 4 * shape.n_delays * features
    return moved


def forms_of(shape: FitShape, n_filters: int = N_FILTERS) -> tuple[Form, ...]:
    """The form of each outer fold: the cheaper one; dual for feature spaces fitted jointly."""
    if shape.n_weightings > 1:
        return tuple("dual" for _ in shape.parts)
    return tuple(
        cheaper_form(parts, shape.n_features, shape.n_delays, shape.n_targets, n_filters) for parts in shape.parts
    )


def _add_fold(flops: dict[str, float], shape: FitShape, parts: Sequence[FoldShape], form: Form, n_filters: int) -> None:
    """Add the operations of one outer fold."""
    *inner, outer = parts
    q, n_targets = shape.n_delayed, shape.n_targets
    for part in parts:
        k = q if form == "primal" else part.n_train
        flops["gram"] += part.n_train * q**2 if form == "primal" else shape.n_bins**2 * shape.n_features
        flops["decomposition"] += EIGH_FLOPS * k**3
        flops["projection"] += 2 * part.n_test * k**2
    for part in inner:
        k = q if form == "primal" else part.n_train
        rows = min(part.n_test, k)
        flops["operators"] += 2 * n_filters * rows * k**2
        flops["search"] += 2 * n_filters * rows * k * n_targets
        flops["scoring"] += 2 * n_filters**2 * (rows + shape.n_penalties) * n_targets
        if form == "primal":
            left_out = outer.n_train - part.n_train  # its test rows, and those too close to them
            flops["products"] += 2 * left_out * q * n_targets
        if part.n_test > k:  # replaced by the triangle of their QR, whose products with responses the primal form needs
            flops["reduction"] += 2 * (k if form == "primal" else part.n_test) * k * n_targets
    if form == "primal":
        flops["products"] += 2 * max(outer.n_train - sum(part.n_test for part in inner), 0) * q * n_targets
    k = q if form == "primal" else outer.n_train
    flops["penalties"] += 2 * min(shape.n_penalties, n_targets) * outer.n_test * k**2
    flops["refit"] += 2 * outer.n_test * k * n_targets


SMALL_FLOPS = 4e9
"""Fits that take no more operations are solved plainly: about what a core does while torch is imported, ten layers a
job. A matter of sizes alone, so that a fit is the same wherever it runs."""


@dataclasses.dataclass(frozen=True)
class RidgeProblem:
    """What is to be fitted; see `pipeline.encoding.ridge.fit.fit_ridge`."""

    features: Columns
    responses: Columns
    grid: np.ndarray
    design: Design
    scale: bool
    absolute: bool
    choose_by: Criterion

    @property
    def is_small(self) -> bool:
        """Whether it is solved plainly."""
        n_samples, n_targets = self.responses.shape
        n_bins, n_features = self.features.shape
        sizes = (n_bins, n_samples, n_features, len(self.design.delays), n_targets, self.grid.size)
        return fit_cost(FitShape(*sizes, parts=fold_shapes(self.design.splits))).total_flops <= SMALL_FLOPS
