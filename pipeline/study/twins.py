"""The section ``twins`` of an analysis: networks that differ in their objective alone, all seeds of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.activations.options import Reduction
from pipeline.core.code_version import ROOT
from pipeline.core.errors import UnknownName
from pipeline.core.section import Section
from pipeline.models.trained.entries import AT_SEED, facts_of, instance_name, network_name, trained_networks
from pipeline.models.trained.training_files import TrainingFacts

RECIPES = ROOT / "workflows" / "recipes"


class Twins(Section):
    """Networks of one architecture and diet, trained by several objectives: all seeds of each, and all contrasts."""

    base: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]*$",
        description="what the recipes' names begin with: images for images_contrastive and images_supervised",
    )
    objectives: tuple[str, ...] = Field(
        min_length=2, description="and end with, in the order shown; earlier ones are contrasted over later ones"
    )
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="of each objective; None takes all that are shipped or were trained here"
    )
    layers: tuple[str, ...] | None = Field(None, description="layers to take; None takes all")
    reduction: Reduction | None = Field(None, description="how units are reduced, as of models")
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="of the networks' forward passes, as of models"
    )

    @model_validator(mode="after")
    def _all_are_there(self) -> Twins:
        for names in (self.objectives, self.seeds or ()):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"'{name}' is listed twice; remove one")
        there = trained_networks()
        for objective in self.objectives:
            self._check_is_there(objective, there)
        self._check_alike()
        return self

    def _check_is_there(self, objective: str, there: dict[str, list[int]]) -> None:
        """That an objective has trained networks, of the seeds that are named."""
        recipe = f"{self.base}_{objective}"
        seeds = there.get(network_name(recipe), [])
        if not seeds:
            beginnings = {name.partition("-")[0] for name in there}
            if (RECIPES / f"{recipe}.yaml").is_file():
                raise ValueError(
                    f"no training of {recipe} is shipped, or done here; run: python -m pipeline train --recipe {recipe}"
                )
            if network_name(self.base) not in beginnings:
                raise ValueError(str(UnknownName("base", self.base, beginnings)))
            known = [name.removeprefix(f"{network_name(self.base)}-").replace("-", "_") for name in there]
            raise ValueError(str(UnknownName(f"objective of {self.base}", objective, known)))
        missing = sorted(set(self.seeds or ()) - set(seeds))
        if missing:
            raise ValueError(
                f"seed {missing[0]} of {recipe} is neither shipped nor trained here; run: python -m pipeline train "
                f"--recipe {recipe} --seed {missing[0]}"
            )

    def _check_alike(self) -> None:
        """That nothing but the objective differs."""
        names = [(network, seed) for network, seeds in self.networks.items() for seed in seeds]
        first = facts_of(*names[0])
        for name in names[1:]:
            for what, one, other in _differences(first, facts_of(*name)):
                raise ValueError(
                    f"{instance_name(*names[0])} and {instance_name(*name)} have not the same {what} ({one}; {other}): "
                    "what their objectives do cannot be told apart from it; leave one out"
                )

    @property
    def networks(self) -> dict[str, list[int]]:
        """Network → its seeds, objective by objective."""
        there = trained_networks()
        named = [network_name(f"{self.base}_{objective}") for objective in self.objectives]
        return {name: there[name] if self.seeds is None else list(self.seeds) for name in named}

    @property
    def names(self) -> list[str]:
        """All networks, seed by seed."""
        return [instance_name(network, seed) for network, seeds in self.networks.items() for seed in seeds]

    def pairs(self) -> Iterator[tuple[str, str, str]]:
        """(name, model, reference) of every contrast between two objectives."""
        both = zip(self.objectives, self.networks, strict=True)
        for (one, model), (other, reference) in itertools.combinations(both, 2):
            yield f"{one} over {other}".replace("_", " "), f"{model}{AT_SEED}", f"{reference}{AT_SEED}"


def _differences(one: TrainingFacts, other: TrainingFacts) -> Iterator[tuple[str, str, str]]:
    """What else than the objective two trainings differ in, in words."""
    if one.network != other.network:
        yield "architecture", _told(one.network), _told(other.network)
    if one.diet.contents != other.diet.contents or one.diet.size_px != other.diet.size_px:
        yield "diet", one.diet.title, other.diet.title
    first, second = (of.options["course"]["steps"] * of.options["course"]["batch"] for of in (one, other))
    if first != second and first and second:  # networks that are not trained take no steps
        yield "number of pictures in training", f"{first:,}", f"{second:,}"


def _told(network: dict[str, Any]) -> str:
    """``small_conv, width 32``."""
    options = (f"{name} {value}" for name, value in network.items() if name != "kind")
    return ", ".join([str(network["kind"]), *options])
