"""What a nested ridge fit costs: floating-point operations by phase, bytes moved, peak memory.

Counted are the products that the engine cannot do without (see `pipeline.encoding.ridge`), a multiplication and an
addition as two operations. A *part* is one set of training rows with the rows it predicts: each inner fold, and the
outer fold itself. Within a part, with ``n`` training rows, ``m`` test rows, ``q`` delayed features, ``J`` filters and
``V`` targets:

============== ===================================== =====================================
phase          dual, k = n                           primal, k = q
============== ===================================== =====================================
gram           ``n_bins² · n_features``              ``n q²``
decomposition  ``9 k³``                              ``9 k³``
operators      ``2 (m + J min(m, k)) k²``            ``2 (m + J min(m, k)) k²``
products                                             ``2 · 2 n_samples q V`` (outer fold)
search         ``2 J min(m, k) k V``                 ``2 J min(m, k) k V``
scoring        ``J² (min(m, k) + 2 A) V``            ``J² (min(m, k) + 2 A) V``
refit          ``2 m k V``                           ``2 m k V``
============== ===================================== =====================================

Operators, search and scoring are those of inner folds, the refit that of the outer fold. A is the number of penalties.
Only half of a symmetric product is counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from pipeline.encoding.splits import Fold

Form = Literal["primal", "dual"]
N_FILTERS = 10
"""Filters that a grid of about 20 penalties needs at the engine's tolerance: 8 to 13."""
EIGH_FLOPS = 9.0
"""Of a float64 eigendecomposition with vectors, times k³."""
PHASES = ("gram", "decomposition", "operators", "products", "search", "scoring", "refit")


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
    """

    n_bins: int
    n_samples: int
    n_features: int
    n_delays: int
    n_targets: int
    n_penalties: int
    parts: tuple[tuple[FoldShape, ...], ...]


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


TYPICAL = Rates(100e9, 50e9, 25e9, 10e9, 1e9)
"""Of a laptop. The form is chosen by these and not by the machine at hand, so that a fit is the same everywhere."""


@dataclasses.dataclass(frozen=True)
class FitCost:
    """What one fit costs.

    Parameters
    ----------
    forms : of each outer fold
    flops : by phase, see `PHASES`; gram and decomposition in float64, the rest in float32
    bytes_read : of features and responses, each time they are passed over
    bytes_written : of predictions
    fixed_bytes : in memory whatever the number of targets: Gram matrices, eigenvectors, operators, features
    bytes_per_target : in memory for each target of a batch
    batch : targets that fit the memory budget beside the fixed part; at least 1
    """

    forms: tuple[Form, ...]
    flops: dict[str, float]
    bytes_read: float
    bytes_written: float
    fixed_bytes: float
    bytes_per_target: float
    batch: int

    @property
    def total_flops(self) -> float:
        return sum(self.flops.values())

    @property
    def peak_bytes(self) -> float:
        """Fixed part and one batch."""
        return self.fixed_bytes + self.batch * self.bytes_per_target

    def seconds(self, rates: Rates) -> float:
        """How long the fit takes where nothing else runs."""
        at = {"gram": rates.float64_product, "decomposition": rates.float64_eigh, "scoring": rates.memory}
        computing = sum(flops / at.get(phase, rates.float32_product) for phase, flops in self.flops.items())
        return computing + self.bytes_read / rates.disk + self.bytes_written / rates.memory


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
    n_rows = max(part.n_train + part.n_test for part in parts)
    shape = FitShape(n_rows, n_rows, n_features, n_delays, n_targets, 2 * n_filters, (tuple(parts),))
    seconds = {form: _cost(shape, (form,), n_filters, 0.0).seconds(TYPICAL) for form in _FORMS}
    return "primal" if seconds["primal"] <= seconds["dual"] else "dual"


def fit_cost(
    shape: FitShape, *, n_filters: int = N_FILTERS, memory_budget_mb: float = 2048, form: Form | None = None
) -> FitCost:
    """Count one fit.

    Parameters
    ----------
    n_filters : of the penalty search, J
    memory_budget_mb : decides how many targets are worked on together
    form : of all outer folds; None for the cheaper one of each
    """
    forms = tuple(
        form or cheaper_form(parts, shape.n_features, shape.n_delays, shape.n_targets, n_filters)
        for parts in shape.parts
    )
    return _cost(shape, forms, n_filters, memory_budget_mb * 2**20)


_FORMS: tuple[Form, Form] = ("primal", "dual")


def _cost(shape: FitShape, forms: Sequence[Form], n_filters: int, budget: float) -> FitCost:
    flops = dict.fromkeys(PHASES, 0.0)
    for parts, form in zip(shape.parts, forms, strict=True):
        _add_fold(flops, shape, parts, form, n_filters)
    memory = [_fold_memory(shape, parts, form, n_filters) for parts, form in zip(shape.parts, forms, strict=True)]
    fixed, per_target = max(fixed for fixed, _ in memory), max(each for _, each in memory)
    batch = min(shape.n_targets, max(1, int((budget - fixed) // per_target)))
    features, responses = 4.0 * shape.n_bins * shape.n_features, 4.0 * shape.n_samples * shape.n_targets
    read = sum((len(parts) if form == "dual" else 1) * features + responses for parts, form in _pairs(shape, forms))
    written = 4.0 * shape.n_targets * sum(parts[-1].n_test for parts in shape.parts)
    return FitCost(tuple(forms), flops, read, written, fixed, per_target, batch)


def _pairs(shape: FitShape, forms: Sequence[Form]) -> list[tuple[tuple[FoldShape, ...], Form]]:
    return list(zip(shape.parts, forms, strict=True))


def _add_fold(flops: dict[str, float], shape: FitShape, parts: Sequence[FoldShape], form: Form, n_filters: int) -> None:
    """Add the operations of one outer fold."""
    *inner, outer = parts
    q, n_targets = shape.n_features * shape.n_delays, shape.n_targets
    for part in parts:
        k = q if form == "primal" else part.n_train
        flops["gram"] += part.n_train * q**2 if form == "primal" else shape.n_bins**2 * shape.n_features
        flops["decomposition"] += EIGH_FLOPS * k**3
    for part in inner:
        k = q if form == "primal" else part.n_train
        rows = min(part.n_test, k)  # more test rows than k are replaced by the triangle of their QR
        flops["operators"] += 2 * (part.n_test + n_filters * rows) * k**2
        flops["search"] += 2 * n_filters * rows * k * n_targets
        flops["scoring"] += n_filters**2 * (rows + 2 * shape.n_penalties) * n_targets
    if form == "primal":
        # of the training rows together, and again of those that each part leaves out
        flops["products"] += 2 * 2 * shape.n_samples * q * n_targets
    k = q if form == "primal" else outer.n_train
    flops["operators"] += 2 * outer.n_test * k**2
    flops["refit"] += 2 * outer.n_test * k * n_targets


def _fold_memory(shape: FitShape, parts: Sequence[FoldShape], form: Form, n_filters: int) -> tuple[float, float]:
    """Bytes of one outer fold: whatever the number of targets, and for each target of a batch."""
    *inner, outer = parts
    q = shape.n_features * shape.n_delays
    k = q if form == "primal" else max(part.n_train for part in parts)
    rows = [min(part.n_test, k) for part in inner]
    operators = (
        4.0 * n_filters * sum(r * (q if form == "primal" else p.n_train) for r, p in zip(rows, inner, strict=True))
    )
    gram = 8.0 * (q**2 if form == "primal" else shape.n_bins**2)
    # a decomposition at work holds its matrix, the vectors and a workspace of twice their size
    fixed = operators + gram + 3 * 8.0 * k**2 + 8.0 * outer.n_test * k
    most_rows = max(rows, default=0)
    per_target = 4.0 * (2 * shape.n_samples + n_filters * most_rows + n_filters**2) + 8.0 * 3 * shape.n_penalties
    if form == "primal":
        per_target += 4.0 * q * (len(parts) + 1)
    return fixed, per_target
