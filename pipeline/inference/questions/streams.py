"""Ventral against dorsal: do the pathways of a network, or networks and their twins, differ between the two streams?

Which regions count as ventral and which as dorsal is configuration, and every assignment gives its own rows. Scores are
those of the nested best layer, regions of a stream averaged, paired over the same bootstrap draws.

* Of a network of several pathways: (first − second pathway) in ventral minus the same in dorsal regions.
* Of any network but baselines: ventral minus dorsal, less the same of its random twins, which holds what differs
  between the areas without training, their reliability above all.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.networks import twin_of, twins_of
from pipeline.inference.questions.contrasts import (
    ModelOutcomes,
    Outcome,
    difference_of,
    regions_by_subject,
    row_of,
    units_of,
)
from pipeline.inference.requests import StreamSpec
from pipeline.inference.scores.bootstrap import interval, share_above_zero

if TYPE_CHECKING:
    from numpy.typing import NDArray

REGION = "ventral − dorsal"
_NAME = re.compile(r"^streams \((?P<assignment>[^()]+)\): (?:(?P<first>.+?) − (?P<second>.+), )?ventral − dorsal$")
Scored = tuple[float, "NDArray[Any]"]
"""A score with its draws."""


@dataclasses.dataclass(frozen=True)
class StreamName:
    """A comparison of streams as the contrast table names it: ``streams (ASSIGNMENT): [A − B, ]ventral − dorsal``.

    Parameters
    ----------
    assignment : its name in the study file
    first, second : two pathways of the network; empty where the whole network is compared with its twins
    """

    assignment: str
    first: str = ""
    second: str = ""

    def __str__(self) -> str:
        pathways = f"{self.first} − {self.second}, " if self.first else ""
        return f"streams ({self.assignment}): {pathways}{REGION}"

    @classmethod
    def read(cls, name: str) -> StreamName | None:
        """None for the name of any other contrast."""
        found = _NAME.match(name)
        return cls(found["assignment"], found["first"] or "", found["second"] or "") if found else None


def stream_rows(
    where: dict[str, Any], streams: Sequence[StreamSpec], outcomes: dict[str, ModelOutcomes], confidence: float
) -> list[dict[str, Any]]:
    """Rows of the contrast table, assignment by assignment, for ``all`` and ``mean`` or else each subject.

    Regions that the data do not have are left out; an assignment that then has an empty side gives no row.
    ``model_score − reference_score`` is ventral minus dorsal of the pathways' difference, network minus twins of
    ventral minus dorsal, or ventral minus dorsal.

    Parameters
    ----------
    where : study, analysis and metric
    outcomes : model → its outcomes
    """
    rows: list[dict[str, Any]] = []
    for assignment in streams:
        for model, outcome in outcomes.items():
            found = itertools.chain(
                _pathway_rows(assignment, model, outcome, confidence),
                _network_rows(assignment, model, outcomes, confidence),
            )
            rows.extend({**where, **row} for row in found)
    return rows


@dataclasses.dataclass(frozen=True)
class _Sides:
    """The regions of an assignment that one subject has."""

    ventral: list[str]
    dorsal: list[str]

    @classmethod
    def of(cls, assignment: StreamSpec, by_region: dict[str, Outcome]) -> _Sides:
        there = {name for name, outcome in by_region.items() if outcome.place.targets.size}
        return cls(*([name for name in side if name in there] for side in (assignment.ventral, assignment.dorsal)))

    def __bool__(self) -> bool:
        return bool(self.ventral and self.dorsal)

    def __str__(self) -> str:
        return f"ventral {', '.join(self.ventral)}; dorsal {', '.join(self.dorsal)}"

    def means(self, score: Callable[[str], Scored]) -> tuple[Scored, Scored]:
        """Mean scores of ventral and of dorsal regions."""
        return _mean([score(name) for name in self.ventral]), _mean([score(name) for name in self.dorsal])

    def outcomes(self, by_region: dict[str, Outcome]) -> list[Outcome]:
        """The outcomes of all regions of both streams."""
        return [by_region[name] for name in (*self.ventral, *self.dorsal)]


def _pathway_rows(
    assignment: StreamSpec, model: str, outcome: ModelOutcomes, confidence: float
) -> Iterator[dict[str, Any]]:
    by_pathway = {name: regions_by_subject(places) for name, places in outcome.pathways.items()}
    for first, second in itertools.combinations(by_pathway, 2):
        for one, other in zip(by_pathway[first], by_pathway[second], strict=True):
            sides = _Sides.of(assignment, one)
            if not sides:
                continue
            name = StreamName(assignment.name, first, second)
            statement = "layers chosen within each pathway; the areas' reliability scales both differences"
            units, caution = units_of(sides.outcomes(one))
            place = row_of(next(iter(one.values()))) | units
            statement = f"{statement}{caution}; {sides}"
            compared = sides.means(_differences_in(one, other))
            yield _row(name, model, model, compared, place, statement, confidence)


def _network_rows(
    assignment: StreamSpec, model: str, outcomes: dict[str, ModelOutcomes], confidence: float
) -> Iterator[dict[str, Any]]:
    if twin_of(model) is not None or outcomes[model].layers.objective == "baseline":
        return
    twins = twins_of(f"{model}@random", list(outcomes))
    of_twins = [regions_by_subject(outcomes[twin].places) for twin in twins]
    for number, by_region in enumerate(regions_by_subject(outcomes[model].places)):
        sides = _Sides.of(assignment, by_region)
        if not sides:
            continue
        compared, reference = sides.means(_scores_in(by_region)), model
        statement = "differences in the areas' reliability are in it"
        if twins:
            others = [difference_of(*sides.means(_scores_in(one[number]))) for one in of_twins]
            compared, reference = (difference_of(*compared), _mean(others)), f"{model}@random"
            statement = f"less the mean of {len(twins)} random twins of the same architecture"
        units, caution = units_of(sides.outcomes(by_region))
        place = row_of(next(iter(by_region.values()))) | units
        statement = f"{statement}{caution}; {sides}"
        yield _row(StreamName(assignment.name), model, reference, compared, place, statement, confidence)


def _scores_in(by_region: dict[str, Outcome]) -> Callable[[str], Scored]:
    return lambda region: _nested(by_region[region])


def _differences_in(first: dict[str, Outcome], second: dict[str, Outcome]) -> Callable[[str], Scored]:
    return lambda region: difference_of(_nested(first[region]), _nested(second[region]))


def _nested(outcome: Outcome) -> Scored:
    return outcome.nested, outcome.nested_draws


def _mean(scores: Sequence[Scored]) -> Scored:
    n_draws = min(draws.size for _, draws in scores)
    return float(np.mean([score for score, _ in scores])), np.mean([draws[:n_draws] for _, draws in scores], axis=0)


def _row(
    name: StreamName,
    model: str,
    reference: str,
    compared: tuple[Scored, Scored],
    place: dict[str, Any],
    statement: str,
    confidence: float,
) -> dict[str, Any]:
    difference, draws = difference_of(*compared)
    low, high = interval(draws, confidence, place["n_units"])
    return {
        **place,
        "contrast": str(name),
        "region": REGION,
        "model": model,
        "reference": reference,
        "model_score": compared[0][0],
        "reference_score": compared[1][0],
        "difference": difference,
        "ci_low": float(low),
        "ci_high": float(high),
        "probability_above_zero": share_above_zero(draws),
        "statement": statement,
    }
