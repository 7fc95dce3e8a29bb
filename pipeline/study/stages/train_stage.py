"""``layermap train``: one seed of a recipe, all of them, or the page of those that are there."""

from __future__ import annotations

import argparse
import os

from pipeline.artifacts.storage.store import write_whole
from pipeline.core import paths
from pipeline.core.errors import LayermapError
from pipeline.training.recipe import Recipe, load_recipe
from pipeline.training.results import RECEIPT, open_run


def run_train(arguments: argparse.Namespace) -> None:
    """Do what the command line says.

    Raises
    ------
    LayermapError
        The recipe, its diet or its training fails; or a page is asked for and there is no training to show.
    """
    recipe = load_recipe(arguments.recipe, diet_path=arguments.diet_path)
    if arguments.page:
        write_page(recipe)
        return
    from pipeline.training.stage import train_network

    for seed in recipe.seeds if arguments.seed is None else (arguments.seed,):
        train_network(recipe, seed, device=arguments.device, mirror=arguments.mirror)
    if arguments.seed is None and os.environ.get("RANK", "0") == "0":
        write_page(recipe)


def write_page(recipe: Recipe) -> None:
    """Write ``reports/training/RECIPE/index.html`` of all seeds that are there."""
    from pipeline.report.training_page import training_page

    folder = paths.training(recipe.recipe, 0).parent
    there = sorted(int(path.parent.name.removeprefix("seed-")) for path in folder.glob(f"seed-*/{RECEIPT}"))
    if not there:
        raise LayermapError(
            f"{folder} holds no finished training; run: python -m pipeline train --recipe {recipe.recipe}"
        )
    runs = [open_run(recipe.recipe, seed) for seed in there]
    page = paths.training_page(recipe.recipe)
    with write_whole(page) as temporary:
        temporary.write_text(training_page(runs), encoding="utf-8")
    print(f"written: {page}", flush=True)
