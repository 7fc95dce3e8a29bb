"""Whether anything is predicted: every place against the same scores of the responses in other orders.

A family is what is looked at together: all layers and regions of one model and subject (or of the average subject);
single compartments are a family apart.
``p_family`` compares a score with the largest of its family in each order, so that any of them is below .05 in 5 % of
studies in which nothing predicts. q is Benjamini–Hochberg's over the same family.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.places import ALL, Place
from pipeline.inference.profile import Profile, estimate, join_draws
from pipeline.inference.scores.null_scores import NullScores, false_discovery_rate, p_of_largest, p_value

if TYPE_CHECKING:
    from numpy.typing import NDArray


SIGNIFICANT_BELOW = 0.05


@dataclasses.dataclass(frozen=True)
class NullTest:
    """p of some scores, NaN where nothing was tested.

    Parameters
    ----------
    p, p_family, q : of each score
    n_orders : other orders that the scores were held against
    """

    p: NDArray[np.float64]
    p_family: NDArray[np.float64]
    q: NDArray[np.float64]
    n_orders: int

    @classmethod
    def none(cls, n: int) -> NullTest:
        """Of ``n`` scores that were not tested."""
        unknown = np.full(n, np.nan)
        return cls(unknown, unknown, unknown, 0)


@dataclasses.dataclass(frozen=True)
class PlaceTest:
    """Of a place's layers, and of its nested best layer."""

    layers: NullTest
    nested: NullTest

    def is_predicted(self, lower_bound: float) -> bool:
        """Whether the nested score exceeds the largest of its family; untested, whether its interval exceeds 0."""
        p = float(self.nested.p_family[0])
        return p < SIGNIFICANT_BELOW if np.isfinite(p) else lower_bound > 0


def null_tests(
    null: NullScores | None, places: Sequence[Place], relative_depth: NDArray[Any], members: NDArray[np.intp] | None
) -> list[PlaceTest]:
    """Test every place of a batch with one model, or one of its pathways.

    Parameters
    ----------
    null : of the whole model
    relative_depth : (layer,) of the layers that are looked at
    members : their numbers; None for all
    """
    n_layers = relative_depth.size
    if null is None:
        return [PlaceTest(NullTest.none(n_layers), NullTest.none(1)) for _ in places]
    scored: list[list[Profile]] = [[] for _ in places]
    own = [_leaves(null, place) for place in places]
    for chunk in (null.observed, *null.orders):
        chosen = chunk if members is None else chunk.layers(members)
        for profiles, (leaves, weights) in zip(scored, own, strict=True):
            profiles.append(estimate(chosen, leaves, weights, relative_depth))
    together = [join_draws(profiles) for profiles in scored]
    found: dict[int, PlaceTest] = {}
    for family in _families(places):
        layers = _tests(np.stack([together[one].score for one in family], axis=1), null.n_orders)
        nested = _tests(np.stack([together[one].nested[:, None] for one in family], axis=1), null.n_orders)
        found |= {number: PlaceTest(*both) for number, *both in zip(family, layers, nested, strict=True)}
    return [found[number] for number in range(len(places))]


def _leaves(null: NullScores, place: Place) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """The leaves of a place, and their weights (1, leaf): those of their targets together."""
    leaf = null.leaf_of[place.targets]
    leaves, number = np.unique(leaf[leaf >= 0], return_inverse=True)
    weights = np.bincount(number, weights=place.weights()[0, leaf >= 0], minlength=leaves.size)
    return leaves, weights[None]


def _families(places: Sequence[Place]) -> list[list[int]]:
    found: dict[tuple[str, str, bool], list[int]] = {}
    several = any(place.compartment == ALL for place in places)
    for number, place in enumerate(places):
        whole = place.compartment == ALL or not several
        found.setdefault((place.group, place.subject, whole), []).append(number)
    return list(found.values())


def _tests(scores: NDArray[Any], n_orders: int) -> list[NullTest]:
    """From (1 + order, place, score) of a family."""
    _, n_places, n_scores = scores.shape
    flat = scores.reshape(scores.shape[0], -1).astype(np.float64)
    p = p_value(flat[0], flat[1:])
    by_place = [
        one.reshape(n_places, n_scores) for one in (p, p_of_largest(flat[0], flat[1:]), false_discovery_rate(p))
    ]
    p, p_family, q = by_place
    return [NullTest(p[place], p_family[place], q[place], n_orders) for place in range(n_places)]
