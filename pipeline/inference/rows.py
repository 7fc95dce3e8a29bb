"""Rows and summaries of the map's tables, from the estimates of one place and model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.estimates import Estimate
from pipeline.inference.layer_choice import at_layers, best_layer_set, distinguishable
from pipeline.inference.networks import WHOLE, in_one_pathway, in_order
from pipeline.inference.profile import hierarchy_index, is_flat, mean_over_targets
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.scores.bootstrap import CORRELATION
from pipeline.inference.scores.shared_draws import Batch, ModelScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEPARATOR = " | "
NAN = float("nan")
R2 = (-np.inf, 1.0)


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """What a place's scores are divided by: its targets that are reliable enough.

    Parameters
    ----------
    per_target, reliability : (target,) of the place, NaN where unknown
    weights : (1, target), 0 where the reliability is below the floor
    """

    per_target: NDArray[np.float64]
    reliability: NDArray[np.float64]
    weights: NDArray[Any]
    kind: str

    @property
    def mean(self) -> float:
        return float(mean_over_targets(self.per_target[None], self.weights)[0])

    def normalise(self, r: NDArray[Any]) -> NDArray[Any]:
        """Mean over the reliable targets of r / ceiling: (…, target) → (…); NaN if there is none."""
        return mean_over_targets((r / self.per_target)[None], self.weights)[0]

    def normalise_r2(self, r2: NDArray[Any]) -> NDArray[Any]:
        """Mean over the reliable targets of R² / reliability, the same share of what can be explained."""
        return mean_over_targets((r2 / self.reliability)[None], self.weights)[0]


def ceiling_of(batch: Batch, estimate: Estimate, reliability_floor: float) -> Ceiling:
    """The ceiling of a place; targets without one, or with too little reliability, are left out.

    A place whose mean reliability is below the floor has none: the few of its targets that exceed the floor by
    chance would make one up.
    """
    targets = batch.targets.iloc[estimate.place.targets]
    ceiling = targets["ceiling"].to_numpy(dtype=np.float64)
    ceiling = np.where(ceiling > 0, ceiling, np.nan)
    reliability = targets["reliability"].to_numpy(dtype=np.float64)
    known = reliability[np.isfinite(reliability)]
    reliable_place = known.size > 0 and float(known.mean()) >= reliability_floor
    keep = (reliability >= reliability_floor) & np.isfinite(ceiling) & reliable_place
    kinds = [kind for kind in targets["ceiling_kind"].unique() if kind]
    reliability = np.where(keep, reliability, np.nan)
    return Ceiling(ceiling, reliability, estimate.place.weights(keep=keep), SEPARATOR.join(kinds))


def rows_of(
    where: dict[str, Any], batch: Batch, scores: ModelScores, estimate: Estimate, settings: InferenceSettings
) -> list[dict[str, Any]]:
    """The rows of one place and model, one per layer.

    Parameters
    ----------
    where : study and analysis
    estimate : over the whole network
    """
    ceiling = ceiling_of(batch, estimate, settings.reliability_floor)
    common = _common(where, batch, estimate, ceiling, best_layers(estimate, settings))
    return _rows(common, scores, estimate, ceiling, settings)


def summary_of(
    where: dict[str, Any], batch: Batch, scores: ModelScores, estimate: Estimate, settings: InferenceSettings
) -> dict[str, Any]:
    """The summary of one place and model, over the whole network or within a pathway.

    Parameters
    ----------
    where : study and analysis
    """
    ceiling = ceiling_of(batch, estimate, settings.reliability_floor)
    members = best_layers(estimate, settings)
    return _summary(_common(where, batch, estimate, ceiling, members), scores, estimate, ceiling, members, settings)


def best_layers(estimate: Estimate, settings: InferenceSettings) -> NDArray[np.bool_]:
    """Which layers are not reliably below the best."""
    score = estimate.sampled(lambda profile: profile.score)
    return best_layer_set(score, int(estimate.point.best[0]), settings.confidence)


def _common(
    where: dict[str, Any], batch: Batch, estimate: Estimate, ceiling: Ceiling, members: NDArray[np.bool_]
) -> dict[str, Any]:
    """What rows and summary share."""
    place, layers = estimate.place, estimate.layers
    return {
        **where,
        "metric": batch.metric,
        "group": place.group,
        "subject": place.subject,
        "model": layers.model,
        "objective": layers.objective,
        "region": place.region,
        "compartment": place.compartment,
        "ci_unit": estimate.ci_unit,
        "ceiling": ceiling.mean,
        "ceiling_kind": ceiling.kind,
        "n_targets": int(place.targets.size),
        "n_subjects": place.n_subjects,
        "best_layer": _name(layers.name, int(estimate.point.best[0])),
        "best_layer_score": float(estimate.point.nested[0]),
        "best_layer_set": SEPARATOR.join(
            layers.name[one] for one in in_order(layers.pathway, layers.relative_depth) if members[one]
        ),
    }


def _name(names: list[str], index: int) -> str:
    return names[index] if index >= 0 else ""


def _rows(
    common: dict[str, Any], scores: ModelScores, estimate: Estimate, ceiling: Ceiling, settings: InferenceSettings
) -> list[dict[str, Any]]:
    layers, targets = estimate.layers, estimate.place.targets
    low, high = estimate.sampled(lambda profile: profile.score).interval(settings.confidence, CORRELATION)
    r2_low, r2_high = estimate.sampled(lambda profile: profile.r2).interval(settings.confidence, R2)
    normalised = ceiling.normalise(scores.point.score[0][:, targets])
    r2_normalised = np.full(len(layers.name), np.nan)
    if scores.point.r2 is not None:
        r2_normalised = ceiling.normalise_r2(scores.point.r2[0][:, targets])
    edges = [np.full(len(layers.name), np.nan)] * 2
    if scores.edge is not None:
        shares = ((scores.edge[..., targets] == end).mean(axis=0) for end in (-1, 1))
        edges = [mean_over_targets(share[None], estimate.place.weights())[0] for share in shares]
    return [
        {
            **common,
            "pathway": layers.pathway[index],
            "layer": name,
            "layer_index": int(layers.index[index]),
            "relative_depth": float(layers.relative_depth[index]),
            "score": float(estimate.point.score[0, index]),
            "ci_low": float(low[index]),
            "ci_high": float(high[index]),
            "score_normalised": float(normalised[index]),
            "r2": float(estimate.point.r2[0, index]),
            "r2_ci_low": float(r2_low[index]),
            "r2_ci_high": float(r2_high[index]),
            "r2_normalised": float(r2_normalised[index]),
            "penalty_edge_low": float(edges[0][index]),
            "penalty_edge_high": float(edges[1][index]),
        }
        for index, name in enumerate(layers.name)
    ]


def _edge_shares(scores: ModelScores, estimate: Estimate) -> tuple[float, float]:
    """Share of targets × folds whose penalty is the smallest and the largest, each fold at the layer scored on it."""
    layer = estimate.point.choices[0]
    folds = layer >= 0
    if scores.edge is None or not folds.any():
        return NAN, NAN
    own = np.array([scores.layers.name.index(name) for name in estimate.layers.name])
    edge = at_layers(scores.edge[None], own[layer][None], estimate.place.targets)[0, folds]
    low, high = (
        float(mean_over_targets((edge == end).mean(axis=0)[None], estimate.place.weights())[0]) for end in (-1, 1)
    )
    return low, high


def _depth_interval(estimate: Estimate, confidence: float) -> tuple[float, float]:
    """Interval of the depth index, within the layers' depths."""
    depths = estimate.layers.relative_depth
    ends = (float(depths.min()), float(depths.max()))
    low, high = estimate.sampled(lambda profile: profile.depth, is_mean=False).interval(confidence, ends)
    return float(low), float(high)


def _hierarchy(estimate: Estimate, confidence: float) -> tuple[float, tuple[float, float]]:
    """Hierarchy index of the nested best layer with its interval, from the first layer's to the last one's."""
    depth = estimate.layers.relative_depth
    index = estimate.sampled(lambda profile: hierarchy_index(profile.best, depth), is_mean=False)
    low, high = index.interval(confidence, (1 / depth.size, 1.0))
    return float(index.value), (float(low), float(high))


def _summary(
    common: dict[str, Any],
    scores: ModelScores,
    estimate: Estimate,
    ceiling: Ceiling,
    members: NDArray[np.bool_],
    settings: InferenceSettings,
) -> dict[str, Any]:
    layers, best = estimate.layers, int(estimate.point.best[0])
    nested = estimate.sampled(lambda profile: profile.nested)
    low, high = nested.interval(settings.confidence, CORRELATION)
    depth, depth_interval = NAN, (NAN, NAN)
    has_depth = estimate.pathway != WHOLE  # depths of different pathways cannot be averaged
    if has_depth and not is_flat(nested, estimate.sampled(lambda profile: profile.spread), settings.confidence):
        depth = float(estimate.point.depth[0])
        depth_interval = _depth_interval(estimate, settings.confidence)
    hierarchy, hierarchy_interval = _hierarchy(estimate, settings.confidence) if has_depth else (NAN, (NAN, NAN))
    r2_low, r2_high = estimate.sampled(lambda profile: profile.nested_r2).interval(settings.confidence, R2)
    edge_low, edge_high = _edge_shares(scores, estimate)
    return {
        **common,
        "pathway": estimate.pathway or _name(layers.pathway, best),
        "best_layer_choices": SEPARATOR.join(_name(layers.name, int(one)) for one in estimate.point.named[0]),
        "best_layer_index": float(layers.index[best]) if best >= 0 else NAN,
        "best_layer_depth": float(layers.relative_depth[best]) if best >= 0 else NAN,
        "ci_low": float(low),
        "ci_high": float(high),
        "distinguishable": int(
            distinguishable(members, layers.relative_depth) and in_one_pathway(members, layers.pathway)
        ),
        "depth_index": depth,
        "depth_ci_low": depth_interval[0],
        "depth_ci_high": depth_interval[1],
        "hierarchy_index": hierarchy,
        "hierarchy_ci_low": hierarchy_interval[0],
        "hierarchy_ci_high": hierarchy_interval[1],
        "score_normalised": float(ceiling.normalise(estimate.held_r)),
        "r2": float(estimate.point.nested_r2[0]),
        "r2_ci_low": float(r2_low),
        "r2_ci_high": float(r2_high),
        "r2_normalised": float(ceiling.normalise_r2(estimate.held_r2)),
        "penalty_edge_low": edge_low,
        "penalty_edge_high": edge_high,
        "n_constant": estimate.place.n_constant,
    }
