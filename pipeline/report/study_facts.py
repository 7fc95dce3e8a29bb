"""What the page says about a study besides its numbers: data, models, options, seeds and the command."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.activations import LayerInfo
from pipeline.comparison.measures import MEASURES, Measure
from pipeline.core.prose import DatasetWords, MetricWords, listed
from pipeline.inference.networks import pathways_of, seed_of, twin_of
from pipeline.report.wording import CI_UNITS, NBSP, SIMILARITY_CI_UNITS, WITHIN_CATEGORY

if TYPE_CHECKING:
    import pandas as pd

NETWORK, TWIN, BASELINE = "network", "twin", "baseline"
SEED = "seed"
"""Role of further seeds of a network: pages tell the first in words, and show all."""
PREPARATION = ("slice_reference", "clocks", "confounds", "onset_check", "excluded", "left_out")


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """A dataset: what it is, under which licence, and what was fetched (or simulated) of it.

    Parameters
    ----------
    window_s : first and last time after a frame's or picture's onset that its response is taken from; None where the
        dataset has no such window
    resynthesised : whether stimuli were spoken by a synthesiser from the words' timings
    prepared : attribute of the recordings (`PREPARATION`) or stimuli (``DOUBTS`` of `pipeline.stimuli.repeated.alike`)
        → its different values, in their order
    words : what the dataset's entry says besides
    """

    kind: str
    title: str
    citation: str
    licence: str
    simulated: bool
    options: dict[str, Any]
    n_files: int
    n_bytes: int
    receipt_sha: str
    receipt_path: str
    excluded: str
    constant_targets: str
    units: str
    window_s: tuple[float, float] | None = None
    resynthesised: bool = False
    prepared: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    words: DatasetWords = dataclasses.field(default_factory=DatasetWords)


@dataclasses.dataclass(frozen=True)
class LanguageFacts:
    """Which language each group of listeners heard and each model learned, and the kind of sound, if the study says so.

    Parameters
    ----------
    listeners, listeners_domain : group → language, kind of sound
    models, models_domain : model → language, kind of sound
    """

    listeners: dict[str, str]
    models: dict[str, str]
    listeners_domain: dict[str, str] = dataclasses.field(default_factory=dict)
    models_domain: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class StreamFacts:
    """An assignment of regions to the two streams, as the study file has it."""

    name: str
    ventral: tuple[str, ...]
    dorsal: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """A network, one of its twins or a baseline, as it was used.

    Parameters
    ----------
    role : ``network``, ``twin``, ``baseline``, or ``seed`` of a network whose first seed has the role ``network``
    twin : ``random`` or ``shuffled``; empty unless it is a twin
    weights_sha256 : of the weights as distributed; empty for baselines
    reduction : how units were reduced, in words; empty if all were kept
    precision : of the forward passes, in words; empty if it was single
    seed : of a twin's weights, or of a training
    """

    name: str
    base: str
    role: str
    objective: str
    title: str
    citation: str
    licence: str
    parameters: int
    layers: tuple[LayerInfo, ...]
    preprocessing: dict[str, Any]
    weights_sha256: str
    reduction: str
    convolved: bool
    seed: int | None
    twin: str = ""
    precision: str = ""

    @property
    def network(self) -> str:
        """The network that a twin is of; its own name for anything else."""
        twin = twin_of(self.name)
        return twin[0] if twin else self.name

    @property
    def trained_as(self) -> str:
        """What all seeds of a training are called; empty for anything else."""
        trained = seed_of(self.name)
        return trained[0] if trained else ""

    @property
    def objective_in_words(self) -> str:
        """``supervised`` …, ``random twin``, or ``untrained`` for a network of its own."""
        return f"{self.twin} twin" if self.twin else "untrained" if self.objective == "random" else self.objective

    @property
    def pathways(self) -> list[str]:
        """Names of its pathways; empty if it has only one."""
        return list(pathways_of([layer.pathway for layer in self.layers]))


@dataclasses.dataclass(frozen=True)
class AnalysisFacts:
    """One analysis: its dataset, models, metric and what was planted if it is a simulation.

    Parameters
    ----------
    metric : its kind
    symbol : what a score is written as, e.g. ``r``
    planted : region → name of the planted layer; empty for real data, and for regions of noise alone
    planted_model : the network that the responses are read out of; empty for real data
    words : what the metric's entry says of it
    compares : whether similarities are compared (stage ``compare``)
    question_contrast : name of the contrast that the page begins with; empty for none
    """

    name: str
    metric: str
    symbol: str
    dataset: DatasetFacts
    models: tuple[ModelFacts, ...]
    options: dict[str, Any]
    region_order: tuple[str, ...]
    planted: dict[str, str]
    planted_model: str
    planted_layers: tuple[LayerInfo, ...]
    streams: tuple[StreamFacts, ...] = ()
    languages: LanguageFacts | None = None
    words: MetricWords = dataclasses.field(default_factory=MetricWords)
    compares: bool = False
    question_contrast: str = ""

    @property
    def measure(self) -> Measure | None:
        """What similarities are compared by; None where none are, or by a package's own."""
        return MEASURES.get(str(self.options.get("comparison")))

    @property
    def zero_is_chance(self) -> bool:
        """Whether scores are 0 on average where nothing is shared."""
        return self.measure is None or self.measure.zero_is_chance

    @property
    def chance(self) -> str:
        """What a score has to lie above, in words."""
        return "zero" if self.zero_is_chance else "chance"

    def metric_in_words(self, name: str) -> str:
        """``encoding model (ridge), within categories``; a metric that has no title by its kind.

        Parameters
        ----------
        name : of the metric as the map's tables have it
        """
        kind = name.removesuffix(WITHIN_CATEGORY)
        return (self.words.title or kind) + (", within categories" if kind != name else "")

    def ci_units(self, names: Iterable[str], last: str = "and") -> str:
        """What intervals are over, in words; ``block`` is another thing to similarity structures than to predictions.

        Parameters
        ----------
        names : ``block``, ``item``, ``subject``
        """
        words = SIMILARITY_CI_UNITS if self.compares else CI_UNITS
        return listed([words.get(str(name), str(name)) for name in dict.fromkeys(names)], last)

    def model(self, name: str) -> ModelFacts:
        return next(model for model in self.models if model.name == name)

    @property
    def spaces(self) -> list[str]:
        """Feature spaces that all other models were fitted jointly with; empty where there was no joint fit."""
        return list(self.options.get("spaces") or [])

    def jointly_with(self, model: str) -> list[str]:
        """The spaces that a model was fitted jointly with: none for one of them."""
        named = {model, *(f"{model}:{layer.name}" for layer in self.model(model).layers)}
        return [] if named & set(self.spaces) else self.spaces

    @property
    def encodes(self) -> bool:
        """Whether responses were predicted, rather than similarities compared."""
        return "splits" in self.options

    def of_role(self, role: str) -> list[ModelFacts]:
        return [model for model in self.models if model.role == role]

    def seeds_of(self, name: str) -> list[ModelFacts]:
        """All trainings of the network that a name is one of, its own first; empty for anything else."""
        trained = self.model(name).trained_as
        return [model for model in self.models if trained and model.trained_as == trained]

    def twins_of(self, name: str) -> dict[str, list[ModelFacts]]:
        """Kind of twins → a network's twins of that kind, in the study's order."""
        found: dict[str, list[ModelFacts]] = {}
        for model in self.of_role(TWIN):
            if model.network == name:
                found.setdefault(model.twin, []).append(model)
        return found


@dataclasses.dataclass(frozen=True)
class StudyFacts:
    """A whole study."""

    name: str
    title: str
    question: str
    simulated: bool
    shuffle_seed: int | None
    n_bootstrap: int
    confidence: float
    reliability_floor: float
    min_subjects: int
    seed: int
    analyses: tuple[AnalysisFacts, ...]
    command: str
    map_path: str

    @property
    def percent(self) -> str:
        """The level of the intervals, e.g. ``95 %``."""
        return f"{100 * self.confidence:g}{NBSP}%"

    @property
    def report_command(self) -> str:
        """What writes this page again from the map and the scores."""
        pairs = [word.partition("=") for word in self.command.split() if "=" in word]
        flags = " ".join(f"--{key} {value}" for key, _, value in pairs if key in ("study", "limit", "shuffle"))
        return f"python -m pipeline report {flags or f'--study {self.name}'}"


def with_layers(study: StudyFacts, rows: pd.DataFrame) -> StudyFacts:
    """Give networks whose layers are known only once they are built those that the map has.

    Parameters
    ----------
    rows : the map's table of layers and regions
    """

    def complete(analysis: AnalysisFacts) -> AnalysisFacts:
        own = rows[rows["analysis"] == analysis.name]
        models = (
            model if model.layers else dataclasses.replace(model, layers=_layers_of(own[own["model"] == model.name]))
            for model in analysis.models
        )
        return dataclasses.replace(analysis, models=tuple(models))

    return dataclasses.replace(study, analyses=tuple(complete(analysis) for analysis in study.analyses))


def _layers_of(rows: pd.DataFrame) -> tuple[LayerInfo, ...]:
    names = ["layer", "layer_index", "relative_depth", "pathway"]
    found = rows.drop_duplicates("layer")[names].itertuples(index=False, name=None)
    return tuple(LayerInfo(str(name), int(index), float(depth), str(of)) for name, index, depth, of in found)
