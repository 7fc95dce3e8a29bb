"""The methods paragraphs, written from the configuration that was run, and the references that they cite."""

from __future__ import annotations

import dataclasses
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from pipeline import __version__
from pipeline.report.facts import BASELINE, StudyFacts
from pipeline.report.wording import ceilings, ci_unit, listed, quantity

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.report.scores_read import ScoresContents

NOT_CITED = ("", "—")
TEMPLATES = resources.files("pipeline.report") / "templates"
TEXT = resources.files("pipeline.report") / "text"


@dataclasses.dataclass(frozen=True)
class Methods:
    """Paragraphs ready to be pasted into a paper, and full references in alphabetical order."""

    paragraphs: list[str]
    references: list[str]


@dataclasses.dataclass(frozen=True)
class AnalysisMethods:
    """What the template needs of an analysis beside its configuration."""

    split: dict[str, Any]
    ceiling_kinds: frozenset[str]
    ceilings: str


class Citations:
    """Remembers which references a text cites."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = yaml.safe_load((TEXT / "references.yaml").read_text(encoding="utf-8"))
        self._used: dict[str, None] = {}

    def cite(self, key: str) -> str:
        """How a reference stands in the text; it joins the list."""
        self._used[key] = None
        return self._known[key]["cite"]

    def full(self) -> list[str]:
        return [self._known[key]["full"] for key in self._used]


def methods_text(study: StudyFacts, contents: dict[str, ScoresContents], summary: pd.DataFrame) -> Methods:
    """Write the methods of a study.

    Parameters
    ----------
    contents : analysis → what its scores files say of the split
    summary : the map's summary table, for kinds of ceilings and units of intervals
    """
    from jinja2 import Environment, StrictUndefined

    citations = Citations()
    # plain text: the page escapes it when it takes it in
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=False)
    environment.filters["fmt"] = quantity
    environment.globals["cite"] = citations.cite
    units = listed([ci_unit(str(name)) for name in dict.fromkeys(summary["ci_unit"])], last="or")
    text = environment.from_string((TEMPLATES / "methods.txt.j2").read_text(encoding="utf-8")).render(
        study=study,
        contents={name: _analysis(one, summary[summary["analysis"] == name]) for name, one in contents.items()},
        units=units,
        version=__version__,
        several_pathways=any(model.pathways for analysis in study.analyses for model in analysis.models),
        uses_torch=any(model.role != BASELINE for analysis in study.analyses for model in analysis.models),
    )
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    return Methods(paragraphs, sorted({*citations.full(), *_own_references(study)}, key=str.casefold))


def _analysis(contents: ScoresContents, summary: pd.DataFrame) -> AnalysisMethods:
    kinds = summary.loc[summary["ceiling"].notna(), "ceiling_kind"]
    return AnalysisMethods(contents.split, frozenset(str(kind) for kind in kinds), ceilings(kinds))


def _own_references(study: StudyFacts) -> list[str]:
    """Citations of datasets and models, as their registry entries give them."""
    found: dict[str, None] = {}
    for analysis in study.analyses:
        if not analysis.dataset.simulated:
            found[analysis.dataset.citation] = None
        found |= {model.citation: None for model in analysis.models if model.citation not in NOT_CITED}
    return list(found)
