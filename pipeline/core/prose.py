"""What an entry of a registry says of itself on the page, and words to write it with.

Texts are Jinja templates. They see ``a`` (the analysis), ``o`` (the metric's options), ``c`` (what its scores say, see
`pipeline.report.sections.methods_text.AnalysisMethods`), ``s`` (of these, the split), ``percent`` (level of the
intervals), ``cite`` (a key of the page's references → how it is cited), ``told`` (what was said before) and
``nuisance`` (names of regressors, ``told`` → how they were taken out). Filters: ``fmt`` (a number), ``regressors``,
``window``, ``differing``. A package's own text cites in plain words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Recorded(Protocol):
    """What a dataset's words are made from.

    Parameters
    ----------
    options : of the dataset, JSON-able
    units : of the responses, as the recordings say
    window_s : first and last time after an onset that a response is taken from; None where there is no such window
    """

    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def units(self) -> str: ...
    @property
    def window_s(self) -> tuple[float, float] | None: ...


def nothing(dataset: Recorded) -> list[str]:
    """Of a dataset whose title says it all."""
    return []


@dataclasses.dataclass(frozen=True)
class DatasetWords:
    """What the page says of a dataset besides its title, citation and licence.

    Parameters
    ----------
    recorded : sentences without full stops: what was recorded where, what a response is, what was left out
    departures : template of a paragraph on what an analysis does otherwise than a published one; empty where it follows
        none
    """

    recorded: Callable[[Recorded], Sequence[str]] = nothing
    departures: str = ""


@dataclasses.dataclass(frozen=True)
class MetricWords:
    """What the page says of a metric.

    Parameters
    ----------
    title : in headings, e.g. ``encoding model (ridge)``; empty for the metric's kind
    methods : template. Of an encoding model the sentence on how responses were predicted from a layer, before those on
        delays, folds and scores, which the page adds; of a comparison all that is to be said
    chosen : template of sentences behind those on folds and penalties: what else was chosen there, or fitted
    """

    title: str = ""
    methods: str = ""
    chosen: str = ""


def listed(names: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 region``, ``3 regions``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def window_in_words(window_s: tuple[float, float]) -> str:
    """``0.03 to 0.15 s``."""
    return f"{window_s[0]:g} to {window_s[1]:g} s"
