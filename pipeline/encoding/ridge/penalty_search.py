"""Scores of every penalty in one inner fold, for a batch of targets at a time.

The predictions at all penalties are combinations of those of a few filters (`pipeline.encoding.ridge.shrinkage`). So a
batch of targets costs one product with the filters' operators; correlations at all penalties follow from the products
of the filters' predictions with each other and with the responses, and no prediction at a penalty is ever made.
"""

from __future__ import annotations

import dataclasses

import torch

from pipeline.encoding.arithmetic.compute import product
from pipeline.encoding.arithmetic.correlation import MAX_R, TIE
from pipeline.encoding.layer_fit import shrinks_something
from pipeline.encoding.options import Criterion
from pipeline.encoding.ridge.decomposition import Part
from pipeline.encoding.ridge.shrinkage import low_rank_filters


@dataclasses.dataclass(frozen=True)
class Measured:
    """Responses of one part's test rows, for a batch of targets.

    Parameters
    ----------
    rows : (n_rows, n_targets) centred over the test rows, or what the predictions' rows were reduced to
    power : (n_targets,) float64, sum of squares over the test rows; 0 where they do not vary
    mean : (n_targets,) float64, of the test rows, less that of the training rows
    trained : (n_targets,) bool, whether the training rows vary
    """

    rows: torch.Tensor
    power: torch.Tensor
    mean: torch.Tensor
    trained: torch.Tensor


class PenaltySearch:
    """One inner fold, ready to score targets at every penalty.

    Parameters
    ----------
    rows : (n_rows, rank) float64, the part's ``evaluate`` centred over the test rows, or fewer rows with the same
        products
    penalties : (n_penalties,) float64, absolute
    tolerance : see `pipeline.encoding.ridge.shrinkage.low_rank_filters`
    dtype : of the products over targets
    """

    def __init__(
        self, part: Part, rows: torch.Tensor, penalties: torch.Tensor, tolerance: float, dtype: torch.dtype
    ) -> None:
        self._n_test = len(part.test)
        mean = part.evaluate.mean(0)
        size = rows.norm(dim=0) * part.input_size
        if float(rows.norm()) <= 1e-9 * float(part.evaluate.norm()):
            size = torch.zeros_like(
                size
            )  # features that do not vary over the test rows: there is only rounding to score
        filters = low_rank_filters(part.eigenvalues, penalties, size, tolerance)
        self._mix, self._length = filters.mix, filters.length
        self._n_filters, self._n_rows = len(filters.filters), len(rows)
        self._pairs = (self._mix[:, :, None] * self._mix[:, None, :]).flatten(1)
        basis = part.basis.T.to(dtype)
        operators = [product((rows * weights).to(dtype), basis) for weights in filters.filters]
        self._means = product((mean * filters.filters).to(dtype), basis)
        self.operator = torch.cat(operators)
        """(n_filters · n_rows, n_inputs): to the predictions of one filter after another."""

    def bytes_per_target(self, n_penalties: int) -> int:
        """What `score` needs at a time for each target."""
        products = len(self.operator) + self._n_filters**2
        return products * self.operator.itemsize + 6 * 8 * n_penalties

    def score(self, inputs: torch.Tensor, measured: Measured) -> tuple[torch.Tensor, torch.Tensor]:
        """Fisher's z of Pearson r, and mean squared errors, of every penalty.

        Parameters
        ----------
        inputs : (n_inputs, n_targets), see `Part`

        Returns
        -------
        two of (n_targets, n_penalties) float64; z is 0 where a target or its prediction does not vary
        """
        n_targets, n_filters = inputs.shape[1], self._n_filters
        predicted = product(inputs.T, self.operator.T)
        rows = predicted.view(n_targets, n_filters, self._n_rows)
        means = product(inputs.T, self._means.T).double() @ (self._mix * self._length[:, None]).T
        among = torch.bmm(rows, rows.transpose(1, 2)).view(n_targets, -1)
        power = (among.double() @ self._pairs.T).clamp_min(0.0)
        # each target's rows side by side: strided, this product took seven times as long
        with_measured = torch.bmm(measured.rows.T.contiguous()[:, None, :], rows.transpose(1, 2)).squeeze(1)
        with_all = with_measured.double() @ self._mix.T
        r = pearson(with_all, power, measured.power[:, None]) * measured.trained[:, None]
        error = (
            measured.power[:, None]
            + self._length * (self._length * power - 2 * with_all)
            + self._n_test * (measured.mean[:, None] - means).square()
        )
        # of what is predicted without an error only rounding is left, on either side of zero
        return torch.atanh(r.clamp(-MAX_R, MAX_R)), error.clamp_min(0.0) / self._n_test


def pearson(products: torch.Tensor, power: torch.Tensor, other_power: torch.Tensor) -> torch.Tensor:
    """Pearson r from sums of products and squares about the mean; 0 where one of the two does not vary."""
    both = (power * other_power).sqrt()
    return torch.where(both > 0, products / torch.where(both > 0, both, 1.0), 0.0)


def choose_penalty(z: torch.Tensor, error: torch.Tensor, choose_by: Criterion) -> tuple[torch.Tensor, torch.Tensor]:
    """The best penalty of each target: smallest error (by r: of those with the highest r), then largest penalty.

    Parameters
    ----------
    z : (n_targets, n_penalties), mean over inner folds
    error : same shape, mean squared errors summed over inner folds

    Returns
    -------
    its number, (n_targets,), and its mean r
    """
    r = torch.tanh(z)
    if choose_by == "r":
        error = torch.where(r >= r.amax(1, keepdim=True) - TIE, error, torch.inf)
    best = error <= (1 + TIE) * error.amin(1, keepdim=True)
    chosen = z.shape[1] - 1 - best.flip(1).to(torch.int8).argmax(1)
    return chosen, r.gather(1, chosen[:, None])[:, 0]


class Refit:
    """The outer fold: predictions of its test rows at the penalties that its targets chose, without approximation.

    Parameters
    ----------
    penalties : (n_penalties,) float64, absolute
    """

    def __init__(self, part: Part, penalties: torch.Tensor, dtype: torch.dtype) -> None:
        self.part, self._penalties = part, penalties
        self._basis = part.basis.T.to(dtype)
        self._operators: dict[int, torch.Tensor] = {}
        smallest = float(part.eigenvalues.min()) if len(part.eigenvalues) else 0.0
        self.shrinks = shrinks_something(float(penalties[0]), smallest)
        """Whether the smallest penalty changes predictions."""

    def n_bytes(self, n_penalties: int) -> int:
        """Held for all batches, if every penalty is chosen by some target."""
        part = self.part
        operators = n_penalties * len(part.test) * len(part.basis) * self._basis.itemsize
        return part.basis.nbytes + part.evaluate.nbytes + self._basis.nbytes + operators

    def predict(self, inputs: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Predictions less the mean of the training rows, ``(n_test, n_targets)``.

        Parameters
        ----------
        inputs : (n_inputs, n_targets), see `Part`
        chosen : (n_targets,), number of each target's penalty
        """
        order = chosen.argsort()
        numbers, counts = chosen.unique(return_counts=True)
        groups = inputs[:, order].split(counts.tolist(), dim=1)
        predicted = torch.empty(len(self.part.test), inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
        predicted[:, order] = torch.cat(
            [product(self._operator(number), group) for number, group in zip(numbers.tolist(), groups, strict=True)],
            dim=1,
        )
        return predicted

    def _operator(self, number: int) -> torch.Tensor:
        """Of one penalty, ``(n_test, n_inputs)``; made when a target first chooses it."""
        if number not in self._operators:
            weighed = self.part.evaluate / (self.part.eigenvalues + self._penalties[number])
            self._operators[number] = product(weighed.to(self._basis.dtype), self._basis)
        return self._operators[number]
