"""The best layer, chosen on data other than those it is scored on, and the layers that it cannot be told from.

For every fold the layer with the highest region score in the inner folds of its training rows is scored on that fold
(of similarities: for every half of the items the layer with the highest score on the other half); the mean of these
held-out scores by Fisher z is the nested best layer's score, which does not gain from trying many layers. The layer
that is named is the one most often best on the other folds; of equally frequent or equally good layers the shallower
is taken.

References
----------
Cawley & Talbot 2010, JMLR 11:2079–2107 (bias of choosing and scoring on the same data).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.scores.bootstrap import DIFFERENCE, Sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

DISTINGUISHABLE_SPAN = 1 / 3


def by_depth(relative_depth: NDArray[np.floating]) -> NDArray[np.intp]:
    """The layers from shallow to deep; in the file's order where depths are equal (pathways)."""
    return np.argsort(relative_depth, kind="stable")


def choose_layers(
    choice: NDArray[Any], order: NDArray[np.intp], *, lowest: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The layer with the highest (or lowest) score among those by which a fold's layer may be chosen.

    Parameters
    ----------
    choice : (draw, fold, layer), region scores on data other than the fold's
    order : layers from shallow to deep; the first of equals is taken

    Returns
    -------
    layer : (draw, fold), index; defined : (draw, fold), False where there is no score
    """
    ordered = (-choice if lowest else choice)[..., order]
    defined = np.isfinite(ordered)
    return order[np.where(defined, ordered, -np.inf).argmax(axis=-1)], defined.any(axis=-1)


def held_out_r(
    held_z: NDArray[Any],
    weight: NDArray[Any],
    layer: NDArray[np.intp],
    defined: NDArray[np.bool_],
    targets: NDArray[np.intp],
) -> NDArray[Any]:
    """Score of some targets when every fold is scored with the layer chosen for it: (draw, target), NaN if no fold.

    Parameters
    ----------
    held_z : (draw or 1, fold, layer, any target), Fisher z
    weight : (draw or 1, fold, target)
    layer, defined : (draw, fold) from `choose_layers`
    targets : their numbers on the last axis of ``held_z``
    """
    return r_over_folds(at_layers(held_z, layer, targets), weight * defined[:, :, None])


def held_out_r2(
    held_r2: NDArray[Any],
    weight: NDArray[Any],
    layer: NDArray[np.intp],
    defined: NDArray[np.bool_],
    targets: NDArray[np.intp],
) -> NDArray[Any]:
    """The same of R², of which folds are averaged as they are."""
    return _over_folds(at_layers(held_r2, layer, targets), weight * defined[:, :, None])


def at_layers(values: NDArray[Any], layer: NDArray[np.intp], targets: NDArray[np.intp]) -> NDArray[Any]:
    """Of (draw or 1, fold, layer, any target), each fold at the layer chosen for it: (draw, fold, target)."""
    draw, fold = (index[..., None] for index in np.ogrid[: layer.shape[0], : layer.shape[1]])
    chosen: NDArray[Any] = values[draw % values.shape[0], fold, layer[:, :, None], targets]
    return chosen


def r_over_folds(z: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """Mean over the second axis, folds, by Fisher z: (draw, fold, …) → (draw, …), NaN where no fold has a weight."""
    return np.asarray(np.tanh(_over_folds(z, weight)))


def _over_folds(values: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    total = weight.sum(axis=1)
    return np.where(total > 0, (weight * values).sum(axis=1) / np.where(total > 0, total, 1), np.nan)


def most_frequent(layer: NDArray[np.intp], defined: NDArray[np.bool_], order: NDArray[np.intp]) -> NDArray[np.intp]:
    """The layer chosen in most folds, (draw,), the shallower of equals; −1 where no fold has a choice."""
    votes = np.stack([((layer == one) & defined).sum(axis=1) for one in order], axis=1)
    return np.where(votes.max(axis=1) > 0, order[votes.argmax(axis=1)], -1)


def best_layer_set(score: Sampled, chosen: int, confidence: float) -> NDArray[np.bool_]:
    """The layers not reliably below the best one.

    A layer is reliably below if the interval of the paired difference best − layer lies above 0; best is the
    layer with the highest score on all data. The layer chosen most often always belongs to the set.

    Parameters
    ----------
    score : of each layer, (layer,)
    chosen : the most frequent nested choice
    """
    if not np.isfinite(score.value).any():
        return np.zeros(score.value.size, dtype=bool)
    best = int(np.nanargmax(score.value))
    low, _ = (score.of(lambda values: values[..., [best]]) - score).interval(confidence, DIFFERENCE)
    members = ~(low > 0)
    members[[best, chosen]] = True
    return np.asarray(members)


def distinguishable(members: NDArray[np.bool_], relative_depth: NDArray[Any]) -> bool:
    """Whether the set of best layers spans at most a third of the depth."""
    depths = relative_depth[members]
    return bool(depths.size and np.ptp(depths) <= DISTINGUISHABLE_SPAN + 1e-9)
