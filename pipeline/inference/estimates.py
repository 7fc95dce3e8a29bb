"""Estimates with their bootstrap draws for every place of a batch and one model.

Where subjects and stimuli are both samples, both are drawn. Draws over subjects take the stimuli as the only ones: what
all subjects share and a network happens to resemble on these few stimuli is then found again in every draw. Draws
of subjects and stimuli at once count what is neither's, the noise of measurement, three times. With draws of subjects
alone, of stimuli alone and of both, the variance is

    V = 2 (V_subjects + V_stimuli) − V_both,  at least max(V_subjects, V_stimuli), at most V_both

and the draws of both are rescaled about their mean to have it (`pipeline.inference.scores.bootstrap.rescaled`), last of
all: of a difference between models, layers or regions, the variances are those of its own draws.

References
----------
Schütt, Kipnis, Diedrichsen & Kriegeskorte 2023, eLife 12:e82566 (two-factor bootstrap of representational similarity).
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.layer_choice import held_out_r, held_out_r2
from pipeline.inference.networks import WHOLE, pathways_of
from pipeline.inference.places import ALL, Place, subjects_of
from pipeline.inference.profile import Profile, estimate, join_draws, mean_over_targets
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.scores.bootstrap import Sampled, draw_counts, generator
from pipeline.inference.scores.fold_scores import FoldScores
from pipeline.inference.scores.shared_draws import Batch, LayerAxis, ModelScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES_AT_ONCE = 64 << 20
SUBJECT_AND_ITEM = "subject and item"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """One place's profile over a network or one of its pathways, its draws, and what was drawn.

    Parameters
    ----------
    pathway : ``""`` for a network of a single one; of several, the pathway's name or ``all`` for all of them
    layers : those of the profile
    point : the data as they are (one draw)
    held_r, held_r2 : (target,) held-out score and R² of the nested choice; R² is NaN where nothing was predicted
    ci_unit, n_units : what was drawn with replacement, and how many there are; of two kinds, of the fewer
    widening : of the draws' variance; 1 for subjects
    own : each of the batch's subjects by itself, with layers of its own choice, (subject,) in place of draws; None
        where blocks or items were drawn
    alone : draws of subjects alone and of stimuli alone, where both were drawn
    by_fold : Fisher z of each subject in each outer fold, at the layer of its own choice (subject, fold), and at every
        layer (subject, fold, layer); None as ``own`` is
    """

    place: Place
    pathway: str
    layers: LayerAxis
    point: Profile
    draws: Profile
    held_r: NDArray[Any]
    held_r2: NDArray[Any]
    ci_unit: str
    n_units: int
    widening: float
    own: Profile | None = None
    alone: tuple[Profile, Profile] | None = None
    by_fold: tuple[NDArray[Any], NDArray[Any]] | None = None

    def sampled(self, values: Callable[[Profile], NDArray[Any]], *, is_mean: bool = True) -> Sampled:
        """What an interval of anything that a profile has is made of.

        Parameters
        ----------
        values : of a profile, (draw, …)
        is_mean : whether it is a mean over subjects, as scores are; the depth of a layer chosen for all of them is
            none, so that subjects' own say nothing of its error
        """
        own = values(self.own) if is_mean and self.own is not None else None
        alone = None if self.alone is None else (values(self.alone[0]), values(self.alone[1]))
        return Sampled(values(self.point)[0], values(self.draws), self.ci_unit, self.n_units, self.widening, own, alone)


def over_subjects(place: Place, settings: InferenceSettings) -> bool:
    """Whether a place's interval is over subjects: it averages the scores of enough of them."""
    return place.subject == ALL and place.n_subjects >= settings.min_subjects


@dataclasses.dataclass(frozen=True)
class _Part:
    """The whole network or one of its pathways; by a place's number the profiles drawn for it, and its subjects'."""

    pathway: str
    members: NDArray[np.intp] | None
    layers: LayerAxis
    point: FoldScores
    drawn: dict[int, list[Profile]] = dataclasses.field(default_factory=lambda: defaultdict(list))
    own: dict[int, Profile] = dataclasses.field(default_factory=dict)
    alone: dict[int, tuple[Profile, Profile]] = dataclasses.field(default_factory=dict)

    def of(self, chunk: FoldScores) -> FoldScores:
        return chunk if self.members is None else chunk.layers(self.members)


def _parts(scores: ModelScores) -> list[_Part]:
    """The whole network first, then each of its pathways if it has several."""
    pathways = pathways_of(scores.layers.pathway)
    whole = _Part(WHOLE if pathways else "", None, scores.layers, scores.point)
    return [
        whole,
        *(
            _Part(name, members, scores.layers.within(members), scores.point.layers(members))
            for name, members in pathways.items()
        ),
    ]


def estimate_places(
    batch: Batch,
    scores: ModelScores,
    places: list[Place],
    settings: InferenceSettings,
    also: Callable[[FoldScores], object] | None = None,
) -> dict[str, list[Estimate]]:
    """Estimate every place. Draws are the same for all models of a batch and all pathways of a model.

    Parameters
    ----------
    also : given every chunk of draws over blocks or items as well, which are made only once

    Returns
    -------
    pathway → one estimate per place: the whole network's first (``""``, or ``all`` where there are several pathways)
    """
    parts = _parts(scores)
    by_unit = [number for number, place in enumerate(places) if not over_subjects(place, settings)]
    for chunk in scores.draws if by_unit or also else ():
        if also:
            also(chunk)
        for part in parts:
            own, depth = part.of(chunk), part.layers.relative_depth
            for number in by_unit:
                part.drawn[number].append(estimate(own, places[number].targets, places[number].weights(), depth))
    n_subjects = len(subjects_of(batch.targets))
    by_subject = sorted(set(range(len(places))) - set(by_unit))
    if by_subject:
        counts = draw_counts(n_subjects, settings.n_bootstrap, generator(settings.seed, "subject"))
    for number in by_subject:
        for part in parts:
            drawn = _over_subjects(part, places[number], counts)
            if batch.stimuli_drawn:
                chunks = map(part.of, scores.draws)
                both, part.alone[number] = over_both(drawn, chunks, places[number], counts, part.layers.relative_depth)
                drawn = [both]
            else:
                part.own[number] = join_draws(_over_subjects(part, places[number], np.eye(n_subjects)))
            part.drawn[number].extend(drawn)
    return {
        part.pathway: [_estimate(batch, part, number, place, settings) for number, place in enumerate(places)]
        for part in parts
    }


def _over_subjects(part: _Part, place: Place, counts: NDArray[np.floating]) -> list[Profile]:
    """Profiles with each subject as often as ``counts`` (draw, subject) says, its scores as estimated from the data."""
    per_draw = 8 * part.point.held_z.shape[1] * max(place.targets.size, part.point.held_z.shape[2])
    at_once = max(1, BYTES_AT_ONCE // per_draw)
    return [
        estimate(part.point, place.targets, place.weights(counts[start : start + at_once]), part.layers.relative_depth)
        for start in range(0, counts.shape[0], at_once)
    ]


def over_both(
    subjects: Sequence[Profile],
    stimuli: Iterable[FoldScores],
    place: Place,
    counts: NDArray[Any],
    relative_depth: NDArray[Any],
) -> tuple[Profile, tuple[Profile, Profile]]:
    """Draws over subjects and stimuli at once, and over either alone, which `Sampled` corrects the spread with.

    Parameters
    ----------
    subjects : draws over subjects, the stimuli as they are
    stimuli : chunks of scores of draws of stimuli
    place : averages subjects' scores
    counts : (draw, subject) multiplicities, at least as many draws as there are of stimuli
    relative_depth : (layer,)
    """
    alone, both = [], []
    n_drawn = 0
    for chunk in stimuli:
        own = counts[n_drawn : n_drawn + len(chunk.score)]
        n_drawn += len(chunk.score)
        alone.append(estimate(chunk, place.targets, place.weights(), relative_depth))
        both.append(estimate(chunk, place.targets, place.weights(own), relative_depth))
    return join_draws(both), (join_draws(subjects), join_draws(alone))


def _estimate(batch: Batch, part: _Part, number: int, place: Place, settings: InferenceSettings) -> Estimate:
    point = estimate(part.point, place.targets, place.weights(), part.layers.relative_depth)
    choice = part.point.weight[..., place.targets], point.choices, point.choices >= 0, place.targets
    held_r = held_out_r(part.point.held_z, *choice)[0]
    held_r2 = np.full_like(held_r, np.nan)
    if part.point.held_r2 is not None:
        held_r2 = held_out_r2(part.point.held_r2, *choice)[0]
    ci_unit, n_units = batch.ci_unit, batch.n_units
    if over_subjects(place, settings):
        ci_unit, n_units = "subject", place.n_subjects
        if batch.stimuli_drawn:
            ci_unit, n_units = SUBJECT_AND_ITEM, min(place.n_subjects, batch.n_units)
    return Estimate(
        place=place,
        pathway=part.pathway,
        layers=part.layers,
        point=point,
        draws=join_draws(part.drawn[number]),
        held_r=held_r,
        held_r2=held_r2,
        ci_unit=ci_unit,
        n_units=n_units,
        widening=batch.widening if ci_unit == batch.ci_unit else 1.0,
        own=part.own.get(number),
        alone=part.alone.get(number),
        by_fold=_by_fold(part.point, place, part.own[number]) if number in part.own else None,
    )


def _by_fold(point: FoldScores, place: Place, own: Profile) -> tuple[NDArray[Any], NDArray[Any]]:
    """Fisher z of each subject in each fold: at the nested choice, and at every layer; NaN where there is none."""
    weights = place.weights(np.eye(own.choices.shape[0]))
    varies = point.weight[0][:, place.targets] > 0
    held = np.where(varies[:, None], point.held_z[0][..., place.targets], np.nan)
    at_layers = np.stack([mean_over_targets(held, one[None]) for one in weights])
    chosen = np.take_along_axis(at_layers, np.maximum(own.choices, 0)[..., None], axis=2)[..., 0]
    return np.where(own.choices >= 0, chosen, np.nan), at_layers
