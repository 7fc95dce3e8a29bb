"""What the map stage is given: one analysis' score files, its contrasts and the inference settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class InferenceSettings(Protocol):
    """Bootstrap and reliability settings; `pipeline.study.study.Inference` has them."""

    @property
    def n_bootstrap(self) -> int: ...
    @property
    def confidence(self) -> float: ...
    @property
    def reliability_floor(self) -> float: ...
    @property
    def min_subjects(self) -> int: ...
    @property
    def permutations(self) -> int: ...
    @property
    def seed(self) -> int: ...


class ContrastSpec(Protocol):
    """Model − reference; ``layer`` None for the nested best layer, ``pathway`` None to choose it among all layers.

    Either may be ``NAME@seed``, all trainings of a recipe; ``controlled`` says that such networks have one architecture
    and one diet. ``margin`` is the difference, in units of the score, below which the two count as equivalent; None:
    not asked.
    `pipeline.study.study.Contrast` has it.
    """

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def layer(self) -> str | None: ...
    @property
    def pathway(self) -> str | None: ...
    @property
    def margin(self) -> float | None: ...
    @property
    def controlled(self) -> bool: ...


class StreamSpec(Protocol):
    """Which regions count as ventral and which as dorsal; `pipeline.study.study.StreamAssignment` has it."""

    @property
    def name(self) -> str: ...
    @property
    def ventral(self) -> Sequence[str]: ...
    @property
    def dorsal(self) -> Sequence[str]: ...


class LanguageSpec(Protocol):
    """Group of listeners → language heard, model → language learned, and their acoustic domains where stated.

    `pipeline.study.study.Languages` has it.
    """

    @property
    def listeners(self) -> Mapping[str, str]: ...
    @property
    def models(self) -> Mapping[str, str]: ...
    @property
    def listeners_domain(self) -> Mapping[str, str]: ...
    @property
    def models_domain(self) -> Mapping[str, str]: ...


@dataclasses.dataclass(frozen=True)
class AnalysisScores:
    """One analysis of a study.

    Parameters
    ----------
    name : as in the study file
    metric : its kind, which rows are named by
    within_category : also give the scores within categories of items
    contrasts : in the order shown
    region_order : regions in the order shown and tested; others follow
    models : in the order shown, twins spelled out
    paths : one scores file per (group, model)
    streams : assignments of regions to the ventral and the dorsal stream, each compared in turn
    languages : which language listeners heard and models learned; None to compare none
    spaces : models that all others were fitted jointly with; empty where there was no joint fit
    identifiability : one file per group, of responses simulated from its layers; empty where none were
    """

    name: str
    metric: str
    within_category: bool
    contrasts: Sequence[ContrastSpec]
    region_order: Sequence[str]
    models: Sequence[str]
    paths: Sequence[Path]
    streams: Sequence[StreamSpec] = ()
    languages: LanguageSpec | None = None
    spaces: Sequence[str] = ()
    identifiability: Sequence[Path] = ()
