"""Stage `report`: one self-contained page per study, from its map and its scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.map import open_map
from pipeline.artifacts.storage.store import write_whole
from pipeline.core.errors import BrokenArtifact
from pipeline.report.all_figures import figures_of
from pipeline.report.page import Captions, PageContents, Part, page_view, render, split_in_words
from pipeline.report.provenance import Download, StageTime, downloads, stage_times, versions
from pipeline.report.read_scores import ScoresContents, read_contents
from pipeline.report.sections.agreement import agreement_sections
from pipeline.report.sections.behaviour import behaviour_table
from pipeline.report.sections.cautions import alignment_warnings, doubts_in_words
from pipeline.report.sections.languages import LanguageView, language_section, language_views
from pipeline.report.sections.methods_text import methods_text
from pipeline.report.sections.simulated import not_simulated, simulated_in_words
from pipeline.report.study_facts import NETWORK, AnalysisFacts, StudyFacts, with_layers
from pipeline.report.views import View, left_out, make_views

if TYPE_CHECKING:
    import pandas as pd


def write_report(
    facts: StudyFacts,
    score_paths: Mapping[str, list[Path]],
    benchmarks: Mapping[str, Iterable[Path]],
    output: Path,
) -> None:
    """Write a study's page, whole or not at all.

    Parameters
    ----------
    facts : what is known of the study besides numbers; its map is read
    score_paths : analysis → its scores files
    benchmarks : stage → the benchmark files of its jobs
    output : ``reports/<study>/index.html``

    Raises
    ------
    BrokenArtifact
        The map or a scores file is missing or not what it should be.
    """
    map_path = Path(facts.map_path)
    tables, _ = open_map(map_path)
    contents = {
        analysis.name: read_contents(
            score_paths[analysis.name],
            [model.name for model in analysis.of_role(NETWORK) or analysis.models],
        )
        for analysis in facts.analyses
    }
    page = build_page(facts, tables, contents, stage_times(benchmarks), downloads(map_path, tables))
    with write_whole(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def build_page(
    facts: StudyFacts,
    tables: dict[str, pd.DataFrame],
    contents: dict[str, ScoresContents],
    times: list[StageTime],
    files: list[Download],
) -> str:
    """The page as HTML.

    Parameters
    ----------
    tables : ``row``, ``summary``, ``contrast`` of the map
    contents : analysis → what was taken from its scores files

    Raises
    ------
    BrokenArtifact
        The map has no rows of an analysis.
    """
    facts = with_layers(facts, tables["row"])
    views = make_views(facts, tables)
    captions = Captions(facts)
    parts = []
    for analysis in facts.analyses:
        own = [view for view in views if view.analysis.name == analysis.name]
        if not own:
            raise BrokenArtifact(
                f"{facts.map_path} has no rows of analysis '{analysis.name}'; "
                "make it with: snakemake map --forcerun map_study"
            )
        not_told = left_out(tables, analysis.name, facts.map_path)
        languages = language_views(analysis, own, tables)
        parts.append(_part(facts, analysis, own, languages, contents[analysis.name], captions, not_told))
    methods = methods_text(
        facts,
        contents,
        tables["summary"],
        maps_of_cortex=len(tables["unit"]) > 0,
        simulated=simulated_in_words(views, tables["identifiability"]),
    )
    agreement = agreement_sections(views)
    return render(PageContents(facts, views, parts, methods, versions(), times, files, agreement, captions.shared))


def _part(
    facts: StudyFacts,
    analysis: AnalysisFacts,
    views: list[View],
    languages: list[LanguageView],
    contents: ScoresContents,
    captions: Captions,
    not_told: str,
) -> Part:
    figures = figures_of(analysis, contents, views, languages, facts.percent)
    return Part(
        analysis=analysis,
        views=[page_view(facts, view) for view in views],
        figures=[captions.page_figure(figure, view) for figure, view in figures],
        split=" ".join([split_in_words(analysis, contents), *doubts_in_words(contents)]),
        behaviour=behaviour_table(analysis, contents.shares),
        left_out=not_told,
        languages=[language_section(one) for one in languages],
        alignment=alignment_warnings(contents.misaligned, contents.n_groups),
        not_simulated=not_simulated(views),
    )
