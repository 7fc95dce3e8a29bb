"""Regions of a group whose responses are simulated, and the profiles over layers that they get.

Scores go through the same means as the map's: over the targets of one subject's region (and compartment) by Fisher z
within each fold, then over subjects.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.design import Design
from pipeline.encoding.group.reliability import MEAN_SUBJECT
from pipeline.encoding.null_tables import fold_weights, leaf_means, leaf_numbers, over_leaves
from pipeline.inference.places import ALL
from pipeline.inference.profile import Profile, estimate
from pipeline.inference.scores.fold_scores import average_folds

FEWEST_PER_LEAF = 1


class Table:
    """Scores of some data sets, (data set, fold, layer, leaf): Fisher z of the outer fold, and r of the inner ones."""

    def __init__(self, shape: tuple[int, int, int, int], to_leaves: Any) -> None:
        self.z, self.inner = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self._to_leaves = to_leaves

    def take(self, layer: int, score: np.ndarray, inner_score: np.ndarray) -> None:
        """From the fit of one layer to all data sets side by side, (fold, data set · target)."""
        n_sets, n_folds, _, _ = self.z.shape
        for out, values in ((self.z, fisher_z(score)), (self.inner, inner_score)):
            by_set = np.moveaxis(values.reshape(n_folds, n_sets, -1), 1, 0)
            out[:, :, layer] = over_leaves(by_set, self._to_leaves)


@dataclasses.dataclass(frozen=True)
class Regions:
    """Targets of one subject, of the mean of subjects, or of all subjects.

    Parameters
    ----------
    subject : as the map names it: a subject, ``mean`` (averaged responses) or ``all`` (averaged scores)
    names : of the regions
    targets : rows of the group's targets, constant ones left out
    region_of : (target,) number of each one's region
    leaf_of : (target,) number of what one subject has in one region and compartment
    subject_of : (target,) number
    fold_weight : (fold,) degrees of freedom
    """

    subject: str
    names: tuple[str, ...]
    targets: np.ndarray
    region_of: np.ndarray
    leaf_of: np.ndarray
    subject_of: np.ndarray
    fold_weight: np.ndarray

    @classmethod
    def of(cls, targets: dict[str, np.ndarray], constant: np.ndarray, design: Design) -> Regions:
        """Averaged responses where there are any, else all subjects."""
        averaged = targets["subject"] == MEAN_SUBJECT
        wanted = averaged if averaged.any() else ~averaged
        rows = np.flatnonzero(wanted & ~constant)
        subjects = list(dict.fromkeys(targets["subject"][rows].tolist()))
        subject = str(subjects[0]) if len(subjects) == 1 else ALL
        names = tuple(str(name) for name in dict.fromkeys(targets["region"][rows].tolist()))
        kept = np.ones(rows.size, bool)
        parts = [targets[name][rows] for name in ("subject", "region", "compartment")]
        return cls(
            subject=subject,
            names=names,
            targets=rows,
            region_of=leaf_numbers([parts[1]], kept).astype(int),
            leaf_of=leaf_numbers(parts, kept).astype(int),
            subject_of=leaf_numbers([parts[0]], kept).astype(int),
            fold_weight=fold_weights(design),
        )

    def some(self, at_most: int, generator: np.random.Generator) -> Regions:
        """No more than so many targets, drawn by chance; one of each subject's region at least."""
        if self.targets.size <= at_most:
            return self
        shuffled = generator.permutation(self.targets.size)
        rank = np.zeros(self.targets.size, int)  # how many of the same leaf come first
        seen: dict[int, int] = {}
        for target in shuffled:
            leaf = int(self.leaf_of[target])
            rank[target] = seen[leaf] = seen.get(leaf, -1) + 1
        order = shuffled[np.argsort(rank[shuffled], kind="stable")]
        n = max(at_most, len(seen) * FEWEST_PER_LEAF)
        here = np.sort(order[:n])
        parts = {name: getattr(self, name)[here] for name in ("targets", "region_of", "leaf_of", "subject_of")}
        return dataclasses.replace(self, **parts)

    def table(self, n_sets: int, n_layers: int) -> Table:
        """Room for the scores of so many data sets of these targets (`targets` of a group's, or these alone)."""
        to_leaves = leaf_means(self.leaf_of)
        return Table((n_sets, self.fold_weight.size, n_layers, to_leaves.shape[1]), to_leaves)

    def profiles(self, table: Table, relative_depth: np.ndarray) -> list[Profile]:
        """Of every region, a draw per data set."""
        weight = np.broadcast_to(self.fold_weight[:, None], (table.z.shape[0], *table.z.shape[1::2]))
        scores = dataclasses.replace(average_folds(table.z, weight), inner=table.inner)
        found = []
        for region in range(len(self.names)):
            here = self.region_of == region
            n_of_subject = np.bincount(self.subject_of[here], minlength=self.subject_of.max() + 1)
            per_target = 1.0 / n_of_subject[self.subject_of[here]]
            leaves, number = np.unique(self.leaf_of[here], return_inverse=True)
            weights = np.bincount(number, weights=per_target, minlength=leaves.size)[None]
            found.append(estimate(scores, leaves, weights, relative_depth))
        return found
