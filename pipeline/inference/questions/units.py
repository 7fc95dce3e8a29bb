"""Maps of single units: parcels or vertices that every listener has under the same name.

A unit's score and interval are those of a region made up of it: that of the nested best layer, chosen on the mean over
listeners of the inner folds' scores. Whether it exceeds 0 is tested once per unit, one-sided, and corrected over the
units of a map.

* With ``min_subjects`` listeners or more: Student's t over listeners' Fisher z, each listener's layers chosen on its
  own scores. A choice common to all moves their scores together, which a test over them cannot see: of units of pure
  noise in ten listeners, 6.7 % then had p < .05, and 3.6 % with choices of their own. Flipping signs would need no
  normal distribution, but n listeners have 2^n patterns of signs, so p cannot fall below 1/256 for eight of them, and
  a correction over thousands of units asks for less.
* With fewer, and for averaged responses: the same fits to the responses in other orders, each unit's layer chosen anew
  in each (`pipeline.encoding.null_tables`); scores of mappings that are not fitted to other orders have no p.

References
----------
Benjamini & Hochberg 1995, J R Stat Soc B 57:289–300 (false discovery rate).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.layer_choice import by_depth, choose_layers, most_frequent, r_over_folds
from pipeline.inference.places import ALL, MEAN
from pipeline.inference.profile import mean_over_targets
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.scores.bootstrap import CORRELATION, SUBJECT, Sampled, draw_counts, generator
from pipeline.inference.scores.fold_scores import LARGEST_R, FoldScores
from pipeline.inference.scores.null_scores import (
    SIGNIFICANT_BELOW,
    false_discovery_rate,
    p_of_largest,
    p_pooled,
)
from pipeline.inference.scores.shared_draws import Batch, LayerAxis, ModelScores

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

UNITS_AT_ONCE = 2048
BYTES_AT_ONCE = 64 << 20  # of one array over draws of listeners


@dataclasses.dataclass(frozen=True)
class UnitSet:
    """The units of one group, of all its listeners or of their averaged responses.

    Parameters
    ----------
    group, subject : as in the table
    columns : (unit, listener), row of the targets' table; −1 where a listener lacks the unit or it is constant there
    n_subjects : (unit,) listeners behind each
    labels : one row per unit: unit, hemisphere, region, vertex
    """

    group: str
    subject: str
    columns: NDArray[np.intp]
    n_subjects: NDArray[np.intp]
    labels: pd.DataFrame

    def over_subjects(self, settings: InferenceSettings) -> bool:
        """Whether its interval and test are over listeners."""
        return self.subject != MEAN and self.columns.shape[1] >= settings.min_subjects


def list_units(batch: Batch) -> list[UnitSet]:
    """The units of each group on a surface: first all listeners', then those of their averaged responses."""
    found = []
    for group in dict.fromkeys(batch.targets["group"]):
        if group not in batch.on_surface:
            continue
        here = (batch.targets["group"] == group) & (batch.targets["unit"] != "")
        averaged = batch.targets["subject"] == MEAN
        for rows, is_mean in ((here & ~averaged, False), (here & averaged, True)):
            if rows.any():
                found.append(_unit_set(batch.targets[rows], str(group), is_mean))
    return found


def _unit_set(targets: pd.DataFrame, group: str, is_mean: bool) -> UnitSet:
    import pandas as pd

    unit, names = pd.factorize(targets["unit"])
    subject, listeners = pd.factorize(targets["subject"])
    columns = np.full((names.size, listeners.size), -1, dtype=np.intp)
    kept = ~targets["constant"].to_numpy(dtype=bool)
    columns[unit[kept], subject[kept]] = targets.index.to_numpy()[kept]
    pooled = is_mean or listeners.size == 1  # stand for as many listeners as the recording says
    n_subjects = (columns >= 0).sum(axis=1)
    return UnitSet(
        group=group,
        subject=MEAN if is_mean else ALL if listeners.size > 1 else str(listeners[0]),
        columns=columns,
        n_subjects=n_subjects * int(targets["n_in_group"].iloc[0]) if pooled else n_subjects,
        labels=targets.drop_duplicates("unit")[["unit", "hemisphere", "region", "vertex"]].reset_index(drop=True),
    )


@dataclasses.dataclass(frozen=True)
class UnitScores:
    """Nested best layers of some units, once per draw.

    Parameters
    ----------
    r : (draw, unit, listener), held-out scores
    score : (draw, unit), their mean over listeners; NaN where there is none
    named, is_named : (draw, fold, unit), best layers by the other folds' scores, by which a unit's layer is named
    """

    r: NDArray[Any]
    score: NDArray[Any]
    named: NDArray[np.intp]
    is_named: NDArray[np.bool_]


def score_units(
    scores: FoldScores, columns: NDArray[np.intp], order: NDArray[np.intp], counts: NDArray[Any] | None = None
) -> UnitScores:
    """Choose each unit's layer on the mean over its listeners, and score it on the folds held out.

    Parameters
    ----------
    columns : (unit, listener), targets of the scores; −1 for none
    order : layers from shallow to deep
    counts : (draw, listener), how often each is drawn, for scores of the data as they are; None takes each once
    """
    present = columns >= 0
    weights = (np.ones((1, columns.shape[1])) if counts is None else counts).astype(scores.choice.dtype)
    weight = np.where(present, np.take(scores.weight, columns, axis=-1), 0)
    n_draws = max(weight.shape[0], weights.shape[0])

    def chosen(by: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        own = np.where(present, np.take(by, columns, axis=-1), np.nan)
        layer, defined = choose_layers(np.moveaxis(mean_over_targets(own, weights), 2, -1), order)
        shape = (n_draws, *layer.shape[1:])
        return np.broadcast_to(layer, shape), np.broadcast_to(defined, shape) & (weight.sum(axis=-1) > 0)

    layer, defined = chosen(scores.scored_by)
    named, is_named = chosen(scores.choice)
    draw, fold = np.ogrid[: layer.shape[0], : layer.shape[1]]
    draw = draw % scores.held_z.shape[0]
    z = scores.held_z[draw[..., None, None], fold[..., None, None], layer[..., None], columns]
    r = r_over_folds(z, weight * defined[..., None])
    return UnitScores(r, mean_over_targets(r, weights), named, is_named)


class UnitMaps:
    """One model's maps of a batch, filled with draws over blocks and then read as rows of the table.

    Holds (draw, unit) numbers per group, float32; nothing that grows with draws × layers × units.
    """

    def __init__(self, sets: Sequence[UnitSet], scores: ModelScores, settings: InferenceSettings) -> None:
        self._sets, self._scores, self._settings = sets, scores, settings
        self._order = by_depth(scores.layers.relative_depth)
        self._drawn: dict[int, list[NDArray[Any]]] = {
            number: [] for number, units in enumerate(sets) if not units.over_subjects(settings)
        }

    @property
    def needs_draws(self) -> bool:
        """Whether any interval is over blocks."""
        return bool(self._drawn)

    def add(self, chunk: FoldScores) -> None:
        """Take in a chunk of draws."""
        for number, parts in self._drawn.items():
            columns = self._sets[number].columns
            parts.append(
                np.concatenate(
                    [score_units(chunk, columns[part], self._order).score for part in _chunks(columns)], axis=1
                )
            )

    def rows(self, where: dict[str, Any], batch: Batch) -> list[dict[str, Any]]:
        """Rows of the unit table.

        Parameters
        ----------
        where : study and analysis
        """
        rows: list[dict[str, Any]] = []
        for number, units in enumerate(self._sets):
            parts = [
                score_units(self._scores.point, units.columns[part], self._order) for part in _chunks(units.columns)
            ]
            score = np.concatenate([part.score[0] for part in parts])
            if number in self._drawn:
                low, high = self._over_blocks(score, self._drawn[number], batch)
                tested = _Tested(low, high, *self._against_orders(units))
            else:
                tested = _over_listeners(self._scores.point, units.columns, self._order, self._settings)
            best = np.concatenate([most_frequent(part.named[0].T, part.is_named[0].T, self._order) for part in parts])
            common = {
                **where,
                "metric": batch.metric,
                "group": units.group,
                "subject": units.subject,
                "model": self._scores.layers.model,
                "objective": self._scores.layers.objective,
                "ci_unit": batch.ci_unit if number in self._drawn else "subject",
            }
            rows.extend(_rows(common, units, score, tested, best, self._scores.layers))
        return rows

    def _over_blocks(
        self, score: NDArray[Any], drawn: Sequence[NDArray[Any]], batch: Batch
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Interval of each unit from its draws (draw, unit), some units at a time."""
        bounds = []
        for start in range(0, score.size, UNITS_AT_ONCE):
            here = slice(start, start + UNITS_AT_ONCE)
            draws = np.concatenate([chunk[:, here] for chunk in drawn])
            sampled = Sampled(score[here], draws, batch.ci_unit, batch.n_units, batch.widening)
            bounds.append(sampled.interval(self._settings.confidence, CORRELATION))
        low, high = (np.concatenate(values) for values in zip(*bounds, strict=True))
        return low, high

    def _against_orders(self, units: UnitSet) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        """p of each unit, p against the largest of all, and the number of orders."""
        names = units.labels["unit"].tolist()
        null = self._scores.null
        known = {} if null is None else null.units.get((units.group, units.subject == MEAN), {})
        if not known:
            return np.full(len(names), np.nan), np.full(len(names), np.nan), 0
        nowhere = np.full(next(iter(known.values())).size, np.nan)
        scores = np.stack([known.get(name, nowhere) for name in names], axis=1).astype(np.float64)
        return p_pooled(scores[0], scores[1:]), p_of_largest(scores[0], scores[1:]), scores.shape[0] - 1


def _chunks(columns: NDArray[np.intp], most: int | None = None) -> list[slice]:
    size = min(UNITS_AT_ONCE, most or UNITS_AT_ONCE)
    return [slice(start, start + size) for start in range(0, columns.shape[0], size)]


@dataclasses.dataclass(frozen=True)
class _Tested:
    """Per unit, (unit,); ``n_orders`` of the responses, 0 for a test over listeners."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]
    p_family: NDArray[np.float64]
    n_orders: int


def _over_listeners(
    point: FoldScores, columns: NDArray[np.intp], order: NDArray[np.intp], settings: InferenceSettings
) -> _Tested:
    """Interval over listeners, and Student's t over them; NaN where fewer than two have the unit."""
    n_listeners = columns.shape[1]
    counts = draw_counts(n_listeners, settings.n_bootstrap, generator(settings.seed, "subject"))
    per_unit = counts.shape[0] * point.held_z.shape[1] * max(n_listeners, point.held_z.shape[2]) * counts.itemsize
    own = np.hstack(
        [
            np.concatenate([score_units(point, columns[part, one : one + 1], order).r[0] for part in _chunks(columns)])
            for one in range(n_listeners)
        ]
    )
    bounds = []
    for part in _chunks(columns, max(1, BYTES_AT_ONCE // per_unit)):
        score = score_units(point, columns[part], order).score[0]
        draws = score_units(point, columns[part], order, counts).score
        sampled = Sampled(score, draws, SUBJECT, n_listeners, own=own[part].T)
        bounds.append(sampled.interval(settings.confidence, CORRELATION))
    low, high = (np.concatenate(values) for values in zip(*bounds, strict=True))
    p = t_test(own)
    return _Tested(low, high, p, np.full_like(p, np.nan), 0)


def t_test(r: NDArray[Any]) -> NDArray[np.float64]:
    """One-sided p of Student's t over listeners' Fisher z: (unit, listener) → (unit,), NaN for fewer than two."""
    from scipy.stats import t

    there = np.isfinite(r)
    n = there.sum(axis=1)
    z = np.where(there, np.arctanh(np.clip(r, -LARGEST_R, LARGEST_R)), 0)
    mean = z.sum(axis=1) / np.maximum(n, 1)
    squares = np.where(there, (z - mean[:, None]) ** 2, 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = t.sf(mean / np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1)), np.maximum(n - 1, 1))
    return np.where(n > 1, p, np.nan)


def _rows(
    common: dict[str, Any],
    units: UnitSet,
    score: NDArray[Any],
    tested: _Tested,
    best: NDArray[np.intp],
    layers: LayerAxis,
) -> list[dict[str, Any]]:
    q = false_discovery_rate(tested.p)
    names, depths = [*layers.name, ""], np.append(layers.relative_depth, np.nan)  # index −1: no choice
    columns = {
        "unit": units.labels["unit"].tolist(),
        "hemisphere": units.labels["hemisphere"].tolist(),
        "region": units.labels["region"].tolist(),
        "vertex": units.labels["vertex"].astype(int).tolist(),
        "score": score.astype(float).tolist(),
        "ci_low": tested.low.tolist(),
        "ci_high": tested.high.tolist(),
        "p": tested.p.tolist(),
        "p_family": tested.p_family.tolist(),
        "q": q.tolist(),
        "n_permutations": [tested.n_orders] * score.size,
        "significant": (q < SIGNIFICANT_BELOW).astype(int).tolist(),
        "best_layer": [names[one] for one in best],
        "best_layer_depth": depths[best].tolist(),
        "n_subjects": units.n_subjects.tolist(),
    }
    return [{**common, **dict(zip(columns, one, strict=True))} for one in zip(*columns.values(), strict=True)]
