"""Ventral against dorsal: do the pathways of a network, or networks and their twins, differ between the two streams?

Which regions count as ventral and which as dorsal is configuration, and every assignment gives its own rows. Scores are
those of the nested best layer, regions of a stream averaged, paired over the same bootstrap draws.

* Of a network of several pathways: (first − second pathway) in ventral minus the same in dorsal regions.
* Of any network but baselines: ventral minus dorsal, less the mean of the same over its random twins, which holds what
  differs between the areas without training, their reliability above all; for one more twin, as in contrasts.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.inference.networks import members_of, twin_of
from pipeline.inference.questions.contrasts import (
    ModelOutcomes,
    Outcome,
    compared,
    regions_by_subject,
    row_of,
    seeds_in_words,
    units_of,
)
from pipeline.inference.requests import InferenceSettings, StreamSpec
from pipeline.inference.scores.bootstrap import Sampled, mean_of

REGION = "ventral − dorsal"
_NAME = re.compile(r"^streams \((?P<assignment>[^()]+)\): (?:(?P<first>.+?) − (?P<second>.+), )?ventral − dorsal$")
BOUNDS = (-4.0, 4.0)  # of a difference of differences of correlations


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
    where: dict[str, Any],
    streams: Sequence[StreamSpec],
    outcomes: dict[str, ModelOutcomes],
    settings: InferenceSettings,
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
                _pathway_rows(assignment, model, outcome, settings),
                _network_rows(assignment, model, outcomes, settings),
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

    def means(self, score: Callable[[str], Sampled]) -> tuple[Sampled, Sampled]:
        """Mean scores of ventral and of dorsal regions."""
        return mean_of([score(name) for name in self.ventral]), mean_of([score(name) for name in self.dorsal])

    def outcomes(self, by_region: dict[str, Outcome]) -> list[Outcome]:
        """The outcomes of all regions of both streams."""
        return [by_region[name] for name in (*self.ventral, *self.dorsal)]


def _pathway_rows(
    assignment: StreamSpec, model: str, outcome: ModelOutcomes, settings: InferenceSettings
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
            ventral, dorsal = sides.means(_differences_in(one, other))
            found = compared(ventral, [dorsal], settings, seeds=False, bounds=BOUNDS)
            yield _row(name, model, model, found, place, statement)


def _network_rows(
    assignment: StreamSpec, model: str, outcomes: dict[str, ModelOutcomes], settings: InferenceSettings
) -> Iterator[dict[str, Any]]:
    if twin_of(model) is not None or outcomes[model].layers.objective == "baseline":
        return
    twins = members_of(f"{model}@random", list(outcomes))
    of_twins = [regions_by_subject(outcomes[twin].places) for twin in twins]
    for number, by_region in enumerate(regions_by_subject(outcomes[model].places)):
        sides = _Sides.of(assignment, by_region)
        if not sides:
            continue
        ventral, dorsal = sides.means(_scores_in(by_region))
        if twins:
            others = [operator.sub(*sides.means(_scores_in(one[number]))) for one in of_twins]
            reference = f"{model}@random"
            found = compared(ventral - dorsal, others, settings, seeds=True, bounds=BOUNDS)
            many = f"the mean of {len(twins)} random twins" if len(twins) > 1 else "the random twin"
            statement = f"less {many} of the same architecture{seeds_in_words(reference, others)}"
        else:
            reference, found = model, compared(ventral, [dorsal], settings, seeds=False, bounds=BOUNDS)
            statement = "differences in the areas' reliability are in it"
        units, caution = units_of(sides.outcomes(by_region))
        place = row_of(next(iter(by_region.values()))) | units
        statement = f"{statement}{caution}; {sides}"
        yield _row(StreamName(assignment.name), model, reference, found, place, statement)


def _scores_in(by_region: dict[str, Outcome]) -> Callable[[str], Sampled]:
    return lambda region: by_region[region].nested


def _differences_in(first: dict[str, Outcome], second: dict[str, Outcome]) -> Callable[[str], Sampled]:
    return lambda region: first[region].nested - second[region].nested


def _row(
    name: StreamName, model: str, reference: str, found: dict[str, float], place: dict[str, Any], statement: str
) -> dict[str, Any]:
    compared_with = {"contrast": str(name), "region": REGION, "model": model, "reference": reference}
    return {**place, **compared_with, **found, "statement": statement}
