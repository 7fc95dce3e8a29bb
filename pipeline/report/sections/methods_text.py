"""The methods paragraphs, from the configuration that was run and what recordings say of themselves; references."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.comparison.kendall import MOST_ENTRIES
from pipeline.core.prose import listed, window_in_words
from pipeline.formats.documents import read_yaml
from pipeline.inference.scores.bootstrap import draw_counts, generator
from pipeline.inference.scores.geometry_batches import MOST_SLOW_DRAWS
from pipeline.report.sections.cautions import ONSET_ADVICE, sentence
from pipeline.report.sections.streams import differing_regions
from pipeline.report.study_facts import BASELINE, AnalysisFacts, DatasetFacts, StudyFacts
from pipeline.report.wording import ceiling_kinds, ceiling_methods, ceilings, quantity, regressors

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.report.read_scores import ScoresContents
    from pipeline.report.sections.simulated import Simulated

NOT_CITED = ("", "—")
TEMPLATES = Path(__file__).parents[1] / "templates"
REFERENCES = TEMPLATES / "references.yaml"
MOST_VALUES = 3  # of an attribute that differs from recording to recording


@dataclasses.dataclass(frozen=True)
class Methods:
    """Paragraphs ready to be pasted into a paper, and full references in alphabetical order.

    Parameters
    ----------
    draws : how many bootstrap draws there were, in words
    """

    paragraphs: list[str]
    references: list[str]
    draws: str


@dataclasses.dataclass(frozen=True)
class AnalysisMethods:
    """What the template needs of an analysis beside its configuration.

    Parameters
    ----------
    units : what its intervals are over, in words
    ceiling_methods : templates of what is said of an encoding model's ceilings
    regions : that were scored
    without_ceiling : regions that have none though others do
    inner, leaks : whether layers are chosen in inner folds, or, as nothing was fitted there, on the other outer folds
    fewest_components : of partial least squares, in any fold and layer; None for other metrics
    animals : how many animals each region was recorded in, in words
    n_animals : how many there are in all
    """

    split: dict[str, Any]
    ceiling_kinds: frozenset[str]
    ceilings: str
    ceiling_methods: list[str]
    units: str
    regions: list[str]
    without_ceiling: str
    inner: bool
    leaks: bool
    fewest_components: int | None
    animals: str
    n_animals: int


class Citations:
    """Remembers which references a text cites."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = read_yaml(REFERENCES)
        self._used: dict[str, None] = {}

    def cite(self, key: str) -> str:
        """How a reference stands in the text; it joins the list."""
        self._used[key] = None
        return self._known[key]["cite"]

    def full(self) -> list[str]:
        return [self._known[key]["full"] for key in self._used]


def methods_text(
    study: StudyFacts,
    contents: dict[str, ScoresContents],
    summary: pd.DataFrame,
    *,
    maps_of_cortex: bool = False,
    simulated: Simulated | None = None,
) -> Methods:
    """Write the methods of a study.

    Parameters
    ----------
    contents : analysis → what its scores files say of the split
    summary : the map's summary table, for kinds of ceilings and units of intervals
    simulated : of which analyses responses were simulated from each layer; None for none
    maps_of_cortex : whether parcels or vertices were scored one by one and drawn on the cortex
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    citations = Citations()
    # plain text: the page escapes it when it takes it in
    environment = Environment(loader=PackageLoader("pipeline.report"), undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"fmt": quantity, "regressors": regressors, "recorded": recorded_in_words}
    environment.filters |= {"window": window_in_words, "differing": lambda streams: listed(differing_regions(streams))}
    environment.globals["cite"] = citations.cite
    environment.globals["rendered"] = lambda text, **values: environment.from_string(text).render(**values)
    own = {one.name: summary[summary["analysis"] == one.name] for one in study.analyses}
    units = [one.ci_units([name]) for one in study.analyses for name in own[one.name]["ci_unit"].unique()]
    draws = draws_in_words(study, contents, summary)
    text = environment.get_template("methods.txt.j2").render(
        study=study,
        contents={one.name: _analysis(one, contents[one.name], own[one.name]) for one in study.analyses},
        draws=draws,
        orders=orders_in_words(summary),
        untested=listed([one.name for one in study.analyses if not (own[one.name]["n_permutations"] > 0).any()]),
        units=listed(list(dict.fromkeys(units)), last="or"),
        version=__version__,
        maps_of_cortex=maps_of_cortex,
        simulated=simulated,
        several_pathways=any(model.pathways for analysis in study.analyses for model in analysis.models),
        uses_torch=any(model.role != BASELINE for analysis in study.analyses for model in analysis.models),
    )
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    references = sorted({*citations.full(), *_own_references(study)}, key=str.casefold)
    return Methods(paragraphs, references, draws)


def _analysis(analysis: AnalysisFacts, contents: ScoresContents, summary: pd.DataFrame) -> AnalysisMethods:
    kinds = summary.loc[summary["ceiling"].notna(), "ceiling_kind"]
    regions = [str(name) for name in summary["region"].unique()]
    without = [name for name in regions if summary.loc[summary["region"] == name, "ceiling"].isna().all()]
    animals = [f"{name} {len(contents.subjects[name])}" for name in regions if name in contents.subjects]
    return AnalysisMethods(
        split=contents.split,
        ceiling_kinds=frozenset(ceiling_kinds(kinds)),
        ceilings=ceilings(kinds),
        ceiling_methods=ceiling_methods(kinds),
        units=analysis.ci_units(summary["ci_unit"], last="or"),
        regions=regions,
        without_ceiling=listed(without, last="or"),
        inner=analysis.encodes and not contents.without_inner,
        leaks=analysis.encodes and contents.without_inner,
        fewest_components=contents.fewest_components,
        animals=", ".join(animals),
        n_animals=len(set().union(*contents.subjects.values())),
    )


def orders_in_words(summary: pd.DataFrame) -> str:
    """``1,000``, or ``300 to 1,000``; empty where nothing was tested."""
    found = sorted(int(n) for n in summary["n_permutations"].unique() if n > 0)
    return "" if not found else f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def draws_in_words(study: StudyFacts, contents: dict[str, ScoresContents], summary: pd.DataFrame) -> str:
    """``1000 draws``, and of which analyses there were fewer."""
    text = f"{study.n_bootstrap} draws"
    slow = []
    for analysis in study.analyses:
        units = summary.loc[summary["analysis"] == analysis.name, "ci_unit"]
        over_entries = [str(name) for name in units.unique() if name != "subject"]
        if over_entries and _is_slow(study, contents[analysis.name]):
            slow.append(f"{MOST_SLOW_DRAWS} over {analysis.ci_units(over_entries)} in {analysis.name}")
    return f"{text} ({'; '.join(slow)}, whose matrices are large for Kendall's τ)" if slow else text


def _is_slow(study: StudyFacts, contents: ScoresContents) -> bool:
    """Whether the map took fewer draws: Kendall's τ between draws of more than so many pairs of items, on average."""
    if contents.attrs.get("comparison") != "kendall" or study.n_bootstrap <= MOST_SLOW_DRAWS:
        return False
    for stretch in contents.stretches.values():
        drawn = draw_counts(int(stretch.max()) + 1, study.n_bootstrap, generator(study.seed, "unit")) > 0
        n_items = drawn[:, stretch].sum(axis=1)
        if float((n_items * (n_items - 1) / 2).mean()) > MOST_ENTRIES:
            return True
    return False


def _own_references(study: StudyFacts) -> list[str]:
    """Citations of datasets and models, as their registry entries give them."""
    found: dict[str, None] = {}
    for analysis in study.analyses:
        if not analysis.dataset.simulated:
            found[analysis.dataset.citation] = None
        found |= {model.citation: None for model in analysis.models if model.citation not in NOT_CITED}
    return list(found)


def recorded_in_words(dataset: DatasetFacts) -> str:
    """What was recorded where, what a response is, and what was left out; empty where nothing is said of it."""
    return " ".join(f"{one}." for one in (*dataset.words.recorded(dataset), *_prepared(dataset)))


def prepared_in_words(dataset: DatasetFacts) -> str:
    """How volumes were placed in time and what was regressed out; empty where the recordings say neither."""
    return " ".join(f"{one}." for one in _prepared(dataset))


def left_out_in_words(dataset: DatasetFacts) -> str:
    """Scans, listeners, cells or units that are not in the recordings, as these say; empty if none are."""
    return _values([text for text in dataset.prepared.get("left_out", ()) if text != dataset.excluded])


def _prepared(dataset: DatasetFacts) -> list[str]:
    """How volumes were placed in time and what was regressed out, as the recordings say; without full stops."""
    found = dataset.prepared
    unwarned = [text for text in found.get("onset_check", ()) if ONSET_ADVICE not in text]
    told = [
        _values([sentence(text) for text in found.get("slice_reference", ())]),
        _labelled("Clocks", found.get("clocks", ())),
        _labelled("Start of the sound", unwarned),
        _labelled("Confounds regressed out", found.get("confounds", ())),
    ]
    return [text for text in told if text]


def _labelled(label: str, values: Sequence[str]) -> str:
    return f"{label}: {_values(values)}" if values else ""


def _values(values: Sequence[str]) -> str:
    """The different values of an attribute; of many, the first few and how many more there are."""
    shown = [text.strip().rstrip(".") for text in values[:MOST_VALUES]]
    more = len(values) - len(shown)
    return "; ".join(shown) + (f"; and {more} more, as the recordings say" if more else "")
