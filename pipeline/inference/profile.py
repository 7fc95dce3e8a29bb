"""A region's profile over layers: scores, nested best layer and where it lies in depth, for the data and each draw.

For the depth index layers weigh by how far they exceed the lowest layer, ``w = max(0, score − lowest)``, and the index
is ``Σ w·relative_depth / Σ w``. A flat profile would give about .5 whatever the region does, so the index is
undefined where the profile is flat within its error.

The hierarchy index is the place of the best layer among all layers, divided by their number. The best layer is the one
chosen most often on data other than those it is scored on.

References
----------
Bakhtiari et al. 2021, NeurIPS 34:25164–25178 (hierarchy index, there of the layer that is best on all data).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.layer_choice import by_depth, choose_layers, held_out_r, held_out_r2, most_frequent
from pipeline.inference.scores.bootstrap import Sampled
from pipeline.inference.scores.fold_scores import FoldScores, average_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray


BYTES_AT_ONCE = 16 << 20
"""Of one array over data sets; a handful of them exist at a time."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """What is estimated for one (subject, model, region), once per draw.

    Parameters
    ----------
    score : (draw, layer) region score
    choices : (draw, fold) nested choice of the layer that is scored, −1 where there is none
    named : (draw, fold) best layer by the other folds' scores, −1 where there is none
    best : (draw,) the layer that is named: the most frequent of these, −1 where there is none
    nested : (draw,) held-out score of the nested choice
    spread : (draw,) held-out score of the nested best minus that of the nested lowest layer
    depth : (draw,) depth index, whether or not the profile is flat
    r2 : (draw, layer) region R²; NaN where nothing was predicted
    nested_r2 : (draw,) held-out R² of the nested choice
    """

    score: NDArray[Any]
    choices: NDArray[np.intp]
    named: NDArray[np.intp]
    best: NDArray[np.intp]
    nested: NDArray[Any]
    spread: NDArray[Any]
    depth: NDArray[Any]
    r2: NDArray[Any]
    nested_r2: NDArray[Any]


def join_draws(parts: Iterable[Profile]) -> Profile:
    """Put the draws of several chunks one after the other."""
    parts = list(parts)
    names = [field.name for field in dataclasses.fields(Profile)]
    return Profile(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def mean_over_targets(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """Weighted mean over the last axis; undefined (NaN) targets are left out, NaN if none is left.

    Parameters
    ----------
    values : (draw or 1, …, target)
    weights : (draw or 1, target)
    """
    spread = weights.reshape(weights.shape[0], *(1,) * (values.ndim - 2), weights.shape[1])
    defined = np.isfinite(values)
    total = np.einsum("...t,...t->...", np.where(defined, values, 0), spread)
    weight = np.einsum("...t,...t->...", defined.astype(values.dtype), spread)
    mean: NDArray[Any] = total / np.where(weight > 0, weight, 1)
    return np.where(weight > 0, mean, np.nan)


def estimate(
    scores: FoldScores, targets: NDArray[np.intp], weights: NDArray[Any], relative_depth: NDArray[Any]
) -> Profile:
    """The profile of a region from its targets' scores.

    Parameters
    ----------
    targets : which of the scores' targets
    weights : (draw or 1, target), of each target in the mean; their draws when the scores have one, or the reverse
    relative_depth : (layer,)
    """
    weights = weights.astype(scores.score.dtype)
    values = (scores.score, scores.choice, scores.scored_by, scores.weight)
    own_score, own_choice, own_inner, fold_weight = (np.take(one, targets, axis=-1) for one in values)
    score, inner = mean_over_targets(own_score, weights), mean_over_targets(own_inner, weights)
    order = by_depth(relative_depth)
    n_draws = score.shape[0]
    named, is_named = choose_layers(mean_over_targets(own_choice, weights), order)
    chosen, is_chosen = choose_layers(inner, order)
    layer = np.broadcast_to(chosen, (n_draws, chosen.shape[1]))
    defined = np.broadcast_to(is_chosen, layer.shape)
    has_weight = fold_weight.sum(axis=-1) > 0
    defined, is_named = defined & has_weight, is_named & has_weight
    lowest = np.broadcast_to(choose_layers(inner, order, lowest=True)[0], layer.shape)
    nested = mean_over_targets(held_out_r(scores.held_z, fold_weight, layer, defined, targets), weights)
    bottom = mean_over_targets(held_out_r(scores.held_z, fold_weight, lowest, defined, targets), weights)
    r2, nested_r2 = np.full_like(score, np.nan), np.full_like(nested, np.nan)
    if scores.r2 is not None and scores.held_r2 is not None:
        r2 = mean_over_targets(np.take(scores.r2, targets, axis=-1), weights)
        held = held_out_r2(scores.held_r2, fold_weight, layer, defined, targets)
        nested_r2 = mean_over_targets(held, weights)
    return Profile(
        score=score,
        choices=np.where(defined, layer, -1),
        named=np.where(is_named, named, -1),
        best=most_frequent(named, is_named, order),
        nested=nested,
        spread=nested - bottom,
        depth=depth_index(score, relative_depth),
        r2=r2,
        nested_r2=nested_r2,
    )


def profile_of_data_sets(
    z: NDArray[Any],
    inner: NDArray[Any],
    weight: NDArray[Any],
    subject_of: NDArray[np.intp],
    relative_depth: NDArray[Any],
) -> Profile:
    """The profile of a region in each of some data sets, a draw per data set; some of them at a time.

    Parameters
    ----------
    z, inner : (data set, fold, layer, target), Fisher z of the outer fold, and r in the inner ones
    weight : (fold, target) of each fold in the mean
    subject_of : (target,) number; subjects weigh equally, and so do the targets of one
    """
    n_sets, n_folds, n_layers, n_targets = z.shape
    weights = (1.0 / np.bincount(subject_of, minlength=1)[subject_of])[None]
    at_once = max(1, BYTES_AT_ONCE // (8 * max(1, n_folds * n_layers * n_targets)))
    parts = []
    for start in range(0, max(1, n_sets), at_once):
        rows = slice(start, start + at_once)
        own = np.asarray(z[rows], np.float64)
        scores = average_folds(own, np.broadcast_to(weight, (own.shape[0], n_folds, n_targets)))
        scores = dataclasses.replace(scores, inner=np.asarray(inner[rows], np.float64))
        parts.append(estimate(scores, np.arange(n_targets), weights, relative_depth))
    return join_draws(parts)


def depth_index(score: NDArray[Any], relative_depth: NDArray[Any]) -> NDArray[Any]:
    """Depth index of each profile: (draw, layer) → (draw,), NaN where all layers score alike."""
    weight = score - score.min(axis=1, keepdims=True)
    total = weight.sum(axis=1)
    varies = np.isfinite(total) & (total > 0)
    index: NDArray[Any] = (weight * relative_depth).sum(axis=1) / np.where(varies, total, 1)
    return np.where(varies, index, np.nan)


def hierarchy_index(best: NDArray[np.intp], relative_depth: NDArray[Any]) -> NDArray[np.float64]:
    """Place of the best layer from shallow (1) to deep, divided by the number of layers; NaN where there is none.

    Parameters
    ----------
    best : (draw,) number of the layer, −1 for none
    relative_depth : (layer,) within one pathway
    """
    place = np.empty(relative_depth.size)
    place[by_depth(relative_depth)] = np.arange(1, relative_depth.size + 1)
    return np.asarray(np.append(place / relative_depth.size, np.nan)[best])  # index −1 takes the NaN


def is_flat(nested: Sampled, spread: Sampled, confidence: float) -> bool:
    """Whether a profile is flat within its error.

    It is if the interval of the nested best layer's score includes 0, or that of best − lowest layer does.
    Best and lowest are both chosen on other folds: the highest and the lowest of many equal layers, chosen
    and compared on the same data, always differ.

    Parameters
    ----------
    nested, spread : score of the nested best layer, and that of best − lowest
    """
    return not all(float(one.interval(confidence)[0]) > 0 for one in (nested, spread))
