"""Whether anything is predicted: every place against the same scores of the responses in other orders.

A family is what is looked at together: all layers and regions of one model and subject (or of the average subject);
single compartments are a family apart.
``p_family`` compares a score with the largest of its family in each order, so that any of them is below .05 in 5 % of
studies in which nothing predicts. q is Benjamini–Hochberg's over the same family.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.places import ALL, Place
from pipeline.inference.profile import Profile, estimate, join_draws
from pipeline.inference.scores.null_scores import (
    SIGNIFICANT_BELOW,
    NullScores,
    false_discovery_rate,
    p_of_largest,
    p_value,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    """Of a place's layers, and of its nested best layer.

    Parameters
    ----------
    zero_is_chance : whether scores of things that have nothing to do with each other are 0 on average
    """

    layers: NullTest
    nested: NullTest
    zero_is_chance: bool = True

    def is_predicted(self, lower_bound: float) -> bool:
        """Whether the nested score exceeds the largest of its family.

        Untested, whether its interval exceeds 0; never, where 0 is not what chance gives.
        """
        p = float(self.nested.p_family[0])
        return p < SIGNIFICANT_BELOW if np.isfinite(p) else self.zero_is_chance and lower_bound > 0


def _scores(profile: Profile) -> tuple[NDArray[Any], NDArray[Any]]:
    return profile.score, profile.nested


def unique_contributions(profile: Profile) -> tuple[NDArray[Any], NDArray[Any]]:
    """What stands in place of R² where the null is that of unique contributions."""
    return profile.r2, profile.nested_r2


def null_tests(
    null: NullScores | None,
    places: Sequence[Place],
    relative_depth: NDArray[Any],
    parts: Mapping[str, slice | NDArray[np.intp]],
    of: Callable[[Profile], tuple[NDArray[Any], NDArray[Any]]] = _scores,
    *,
    zero_is_chance: bool = True,
) -> dict[str, list[PlaceTest]]:
    """Test every place of a batch with one model, and with each of its pathways.

    Parameters
    ----------
    relative_depth : (layer,) of all of the model's layers
    parts : name → the layers that are looked at
    of : what of a profile is tested: of each layer, (draw, layer), and of the nested best one, (draw,)
    zero_is_chance : of the scores, see `PlaceTest`

    Returns
    -------
    name → one test per place
    """
    depths = {name: relative_depth[layers] for name, layers in parts.items()}
    if null is None:
        return {
            name: [PlaceTest(NullTest.none(depth.size), NullTest.none(1), zero_is_chance) for _ in places]
            for name, depth in depths.items()
        }
    scored: dict[str, list[list[Profile]]] = {name: [[] for _ in places] for name in parts}
    own = [_leaves(null, place) for place in places]
    for chunk in itertools.chain([null.observed], null.orders):
        for name, layers in parts.items():
            chosen = chunk.layers(layers)
            for profiles, (leaves, weights) in zip(scored[name], own, strict=True):
                profiles.append(estimate(chosen, leaves, weights, depths[name]))
    return {name: _of_places(places, list(map(join_draws, scored[name])), null.n_orders, of) for name in parts}


def _of_places(
    places: Sequence[Place],
    profiles: Sequence[Profile],
    n_orders: int,
    of: Callable[[Profile], tuple[NDArray[Any], NDArray[Any]]],
) -> list[PlaceTest]:
    """From each place's profiles, of the data and then of every order."""
    found: dict[int, PlaceTest] = {}
    at_layers, nested_ones = zip(*map(of, profiles), strict=True)
    for family in _families(places):
        layers = _tests(np.stack([at_layers[one] for one in family], axis=1), n_orders)
        nested = _tests(np.stack([nested_ones[one][:, None] for one in family], axis=1), n_orders)
        both = zip(family, layers, nested, strict=True)
        found |= {number: PlaceTest(of_layers, of_nested) for number, of_layers, of_nested in both}
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
    found = np.stack([p, p_of_largest(flat[0], flat[1:]), false_discovery_rate(p)]).reshape(3, n_places, n_scores)
    return [NullTest(p, p_family, q, n_orders) for p, p_family, q in found.swapaxes(0, 1)]
