"""A recipe: which network learns what from which samples, for how long, and how it is probed.

Recipes lie in ``workflows/recipes/``; every key is validated before anything is fetched or trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.core.code_version import ROOT
from pipeline.core.section import Section, plain_name, union_of, validated
from pipeline.formats.named_files import NamedFiles
from pipeline.training.diets.entry import DIETS, DietOptions
from pipeline.training.measuring.random_dots import RandomDots
from pipeline.training.networks import TAKES, NetworkSection
from pipeline.training.objectives.objective import OBJECTIVES, ObjectiveOptions
from pipeline.training.optimiser import AdamW, Course, Optimiser

RECIPES = NamedFiles("recipe", "recipes", ROOT / "workflows" / "recipes", "recipe, title, diet, network and objective")


if TYPE_CHECKING:  # what the unions have in common; their members are known only when the registries are read
    Diet = DietOptions
    Objective = ObjectiveOptions
else:
    Diet = union_of([DIETS.get(kind).options for kind in DIETS])
    Objective = union_of([OBJECTIVES.get(kind).options for kind in OBJECTIVES])


class Probes(Section):
    """Linear probes at every layer."""

    labels: tuple[str, ...] | None = Field(
        None, min_length=1, description="label sets that are read; None: all of the diet that have one label per sample"
    )
    random_dots: RandomDots | None = Field(None, description="random-dot motion as well, of networks that see clips")
    n_train: int = Field(10_000, ge=20, description="training samples that probes are fitted on, at most")
    n_test: int = Field(10_000, ge=20, description="test samples that they are scored on, at most")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the former that the penalty is chosen on")
    largest_layer: int = Field(
        4096, ge=2, description="units up to which the last layer of maps is also probed without averaging over space"
    )


class Recipe(Section):
    """A whole recipe file."""

    recipe: str = Field(description="its name: lower case, digits, - and _")
    title: str = Field(description="one line, heads page and card")
    diet: Diet = Field(description="the pictures, clips or sounds")
    network: NetworkSection = Field(description="the architecture")
    objective: Objective = Field(description="what is learned")
    optimiser: Optimiser = Field(default_factory=AdamW, description="and its highest rate and decay")
    course: Course = Field(description="steps, batch, warm-up")
    probes: Probes = Field(default_factory=Probes, description="how layers are probed")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="trainings that `snakemake train` runs")
    cost: str = Field("", description="what one training takes on a known machine, in words; stands on the page")
    schema_version: Literal["1"] = "1"

    @field_validator("recipe")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return plain_name(value)

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or min(value) < 0:
            raise ValueError("seeds are whole numbers from 0 on, each once")
        return value

    @model_validator(mode="after")
    def _steps_fit_the_objective(self) -> Recipe:
        kind = self.objective.kind
        if OBJECTIVES.get(kind).takes_steps != (self.course.steps > 0):
            none = ", ".join(kind for kind in OBJECTIVES if not OBJECTIVES.get(kind).takes_steps)
            raise ValueError(f"objective {kind} with {self.course.steps} steps: {none} takes 0, all others some")
        return self

    @model_validator(mode="after")
    def _all_fits_the_samples(self) -> Recipe:
        diet, form = DIETS.get(self.diet.kind), self.diet.form()
        takes = TAKES.get(self.network.kind)
        if takes is not None and takes != diet.modality:
            raise ValueError(f"network {self.network.kind} takes {takes}, and diet {diet.kind} has {diet.modality}")
        learns = OBJECTIVES.get(self.objective.kind).modalities
        if diet.modality not in learns:
            raise ValueError(
                f"objective {self.objective.kind} learns from {' or '.join(learns)}, and diet {diet.kind} has "
                f"{diet.modality}"
            )
        for what, named in (("objective", self.objective.label_sets()), ("probes", self.probes.labels or ())):
            for name in named:
                if name not in diet.label_sets:
                    raise ValueError(
                        f"{what}: diet {diet.kind} has no labels '{name}'; it has: {', '.join(diet.label_sets)}"
                    )
        if self.probes.random_dots is not None and diet.modality != "clips":
            raise ValueError(f"probes.random_dots are clips, and diet {diet.kind} has {diet.modality}")
        misfit = self.objective.misfit(form)
        if misfit:
            raise ValueError(f"objective {self.objective.kind}: {misfit}")
        return self


def load_recipe(name: str, *, diet_path: str | None = None) -> Recipe:
    """Read and validate a recipe.

    Parameters
    ----------
    name : a name in workflows/recipes, or a path ending in .yaml
    diet_path : replaces ``path`` of the recipe's diet; relative to where layermap runs

    Raises
    ------
    BadConfiguration, UnknownName
        One line naming the file, the key and the value.
    """
    path, raw = RECIPES.read(name)
    if diet_path is not None and isinstance(raw.get("diet"), Mapping):
        raw["diet"] = {**raw["diet"], "path": str(Path(diet_path).expanduser().absolute())}
    return validated(Recipe, raw, str(path), folder=path.parent)
