"""Stage `report`: one self-contained page per study, from its map and its scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.map import open_map
from pipeline.artifacts.storage.store import write_whole
from pipeline.core.errors import BrokenArtifact
from pipeline.report.figures.cortex import cortex_maps
from pipeline.report.figures.depth import depth_plot, order_plot
from pipeline.report.figures.figure import Figure
from pipeline.report.figures.gradient import gradient_plot
from pipeline.report.figures.languages import language_figures
from pipeline.report.figures.models import contrast_plot, models_side_by_side, subject_spread
from pipeline.report.figures.pathways import pathway_profiles
from pipeline.report.figures.profile import compartment_map, heat_maps, profiles
from pipeline.report.figures.scores import score_figures
from pipeline.report.figures.streams import stream_plot
from pipeline.report.figures.variance import variance_bars, variance_profiles
from pipeline.report.page import Captions, PageContents, Part, page_view, render, split_in_words
from pipeline.report.provenance import Download, StageTime, downloads, stage_times, versions
from pipeline.report.read_scores import ScoresContents, read_contents
from pipeline.report.sections.alignment import alignment_warnings
from pipeline.report.sections.behaviour import behaviour_table
from pipeline.report.sections.doubts import doubts_in_words
from pipeline.report.sections.languages import LanguageView, language_section, language_views
from pipeline.report.sections.methods_text import methods_text
from pipeline.report.study_facts import NETWORK, AnalysisFacts, StudyFacts, study_facts, with_layers
from pipeline.report.views import View, left_out, make_views
from pipeline.study.plan import StudyPlan

if TYPE_CHECKING:
    import pandas as pd

VIEW_FIGURES: tuple[Callable[[View], Figure | None], ...] = (
    heat_maps,
    compartment_map,
    profiles,
    pathway_profiles,
    variance_profiles,
    variance_bars,
    depth_plot,
    gradient_plot,
    order_plot,
    models_side_by_side,
    contrast_plot,
    stream_plot,
    subject_spread,
    cortex_maps,
)


def write_report(plan: StudyPlan, score_paths: dict[str, list[Path]], command: str) -> None:
    """Write ``reports/<study>/index.html``, whole or not at all.

    Parameters
    ----------
    plan : the study's plan; its map, receipts and benchmarks are read
    score_paths : analysis → its scores files
    command : what redoes the study, shown on the page

    Raises
    ------
    BrokenArtifact
        The map, a scores file or a receipt is missing or not what it should be.
    """
    tables, _ = open_map(plan.map_path)
    facts = study_facts(plan, command)
    contents = {
        analysis.name: read_contents(
            score_paths[analysis.name],
            [model.name for model in analysis.of_role(NETWORK) or analysis.models],
        )
        for analysis in facts.analyses
    }
    page = build_page(facts, tables, contents, stage_times(plan), downloads(plan.map_path, tables))
    with write_whole(plan.report_path) as temporary:
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
    methods = methods_text(facts, contents, tables["summary"], maps_of_cortex=len(tables["unit"]) > 0)
    return render(PageContents(facts, views, parts, methods, versions(), times, files, captions.shared))


def _part(
    facts: StudyFacts,
    analysis: AnalysisFacts,
    views: list[View],
    languages: list[LanguageView],
    contents: ScoresContents,
    captions: Captions,
    not_told: str,
) -> Part:
    figures = [(make(view), view) for view in views for make in VIEW_FIGURES]
    figures += [(figure, views[0]) for one in languages for figure in language_figures(one, facts.percent)]
    figures += [(figure, views[0]) for figure in score_figures(analysis, contents)]
    return Part(
        analysis=analysis,
        views=[page_view(facts, view) for view in views],
        figures=[captions.page_figure(figure, view) for figure, view in figures if figure is not None],
        split=" ".join([split_in_words(analysis, contents), *doubts_in_words(contents)]),
        behaviour=behaviour_table(analysis, contents.shares),
        left_out=not_told,
        languages=[language_section(one) for one in languages],
        alignment=alignment_warnings(contents.misaligned, contents.n_groups),
    )
