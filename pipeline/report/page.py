"""One page with everything in it: findings, figures, provenance, style, and the plotting library."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from pipeline import __version__
from pipeline.core.prose import counted, listed
from pipeline.report.figures.cortex import PICTURES, ColourBar, CortexPanel
from pipeline.report.figures.cortex_pictures import VIEWS
from pipeline.report.figures.figure import Figure, LegendEntry
from pipeline.report.provenance import Download, StageTime
from pipeline.report.read_scores import ScoresContents
from pipeline.report.sections.agreement import AgreementSection
from pipeline.report.sections.behaviour import BehaviourTable
from pipeline.report.sections.calibration import CalibrationSection, calibration_section
from pipeline.report.sections.cautions import RESYNTHESISED, notices, warnings_of
from pipeline.report.sections.comparisons import answer, contrast_findings, order_findings, rank_findings
from pipeline.report.sections.depth_tables import DepthGroup, PlantedTable, depth_groups, planted_table
from pipeline.report.sections.findings import Finding, ModelFindings, model_findings, shuffled_sentence, unit_sentence
from pipeline.report.sections.held_out import HeldOutSection, held_out_section
from pipeline.report.sections.identifiability import IdentifiabilitySection, identifiability_section
from pipeline.report.sections.languages import LanguageSection
from pipeline.report.sections.methods_text import TEMPLATES, Methods, left_out_in_words, prepared_in_words
from pipeline.report.sections.streams import StreamSection, stream_section
from pipeline.report.sections.variance import VarianceSection, variance_section
from pipeline.report.study_facts import BASELINE, TWIN, AnalysisFacts, ModelFacts, StudyFacts
from pipeline.report.views import SIMULATED, View
from pipeline.report.wording import duration, file_size

RUN_SECTIONS = [
    ("data", "data"),
    ("models", "models"),
    ("splits and seeds", "splits"),
    ("methods, ready to paste", "methods"),
    ("references", "references"),
    ("versions and wall times", "times"),
    ("the map as a download", "downloads"),
]

INDICES = (
    "Depth index: mean relative depth, weighted by how far each layer exceeds the lowest. Hierarchy index: place of "
    "the nested best layer from shallow, divided by the number of layers; where that layer is not distinguishable, the "
    "index says no more than it. Both with intervals."
)


@dataclasses.dataclass(frozen=True)
class PagePanel:
    """A panel; one with a colour bar is a map of the cortex, any other a plot."""

    id: str
    title: str
    json: str
    height_px: int
    min_width_px: int
    bar: ColourBar | None = None


@dataclasses.dataclass(frozen=True)
class PageFigure:
    """A numbered figure with its caption in words.

    Parameters
    ----------
    warning : what must be known of all that was made from these stimuli; stands over the panels and in the caption
    """

    id: str
    number: int
    title: str
    text: str
    source: str
    panels: list[PagePanel]
    legend: list[LegendEntry]
    column_px: int
    warning: str = ""


@dataclasses.dataclass(frozen=True)
class PageView:
    """What was found in one view.

    Parameters
    ----------
    depths : indices of depth, region by region; empty where a table of planted layers has them all
    """

    heading: str
    models: list[ModelFindings]
    comparisons: list[Finding]
    planted: PlantedTable | None
    streams: StreamSection | None
    variance: VarianceSection | None
    identifiability: IdentifiabilitySection | None
    calibration: CalibrationSection | None
    depths: list[DepthGroup]
    units: str
    held_out: HeldOutSection | None


@dataclasses.dataclass(frozen=True)
class Part:
    """One analysis on the page.

    Parameters
    ----------
    split : how samples were divided, in words
    behaviour : what running and pupil explain of the responses
    left_out : how many single subjects are not told, and where they are
    languages : the language design, metric by metric
    alignment : what the checks of alignment warned of
    not_simulated : for which views it was not simulated which layers can be told apart
    """

    analysis: AnalysisFacts
    views: list[PageView]
    figures: list[PageFigure]
    split: str
    behaviour: BehaviourTable | None
    left_out: str
    languages: list[LanguageSection] = dataclasses.field(default_factory=list)
    alignment: list[str] = dataclasses.field(default_factory=list)
    not_simulated: str = ""


def page_view(study: StudyFacts, view: View) -> PageView:
    """The sentences of one view."""
    planted = planted_table(view)
    return PageView(
        heading=capitalised(f"{view.metric_in_words}, {view.subject_in_words}"),
        models=[
            model_findings(view, model, pathway)
            for model in view.networks
            for pathway in ("", *view.pathways_of(model))
        ],
        comparisons=[*contrast_findings(view), *rank_findings(view), *order_findings(view)],
        planted=planted,
        streams=stream_section(view),
        variance=variance_section(view),
        identifiability=identifiability_section(view),
        calibration=calibration_section(view),
        depths=[] if planted and view.networks == [view.analysis.planted_model] else depth_groups(view),
        units=unit_sentence(study, view),
        held_out=held_out_section(study, view),
    )


class Captions:
    """Numbers figures and fills in their captions.

    Every figure of the page passes here. ``shared`` collects what the page holds once for several panels: id → JSON.
    """

    def __init__(self, study: StudyFacts) -> None:
        self._study = study
        self._number = 0
        self.shared: dict[str, str] = {}

    def page_figure(self, figure: Figure, view: View) -> PageFigure:
        """Give a figure its number and caption; ``view`` says what the intervals are."""
        self._number += 1
        self.shared |= figure.shared
        caption = figure.caption
        units = view.analysis.ci_units(view.summary["ci_unit"])
        stem = self._study.map_path.removesuffix(".nc")
        values = {
            "analysis": f"{analysis_title(view.analysis.name)}: {view.metric_in_words}",
            "subject": view.subject_in_words,
            "interval": f"{self._study.percent} interval over {units}",
            "study": self._study.name,
            "map": f"{stem}.csv",
            "summary": f"{stem}-summary.csv",
            "contrasts": f"{stem}-contrasts.csv",
            "units_file": f"{stem}-units.csv",
            "surface_file": f"{stem}-surface.csv",
            "variance_file": f"{stem}-variance.csv",
            **{name: f"{stem}-{name}.csv" for name in SIMULATED},
            **figure.values,
        }
        return PageFigure(
            id=element_id(figure.id),
            number=self._number,
            title=caption.title,
            text=caption.text.format(**values),
            source=caption.source.format(**values),
            panels=[
                PagePanel(
                    element_id(one.id),
                    one.title,
                    one.to_json(),
                    one.height_px,
                    one.min_width_px,
                    one.bar if isinstance(one, CortexPanel) else None,
                )
                for one in figure.panels
            ],
            legend=figure.legend,
            column_px=max([figure.column_px, *(panel.min_width_px for panel in figure.panels)]),
            warning=RESYNTHESISED if view.analysis.dataset.resynthesised else "",
        )


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def analysis_title(name: str) -> str:
    """``scenes-with-position`` as a heading: ``Scenes with position``."""
    return capitalised(name.replace("-", " "))


def element_id(name: str) -> str:
    """A name as an element's id."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)


def split_in_words(analysis: AnalysisFacts, contents: ScoresContents) -> str:
    """How samples were divided, from the scores files themselves."""
    split = contents.split
    groups = f" in {counted(contents.n_groups, 'group')}" if contents.n_groups > 1 else ""
    if split.get("kind") == "random_halves":
        halved = "items"
        if "block_s" in split:
            halved = f"{split['n_stretches']} stretches of neighbouring blocks of {split['block_s']:g} s"
        return f"{split['n_splits']} random halvings of the {halved}{groups}, seed {split['seed']}."
    kind = str(split.get("kind", "unknown")).replace("_", " ")
    text = f"{split.get('n_folds', '?')} outer folds ({kind}){groups}"
    if "n_train" in split:
        train, test = split["n_train"], split["n_test"]
        text += f", training samples {_from_to(train)}, held-out samples {_from_to(test)}, {split['n_blocks']} blocks"
    if split.get("kind") == "contiguous":
        text += f" of at least {split['block_s']:g} s, gap {split['gap_s']:g} s"
    return f"{text}; {split.get('n_inner_folds', '?')} inner folds; seed {contents.attrs.get('seed', '?')}."


def _from_to(counts: list[int]) -> str:
    return f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,}–{max(counts):,}"


def preprocessing_in_words(model: ModelFacts) -> str:
    """``size px: 224; scale: …``, with the precision and the reduction of units."""
    parts = [f"{key.replace('_', ' ')}: {_value(value)}" for key, value in model.preprocessing.items()]
    parts += [text for text in (model.precision, model.reduction) if text]
    parts += ["already holds a haemodynamic response, no delays"] if model.convolved else []
    return "; ".join(parts) or "none"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_value(one) for one in value)
    return str(value)


def table_of_contents(parts: list[Part], *, agreement: bool = False) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(title, anchor, entries below it) of each section."""
    names = [part.analysis.name for part in parts]
    across = [("do the metrics agree?", "agreement")] if agreement else []
    return [
        ("What was found", "found", [*((name, f"found-{name}") for name in names), *across]),
        ("Figures", "figures", [(name, f"figures-{name}") for name in names]),
        ("What was run", "run", RUN_SECTIONS),
    ]


@dataclasses.dataclass(frozen=True)
class ModelLine:
    """A line of the table of models; a network's twins of one kind share one, and the seeds of a training."""

    model: ModelFacts
    names: str
    preprocessing: str
    parameters: str
    weights: list[str]


def model_lines(analyses: list[AnalysisFacts]) -> list[ModelLine]:
    """Each model once, in the study's order."""
    found: dict[tuple[str, ...], list[ModelFacts]] = {}
    for analysis in analyses:
        for model in analysis.models:
            network = model.trained_as or model.network
            same = found.setdefault((network, model.twin, model.reduction, model.precision), [])
            if model not in same:
                same.append(model)
    return [
        ModelLine(
            model=models[0],
            names=listed([model.name for model in models]),
            preprocessing=f"as {models[0].network}" if models[0].role == TWIN else preprocessing_in_words(models[0]),
            parameters=_parameters(models[0]),
            weights=list(dict.fromkeys(model.weights_sha256 for model in models if model.weights_sha256)),
        )
        for models in found.values()
    ]


def _parameters(model: ModelFacts) -> str:
    """``4,652,008``; baselines have none, and a network of a user's own was not asked."""
    if model.parameters:
        return f"{model.parameters:,}"
    return "none" if model.role == BASELINE else "not counted"


@dataclasses.dataclass(frozen=True)
class PageContents:
    """All that the template shows."""

    study: StudyFacts
    views: list[View]
    parts: list[Part]
    methods: Methods
    versions: list[tuple[str, str]]
    times: list[StageTime]
    downloads: list[Download]
    agreement: list[AgreementSection] = dataclasses.field(default_factory=list)
    shared: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def answers(self) -> list[str]:
        """What the contrasts that the study asks for say, view by view."""
        asked = [view for view in self.views if view.analysis.question_contrast]
        found = [(view, answer(view, view.analysis.question_contrast)) for view in asked]
        told = [(view, text) for view, text in found if text]
        if len(told) == 1:
            return [told[0][1]]
        return [f"{analysis_title(view.analysis.name)}, {view.subject_in_words}: {text}" for view, text in told]


def render(contents: PageContents) -> str:
    """The whole page as one HTML document."""
    study = contents.study
    datasets = {part.analysis.dataset.receipt_path: part.analysis.dataset for part in contents.parts}
    filters: dict[str, Callable[..., Any]] = {
        "duration": duration,
        "file_size": file_size,
        "analysis_title": analysis_title,
    }
    filters |= {"left_out": left_out_in_words, "warnings": warnings_of, "recorded": prepared_in_words}
    return whole_document(
        "page.html.j2",
        filters,
        study=study,
        notices=notices(study, [part.analysis.name for part in contents.parts if part.alignment]),
        answers=contents.answers,
        shuffled=shuffled_sentence(study, contents.views) if study.shuffle_seed is not None else "",
        parts=contents.parts,
        contents_list=table_of_contents(contents.parts, agreement=bool(contents.agreement)),
        agreement=contents.agreement,
        datasets=list(datasets.values()),
        models=model_lines([part.analysis for part in contents.parts]),
        methods=contents.methods,
        versions=contents.versions,
        times=contents.times,
        downloads=contents.downloads,
        indices=INDICES,
        resynthesised=RESYNTHESISED,
        shared=contents.shared,
        cortex_script=_template("cortex.js") if PICTURES in contents.shared else "",
        cortex_views=[f"{hemisphere} {side}" for hemisphere, side in VIEWS],
    )


def whole_document(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """A template of ``report/templates`` as one HTML document that needs no other file: style, scripts and Plotly lie
    in it."""
    from jinja2 import Environment, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(undefined=StrictUndefined, autoescape=True)
    environment.filters |= filters or {}
    return environment.from_string(_template(template)).render(
        **values,
        version=__version__,
        style=_template("style.css"),
        script=_template("page.js"),
        plotly=get_plotlyjs().replace("</script", "<\\/script"),
    )


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
