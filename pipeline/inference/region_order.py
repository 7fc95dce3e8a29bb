"""The order of regions along a network's depth, with its bootstrap probability.

For an ordered pair of regions A before B the difference is depth(B) − depth(A) of their nested best layers; its
probability is the share of draws in which B's lies deeper, ties counted half.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.inference.bootstrap import interval, share_above_zero
from pipeline.inference.contrasts import ModelOutcomes, Outcome, row_of
from pipeline.inference.places import ALL, MEAN

FEWEST_LAYERS = 3
ALL_PAIRS_UP_TO = 6
STATEMENT = "order of the nested best layers; says where in the network, not when in the brain"


def region_pairs(region_order: Sequence[str]) -> list[tuple[str, str]]:
    """All pairs of at most six regions, else consecutive ones and first before last."""
    if len(region_order) <= ALL_PAIRS_UP_TO:
        return list(itertools.combinations(region_order, 2))
    return [*itertools.pairwise(region_order), (region_order[0], region_order[-1])]


def order_rows(
    where: dict[str, Any], region_order: Sequence[str], outcomes: dict[str, ModelOutcomes], confidence: float
) -> list[dict[str, Any]]:
    """Rows ``depth order: A before B`` of the contrast table.

    One per pair, model with an order of depth (three depths or more; random twins left out) and subject: ``all``
    and ``mean`` where they exist, else each subject. ``model_score`` is the depth of B, ``reference_score`` that of A.
    """
    rows = []
    for model, outcome in outcomes.items():
        if np.unique(outcome.layers.relative_depth).size < FEWEST_LAYERS or outcome.layers.objective == "random":
            continue
        for by_region in _subjects(outcome.places):
            for first, second in region_pairs(region_order):
                if first in by_region and second in by_region:
                    rows.append({**where, **_row(model, by_region[first], by_region[second], confidence)})
    return rows


def _subjects(outcomes: Sequence[Outcome]) -> list[dict[str, Outcome]]:
    """Region → whole-region outcome, for each subject that the order is tested in."""
    averages = [outcome for outcome in outcomes if outcome.place.subject in (ALL, MEAN)]
    found: dict[tuple[str, str], dict[str, Outcome]] = {}
    for outcome in averages or outcomes:
        place = outcome.place
        by_region = found.setdefault((place.group, place.subject), {})
        by_region.setdefault(place.region, outcome)  # the mean over compartments comes first
    return list(found.values())


def _row(model: str, first: Outcome, second: Outcome, confidence: float) -> dict[str, Any]:
    draws = second.depth_draws - first.depth_draws
    low, high = interval(draws, confidence, first.n_units)
    a, b = first.place.region, second.place.region
    unpredicted = [one.place.region for one in (first, second) if not one.predicted]
    caution = f"; {' and '.join(unpredicted)} not predicted above 0" if unpredicted else ""
    return {
        **row_of(first),
        "contrast": f"depth order: {a} before {b}",
        "region": f"{a} before {b}",
        "model": model,
        "reference": model,
        "model_score": second.depth,
        "reference_score": first.depth,
        "difference": second.depth - first.depth,
        "ci_low": float(low),
        "ci_high": float(high),
        "probability_above_zero": share_above_zero(draws),
        "statement": STATEMENT + caution,
    }
