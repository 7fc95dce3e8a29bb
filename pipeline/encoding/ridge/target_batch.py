"""A batch of targets as the parts of an outer fold need it: inputs of their operators, and measured test rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from pipeline.encoding.arithmetic.compute import Arithmetic, product
from pipeline.encoding.ridge.decomposition import Part, PrimalFold
from pipeline.encoding.ridge.penalty_search import Measured, pearson

ROUNDING = {torch.float32: 1e-11, torch.float64: 1e-20}
"""Sums of squares this small, relative to those about zero, are rounding."""
SUSPECT = 1e-4
"""Training rows that vary less than this share of the outer fold's are looked at closely."""


class TargetBatch:
    """Responses of a batch of targets, less the mean of the outer fold's training rows.

    Parameters
    ----------
    responses : (n_samples, n_targets), finite
    constant : (n_targets,) bool; these targets are zero throughout
    """

    def __init__(self, responses: np.ndarray, constant: np.ndarray, parts: Sequence[Part], on: Arithmetic) -> None:
        values = torch.as_tensor(responses, device=on.device).to(on.dtype)
        shares = torch.zeros(len(parts), len(values), dtype=on.dtype, device=on.device)
        for row, part in zip(shares, parts, strict=True):
            row[part.train] = 1.0 / max(1, len(part.train))
        self.mean = shares[-1] @ values
        """(n_targets,), of the outer fold's training rows."""
        self.values = values - self.mean
        self.values[:, torch.as_tensor(constant, device=on.device)] = 0.0
        self._parts = parts
        self._train_mean = (shares @ self.values).double()
        variance = (shares @ self.values.square()).double() - self._train_mean.square()
        self._trained = self._vary(variance)

    def _vary(self, variance: torch.Tensor) -> torch.Tensor:
        """Which targets vary over which part's training rows, ``(n_parts, n_targets)`` bool."""
        trained = variance > SUSPECT * variance[-1]
        for number, part in enumerate(self._parts):
            suspects = (~trained[number]).nonzero()[:, 0]
            if len(suspects):
                rows = self.values[:, suspects][part.train]
                spread = rows.amax(0) - rows.amin(0)
                trained[number, suspects] = spread > 1e-6 * (rows + self.mean[suspects]).abs().amax(0)
        return trained

    def trained(self, part: int) -> torch.Tensor:
        """Which targets vary over the training rows of a part."""
        return self._trained[part]

    def measured(self, part: int, reduce: torch.Tensor | None) -> Measured:
        """The test rows of a part, reduced to fewer rows where ``reduce`` says how."""
        rows = self.values[self._parts[part].test]
        mean = rows.mean(0)
        rows -= mean
        power = torch.linalg.vector_norm(rows, dim=0).double().square()
        size = power + len(rows) * mean.double().square()
        power = torch.where(power > ROUNDING[rows.dtype] * size, power, 0.0)
        if reduce is not None:
            rows = product(reduce.T, rows)
        return Measured(rows, power, mean.double() - self._train_mean[part], self._trained[part])

    def score(self, predicted: torch.Tensor) -> torch.Tensor:
        """Pearson r of predictions of the outer fold's test rows, ``(n_targets,)``; 0 where something does not vary."""
        measured = self.measured(len(self._parts) - 1, None)
        mean = predicted.mean(0)
        centred = predicted - mean
        power = torch.linalg.vector_norm(centred, dim=0).double().square()
        size = power + len(predicted) * mean.double().square()
        power = torch.where(power > ROUNDING[predicted.dtype] * size, power, 0.0)
        together = torch.linalg.vecdot(centred, measured.rows, dim=0).double()
        return pearson(together, power, measured.power).clamp(-1.0, 1.0)


class DualInputs:
    """Inputs of dual parts are their training responses.

    Parameters
    ----------
    inner : parts whose test rows are scored; where these are more than the rank, they are replaced by the triangle of
        their QR, and the responses accordingly
    """

    n_bytes = 0

    def __init__(self, inner: Sequence[Part], on: Arithmetic) -> None:
        self.rows: list[torch.Tensor] = []
        """What stands for each inner part's centred ``evaluate``."""
        self._reduce: list[torch.Tensor | None] = []
        for part in inner:
            reduce, rows = None, part.evaluate - part.evaluate.mean(0)
            if len(rows) > rows.shape[1]:
                orthonormal, rows = torch.linalg.qr(rows)
                reduce = orthonormal.to(on.dtype)
            self.rows.append(rows)
            self._reduce.append(reduce)

    def of(self, batch: TargetBatch, parts: Sequence[Part]) -> Iterator[tuple[torch.Tensor, Measured | None]]:
        """Inputs of each part, and the measured test rows of inner ones."""
        for number, part in enumerate(parts):
            inner = number < len(self._reduce)
            yield batch.values[part.train], batch.measured(number, self._reduce[number]) if inner else None


class PrimalInputs:
    """Inputs of primal parts: products of the outer fold's features with responses, and the responses' sums.

    Products of the rows that inner folds test are computed once; those over a part's training rows are all of them
    less those that it leaves out. Where a part tests more rows than there are features, its features' test rows are
    replaced by the triangle of their QR, and its responses accordingly.

    Parameters
    ----------
    parts : inner ones, then the outer; their test rows do not overlap, and lie in the outer training rows
    """

    def __init__(self, fold: PrimalFold, parts: Sequence[Part], on: Arithmetic) -> None:
        *inner, outer = parts
        self._features = fold.features.to(on.dtype)
        self._counted = [fold.counted(part.train).to(on.dtype) for part in parts]
        n_samples = len(self._features)
        tested = torch.zeros(n_samples, dtype=torch.bool, device=on.device)
        trained = torch.zeros_like(tested)
        trained[outer.train] = True
        self._left_out = []
        for part in inner:
            own = trained.clone()
            own[part.train] = False
            own[part.test] = False
            tested[part.test] = True
            self._left_out.append(own.nonzero()[:, 0])
        self._rest = (trained & ~tested).nonzero()[:, 0]
        self._tests = [_TestRows(fold, part, on) for part in inner]
        self.rows = [test.rows for test in self._tests]
        """What stands for each inner part's centred ``evaluate``."""

    @property
    def n_bytes(self) -> int:
        """Held for all batches."""
        return self._features.nbytes + sum(counted.nbytes for counted in self._counted)

    def of(self, batch: TargetBatch, parts: Sequence[Part]) -> Iterator[tuple[torch.Tensor, Measured | None]]:
        """Inputs of each part, and the measured test rows of inner ones."""
        measured, products = [], []
        for number, (part, test) in enumerate(zip(parts[:-1], self._tests, strict=True)):
            measured.append(batch.measured(number, test.reduce))
            if test.reduce is None:
                products.append(product(self._features[part.test].T, batch.values[part.test]))
            else:
                mean = batch.values[part.test].mean(0)
                products.append(product(test.triangle.T, measured[-1].rows) + torch.outer(test.total, mean))
        total = product(self._features[self._rest].T, batch.values[self._rest])
        for own in products:
            total += own
        for number, left_out in enumerate(self._left_out):
            own = total - products[number]
            if len(left_out):
                own -= product(self._features[left_out].T, batch.values[left_out])
            yield torch.cat([own, self._counted[number] @ batch.values]), measured[number]
        yield torch.cat([total, self._counted[-1] @ batch.values]), None


class _TestRows:
    """The test rows of an inner part's features, reduced to a triangle where that has fewer rows."""

    def __init__(self, fold: PrimalFold, part: Part, on: Arithmetic) -> None:
        self.reduce: torch.Tensor | None = None
        self.rows = part.evaluate - part.evaluate.mean(0)
        features = fold.features[part.test]
        if len(features) > features.shape[1] and fold.complete(part.test):
            mean = features.mean(0)
            orthonormal, triangle = torch.linalg.qr(features - mean)
            self.reduce, self.triangle = orthonormal.to(on.dtype), triangle.to(on.dtype)
            self.total = (mean * len(features)).to(on.dtype)
            self.rows = triangle @ part.basis[: features.shape[1]]
