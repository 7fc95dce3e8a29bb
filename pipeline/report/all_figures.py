"""The figures of the page in their order. New figure = one module with its caption, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.report.figures.cortex import cortex_maps
from pipeline.report.figures.depth import depth_plot
from pipeline.report.figures.figure import Figure
from pipeline.report.figures.identifiability import confusions, posterior_depths, recovered_networks
from pipeline.report.figures.languages import language_cells, language_effects
from pipeline.report.figures.models import contrast_plot, models_side_by_side, subject_spread
from pipeline.report.figures.order import gradient_plot, order_plot
from pipeline.report.figures.pathways import pathway_profiles
from pipeline.report.figures.profile import compartment_map, heat_maps, profiles
from pipeline.report.figures.scores import examples, penalties, reference, similarities
from pipeline.report.figures.streams import stream_plot
from pipeline.report.figures.variance import variance_bars, variance_profiles
from pipeline.report.read_scores import ScoresContents
from pipeline.report.sections.languages import LanguageView
from pipeline.report.study_facts import AnalysisFacts
from pipeline.report.views import View

OF_VIEWS: tuple[Callable[[View], Figure | None], ...] = (
    heat_maps,
    compartment_map,
    profiles,
    pathway_profiles,
    variance_profiles,
    variance_bars,
    posterior_depths,
    depth_plot,
    gradient_plot,
    order_plot,
    models_side_by_side,
    contrast_plot,
    confusions,
    recovered_networks,
    stream_plot,
    subject_spread,
    cortex_maps,
)
"""Each is drawn for every view that has something to show in it."""
OF_LANGUAGES: tuple[Callable[[LanguageView, str], Figure | None], ...] = (language_effects, language_cells)
"""Of the language design, with the level of the intervals, e.g. ``95 %``."""
OF_SCORES: tuple[Callable[[AnalysisFacts, ScoresContents], Figure | None], ...] = (
    examples,
    penalties,
    similarities,
    reference,
)
"""What an analysis' scores files give beyond the map."""


def figures_of(
    analysis: AnalysisFacts,
    contents: ScoresContents,
    views: Sequence[View],
    languages: Sequence[LanguageView] = (),
    percent: str = "",
) -> Iterator[tuple[Figure, View]]:
    """The figures of an analysis, each with the view that its caption is about.

    Parameters
    ----------
    views : of the analysis, at least one
    percent : level of the intervals, e.g. ``95 %``
    """
    drawn = [(make(view), view) for view in views for make in OF_VIEWS]
    drawn += [(make(one, percent), views[0]) for one in languages for make in OF_LANGUAGES]
    drawn += [(make(analysis, contents), views[0]) for make in OF_SCORES]
    yield from ((figure, view) for figure, view in drawn if figure is not None)
