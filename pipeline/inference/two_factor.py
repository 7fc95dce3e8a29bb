"""Intervals over subjects and stimuli, where both are samples: draws of both at once, brought to the right spread.

Draws over subjects take the stimuli as the only ones: what all subjects share and a network happens to resemble on
these few stimuli is then found again in every draw. Draws of subjects and stimuli at once count what is neither's, the
noise of measurement, three times. With draws of subjects alone, of stimuli alone and of both, the variance is

    V = 2 (V_subjects + V_stimuli) − V_both,  at least max(V_subjects, V_stimuli), at most V_both

and the draws of both are rescaled about their mean to have it (`pipeline.inference.scores.bootstrap.rescaled`), last of
all: of a difference between models, layers or regions, the variances are those of its own draws.

References
----------
Schütt, Kipnis, Diedrichsen & Kriegeskorte 2023, eLife 12:e82566 (two-factor bootstrap of representational similarity).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.inference.places import Place
from pipeline.inference.profile import Profile, estimate, join_draws
from pipeline.inference.scores.fold_scores import FoldScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = "subject and item"


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
