"""Rows and summaries of the map's tables, from the estimates of one place and model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoding.group.jackknife import reliability_interval
from pipeline.inference.estimates import Estimate
from pipeline.inference.layer_choice import at_layers, best_layer_set, distinguishable
from pipeline.inference.networks import WHOLE, in_one_pathway, in_order, twin_of
from pipeline.inference.null_tests import NullTest
from pipeline.inference.places import Place
from pipeline.inference.profile import hierarchy_index, is_flat, mean_over_targets
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.scores.bootstrap import CORRELATION
from pipeline.inference.scores.shared_draws import Batch, ModelScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEPARATOR = " | "
NAN = float("nan")
R2 = (-np.inf, 1.0)


SURE = 0.95
"""A region is reliable if this two-sided interval of its reliability lies above the floor: 97.5 % one-sided."""


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """What a place's scores are divided by: one number from the mean reliability of all its targets.

    Scores are divided after they are averaged, mean(r) / √(mean reliability), and mean(R²) / mean(reliability): no
    target is chosen, or weighs more, for what noise did to its own reliability. Divided R² is the share of the
    predictable variance, 1 for a perfect model. Divided r is that only where targets are equally reliable: else a
    perfect model has mean(√reliability) / √(mean reliability), below 1 (.94 if reliabilities spread evenly from 0).

    Parameters
    ----------
    weights : (1, target) of the place's targets; 0 where no reliability was estimated at all
    reliability, low, high : mean and its interval; NaN where unknown
    relative_error : half the interval of the ceiling, as a share of it
    n_below_floor : targets whose own reliability is below the floor
    signal_power : mean of the targets'
    value : the ceiling, in the unit of the scores; NaN unless the reliability is surely above the floor
    kind : how it was estimated; several are joined
    """

    weights: NDArray[Any]
    reliability: float
    low: float
    high: float
    relative_error: float
    n_below_floor: int
    signal_power: float
    value: float
    kind: str

    def normalise(self, score: NDArray[Any]) -> NDArray[Any]:
        """Mean over the targets, divided by the ceiling: (…, target) → (…)."""
        return mean_over_targets(score[None], self.weights)[0] / self.value

    def normalise_r2(self, r2: NDArray[Any]) -> NDArray[Any]:
        """Mean over the targets, divided by the mean reliability where the ceiling is known: (…, target) → (…)."""
        divisor = self.reliability if np.isfinite(self.value) else NAN
        return mean_over_targets(r2[None], self.weights)[0] / divisor

    def bounds(self, normalised: float, score: float, low: float, high: float) -> tuple[float, float]:
        """Interval of a normalised score.

        The errors of score and ceiling are added as if they were independent. What makes responses agree by chance
        tends to raise both, so the interval is rather too long.

        Parameters
        ----------
        score, low, high : not divided, with its interval
        """
        own = abs(normalised) * self.relative_error
        below, above = (score - low) / self.value, (high - score) / self.value
        return normalised - float(np.hypot(below, own)), normalised + float(np.hypot(above, own))


def ceiling_of(batch: Batch, place: Place, settings: InferenceSettings) -> Ceiling:
    """Reliability and ceiling of a place.

    It has a ceiling only where the reliability is surely above the floor: of 40 targets of noise, some exceed any
    floor by chance, and their mean alone exceeds a low one often.
    """
    floor = settings.reliability_floor
    targets = batch.targets.iloc[place.targets]
    each = targets["reliability"].to_numpy(dtype=np.float64)
    known = np.isfinite(each)
    weights = place.weights(keep=known)
    mean, power = (
        float(mean_over_targets(values[None], weights)[0])
        for values in (each, targets["signal_power"].to_numpy(dtype=np.float64))
    )
    kinds = [kind for kind in targets["ceiling_kind"].unique() if kind]
    share = weights[0, known] / weights.sum()
    deviation = batch.reliability_deviation[:, place.targets][:, known] @ share
    degrees = batch.reliability_df if deviation.size else 0
    se = float(np.sqrt((deviation**2).sum()))
    low, high = reliability_interval(mean, se, degrees, settings.confidence)
    sure = reliability_interval(mean, se, degrees, SURE)[0] > floor
    value = batch.ceiling(mean) if sure else NAN
    return Ceiling(
        weights=weights,
        reliability=mean,
        low=low,
        high=high,
        relative_error=(batch.ceiling(high) - batch.ceiling(max(low, 0.0))) / 2 / value if sure else NAN,
        n_below_floor=int((each[known] < floor).sum()),
        signal_power=power,
        value=value,
        kind=SEPARATOR.join(kinds),
    )


def rows_of(
    where: dict[str, Any],
    batch: Batch,
    scores: ModelScores,
    estimate: Estimate,
    test: NullTest,
    settings: InferenceSettings,
) -> list[dict[str, Any]]:
    """The rows of one place and model, one per layer.

    Parameters
    ----------
    where : study and analysis
    estimate : over the whole network
    test : of its layers
    """
    ceiling = ceiling_of(batch, estimate.place, settings)
    common = _common(where, batch, estimate, ceiling, best_layers(estimate, settings))
    rows = _rows(common, scores, estimate, ceiling, settings)
    return [{**row, **tested(test, number)} for number, row in enumerate(rows)]


def summary_of(
    where: dict[str, Any],
    batch: Batch,
    scores: ModelScores,
    estimate: Estimate,
    test: NullTest,
    settings: InferenceSettings,
) -> dict[str, Any]:
    """The summary of one place and model, over the whole network or within a pathway.

    Parameters
    ----------
    where : study and analysis
    test : of the nested best layer
    """
    ceiling = ceiling_of(batch, estimate.place, settings)
    members = best_layers(estimate, settings)
    common = _common(where, batch, estimate, ceiling, members)
    row = {**_summary(common, scores, estimate, ceiling, members, settings), **tested(test, 0)}
    return {**row, **untested(row, batch, estimate.layers.model)}


def untested(row: dict[str, Any], batch: Batch, model: str) -> dict[str, str]:
    """The column that says why a score was not held against other orders of the responses; empty if it was.

    Parameters
    ----------
    row : with the columns that `tested` gives
    """
    return {"untested": "" if row["n_permutations"] else _why_untested(batch, model)}


def _why_untested(batch: Batch, model: str) -> str:
    if batch.untested:
        return batch.untested
    if twin_of(model):
        return "twins are compared, not tested"
    return "the scores hold no, or too few, other orders of the responses"


def tested(test: NullTest, number: int) -> dict[str, Any]:
    """The columns of one score's test."""
    p, p_family, q = (float(values[number]) for values in (test.p, test.p_family, test.q))
    return {"p": p, "p_family": p_family, "q": q, "n_permutations": test.n_orders if np.isfinite(p) else 0}


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
        "reliability": ceiling.reliability,
        "reliability_ci_low": ceiling.low,
        "reliability_ci_high": ceiling.high,
        "n_below_floor": ceiling.n_below_floor,
        "signal_power": ceiling.signal_power,
        "ceiling": ceiling.value,
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
    of_scores = (normalised, estimate.point.score[0], low, high)
    bounds = [ceiling.bounds(*map(float, each)) for each in zip(*of_scores, strict=True)]
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
            "score_normalised_ci_low": bounds[index][0],
            "score_normalised_ci_high": bounds[index][1],
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
    normalised = float(ceiling.normalise(estimate.held_r))
    bounds = ceiling.bounds(normalised, common["best_layer_score"], float(low), float(high))
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
        "score_normalised": normalised,
        "score_normalised_ci_low": bounds[0],
        "score_normalised_ci_high": bounds[1],
        "r2": float(estimate.point.nested_r2[0]),
        "r2_ci_low": float(r2_low),
        "r2_ci_high": float(r2_high),
        "r2_normalised": float(ceiling.normalise_r2(estimate.held_r2)),
        "penalty_edge_low": edge_low,
        "penalty_edge_high": edge_high,
        "n_constant": estimate.place.n_constant,
    }
