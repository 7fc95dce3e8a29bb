"""A study: which recordings, which models, which metric, which contrasts.

The dataset and metric sections are unions discriminated on ``kind``, built from the registries, so
that other packages add theirs while unknown keys are still refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.activations.options import LARGEST_UNASKED, NoReduction, Reduction
from pipeline.core.prose import listed
from pipeline.core.section import (
    CellText,
    MetricSection,
    Name,
    Names,
    Section,
    ToldApart,
    plain_name,
    told_apart,
    union_of,
)
from pipeline.encoding.options import FEWEST_DATA_SETS, FEWEST_ORDERS, FEWEST_REPEATS, MOST_COLUMNS
from pipeline.inference.networks import members_of, twin_of
from pipeline.recordings.entry import DatasetOptions
from pipeline.recordings.registry import DATASETS
from pipeline.study.metrics import METRICS
from pipeline.study.networks import NetworkSection
from pipeline.study.twins import Twins

LANGUAGE_CODE = re.compile(r"^[a-z]{2,3}(-[a-z0-9]+)*$")
NETWORK_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


if TYPE_CHECKING:  # what the unions have in common; their members are known only when the registries are read
    RecordingOptions = DatasetOptions
    MetricOptions = MetricSection
else:
    RecordingOptions = union_of([DATASETS.get(kind).options for kind in DATASETS])
    MetricOptions = union_of([METRICS.get(kind).options for kind in METRICS])


MOST_TWINS = 1000
"""Of one kind and network: each is run on every stimulus."""


class ModelChoice(Section):
    """One network of the registry and how its layers are taken."""

    name: str = Field(
        description="name in the registry or under networks; NAME@random-3 is the random twin with seed 3, "
        "NAME@shuffled-3 the one with shuffled weights"
    )
    layers: tuple[str, ...] | None = Field(None, description="layers to take; None takes all that the registry lists")
    reduction: Reduction | None = Field(
        None,
        description="how units are reduced during extraction; None keeps all units, and refuses layers of more than "
        f"{LARGEST_UNASKED:,} (kind: none keeps those too)",
    )
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32",
        description="of the network's forward passes; half precision is refused where it changes a layer by more than "
        "0.02 of its SD",
    )
    random_twins: int = Field(
        0,
        ge=0,
        le=MOST_TWINS,
        description="also run this many random twins, seeds 0, 1, …; contrasts with fewer than five have no interval",
    )
    shuffled_twins: int = Field(
        0, ge=0, le=MOST_TWINS, description="also run this many twins with shuffled weights, seeds 0, 1, …"
    )

    @property
    def reduce_by(self) -> Reduction:
        """The reduction, whether asked for or not."""
        return self.reduction or NoReduction()


class Contrast(Section):
    """Model minus reference, per region, layer chosen on data other than those it is scored on."""

    name: CellText = Field(description="what the report calls it")
    model: str = Field(description="a model of the analysis, or NAME@seed for the mean of a trained network's seeds")
    reference: str = Field(
        description="another model, NAME@random (NAME@shuffled) for one more seed of its twins, or NAME@seed"
    )
    layer: str | None = Field(
        None, description="a fixed layer of the model (and of a twin); None for the nested best layer"
    )
    pathway: str | None = Field(
        None, description="choose the layer within this pathway of the model (and of a twin); None: among all layers"
    )
    margin: float | None = Field(
        None,
        gt=0,
        lt=2,
        description="differences below this count as none, in units of the score: also ask whether the two are "
        "equivalent (two one-sided tests). State it before looking at the data. None: not asked",
    )

    @model_validator(mode="after")
    def _layer_or_pathway(self) -> Contrast:
        if self.layer is not None and self.pathway is not None:
            raise ValueError(f"contrast '{self.name}': give layer or pathway, not both (a fixed layer is not chosen)")
        return self

    @property
    def controlled(self) -> bool:
        """Whether both sides are known to have one architecture and diet."""
        return False


class TwinsContrast(Contrast):
    """A contrast that the section ``twins`` stands for."""

    @property
    def controlled(self) -> bool:
        return True


class StreamAssignment(Section):
    """Which regions count as ventral and which as dorsal; a region may be in neither."""

    name: CellText = Field(pattern=r"^[^():]+$", description="what the report calls it: no brackets, no colon")
    ventral: tuple[Name, ...] = Field(min_length=1, description="regions of the ventral stream")
    dorsal: tuple[Name, ...] = Field(min_length=1, description="regions of the dorsal stream")

    @model_validator(mode="after")
    def _regions_differ(self) -> StreamAssignment:
        regions = [*self.ventral, *self.dorsal]
        for region in regions:
            if regions.count(region) > 1:
                raise ValueError(f"streams '{self.name}': region '{region}' is listed twice; keep it in one stream")
        told_apart(regions)
        return self


class Languages(Section):
    """Which language each group of listeners heard and each model learned, and in which acoustic domain."""

    listeners: Annotated[dict[Name, str], ToldApart] = Field(
        min_length=2, description="group of listeners → language that they heard, as a code"
    )
    models: dict[str, str] = Field(min_length=2, description="model of the analysis, no twins → its training language")
    listeners_domain: Annotated[dict[Name, str], ToldApart] = Field(
        default_factory=dict, description="group of listeners → kind of sound that they heard (audiobook, talk, …)"
    )
    models_domain: dict[str, str] = Field(
        default_factory=dict, description="model → kind of sound that it was trained on; give both or neither"
    )

    @field_validator("listeners", "models")
    @classmethod
    def _codes_are_lower_case(cls, value: dict[str, str]) -> dict[str, str]:
        for name, code in value.items():
            if not LANGUAGE_CODE.fullmatch(code):
                raise ValueError(f"language '{code}' of {name} must be a lower-case code such as en, fr or zh")
        return value

    @model_validator(mode="after")
    def _domains_are_whole(self) -> Languages:
        if bool(self.listeners_domain) != bool(self.models_domain):
            raise ValueError("give both listeners_domain and models_domain, or neither: their match is what counts")
        for field, domains, named in (
            ("listeners_domain", self.listeners_domain, self.listeners),
            ("models_domain", self.models_domain, self.models),
        ):
            odd = sorted(set(domains) ^ set(named)) if domains else []
            if odd:
                raise ValueError(f"{field} must name the same as {field.partition('_')[0]}; '{odd[0]}' is in one only")
        return self

    @model_validator(mode="after")
    def _something_varies(self) -> Languages:
        if not _crosses(self.models, self.listeners) and not _crosses(self.models_domain, self.listeners_domain):
            raise ValueError(
                "no two models differ in which listeners' language (or acoustic domain) they match; name models of at "
                "least two languages that two groups of listeners heard, or leave the section out"
            )
        return self


def _crosses(models: dict[str, str], listeners: dict[str, str]) -> bool:
    """Whether matches are anything but all of a model's or all of a group's: two models' differ from group to group."""
    rows = [[int(learned == heard) for heard in listeners.values()] for learned in models.values()]
    return any(len({a - b for a, b in zip(one, other, strict=True)}) > 1 for one in rows for other in rows)


class Analysis(Section):
    """One dataset scored with one metric for several models."""

    recording: RecordingOptions = Field(description="the dataset and its options")
    models: tuple[ModelChoice, ...] = Field(min_length=1, description="networks and baselines, in the order shown")
    metric: MetricOptions = Field(description="the metric and its options")
    twins: Twins | None = Field(
        None, description="networks that differ in their objective alone: all seeds as models, and all contrasts"
    )
    contrasts: tuple[Contrast, ...] = Field((), description="model − reference comparisons")
    question_contrast: str | None = Field(
        None, description="name of the contrast that the study asks for: the page begins with what it says"
    )
    region_order: Names = Field((), description="regions in the order shown; others follow")
    streams: tuple[StreamAssignment, ...] = Field(
        (), description="assignments of regions to the ventral and the dorsal stream; each is reported"
    )
    languages: Languages | None = Field(
        None,
        description="which language listeners heard and models learned: do models of the listeners' own predict more",
    )

    @field_validator("models", mode="before")
    @classmethod
    def _names_are_models(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [{"name": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("streams")
    @classmethod
    def _names_of_streams_differ(cls, value: tuple[StreamAssignment, ...]) -> tuple[StreamAssignment, ...]:
        names = [assignment.name for assignment in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"streams '{name}' are listed twice; give each assignment its own name")
        return value

    @property
    def model_choices(self) -> tuple[ModelChoice, ...]:
        """The models with their random twins and the section ``twins`` spelled out, each once."""
        choices = []
        for choice in self.models:
            alone = choice.model_copy(update={"random_twins": 0, "shuffled_twins": 0})
            choices.append(alone)
            for kind, n in (("random", choice.random_twins), ("shuffled", choice.shuffled_twins)):
                twins = (f"{choice.name}@{kind}-{seed}" for seed in range(n))
                choices += [alone.model_copy(update={"name": twin}) for twin in twins]
        if self.twins is not None:
            of = self.twins
            same = {"layers": of.layers, "reduction": of.reduction, "precision": of.precision}
            choices += [ModelChoice(name=name, **same) for name in of.names]
        return tuple(choices)

    @property
    def all_contrasts(self) -> tuple[Contrast, ...]:
        """Those that are listed, behind those of the section ``twins``."""
        pairs = self.twins.pairs() if self.twins is not None else ()
        of_twins = (TwinsContrast(name=name, model=model, reference=other) for name, model, other in pairs)
        return *of_twins, *self.contrasts

    @model_validator(mode="after")
    def _languages_name_models(self) -> Analysis:
        if self.languages is None:
            return self
        names = [choice.name for choice in self.model_choices]
        for name in self.languages.models:
            if twin_of(name) is not None:
                raise ValueError(f"languages names '{name}', a twin that learned no language; name trained models only")
            if name not in names:
                raise ValueError(f"languages names model '{name}', which the analysis does not have")
        return self

    @model_validator(mode="after")
    def _contrasts_name_models(self) -> Analysis:
        names = [choice.name for choice in self.model_choices]
        if len(set(names)) != len(names):
            raise ValueError(f"model '{next(n for n in names if names.count(n) > 1)}' is listed twice")
        for contrast in self.contrasts:
            for name in (contrast.model, contrast.reference):
                if not members_of(name, names):
                    raise ValueError(
                        f"contrast '{contrast.name}' names model '{name}', which the analysis does not have"
                    )
            if contrast.model.endswith(("@random", "@shuffled")):
                raise ValueError(
                    f"contrast '{contrast.name}': {contrast.model} stands for several twins; make it the reference"
                )
        called = [contrast.name for contrast in self.all_contrasts]
        for name in called:
            if self.twins is not None and called.count(name) > 1:
                raise ValueError(f"contrast '{name}' is one of twins already; give the other another name")
        if self.question_contrast is not None and self.question_contrast not in called:
            known = listed([f"'{name}'" for name in called]) or "none"
            raise ValueError(f"question_contrast '{self.question_contrast}' is no contrast of the analysis ({known})")
        return self


class Calibration(Section):
    """Data sets of known truth, made of a study's own responses, that its tests and intervals are tried on."""

    n: int = Field(
        20,
        ge=0,
        description="data sets of either kind: nothing (responses in other orders), and planted read-outs of each "
        "region's best layer; groups of many targets have fewer, at least 5. 0: none",
    )

    @field_validator("n")
    @classmethod
    def _none_or_enough(cls, value: int) -> int:
        if 0 < value < FEWEST_DATA_SETS:
            raise ValueError(f"{value} data sets say nothing about a share: take {FEWEST_DATA_SETS} or more, or 0")
        return value


class Inference(Section):
    """Settings of the bootstrap, of reliabilities and of other orders."""

    n_bootstrap: int = Field(1000, ge=100, description="bootstrap draws")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="level of the intervals")
    reliability_floor: float = Field(
        0.05, ge=0, lt=1, description="below this reliability no normalised score is given"
    )
    min_subjects: int = Field(
        8,
        ge=2,
        description="from this many subjects on, intervals are over subjects (of similarities of items: over both)",
    )
    permutations: int = Field(
        1000,
        ge=0,
        description="other orders of the responses (rolled in time, items permuted) that scores are held against, at "
        "most; groups of many targets have fewer, at least 99. 0: no p",
    )
    simulations: int = Field(
        20,
        ge=0,
        description="responses simulated from each layer by each kind of read-out, to see which layer is named for "
        "them. 0: none",
    )
    simulated_columns: int = Field(
        MOST_COLUMNS,
        ge=1000,
        description="simulated targets (targets × data sets) that a layer is fitted to, at most: of more targets some "
        "are drawn by chance. As many again are fitted for the calibration",
    )
    calibration: Calibration = Field(
        default_factory=Calibration, description="what the study's own tests are tried on; none without simulations"
    )
    seed: int = Field(0, ge=0, description="seed of the bootstrap, of the permutations and of the simulations")

    @field_validator("simulations")
    @classmethod
    def _no_simulations_or_enough(cls, value: int) -> int:
        if 0 < value < FEWEST_REPEATS:
            raise ValueError(f"{value} are too few to be 95 % sure of a layer: take {FEWEST_REPEATS} or more, or 0")
        return value

    @field_validator("permutations")
    @classmethod
    def _none_or_enough(cls, value: int) -> int:
        if 0 < value < FEWEST_ORDERS:
            raise ValueError(f"{value} orders allow no p below .05: take {FEWEST_ORDERS} or more, or 0 for no p")
        return value


class Study(Section):
    """A whole study file."""

    study: str = Field(description="its name: lower case, digits, - and _")
    title: str = Field(description="one line, heads the report")
    question: str = Field("", description="what the study asks, one or two sentences")
    networks: dict[str, NetworkSection] = Field(
        default_factory=dict, description="name → network beside those of the registry"
    )
    analyses: dict[str, Analysis] = Field(min_length=1, description="name → analysis")
    inference: Inference = Field(default_factory=Inference, description="bootstrap and reliability settings")
    shuffle_seed: int | None = Field(
        None,
        ge=0,
        description="shuffle the responses with this seed (circularly in time, or over items): must find nothing",
    )
    schema_version: Literal["1"] = "1"

    @field_validator("study")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return plain_name(value)

    @field_validator("networks")
    @classmethod
    def _plain_networks(cls, value: dict[str, NetworkSection]) -> dict[str, NetworkSection]:
        for name in value:
            if not NETWORK_NAME.fullmatch(name):
                raise ValueError(f"network name '{name}' must be letters, digits, '.', - and _")
        return value

    @field_validator("analyses")
    @classmethod
    def _plain_names(cls, value: dict[str, Analysis]) -> dict[str, Analysis]:
        for name in value:
            plain_name(name, "analysis name")
        return value
