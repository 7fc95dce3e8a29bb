"""p of contrasts corrected for all that are looked at together.

A family is a contrast in all regions of one subject (or average), whole ones or compartments, or all pairs of regions
in one network's order of depth; a mean over regions is one by itself. Holm's correction holds the probability of any
false claim in a family however its members depend on each other.

References
----------
Holm 1979, Scand J Stat 6:65–70; Benjamini & Hochberg 1995, J R Stat Soc B 57:289–300.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.places import ALL
from pipeline.inference.questions.region_order import OrderName
from pipeline.inference.questions.seeds import MEAN_REGION
from pipeline.inference.scores.null_scores import false_discovery_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray


def with_families(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the contrast table with ``p_family``, ``q`` and ``p_equivalent_family``, in the same order.

    NaN where the p that they correct is.
    """
    members: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows):
        members.setdefault(_family(row), []).append(number)
    told: dict[int, dict[str, float]] = {}
    for family in members.values():
        p, p_equivalent = (
            np.array([rows[number][column] for number in family], dtype=np.float64) for column in ("p", "p_equivalent")
        )
        corrected = {"p_family": holm(p), "q": false_discovery_rate(p), "p_equivalent_family": holm(p_equivalent)}
        for place, number in enumerate(family):
            told[number] = {column: float(values[place]) for column, values in corrected.items()}
    return [{**row, **told[number]} for number, row in enumerate(rows)]


def _family(row: dict[str, Any]) -> tuple[str, ...]:
    name = str(row["contrast"])
    pair = OrderName.read(name)
    if pair is not None:
        name = f"depth order {pair.pathway}"
    if row["region"] == MEAN_REGION:
        name = f"{name}, {MEAN_REGION}"
    where = ("analysis", "metric", "group", "subject", "model", "reference")
    return name, "whole" if row["compartment"] == ALL else "part", *(str(row[column]) for column in where)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's adjusted p of a family: (n,), NaN where p is."""
    adjusted = np.full(p.size, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(order.size, 0, -1)), 1)
    return adjusted
