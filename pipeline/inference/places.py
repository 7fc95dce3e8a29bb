"""The places that a map has rows for: subject × region × compartment, and the targets that make each up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALL = "all"
MEAN = "mean"


@dataclasses.dataclass(frozen=True)
class Place:
    """One subject's (or the average subject's) region.

    Parameters
    ----------
    group : of the scores; ``all`` where several groups are averaged
    subject : a name, ``mean`` (averaged responses) or ``all`` (averaged scores)
    compartment : ``all`` for the mean over a region's compartments
    targets : rows of the targets' table, those with constant responses left out
    subject_of : (target,) number of each target's subject among the batch's subjects
    n_constant : how many constant targets were left out
    n_subjects : how many subjects' data are in it
    """

    group: str
    subject: str
    region: str
    compartment: str
    targets: NDArray[np.intp]
    subject_of: NDArray[np.intp]
    n_constant: int
    n_subjects: int

    def weights(self, counts: NDArray[Any] | None = None, keep: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Weights of the targets: equal within a subject, and subjects equal (or as often as drawn).

        Parameters
        ----------
        counts : (draw, subject) multiplicities over the batch's subjects; None takes each once
        keep : (target,), only these targets

        Returns
        -------
        (draw or 1, target)
        """
        keep = np.ones(self.targets.size, dtype=bool) if keep is None else keep
        n_targets = np.bincount(self.subject_of[keep], minlength=self.subject_of.max(initial=0) + 1)[self.subject_of]
        equal = keep / np.maximum(n_targets, 1)
        return equal[None] if counts is None else counts[:, self.subject_of] * equal


def subjects_of(targets: pd.DataFrame) -> list[str]:
    """The single subjects of a table of targets, in order of appearance."""
    return [str(name) for name in targets["subject"].unique() if name != MEAN]


def list_places(targets: pd.DataFrame, region_order: Sequence[str]) -> list[Place]:
    """All places of a batch: first ``all``, then ``mean``, then each subject.

    Parameters
    ----------
    targets : columns group, n_in_group, subject, region, compartment, constant; one row per target
    region_order : regions in this order first
    """
    known = [str(name) for name in targets["region"].unique()]
    regions = [name for name in region_order if name in known] + [name for name in known if name not in region_order]
    several = bool((targets.groupby("region")["compartment"].nunique() > 1).any())
    compartments = [*([ALL] if several else []), *(str(name) for name in targets["compartment"].unique())]
    number = {name: index for index, name in enumerate(subjects_of(targets))}
    places = []
    for group, subject, rows in _subjects(targets, number):
        for region in regions:
            for compartment in compartments:
                here = rows & (targets["region"] == region)
                if compartment != ALL or not several:
                    here &= targets["compartment"] == compartment
                if here.any():
                    places.append(_place(targets, here, (group, subject, region, compartment), number))
    return places


def _subjects(targets: pd.DataFrame, number: dict[str, int]) -> list[tuple[str, str, pd.Series]]:
    """(group, subject, which targets) in the order of the table."""
    single = targets["subject"] != MEAN
    groups = [str(name) for name in targets["group"].unique()]
    found = []
    if len(number) > 1:
        found.append((groups[0] if len(groups) == 1 else ALL, ALL, single))
    for wanted in (~single, single):
        pairs = targets.loc[wanted, ["group", "subject"]].drop_duplicates()
        for group, subject in pairs.itertuples(index=False):
            found.append((group, subject, (targets["group"] == group) & (targets["subject"] == subject)))
    return found


def _place(targets: pd.DataFrame, here: pd.Series, where: tuple[str, str, str, str], number: dict[str, int]) -> Place:
    constant = targets["constant"].to_numpy(dtype=bool)
    rows = np.flatnonzero(here.to_numpy() & ~constant)
    names = targets["subject"].to_numpy()[rows]
    # the mean's responses, and matrices pooled over cells, stand for as many subjects as the recording says
    pooled = where[1] == MEAN or len(number) <= 1
    return Place(
        *where,
        targets=rows,
        subject_of=np.array([number.get(str(name), 0) for name in names], dtype=np.intp),
        n_constant=int((here.to_numpy() & constant).sum()),
        n_subjects=int(targets.loc[here, "n_in_group"].iloc[0]) if pooled else len(set(names)),
    )
