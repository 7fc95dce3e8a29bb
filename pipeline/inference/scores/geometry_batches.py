"""Batches of geometry scores: models of a group share their draws of items, or of stretches of blocks."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.scores import open_scores
from pipeline.comparison.ceilings import from_correlation
from pipeline.comparison.kendall import MOST_ENTRIES
from pipeline.comparison.measures import MEASURES
from pipeline.core.errors import LayermapError, SampleMismatch
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.scores.bootstrap import draw_counts, generator
from pipeline.inference.scores.fold_scores import FoldScores
from pipeline.inference.scores.item_orders import ItemOrders, permuted_items, rolled_blocks
from pipeline.inference.scores.null_scores import NullScores
from pipeline.inference.scores.pair_scores import (
    HALVINGS_PER_DRAW,
    PairVectors,
    first_half,
    pair_scores,
    scores_in_orders,
)
from pipeline.inference.scores.shared_draws import Batch, ModelScores, layer_axis, reliability_errors, target_table

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

BYTES_AT_ONCE = 256 << 20  # of the draws' halves, of which a handful of copies exist at a time
MOST_SLOW_DRAWS = 100  # of Kendall's τ between matrices too large for `kendall_tau`
MOST_SLOW_ORDERS = 99


def geometry_batches(paths: dict[str, dict[str, Path]], metric: str, settings: InferenceSettings) -> list[Batch]:
    """One batch per group: its models are ranked together, draw by draw.

    Parameters
    ----------
    paths : group → model → scores file
    metric : of the analysis, as in the map
    """
    return [_batch(by_model, metric, settings) for by_model in paths.values()]


def stretches_of(scores: xr.Dataset) -> NDArray[np.intp]:
    """The stretch of each item, numbered from 0: those of a scores file, or every item its own."""
    if "stretch" not in scores.variables:
        return np.arange(scores.sizes["item"])
    return np.unique(scores["stretch"].values, return_inverse=True)[1]


def _batch(by_model: dict[str, Path], metric: str, settings: InferenceSettings) -> Batch:
    opened = {model: open_scores(path) for model, path in by_model.items()}
    first = next(iter(opened.values()))
    stretch = stretches_of(first)
    measure = MEASURES.get(str(first.attrs["comparison"]))
    if measure is None:
        raise LayermapError(
            f"{next(iter(by_model.values()))} has comparison '{first.attrs['comparison']}', which is none of: "
            f"{', '.join(MEASURES)}"
        )
    for model, scores in opened.items():
        if scores["item"].values.tolist() != first["item"].values.tolist() or (stretches_of(scores) != stretch).any():
            raise SampleMismatch(
                f"{by_model[model]} has other items or stretches ({scores.sizes['item']} items) than "
                f"{next(iter(by_model.values()))} ({first.sizes['item']} items); "
                "make both again with: snakemake map --forcerun compare_group"
            )
    n_units = int(stretch.max()) + 1
    deviation, degrees = reliability_errors([first])
    orders = _orders_of(first, settings)
    counts = draw_counts(n_units, settings.n_bootstrap, generator(settings.seed, "unit"))
    return Batch(
        metric=metric,
        targets=target_table([first]),
        ci_unit=str(first.attrs["ci_unit"]),
        n_units=n_units,
        models=list(opened),
        load=_loader(opened, stretch, counts, orders.rows, settings),
        reliability_deviation=deviation,
        reliability_df=degrees,
        ceiling=functools.partial(_ceiling, first),
        stimuli_drawn=str(first.attrs["ci_unit"]) == "item",
        untested=orders.untested,
        zero_is_chance=measure.zero_is_chance,
    )


def _ceiling(scores: xr.Dataset, reliability: float) -> float:
    """What a matrix behind all noise reaches on average; published reliabilities are in the unit of the comparison."""
    r = math.sqrt(min(reliability, 1.0))
    published = any(str(kind).startswith("√(") for kind in scores["ceiling_kind"].values)
    return r if published else from_correlation(r, str(scores.attrs["comparison"]))


def _orders_of(scores: xr.Dataset, settings: InferenceSettings) -> ItemOrders:
    """Other orders of the measured items, from what the scores of any model of a group hold."""
    n_items, n_orders = scores.sizes["item"], settings.permutations
    if str(scores.attrs["comparison"]) == "kendall" and n_items * (n_items - 1) / 2 > MOST_ENTRIES:
        n_orders = min(n_orders, MOST_SLOW_ORDERS)
    rng = generator(settings.seed, "order")
    if str(scores.attrs["ci_unit"]) == "item":
        return permuted_items(scores["item"].values, n_orders, rng)
    split = json.loads(scores.attrs["split"])
    if "block_s" not in split:  # a package's metric may not say
        return ItemOrders(np.empty((0, n_items), np.intp), "the scores do not say how long their blocks are")
    stimulus = scores["stimulus"].values if "stimulus" in scores.variables else np.full(n_items, "")
    return rolled_blocks(scores["similarity"].values, stimulus, split["block_s"], split["stretch_s"], n_orders, rng)


def _loader(
    opened: dict[str, xr.Dataset],
    stretch: NDArray[np.intp],
    counts: NDArray[np.float32],
    orders: NDArray[np.intp],
    settings: InferenceSettings,
) -> Callable[[str], ModelScores]:
    first = next(iter(opened.values()))
    if str(first.attrs["comparison"]) == "kendall" and _mean_entries(counts, stretch) > MOST_ENTRIES:
        counts = counts[:MOST_SLOW_DRAWS]
    n_halvings = min(HALVINGS_PER_DRAW, json.loads(first.attrs["split"])["n_splits"])
    per_layer = counts.itemsize * (len(counts) + len(orders)) * 2 * n_halvings * first.sizes["target"]
    lots = _lots({model: per_layer * scores.sizes["layer"] for model, scores in opened.items()})

    @functools.lru_cache(maxsize=1)
    def scores_of(lot: int) -> _LotScores:
        return _LotScores([opened[model] for model in lots[lot]], stretch, counts, orders, n_halvings, settings.seed)

    def load(model: str) -> ModelScores:
        number = next(number for number, lot in enumerate(lots) if model in lot)
        lot, starts = scores_of(number), np.cumsum([0, *(opened[name].sizes["layer"] for name in lots[number])])
        place = lots[number].index(model)
        layers = slice(int(starts[place]), int(starts[place + 1]))
        return ModelScores(
            layer_axis(opened[model]), lot.point.layers(layers), _Draws(lot, layers), null=lot.null(layers)
        )

    return load


def _mean_entries(counts: NDArray[np.float32], stretch: NDArray[np.intp]) -> float:
    """Distinct pairs of items that a draw leaves, on average."""
    n_items = (counts > 0)[:, stretch].sum(axis=1)
    return float((n_items * (n_items - 1) / 2).mean())


def _lots(size: dict[str, int]) -> list[list[str]]:
    """Models whose draws are held at the same time, in order; all of them where memory allows."""
    lots: list[list[str]] = [[]]
    for model, own in size.items():
        if lots[-1] and sum(size[name] for name in lots[-1]) + own > BYTES_AT_ONCE:
            lots.append([])
        lots[-1].append(model)
    return lots


class _LotScores:
    """Scores of several models' layers, one model after the other; draws are made when they are first asked for."""

    def __init__(
        self,
        parts: list[xr.Dataset],
        stretch: NDArray[np.intp],
        counts: NDArray[np.float32],
        orders: NDArray[np.intp],
        n_halvings: int,
        seed: int,
    ) -> None:
        self._models = PairVectors.of(np.concatenate([part["model_similarity"].values for part in parts]))
        self._targets = PairVectors.of(np.moveaxis(parts[0]["similarity"].values, 2, 0))
        self._split, self._comparison = json.loads(parts[0].attrs["split"]), str(parts[0].attrs["comparison"])
        self._stretch, self._counts, self._n_halvings, self._seed = stretch, counts, n_halvings, seed
        self._orders = orders

    @functools.cached_property
    def point(self) -> FoldScores:
        rng = np.random.default_rng(self._split["seed"])
        once = np.ones((1, self._counts.shape[1]))
        return self._scores(once, self._split["n_splits"], rng)

    @functools.cached_property
    def draws(self) -> FoldScores:
        return self._scores(self._counts, self._n_halvings, generator(self._seed, "halves"))

    @functools.cached_property
    def observed(self) -> FoldScores:
        return self._in_orders(np.arange(self._orders.shape[1])[None])

    @functools.cached_property
    def orders(self) -> FoldScores:
        return self._in_orders(self._orders)

    def null(self, layers: slice) -> NullScores | None:
        """Of some layers; every target, which is one animal's region, is a leaf."""
        if not len(self._orders):
            return None
        leaves = np.arange(self._targets.values.shape[0])
        return NullScores(leaves, self.observed.layers(layers), _Orders(self, layers), len(self._orders))

    def _in_orders(self, orders: NDArray[np.intp]) -> FoldScores:
        """In each order, over the first of the halvings of the point scores."""
        rng, every = np.random.default_rng(self._split["seed"]), np.ones(self._counts.shape[1])
        halvings = np.stack([first_half(every, rng)[self._stretch] for _ in range(self._n_halvings)])
        return scores_in_orders(self._models, self._targets, orders, halvings, self._comparison)

    def _scores(self, counts: NDArray[np.floating], n_halvings: int, rng: np.random.Generator) -> FoldScores:
        return pair_scores(self._models, self._targets, counts, self._stretch, self._comparison, n_halvings, rng)


@dataclasses.dataclass(frozen=True)
class _Draws:
    """One model's draws; places with enough subjects do without them."""

    lot: _LotScores
    layers: slice

    def __iter__(self) -> Iterator[FoldScores]:
        yield self.lot.draws.layers(self.layers)


@dataclasses.dataclass(frozen=True)
class _Orders:
    """One model's scores of other orders."""

    lot: _LotScores
    layers: slice

    def __iter__(self) -> Iterator[FoldScores]:
        yield self.lot.orders.layers(self.layers)
