"""Native and non-native language: models' training language against the language that listeners heard."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pipeline.core.prose import listed
from pipeline.inference.questions.languages import LanguageName
from pipeline.inference.questions.region_order import ALL_REGIONS
from pipeline.report.sections.comparisons import contrast_finding
from pipeline.report.sections.findings import Finding, Row, records
from pipeline.report.study_facts import AnalysisFacts, LanguageFacts
from pipeline.report.views import ALL, MEAN, View, labelled_by_place
from pipeline.report.wording import interval, p_value, signed

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Language of listeners and models"


@dataclasses.dataclass(frozen=True)
class LanguageView:
    """The language design of one analysis and metric, over all its groups of listeners.

    Parameters
    ----------
    effects : the language contrasts, whole regions, with ``place``
    cells : summary of the design's models in each group of listeners, with ``place``; averages over listeners
    """

    analysis: AnalysisFacts
    metric: str
    design: LanguageFacts
    effects: pd.DataFrame
    cells: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Names of the contrasts, effects over the whole design before those of single groups."""
        found = dict.fromkeys(str(name) for name in self.effects["contrast"])
        return sorted(found, key=lambda name: bool(name_of(name).group))

    @property
    def places(self) -> list[str]:
        """Regions in the order of the map."""
        return list(dict.fromkeys(str(place) for place in [*self.cells["place"], *self.effects["place"]]))

    def rows_of(self, name: str) -> list[Row]:
        """One contrast, region by region."""
        return records(self.effects[self.effects["contrast"] == name])

    def is_native(self, model: str, group: str) -> bool:
        """Whether a model learned the language that a group heard."""
        return self.design.models.get(model) == self.design.listeners.get(group)


@dataclasses.dataclass(frozen=True)
class LanguageSection:
    """What the page says of a language design.

    Parameters
    ----------
    header : names of the contrasts
    rows : (region, one effect with its interval per contrast)
    statements : per contrast, what it is and is not a test of; region by region where these differ
    """

    heading: str
    design: str
    findings: list[Finding]
    header: list[str]
    rows: list[tuple[str, list[str]]]
    statements: list[Finding]
    note: str


def name_of(contrast: str) -> LanguageName:
    """The parts of a language contrast's name."""
    found = LanguageName.read(contrast)
    if found is None:
        raise ValueError(f"'{contrast}' is no language contrast")
    return found


def language_views(analysis: AnalysisFacts, views: list[View], tables: dict[str, pd.DataFrame]) -> list[LanguageView]:
    """One per metric of an analysis that states languages and has contrasts of them; else none.

    Parameters
    ----------
    views : of the analysis
    tables : of the map
    """
    if analysis.languages is None:
        return []
    contrasts, summary = (
        labelled_by_place(tables[name][tables[name]["analysis"] == analysis.name]) for name in ("contrast", "summary")
    )
    found = []
    for name in dict.fromkeys(view.metric for view in views):
        effects = _whole_regions(contrasts[contrasts["is_language"].astype(bool) & (contrasts["metric"] == name)])
        if len(effects):
            cells = _whole_regions(summary[summary["metric"] == name])
            cells = _averages(cells[cells["model"].isin(analysis.languages.models)], analysis.languages)
            found.append(LanguageView(analysis, name, analysis.languages, effects, cells))
    return found


def _whole_regions(table: pd.DataFrame) -> pd.DataFrame:
    several = (table["compartment"] == ALL).any()
    return table[table["compartment"] == ALL] if several else table


def _averages(summary: pd.DataFrame, design: LanguageFacts) -> pd.DataFrame:
    """Each group's average over listeners: of their scores, else of their responses, else its first listener."""
    import pandas as pd

    parts = []
    for group in design.listeners:
        own = summary[summary["group"] == group]
        subjects = sorted(own["subject"].unique(), key=lambda name: (name != ALL, name != MEAN))
        parts.append(own[own["subject"].isin(subjects[:1])])
    return pd.concat(parts) if parts else summary


def language_section(view: LanguageView) -> LanguageSection:
    """Findings, table and statements of a language design."""
    names = view.names
    by_place = {name: {str(row["place"]): row for row in view.rows_of(name)} for name in names}
    cells = {place: [_cell(by_place[name].get(place)) for name in names] for place in view.places}
    units = view.analysis.ci_units(view.effects["ci_unit"])
    return LanguageSection(
        heading=f"{TITLE}: {view.analysis.metric_in_words(view.metric)}",
        design=_design(view.design),
        findings=[_finding(name, view.rows_of(name)) for name in names],
        header=names,
        rows=[(place, found) for place, found in cells.items() if any(found)],
        statements=[Finding(f"{name}:", _statements(view.rows_of(name))) for name in names],
        note=f"Brackets: intervals over {units}. Positive: models of the listeners' own language predict more.",
    )


def _finding(name: str, rows: list[Row]) -> Finding:
    """Over all regions together, then which of them; what it is a test of stands below the table."""
    single = [row for row in rows if row["region"] != ALL_REGIONS]
    found = contrast_finding(name, single, statement=False) if single else Finding(f"{name}:", "")
    together = [f"{_cell(row)} averaged over regions" for row in rows if row["region"] == ALL_REGIONS]
    return Finding(found.lead, "; ".join([*together, *([found.text] if found.text else [])]))


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    p = p_value(float(row["p_family"]))
    told = f"{signed(row['difference'])} {interval(row['ci_low'], row['ci_high'])}"
    return f"{told}, {p}" if p else told


def _design(design: LanguageFacts) -> str:
    """Who heard and who learned what."""
    heard = _told(design.listeners, design.listeners_domain, "heard")
    learned = _told(design.models, design.models_domain, "learned")
    return f"Listeners: {heard}. Models: {learned}."


def _told(languages: dict[str, str], domains: dict[str, str], verb: str) -> str:
    return listed([f"{name} {verb} {_with_domain(one, domains.get(name))}" for name, one in languages.items()])


def _with_domain(language: str, domain: str | None) -> str:
    return f"{language} ({domain})" if domain else language


def _statements(rows: list[Row]) -> str:
    """What all regions' rows say; where they differ, with the regions."""
    places: dict[str, list[str]] = {}
    for row in rows:
        places.setdefault(str(row["statement"]), []).append(str(row["place"]))
    if len(places) == 1:
        return f"{next(iter(places))}."
    return " ".join(f"{listed(found)}: {statement}." for statement, found in places.items())
