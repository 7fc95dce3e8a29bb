"""Intervals over subjects and stimuli, where both are samples: draws of both at once, brought to the right spread.

Draws over subjects take the stimuli as the only ones: what all subjects share and a network happens to resemble on
these few stimuli is then found again in every draw. Draws of subjects and stimuli at once count what is neither's, the
noise of measurement, three times. With draws of subjects alone, of stimuli alone and of both, the variance is

    V = 2 (V_subjects + V_stimuli) − V_both,  at least max(V_subjects, V_stimuli), at most V_both

and the draws of both are rescaled about their mean to have it. So they keep the shape of the naive draws, and pairs of
models and layers their pairing, up to the factor of each.

References
----------
Schütt, Kipnis, Diedrichsen & Kriegeskorte 2023, eLife 12:e82566 (two-factor bootstrap of representational similarity).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.places import Place
from pipeline.inference.profile import Profile, estimate, join_draws
from pipeline.inference.scores.fold_scores import FoldScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = "subject and item"
_RESCALED = ("score", "nested", "spread", "depth", "r2", "nested_r2")


def over_both(
    subjects: Sequence[Profile],
    stimuli: Iterable[FoldScores],
    place: Place,
    counts: NDArray[Any],
    relative_depth: NDArray[Any],
) -> Profile:
    """Draws over subjects and stimuli with the corrected spread; choices of layers are those of the draws of both.

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
    of_both, parts = join_draws(both), (join_draws(subjects), join_draws(alone))
    found = {name: _rescaled(*(getattr(one, name) for one in (*parts, of_both))) for name in _RESCALED}
    return dataclasses.replace(of_both, **found)


def _rescaled(subjects: NDArray[Any], stimuli: NDArray[Any], both: NDArray[Any]) -> NDArray[Any]:
    """The draws of both, (draw, …), about their mean with the corrected spread; undefined draws (NaN) stay so."""
    defined = np.isfinite(both)
    mean = np.where(defined, both, 0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    by_subjects, by_stimuli, naive = (_variance(one) for one in (subjects, stimuli, both))
    wanted = np.maximum(2 * (by_subjects + by_stimuli) - naive, np.maximum(by_subjects, by_stimuli))
    scale = np.sqrt(np.minimum(wanted, naive) / np.where(naive > 0, naive, 1))
    return np.asarray(mean + (both - mean) * scale, dtype=both.dtype)


def _variance(draws: NDArray[Any]) -> NDArray[np.float64]:
    """Over the draws that are defined; 0 where none is."""
    defined = np.isfinite(draws)
    n = np.maximum(defined.sum(axis=0), 1)
    values = np.where(defined, draws, 0).astype(np.float64)
    mean = values.sum(axis=0) / n
    return np.asarray((defined * (values - mean) ** 2).sum(axis=0) / n)
