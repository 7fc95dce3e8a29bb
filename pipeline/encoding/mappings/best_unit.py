"""The one best unit: each target is predicted by the unit that follows it best."""

from __future__ import annotations

from typing import Literal

from pipeline.encoding.mapping import Mapping, MappingEntry, MappingInputs
from pipeline.encoding.options import EncodingOptions


class BestUnitOptions(EncodingOptions):
    """One-to-one mapping: each target is predicted by the unit (a feature at one delay) that follows it best."""

    kind: Literal["best_unit"] = "best_unit"


def make(options: BestUnitOptions, inputs: MappingInputs) -> Mapping:
    from pipeline.artifacts.scores import NO_PENALTY
    from pipeline.encoding.mappings.best_unit_fit import fit_best_unit

    return Mapping(fit_best_unit, lambda scores: scores.assign_attrs(penalties=NO_PENALTY))


BEST_UNIT = MappingEntry(
    "best_unit", BestUnitOptions, make, "pipeline.encoding.mappings.words:BEST_UNIT", side_by_side=True
)
