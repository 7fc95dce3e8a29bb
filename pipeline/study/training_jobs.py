"""What the rules of training look up: the recipe asked for, its seeds, flags, and what makes a training run again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core import paths
from pipeline.core.errors import BadConfiguration
from pipeline.core.keys import key_of
from pipeline.study.load import WorkflowConfig
from pipeline.training.results import RECEIPT, run_files

if TYPE_CHECKING:
    from pipeline.training.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class TrainingJobs:
    """The trainings of one recipe; none where none is asked for.

    Parameters
    ----------
    settings : what the run was told
    recipe : None where none is asked for
    """

    settings: WorkflowConfig
    recipe: Recipe | None

    @property
    def names(self) -> list[str]:
        """Of recipes, for wildcards."""
        return [self.recipe.recipe] if self.recipe else []

    @property
    def outputs(self) -> list[str]:
        """Files of one training, with its wildcards."""
        return [str(path) for path in run_files("{recipe}", "{seed}")]

    @property
    def receipts(self) -> list[Path]:
        """One of every seed."""
        recipe = self._asked()
        return [paths.training(recipe.recipe, seed) / RECEIPT for seed in recipe.seeds]

    @property
    def page(self) -> Path:
        return paths.training_page(self._asked().recipe)

    def flags(self, *more: str) -> list[str]:
        """Of the command, as arguments that are quoted one by one."""
        told = [("diet-path", self.settings.diet_path), ("mirror", self.settings.mirror)]
        given = [f"--{name}={value}" for name, value in told if value is not None]
        return [f"--recipe={self.settings.recipe}", f"--device={self.settings.device}", *given, *more]

    def key(self) -> str:
        """Changes with recipe, code and, of pictures that lie in a file or folder, with when they were changed."""
        from pipeline.training.stage import code_behind

        recipe = self._asked()
        told = recipe.model_dump(mode="json", exclude={"seeds"})
        place = getattr(recipe.diet, "path", None)
        changed = place.stat().st_mtime_ns if place is not None and place.exists() else 0
        return key_of({"recipe": told, "code": code_behind(recipe), "changed": changed})

    def _asked(self) -> Recipe:
        if self.recipe is None:
            from pipeline.training.recipe import RECIPES

            raise BadConfiguration(
                f"no recipe is asked for; give one: snakemake train --config recipe=NAME ({', '.join(RECIPES.known())})"
            )
        return self.recipe


def plan_training(settings: WorkflowConfig) -> TrainingJobs:
    """The trainings that ``--config recipe=…`` asks for; nothing heavy is imported where it asks for none."""
    if settings.recipe is None:
        return TrainingJobs(settings, None)
    from pipeline.training.recipe import load_recipe

    return TrainingJobs(settings, load_recipe(settings.recipe, diet_path=settings.diet_path))
