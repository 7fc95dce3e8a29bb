"""The order of regions along a network's depth.

For an ordered pair of regions A before B the difference is depth(B) − depth(A) of their nested best layers. In a
network of several pathways the order is that within each of them, as depths of different pathways cannot be compared.

Over all regions of the order, Spearman's ρ between their places in it and the depths of their nested best layers says
how much of the order is there; it is taken anew in every draw. Regions that are not predicted have no best layer
worth ranking and are left out. Its interval is over listeners or blocks, with the regions fixed: where regions truly
differ, it lies off 0 for nearly any order of them. So its row has no p, and tells how many of all orders of these
regions correlate as strongly with the depths.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.networks import pathways_of, twin_of
from pipeline.inference.questions.contrasts import (
    NOT_ASKED,
    ModelOutcomes,
    Outcome,
    compared,
    regions_by_subject,
    row_of,
    units_of,
)
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.scores.bootstrap import CORRELATION, Sampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.inference.scores.shared_draws import LayerAxis

FEWEST_LAYERS = 3
ALL_PAIRS_UP_TO = 6
FEWEST_RANKED = 4  # of three regions, one order in six is the right one
_NAME = re.compile(r"^depth order(?: in (?P<pathway>.+?))?: (?P<first>.+) before (?P<second>.+)$")
_RANK = re.compile(r"^depth order(?: in (?P<pathway>.+?))?: rank correlation of (?P<n>\d+) regions$")
ALL_ORDERS_UP_TO = 8  # regions; 8! = 40,320
RANDOM_ORDERS, ORDERS_SEED = 10_000, 0
ALL_REGIONS = "all regions"
STATEMENT = "order of the nested best layers; says where in the network, not when in the brain"
_SHARE = re.compile(r"(?P<found>[\d,]+) of (?:the )?(?P<orders>[\d,]+) (?P<drawn>random )?orders of these regions \(")


@dataclasses.dataclass(frozen=True)
class OrderName:
    """A pair of regions as the contrast table names it: ``depth order: A before B``, or ``depth order in PATHWAY: …``.

    Parameters
    ----------
    pathway : empty for a network of a single one
    """

    first: str
    second: str
    pathway: str = ""

    @property
    def pair(self) -> str:
        return f"{self.first} before {self.second}"

    def __str__(self) -> str:
        return f"depth order{f' in {self.pathway}' if self.pathway else ''}: {self.pair}"

    @classmethod
    def read(cls, name: str) -> OrderName | None:
        """None for the name of any other contrast."""
        found = _NAME.match(name)
        return cls(found["first"], found["second"], found["pathway"] or "") if found else None


@dataclasses.dataclass(frozen=True)
class RankName:
    """``depth order: rank correlation of N regions``, or ``depth order in PATHWAY: …``.

    Parameters
    ----------
    pathway : empty for a network of a single one
    """

    n_regions: int
    pathway: str = ""

    def __str__(self) -> str:
        return (
            f"depth order{f' in {self.pathway}' if self.pathway else ''}: rank correlation of {self.n_regions} regions"
        )

    @classmethod
    def read(cls, name: str) -> RankName | None:
        """None for the name of any other contrast."""
        found = _RANK.match(name)
        return cls(int(found["n"]), found["pathway"] or "") if found else None


@dataclasses.dataclass(frozen=True)
class ShareOfOrders:
    """How many orders of the same regions correlate with their depths as strongly, in either direction.

    Parameters
    ----------
    n_as_strong : the study's order among them
    n_orders : all there are, or the study's and random ones
    drawn : whether they were drawn at random
    """

    n_as_strong: int
    n_orders: int
    drawn: bool = False

    @property
    def share(self) -> float:
        return self.n_as_strong / self.n_orders

    @property
    def in_percent(self) -> str:
        return "less than 0.1 %" if self.share < 0.001 else f"{100 * self.share:.1f} %"

    def __str__(self) -> str:
        found, share = f"{self.n_as_strong:,} of", f"{self.in_percent}) would correlate as strongly"
        if self.drawn:
            return f"{found} {self.n_orders:,} random orders of these regions (seed {ORDERS_SEED}; {share}"
        return f"{found} the {self.n_orders:,} orders of these regions ({share}"

    @classmethod
    def read(cls, statement: str) -> ShareOfOrders | None:
        """None where the statement holds none: no rank correlation was defined."""
        found = _SHARE.search(statement)
        if found is None:
            return None
        as_strong, orders = (int(found[name].replace(",", "")) for name in ("found", "orders"))
        return cls(as_strong, orders, drawn=found["drawn"] is not None)


def region_pairs(region_order: Sequence[str]) -> list[tuple[str, str]]:
    """All pairs of at most six regions, else consecutive ones and first before last."""
    if len(region_order) <= ALL_PAIRS_UP_TO:
        return list(itertools.combinations(region_order, 2))
    return [*itertools.pairwise(region_order), (region_order[0], region_order[-1])]


def order_rows(
    where: dict[str, Any], region_order: Sequence[str], outcomes: dict[str, ModelOutcomes], settings: InferenceSettings
) -> list[dict[str, Any]]:
    """Rows ``depth order: A before B`` of the contrast table.

    One per pair, model with an order of depth (three depths or more; twins left out), pathway if there are several,
    and subject: ``all`` and ``mean`` where they exist, else each subject. ``model_score`` is the depth of B,
    ``reference_score`` that of A.
    """
    rows = []
    for model, pathway, by_region in _ordered(outcomes):
        for first, second in region_pairs(region_order):
            if first in by_region and second in by_region:
                rows.append({**where, **_row(model, pathway, by_region[first], by_region[second], settings)})
    return rows


def rank_rows(
    where: dict[str, Any], region_order: Sequence[str], outcomes: dict[str, ModelOutcomes], settings: InferenceSettings
) -> list[dict[str, Any]]:
    """Rows ``depth order: rank correlation of N regions`` of the contrast table.

    For the models, pathways and subjects of `order_rows`, where at least four regions are predicted above 0.
    ``difference`` and ``model_score`` are ρ, ``reference_score`` is 0; NaN where all regions have one depth. The
    statement holds the `ShareOfOrders`.
    """
    rows = []
    for model, pathway, by_region in _ordered(outcomes):
        there = [by_region[region] for region in region_order if region in by_region]
        kept = [one for one in there if one.predicted]
        if len(kept) >= FEWEST_RANKED:
            left_out = [one.place.region for one in there if not one.predicted]
            rows.append({**where, **_rank_row(model, pathway, kept, left_out, settings)})
    return rows


def _ordered(outcomes: dict[str, ModelOutcomes]) -> Iterator[tuple[str, str, dict[str, Outcome]]]:
    """(model, pathway, region → outcome) of each model with an order of depth, its pathways and its subjects."""
    for model, outcome in outcomes.items():
        if twin_of(model) is not None:
            continue
        for pathway, places in (outcome.pathways or {"": outcome.places}).items():
            if _n_depths(outcome.layers, pathway) >= FEWEST_LAYERS:
                for by_region in regions_by_subject(places):
                    yield model, pathway, by_region


def _rank_row(
    model: str, pathway: str, kept: Sequence[Outcome], left_out: Sequence[str], settings: InferenceSettings
) -> dict[str, Any]:
    n_draws = min(one.depth.draws.size for one in kept)
    depth = np.array([float(one.depth.value) for one in kept])
    rho = rank_correlation(depth[None])[0]
    others = f"; {orders_as_strong(depth)}" if np.isfinite(rho) else ""
    draws = rank_correlation(np.stack([one.depth.draws[:n_draws] for one in kept], axis=1))
    units, unlike = units_of(kept)
    widening = max(one.widening for one in kept)
    sampled = Sampled(np.asarray(rho), draws, units["ci_unit"], units["n_units"], widening)
    low, high = sampled.interval(settings.confidence, CORRELATION)
    caution = f"; {', '.join(left_out)} not predicted above 0 and left out" if left_out else ""
    return {
        **row_of(kept[0]),
        **units,
        "contrast": str(RankName(len(kept), pathway)),
        "region": ALL_REGIONS,
        "model": model,
        "reference": model,
        "model_score": float(rho),
        "reference_score": 0.0,
        "best_reference_score": 0.0,
        "n_references": 1,
        "difference": float(rho),
        "ci_low": float(low),
        "ci_high": float(high),
        "p": float("nan"),
        **NOT_ASKED,
        "statement": f"{STATEMENT}; holds for these regions{others}{caution}{unlike}",
    }


def rank_correlation(depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's ρ of each row of ``(draw, region)`` with the regions' order, ties at their mean rank.

    NaN where a region has no depth, or all have the same.
    """
    from scipy.stats import rankdata

    ranks = rankdata(depth, axis=1) - (depth.shape[1] + 1) / 2
    order = np.arange(depth.shape[1]) - (depth.shape[1] - 1) / 2
    length = np.sqrt((ranks**2).sum(axis=1) * (order**2).sum())
    defined = np.isfinite(depth).all(axis=1) & (length > 0)
    return np.where(defined, ranks @ order / np.where(defined, length, 1), np.nan)


def orders_as_strong(depth: NDArray[np.float64]) -> ShareOfOrders:
    """How many orders of the regions have a |ρ| with their depths that is at least as large as the given order's.

    All orders of up to eight regions; of more, the given one and 9,999 random ones (seed 0).

    Parameters
    ----------
    depth : (region,), in the given order, not all equal
    """
    from scipy.stats import rankdata

    ranks = 2 * rankdata(depth) - (depth.size + 1)  # whole numbers, so that equal correlations compare as equal
    orders = _orders_of(depth.size)
    strength = np.abs(orders @ ranks)
    return ShareOfOrders(int((strength >= strength[0]).sum()), len(orders), depth.size > ALL_ORDERS_UP_TO)


@functools.lru_cache(maxsize=4)
def _orders_of(n_regions: int) -> NDArray[np.float64]:
    """Twice the centred places of the regions, (order, region); the regions as they are come first."""
    places = 2 * np.arange(n_regions, dtype=np.float64) - (n_regions - 1)
    if n_regions <= ALL_ORDERS_UP_TO:
        return np.array(list(itertools.permutations(places)))
    orders = np.tile(places, (RANDOM_ORDERS, 1))
    return np.concatenate([places[None], np.random.default_rng(ORDERS_SEED).permuted(orders[1:], axis=1)])


def _n_depths(layers: LayerAxis, pathway: str) -> int:
    """How many different depths a network of one pathway, or a pathway of several, has."""
    depths = layers.relative_depth
    return np.unique(depths[pathways_of(layers.pathway)[pathway]] if pathway else depths).size


def _row(model: str, pathway: str, first: Outcome, second: Outcome, settings: InferenceSettings) -> dict[str, Any]:
    units, unlike = units_of((first, second))
    name = OrderName(first.place.region, second.place.region, pathway)
    unpredicted = [one.place.region for one in (first, second) if not one.predicted]
    caution = f"; {' and '.join(unpredicted)} not predicted above 0" if unpredicted else ""
    return {
        **row_of(first),
        **units,
        "contrast": str(name),
        "region": name.pair,
        "model": model,
        "reference": model,
        **compared(second.depth, [first.depth], settings, seeds=False, bounds=(-1.0, 1.0)),
        "statement": STATEMENT + caution + unlike,
    }
