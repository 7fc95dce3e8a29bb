"""What a layer adds to feature spaces that are fitted with it, and each space's share, region by region with intervals.

What shares and unique contributions are is said in `pipeline.inference.scores.variance_scores`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.null_tests import NullTest, PlaceTest, null_tests, unique_contributions
from pipeline.inference.places import subjects_of
from pipeline.inference.profile import mean_over_targets
from pipeline.inference.rows import tested, untested
from pipeline.inference.scores.bootstrap import SUBJECT, Sampled, draw_counts, generator
from pipeline.inference.scores.variance_scores import (
    BYTES_AT_ONCE,
    FIRST_SHARE,
    JOINT,
    OFFSET,
    UNIQUE,
    WITHOUT,
    Division,
    VarianceScores,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.inference.estimates import Estimate
    from pipeline.inference.requests import InferenceSettings
    from pipeline.inference.scores.shared_draws import Batch


@dataclasses.dataclass
class _Drawn:
    """Values of one place: (draw, quantity, layer) at each layer, and (draw, quantity) at the nested choice."""

    layers: list[NDArray[Any]] = dataclasses.field(default_factory=list)
    nested: list[NDArray[Any]] = dataclasses.field(default_factory=list)

    def add(
        self, scores: VarianceScores, targets: NDArray[np.intp], weights: NDArray[Any], choices: NDArray[np.intp]
    ) -> None:
        """Take in means over a place's targets."""
        weights = weights.astype(scores.held.dtype)
        self.layers.append(mean_over_targets(scores.over_folds(targets), weights))
        self.nested.append(mean_over_targets(scores.at_layers(targets, choices), weights))


def variance_rows(
    where: dict[str, Any], batch: Batch, division: Division, estimates: Sequence[Estimate], settings: InferenceSettings
) -> list[dict[str, Any]]:
    """Rows of the map's table ``variance``: per place, layer (and nested best layer) and space.

    Parameters
    ----------
    where : study and analysis
    estimates : of the model's whole network, one per place

    Notes
    -----
    The nested best layer is that of the joint fit's score, chosen in inner folds.
    """
    point = division.point
    drawn, at_point, own_values = ([_Drawn() for _ in estimates] for _ in range(3))
    by_unit = [number for number, one in enumerate(estimates) if one.ci_unit != SUBJECT]
    for own, one in zip(at_point, estimates, strict=True):
        own.add(point, one.place.targets, one.place.weights(), one.point.choices)
    for chunk in division.draws() if by_unit else ():
        for number in by_unit:
            one = estimates[number]
            drawn[number].add(chunk, one.place.targets, one.place.weights(), one.point.choices)
    _draw_subjects(batch, point, estimates, drawn, own_values, settings)
    places, depth = [one.place for one in estimates], estimates[0].layers.relative_depth
    tests = null_tests(division.null, places, depth, {"": slice(None)}, unique_contributions)[""]
    rows: list[dict[str, Any]] = []
    for one, test, data, draws, own in zip(estimates, tests, at_point, drawn, own_values, strict=True):
        rows.extend(_rows(where, batch, division, one, test, data, draws, own, settings.confidence))
    return rows


def _draw_subjects(
    batch: Batch,
    point: VarianceScores,
    estimates: Sequence[Estimate],
    drawn: Sequence[_Drawn],
    own_values: Sequence[_Drawn],
    settings: InferenceSettings,
) -> None:
    """Draws of places whose interval is over subjects, in the order of the scores' own, and each subject by itself."""
    n_subjects = len(subjects_of(batch.targets))
    if all(one.own is None for one in estimates):
        return
    counts = draw_counts(n_subjects, settings.n_bootstrap, generator(settings.seed, "subject"))
    for one, draws, own in zip(estimates, drawn, own_values, strict=True):
        if one.own is None:
            continue
        at_layers = point.over_folds(one.place.targets)
        at_once = max(1, BYTES_AT_ONCE // (8 * max(1, point.held[0, :, :, 0][..., one.place.targets].size)))
        for values, times, choices in (
            (draws, counts, one.draws.choices),
            (own, np.eye(n_subjects), one.own.choices),
        ):
            for start in range(0, len(times), at_once):
                part = slice(start, start + at_once)
                weights = one.place.weights(times[part])
                values.layers.append(mean_over_targets(at_layers, weights))
                nested = point.at_layers(one.place.targets, choices[part])
                values.nested.append(mean_over_targets(nested, weights))


def _rows(
    where: dict[str, Any],
    batch: Batch,
    division: Division,
    estimate: Estimate,
    test: PlaceTest,
    point: _Drawn,
    drawn: _Drawn,
    own: _Drawn,
    confidence: float,
) -> list[dict[str, Any]]:
    place, layers = estimate.place, estimate.layers
    common = {
        **where,
        "metric": batch.metric,
        "group": place.group,
        "subject": place.subject,
        "model": layers.model,
        "objective": layers.objective,
        "region": place.region,
        "compartment": place.compartment,
        "ci_unit": estimate.ci_unit,
        "n_targets": int(place.targets.size),
        "n_subjects": place.n_subjects,
    }
    low, high = _interval(point.layers, drawn.layers, own.layers, estimate, confidence)
    weight = mean_over_targets(division.weight[..., place.targets].mean(axis=0), place.weights())
    rows = []
    for index, name in enumerate(layers.name):
        layer = {
            "nested": 0,
            "pathway": layers.pathway[index],
            "layer": name,
            "layer_index": int(layers.index[index]),
            "relative_depth": float(layers.relative_depth[index]),
            **_tested(test.layers, index, batch, layers.model),
        }
        values = point.layers[0][0, :, index], low[:, index], high[:, index]
        rows += _spaces({**common, **layer}, division.spaces, *values, weight[:, index])
    best = int(estimate.point.best[0])
    nested_low, nested_high = _interval(point.nested, drawn.nested, own.nested, estimate, confidence)
    named = {
        "nested": 1,
        "pathway": estimate.pathway,
        "layer": layers.name[best] if best >= 0 else "",
        "layer_index": int(layers.index[best]) if best >= 0 else -1,
        "relative_depth": float(layers.relative_depth[best]) if best >= 0 else float("nan"),
        **_tested(test.nested, 0, batch, layers.model),
    }
    nested_weight = np.full(len(division.spaces), np.nan)
    rows += _spaces({**common, **named}, division.spaces, point.nested[0][0], nested_low, nested_high, nested_weight)
    return rows


def _tested(test: NullTest, number: int, batch: Batch, model: str) -> dict[str, Any]:
    found = tested(test, number)
    return found | untested(found, batch, model)


def _interval(
    point: Sequence[NDArray[Any]],
    drawn: Sequence[NDArray[Any]],
    own: Sequence[NDArray[Any]],
    estimate: Estimate,
    confidence: float,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Interval of values of one draw, (1, …), from their draws and the subjects' own."""
    subjects = np.concatenate(own) if own else None
    drawn_over = estimate.ci_unit, estimate.n_units, estimate.widening
    return Sampled(point[0][0], np.concatenate(drawn), *drawn_over, subjects).interval(confidence)


def _spaces(
    common: dict[str, Any],
    spaces: Sequence[str],
    value: NDArray[Any],
    low: NDArray[Any],
    high: NDArray[Any],
    weight: NDArray[Any],
) -> list[dict[str, Any]]:
    """One row per space, from the quantities of a layer."""
    of_fit = {"offset_r2": float(value[OFFSET])}
    for name, quantity in (("joint", JOINT), ("without", WITHOUT), ("unique", UNIQUE)):
        of_fit |= _with_ends(f"{name}_r2", value[quantity], low[quantity], high[quantity])
    return [
        {
            **common,
            "space": space,
            **_with_ends("share_r2", value[quantity], low[quantity], high[quantity]),
            "weight": float(weight[number]),
            **of_fit,
        }
        for number, space in enumerate(spaces)
        for quantity in (FIRST_SHARE + number,)
    ]


def _with_ends(name: str, value: float, low: float, high: float) -> dict[str, float]:
    return {name: float(value), f"{name}_ci_low": float(low), f"{name}_ci_high": float(high)}
