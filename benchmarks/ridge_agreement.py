"""Whether two solvers of the ridge task agree, and what a plain float64 solution says where they do not.

Scores are compared target by target. Where two solvers chose different penalties, they must be ties: the inner scores
of the two penalties, in the float64 solution, lie within `TIE` of each other. Two penalties give two test scores, so
there each solver's test score is compared with that of the float64 solution at the solver's own penalty.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from benchmarks.ridge_cases import Problem
from benchmarks.ridge_peers import MAX_R, Answer, columnwise_correlation
from pipeline.encoding.splits import Fold

WORST = 1e-3  # difference of scores of any target
MEDIAN = 1e-5
SAME = 0.98  # share of targets with the same penalty
TIE = 1e-4  # difference of inner scores of two penalties that are as good as each other
N_SAMPLED = 200  # targets of each layer on which both are compared with the float64 solution
MOST_DIFFERING = 2000  # of each layer: more are sampled


@dataclasses.dataclass(frozen=True)
class Curves:
    """Scores at every penalty, each ``(n_penalties, n_targets)``, Pearson r."""

    inner: np.ndarray
    test: np.ndarray


def float64_curves(design: np.ndarray, responses: np.ndarray, penalties: np.ndarray, fold: Fold) -> Curves:
    """The task solved plainly: one float64 decomposition per fold, each penalty in turn.

    Parameters
    ----------
    design : array of shape (n_samples, n_columns), delayed
    responses : array of shape (n_samples, n_targets)
    fold : rows of the search with their folds, and the rows held out
    """
    z = np.zeros((penalties.size, responses.shape[1]))
    for part in fold.inner:
        z += np.arctanh(np.clip(_scores(design, responses, penalties, part), -MAX_R, MAX_R))
    return Curves(np.tanh(z / max(len(fold.inner), 1)), _scores(design, responses, penalties, fold))


def _scores(design: np.ndarray, responses: np.ndarray, penalties: np.ndarray, fold: Fold) -> np.ndarray:
    train, test = design[fold.train].astype(np.float64), design[fold.test].astype(np.float64)
    mean = train.mean(axis=0)
    train, test = train - mean, test - mean
    y = responses[fold.train].astype(np.float64)
    y -= y.mean(axis=0)
    dual = train.shape[0] < train.shape[1]
    values, vectors = np.linalg.eigh(train @ train.T if dual else train.T @ train)
    evaluate = test @ (train.T @ vectors if dual else vectors)
    projected = vectors.T @ y if dual else vectors.T @ (train.T @ y)
    scores = np.empty((penalties.size, y.shape[1]))
    for index, penalty in enumerate(penalties):
        predicted = evaluate @ (projected / (np.maximum(values, 0) + penalty)[:, None])
        scores[index] = columnwise_correlation(predicted, responses[fold.test])
    return scores


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Ours beside a peer.

    Parameters
    ----------
    inner_worst, inner_median, test_worst, test_median : differences of scores
    n_beyond : targets whose scores differ by more than `WORST`
    same : share of targets with the same penalty
    tie : largest difference of inner scores, in float64, of two penalties chosen for one target
    ours_off, peer_off : largest difference from the float64 solution at the penalty chosen, over the sampled targets
        and all that differ by more than `WORST` or in their penalty
    """

    inner_worst: float
    inner_median: float
    test_worst: float
    test_median: float
    n_beyond: int
    same: float
    tie: float
    ours_off: float
    peer_off: float

    @property
    def failures(self) -> list[str]:
        """Criteria that are not met, in words."""
        checks = {
            f"{self.n_beyond} targets differ by more than {WORST:g}": self.n_beyond == 0,
            f"median beyond {MEDIAN:g}": max(self.inner_median, self.test_median) <= MEDIAN,
            f"the same penalty in less than {SAME:.0%}": self.same >= SAME,
            f"penalties that are not ties within {TIE:g}": self.tie <= TIE,
        }
        return [words for words, met in checks.items() if not met]

    @property
    def verdict(self) -> str:
        return "yes" if not self.failures else "**NO**: " + "; ".join(self.failures)


def compare(problem: Problem, fold: Fold, ours: Answer, peer: Answer, seed: int) -> Agreement:
    """Compare two answers, each of all layers, one after another."""
    generator = np.random.default_rng(seed)
    n = problem.case.all_targets
    inner, test = np.abs(ours.inner - peer.inner), np.abs(ours.test - peer.test)
    differs = ours.choice != peer.choice
    beyond = (inner > WORST) | (test > WORST)
    off, ties = [], []
    for layer in range(problem.case.n_layers):
        doubtful = np.flatnonzero((differs | beyond)[layer * n : (layer + 1) * n])
        sampled = generator.choice(n, min(n, N_SAMPLED), replace=False)
        targets = np.union1d(generator.permutation(doubtful)[:MOST_DIFFERING], sampled)
        curves = float64_curves(problem.design(layer), problem.responses[:, targets], problem.case.penalties, fold)
        at, places = layer * n + targets, np.arange(targets.size)
        inner_true = [curves.inner[answer.choice[at], places] for answer in (ours, peer)]
        test_true = [curves.test[answer.choice[at], places] for answer in (ours, peer)]
        inner_off = [np.abs(answer.inner[at] - r) for answer, r in zip((ours, peer), inner_true, strict=True)]
        test_off = [np.abs(answer.test[at] - r) for answer, r in zip((ours, peer), test_true, strict=True)]
        test[at] = np.where(differs[at], np.maximum(*test_off), test[at])
        ties.append(np.abs(inner_true[0] - inner_true[1]).max())
        off.append(np.maximum(inner_off, test_off).max(axis=1))
    ours_off, peer_off = np.max(off, axis=0)
    return Agreement(
        inner_worst=float(inner.max()),
        inner_median=float(np.median(inner)),
        test_worst=float(test.max()),
        test_median=float(np.median(test)),
        n_beyond=int(((inner > WORST) | (test > WORST)).sum()),
        same=float(1 - differs.mean()),
        tie=float(np.max(ties)),
        ours_off=float(ours_off),
        peer_off=float(peer_off),
    )
