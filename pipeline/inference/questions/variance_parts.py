"""What a layer adds to feature spaces that are fitted with it, and each space's share of the explained variance.

The joint R² is that of `pipeline.inference.scores.fold_scores`. A space's share is Σ p_s (2y − p) / Σ y² with its part
p_s of the held-out prediction p, both sides less the fold's mean of the responses (the product measure): shares of all
spaces and of the offset, the difference between the training and the held-out mean, sum to the joint R². A share says
how the joint fit divides what spaces have in common. The unique contribution does not: it is the joint R² minus the R²
of a fit of the other spaces alone, on the same folds.

References
----------
Dupré la Tour et al. 2022, NeuroImage 264:119728 (product measure, as ``himalaya.scoring.r2_score_split``);
de Heer et al. 2017, J Neurosci 37:6539–6557 (unique contributions by variance partitioning).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.places import subjects_of
from pipeline.inference.profile import mean_over_targets
from pipeline.inference.scores.bootstrap import draw_counts, generator, interval
from pipeline.inference.scores.fold_scores import NO_VARIANCE_DRAWN, NO_VARIANCE_RAW

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from pipeline.inference.estimates import Estimate
    from pipeline.inference.requests import InferenceSettings
    from pipeline.inference.scores.shared_draws import Batch

BYTES_AT_ONCE = 32 << 20
JOINT, WITHOUT, UNIQUE, OFFSET, FIRST_SHARE = range(5)
"""Places along the axis of quantities; the shares of the spaces come last."""


@dataclasses.dataclass(frozen=True)
class VarianceSums:
    """One group's sums per block, in units of each fold's variance of the responses.

    Parameters
    ----------
    spaces : names; the layer itself comes first
    n, fold : (block,) samples, and the fold's number from 0
    y, y2 : (block, target) sums of the responses less their fold's mean, and of their squares
    explained : (quantity, block, layer, target) sums of what is explained, less what the constant mean explains
    y_varies : (fold, target)
    """

    spaces: list[str]
    n: NDArray[np.floating]
    fold: NDArray[np.intp]
    y: NDArray[np.floating]
    y2: NDArray[np.floating]
    explained: NDArray[np.floating]
    y_varies: NDArray[np.bool_]

    def as_floats(self, dtype: np.dtype[Any]) -> VarianceSums:
        """The same in the precision of the draws."""
        return dataclasses.replace(
            self, **{name: getattr(self, name).astype(dtype) for name in ("n", "y", "y2", "explained")}
        )


def variance_sums(scores: xr.Dataset) -> VarianceSums | None:
    """Take the sums of one file of encoding scores; None unless they are of a joint fit."""
    if "space" not in scores.dims:
        return None
    fold = np.unique(scores["fold"].values, return_inverse=True)[1]
    n = scores["n"].values.astype(np.float64)
    raw = {name: scores[f"sum_{name}"].values.astype(np.float64) for name in ("p2", "py", "y", "y2")}
    without = {name: scores[f"without_sum_{name}"].values.astype(np.float64) for name in ("p2", "py")}
    shares = 2 * scores["sum_spy"].values.astype(np.float64) - scores["sum_spp"].values
    explained = np.zeros((FIRST_SHARE + shares.shape[0], *shares.shape[1:]))
    y, y2 = np.zeros_like(raw["y"]), np.zeros_like(raw["y"])
    varies = np.zeros((fold.max() + 1, y.shape[1]), bool)
    for k in range(fold.max() + 1):
        rows = np.flatnonzero(fold == k)
        m = n[rows][:, None]
        mean = raw["y"][rows].sum(axis=0) / m.sum()
        y[rows] = raw["y"][rows] - m * mean
        y2[rows] = raw["y2"][rows] - 2 * mean * raw["y"][rows] + m * mean**2
        # Σ (p − ȳ) (2 (y − ȳ) − (p − ȳ)) over a block's samples
        of_mean = m * mean**2 - 2 * mean * raw["y"][rows]
        explained[JOINT][rows] = 2 * raw["py"][rows] - raw["p2"][rows] + of_mean[:, None]
        explained[WITHOUT][rows] = (2 * without["py"][rows] - without["p2"][rows] + of_mean)[:, None]
        explained[FIRST_SHARE:, rows] = shares[:, rows] - mean * scores["sum_sp"].values[:, rows]
        total = y2[rows].sum(axis=0)
        varies[k] = total > NO_VARIANCE_RAW * raw["y2"][rows].sum(axis=0)
        variance = np.where(varies[k], total / m.sum(), 1.0)
        y[rows] /= np.sqrt(variance)
        y2[rows] /= variance
        explained[:, rows] /= variance
    explained[UNIQUE] = explained[JOINT] - explained[WITHOUT]
    explained[OFFSET] = explained[JOINT] - explained[FIRST_SHARE:].sum(axis=0)
    return VarianceSums([str(name) for name in scores["space"].values], n, fold, y, y2, explained, varies)


@dataclasses.dataclass(frozen=True)
class VarianceScores:
    """R² and its parts in each fold, for one or more draws.

    Parameters
    ----------
    held : (draw, fold, quantity, layer, target)
    weight : (draw, fold, target), of the fold in the mean; 0 where it is dropped
    """

    held: NDArray[np.floating]
    weight: NDArray[np.floating]

    def over_folds(self, targets: NDArray[np.intp]) -> NDArray[Any]:
        """Mean over folds at every layer: (draw, quantity, layer, target), NaN where no fold is left."""
        return _mean_over_folds(self.held[..., targets], self.weight[:, :, None, None, targets])

    def at_layers(self, targets: NDArray[np.intp], choices: NDArray[np.intp]) -> NDArray[Any]:
        """Mean over folds, each at the layer chosen for it: (draw, quantity, target).

        Parameters
        ----------
        choices : (draw or 1, fold) number of a layer; −1 leaves the fold out
        """
        held, weight = self.held[..., targets], self.weight[..., targets]
        n_draws = max(len(held), len(choices))
        picked = np.empty((n_draws, *held.shape[1:3], targets.size), held.dtype)
        for fold in range(held.shape[1]):
            layer = np.broadcast_to(np.maximum(choices[:, fold], 0), n_draws)
            draw = np.arange(n_draws) if len(held) > 1 else np.zeros(n_draws, int)
            picked[:, fold] = held[draw, fold, :, layer]
        return _mean_over_folds(picked, (weight * (choices >= 0)[:, :, None])[:, :, None])


def _mean_over_folds(values: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    total = weight.sum(axis=1)
    mean: NDArray[Any] = (weight * values).sum(axis=1) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, np.nan)


def variance_scores(sums: VarianceSums, counts: NDArray[np.floating] | None = None) -> VarianceScores:
    """R² and its parts, each block taken as often as a draw says.

    Parameters
    ----------
    counts : (draw, block) multiplicities, floating; results have their precision. None: the data as they are
    """
    if counts is None:
        counts = np.ones((1, sums.n.size))
    n_quantities, _, n_layers, n_targets = sums.explained.shape
    n_folds = sums.y_varies.shape[0]
    held = np.zeros((len(counts), n_folds, n_quantities, n_layers, n_targets), counts.dtype)
    weight = np.zeros((len(counts), n_folds, n_targets), counts.dtype)
    for k in range(n_folds):
        rows = np.flatnonzero(sums.fold == k)
        drawn = counts[:, rows]
        n = drawn @ sums.n[rows].astype(counts.dtype, copy=False)
        y, y2 = drawn @ sums.y[rows], drawn @ sums.y2[rows]
        of_mean = y**2 / np.where(n > 0, n, 1)[:, None]  # what the mean of the drawn samples explains
        square = y2 - of_mean
        varies = sums.y_varies[k] & (square > NO_VARIANCE_DRAWN * n[:, None])
        explained = np.moveaxis(np.tensordot(drawn, sums.explained[:, rows], axes=(1, 1)), 1, 1)
        for quantity in (JOINT, WITHOUT, OFFSET):
            explained[:, quantity] -= of_mean[:, None]
        held[:, k] = np.where(varies, 1 / np.where(varies, square, 1), 0)[:, None, None] * explained
        distinct = (drawn > 0) @ sums.n[rows].astype(counts.dtype, copy=False)
        weight[:, k] = np.where(distinct > 3, n - 3, 0)[:, None] * varies
    return VarianceScores(held, weight)


def join_groups(parts: Sequence[VarianceScores]) -> VarianceScores:
    """Put the targets of several groups that share their draws side by side."""
    if len(parts) == 1:
        return parts[0]
    return VarianceScores(
        np.concatenate([part.held for part in parts], axis=-1), np.concatenate([part.weight for part in parts], axis=-1)
    )


@dataclasses.dataclass(frozen=True)
class Division:
    """How one model's explained variance divides in a batch of groups.

    Parameters
    ----------
    sums : one per group
    counts : (draw, block) of the bootstrap over blocks
    weight : (fold, space, layer, target) chosen weights of the spaces
    """

    sums: list[VarianceSums]
    counts: NDArray[np.float32]
    weight: NDArray[np.floating]

    @property
    def spaces(self) -> list[str]:
        return self.sums[0].spaces

    @property
    def point(self) -> VarianceScores:
        return join_groups([variance_scores(one) for one in self.sums])

    def draws(self) -> Iterator[VarianceScores]:
        """Chunks of draws over blocks."""
        sums = [one.as_floats(self.counts.dtype) for one in self.sums]
        per_draw = 4 * sum(one.y_varies.size * int(np.prod(one.explained.shape[::2])) for one in sums)
        at_once = max(1, BYTES_AT_ONCE // per_draw)
        for start in range(0, len(self.counts), at_once):
            yield join_groups([variance_scores(one, self.counts[start : start + at_once]) for one in sums])


def division_of(parts: Sequence[xr.Dataset], counts: NDArray[np.float32]) -> Division | None:
    """What divides the variance of several groups' scores of one model; None unless all are of a joint fit."""
    sums = [one for one in (variance_sums(part) for part in parts) if one is not None]
    if not sums or len(sums) < len(parts):
        return None
    return Division(sums, counts, np.concatenate([part["weight"].values for part in parts], axis=-1))


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
    point, drawn = division.point, [_Drawn() for _ in estimates]
    at_point = [_Drawn() for _ in estimates]
    by_unit = [number for number, one in enumerate(estimates) if one.ci_unit != "subject"]
    for own, one in zip(at_point, estimates, strict=True):
        own.add(point, one.place.targets, one.place.weights(), one.point.choices)
    for chunk in division.draws() if by_unit else ():
        for number in by_unit:
            one = estimates[number]
            drawn[number].add(chunk, one.place.targets, one.place.weights(), one.point.choices)
    _draw_subjects(batch, point, estimates, drawn, settings)
    rows: list[dict[str, Any]] = []
    for one, data, draws in zip(estimates, at_point, drawn, strict=True):
        rows.extend(_rows(where, batch, division, one, data, draws, settings.confidence))
    return rows


def _draw_subjects(
    batch: Batch,
    point: VarianceScores,
    estimates: Sequence[Estimate],
    drawn: Sequence[_Drawn],
    settings: InferenceSettings,
) -> None:
    """Draws of places whose interval is over subjects, in the order of the scores' own draws."""
    n_subjects = len(subjects_of(batch.targets))
    counts = draw_counts(n_subjects, settings.n_bootstrap, generator(settings.seed, "subject")) if n_subjects else None
    for one, own in zip(estimates, drawn, strict=True):
        if one.ci_unit != "subject" or counts is None:
            continue
        at_layers = point.over_folds(one.place.targets)
        at_once = max(1, BYTES_AT_ONCE // (8 * max(1, point.held[0, :, :, 0][..., one.place.targets].size)))
        for start in range(0, len(counts), at_once):
            part = slice(start, start + at_once)
            weights = one.place.weights(counts[part])
            own.layers.append(mean_over_targets(at_layers, weights))
            nested = point.at_layers(one.place.targets, one.draws.choices[part])
            own.nested.append(mean_over_targets(nested, weights))


def _rows(
    where: dict[str, Any],
    batch: Batch,
    division: Division,
    estimate: Estimate,
    point: _Drawn,
    drawn: _Drawn,
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
    low, high = interval(np.concatenate(drawn.layers), confidence, estimate.n_units)
    weight = mean_over_targets(division.weight[..., place.targets].mean(axis=0), place.weights())
    rows = []
    for index, name in enumerate(layers.name):
        layer = {
            "nested": 0,
            "pathway": layers.pathway[index],
            "layer": name,
            "layer_index": int(layers.index[index]),
            "relative_depth": float(layers.relative_depth[index]),
        }
        values = point.layers[0][0, :, index], low[:, index], high[:, index]
        rows += _spaces({**common, **layer}, division.spaces, *values, weight[:, index])
    best = int(estimate.point.best[0])
    nested_low, nested_high = interval(np.concatenate(drawn.nested), confidence, estimate.n_units)
    named = {
        "nested": 1,
        "pathway": estimate.pathway,
        "layer": layers.name[best] if best >= 0 else "",
        "layer_index": int(layers.index[best]) if best >= 0 else -1,
        "relative_depth": float(layers.relative_depth[best]) if best >= 0 else float("nan"),
    }
    nested_weight = np.full(len(division.spaces), np.nan)
    rows += _spaces({**common, **named}, division.spaces, point.nested[0][0], nested_low, nested_high, nested_weight)
    return rows


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
