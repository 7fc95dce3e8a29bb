"""Regions of a group whose responses are simulated, and the profiles over layers that they get.

Scores go through the same means as the map's: over folds by Fisher z, target by target, then over the targets of one
subject's region as they are, then over subjects. A mean of z over targets would favour a layer that predicts few
targets well, and could name another layer than the map does.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from pipeline.encoding.arithmetic.correlation import fisher_z, is_constant
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.reliability import MEAN_SUBJECT
from pipeline.encoding.null_tables import fold_weights, leaf_numbers
from pipeline.inference.places import ALL
from pipeline.inference.profile import Profile, profile_of_data_sets

FEWEST_PER_LEAF = 1


class Table:
    """Scores of some data sets, (data set, fold, layer, target): Fisher z of the outer fold, and r of the inner ones.

    Parameters
    ----------
    weight : (fold, target) of each fold in the mean
    """

    def __init__(self, shape: tuple[int, int, int, int], weight: np.ndarray, scratch: Scratch) -> None:
        self.z, self.inner = (scratch.array(shape, np.float32) for _ in range(2))
        self.weight = weight

    def take(self, layer: int, score: np.ndarray, inner_score: np.ndarray) -> None:
        """From the fit of one layer to all data sets side by side, (fold, data set · target)."""
        n_sets, n_folds, _, n_targets = self.z.shape
        for out, values in ((self.z, fisher_z(score)), (self.inner, inner_score)):
            out[:, :, layer] = np.moveaxis(values.reshape(n_folds, n_sets, n_targets), 1, 0)

    def by_layer(self, values: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Some targets of `z` or `inner`, (data set · layer, fold, target), layers of a data set one after another."""
        n_sets, n_folds, n_layers, _ = values.shape
        return np.moveaxis(values[..., targets], 2, 1).reshape(n_sets * n_layers, n_folds, targets.size)


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
        subjects = list(dict.fromkeys(targets["subject"][wanted].tolist()))  # constant targets are somebody's, too
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

    def table(self, n_sets: int, n_layers: int, scratch: Scratch) -> Table:
        """Room for the scores of so many data sets of these targets (`targets` of a group's, or these alone)."""
        n_folds, n_targets = self.fold_weight.size, self.targets.size
        weight = np.repeat(self.fold_weight[:, None], n_targets, axis=1)
        return Table((n_sets, n_folds, n_layers, n_targets), weight, scratch)

    def measured_table(self, responses: np.ndarray, design: Design, n_layers: int, scratch: Scratch) -> Table:
        """The same for one data set, the measured responses; a fold in which a target does not vary counts nothing."""
        table = self.table(1, n_layers, scratch)
        for number, fold in enumerate(design.splits):
            table.weight[number, is_constant(responses[fold.test][:, self.targets])] = 0.0
        return table

    def profiles(self, table: Table, relative_depth: np.ndarray) -> list[Profile]:
        """Of every region, a draw per data set."""
        found = []
        for number in range(len(self.names)):
            here = np.flatnonzero(self.region_of == number)
            z, inner = (values[..., here] for values in (table.z, table.inner))
            weight, subjects = table.weight[:, here], self.subject_of[here]
            found.append(profile_of_data_sets(z, inner, weight, subjects, relative_depth))
        return found
