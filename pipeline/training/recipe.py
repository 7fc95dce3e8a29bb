"""A recipe: which network learns what from which pictures, for how long, and how it is probed.

Recipes lie in ``workflows/recipes/``; every key is validated before anything is fetched or trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline.core.code_version import ROOT
from pipeline.core.errors import BadConfiguration, UnknownName
from pipeline.core.section import Section, one_line
from pipeline.formats.documents import read_yaml
from pipeline.training.diets.entry import DIETS, DietOptions
from pipeline.training.networks import NetworkSection
from pipeline.training.objectives.objective import OBJECTIVES, ObjectiveOptions
from pipeline.training.optimiser import AdamW, Course, Optimiser

RECIPES = ROOT / "workflows" / "recipes"
NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*$")


def _union_of(classes: list[type]) -> Any:
    return Annotated[reduce(or_, classes), Field(discriminator="kind")] if len(classes) > 1 else classes[0]


if TYPE_CHECKING:  # what the unions have in common; their members are known only when the registries are read
    Diet = DietOptions
    Objective = ObjectiveOptions
else:
    Diet = _union_of([DIETS.get(kind).options for kind in DIETS])
    Objective = _union_of([OBJECTIVES.get(kind).options for kind in OBJECTIVES])


class Probes(Section):
    """Linear probes of object class at every layer."""

    n_train: int = Field(10_000, ge=20, description="training pictures that probes are fitted on, at most")
    n_test: int = Field(10_000, ge=20, description="test pictures that they are scored on, at most")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the former that the penalty is chosen on")
    largest_layer: int = Field(
        4096, ge=2, description="units up to which the last layer of maps is also probed without averaging over space"
    )


class Recipe(Section):
    """A whole recipe file."""

    recipe: str = Field(description="its name: lower case, digits, - and _")
    title: str = Field(description="one line, heads page and card")
    diet: Diet = Field(description="the pictures")
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
        if not NAME.fullmatch(value):
            raise ValueError(f"'{value}' must be lower case letters, digits, - and _")
        return value

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value) or min(value) < 0:
            raise ValueError("seeds are whole numbers from 0 on, each once")
        return value

    @model_validator(mode="after")
    def _steps_fit_the_objective(self) -> Recipe:
        if (self.objective.kind == "random") != (self.course.steps == 0):
            raise ValueError(
                f"objective {self.objective.kind} with {self.course.steps} steps: random takes 0, all others some"
            )
        return self


def known_recipes() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def recipe_file(name: str) -> Path:
    """The file of a recipe: a path ending in .yaml, or a name in workflows/recipes.

    Raises
    ------
    UnknownName, BadConfiguration
        No such recipe; the message names the closest.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise BadConfiguration(
                f"recipe file {name} does not exist; give a path or one of: {', '.join(known_recipes())}"
            )
        return path
    if name not in known_recipes():
        raise UnknownName(
            "recipe", name, known_recipes(), f"recipes lie in {RECIPES}; a path ending in .yaml works too"
        )
    return RECIPES / f"{name}.yaml"


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
    path = recipe_file(name)
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise BadConfiguration(f"{path} must hold a mapping with the keys recipe, title, diet, network and objective")
    if diet_path is not None and isinstance(raw.get("diet"), Mapping):
        raw["diet"] = {**raw["diet"], "path": str(Path(diet_path).expanduser().absolute())}
    try:
        return Recipe.model_validate(raw, context={"folder": path.parent})
    except ValidationError as error:
        raise one_line(error, str(path)) from error
