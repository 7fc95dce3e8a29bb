"""Estimates with their bootstrap draws for every place of a batch and one model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.analysis import InferenceSettings
from pipeline.inference.batch import Batch, ModelScores
from pipeline.inference.bootstrap import draw_counts, generator
from pipeline.inference.layer_choice import held_out_r
from pipeline.inference.places import ALL, Place, subjects_of
from pipeline.inference.profile import Profile, estimate, join_draws

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES_AT_ONCE = 64 << 20


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One place's profile, its draws, and what was drawn.

    Parameters
    ----------
    point : the data as they are (one draw)
    held_r : (target,) held-out score of the nested choice
    ci_unit, n_units : what was drawn with replacement, and how many there are
    """

    place: Place
    point: Profile
    draws: Profile
    held_r: NDArray[Any]
    ci_unit: str
    n_units: int


def over_subjects(place: Place, settings: InferenceSettings) -> bool:
    """Whether a place's interval is over subjects: it averages the scores of enough of them."""
    return place.subject == ALL and place.n_subjects >= settings.min_subjects


def estimate_places(
    batch: Batch, scores: ModelScores, places: list[Place], settings: InferenceSettings
) -> list[Estimate]:
    """Estimate every place. Draws are the same for all models of a batch."""
    depth = scores.layers.relative_depth
    drawn: dict[int, list[Profile]] = {number: [] for number in range(len(places))}
    by_unit = [number for number, place in enumerate(places) if not over_subjects(place, settings)]
    for chunk in scores.draws if by_unit else ():
        for number in by_unit:
            drawn[number].append(estimate(chunk, places[number].targets, places[number].weights(), depth))
    n_subjects = len(subjects_of(batch.targets))
    counts = draw_counts(n_subjects, settings.n_bootstrap, generator(settings.seed, "subject")) if n_subjects else None
    for number in set(drawn) - set(by_unit):
        drawn[number] = _over_subjects(scores, places[number], counts)
    return [_estimate(batch, scores, place, drawn[number], settings) for number, place in enumerate(places)]


def _over_subjects(scores: ModelScores, place: Place, counts: NDArray[np.float32] | None) -> list[Profile]:
    """Draws over subjects, each subject's own scores as estimated from the data."""
    if counts is None:
        return []
    per_draw = 8 * scores.point.held_z.shape[1] * max(place.targets.size, scores.point.held_z.shape[2])
    at_once = max(1, BYTES_AT_ONCE // per_draw)
    return [
        estimate(
            scores.point, place.targets, place.weights(counts[start : start + at_once]), scores.layers.relative_depth
        )
        for start in range(0, counts.shape[0], at_once)
    ]


def _estimate(
    batch: Batch, scores: ModelScores, place: Place, drawn: list[Profile], settings: InferenceSettings
) -> Estimate:
    point = estimate(scores.point, place.targets, place.weights(), scores.layers.relative_depth)
    held_r = held_out_r(
        scores.point.held_z[..., place.targets],
        scores.point.weight[..., place.targets],
        point.choices,
        point.choices >= 0,
    )[0]
    subjects = over_subjects(place, settings)
    return Estimate(
        place=place,
        point=point,
        draws=join_draws(drawn),
        held_r=held_r,
        ci_unit="subject" if subjects else batch.ci_unit,
        n_units=place.n_subjects if subjects else batch.n_units,
    )
