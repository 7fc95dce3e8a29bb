"""Put a finished training into the package, so that its network comes with layermap."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.artifacts.storage.store import write_whole
from pipeline.core import paths
from pipeline.core.errors import BadConfiguration
from pipeline.core.limits import size_in_words
from pipeline.core.section import plain_name
from pipeline.models.trained.entries import SHIPPED, entry_of
from pipeline.models.trained.training_files import CARD, SHIPPED_FILES, WEIGHTS, digest_of
from pipeline.training.card import model_card
from pipeline.training.results import open_run, write_receipt

LARGEST_WEIGHTS = 4_000_000
"""Bytes of one network."""
LARGEST_SHIPPED = 40_000_000
"""Bytes of all files of all networks: everybody downloads them."""


def ship_training(recipe: str, seed: int, shipped: Path = SHIPPED) -> Path:
    """Copy what a training left, without what only training needed, and seal it with a receipt of its own.

    The card is written anew, so that its words are this layermap's.

    Parameters
    ----------
    recipe, seed : of a training in ``data/training``
    shipped : the folder of the package

    Returns
    -------
    its folder there

    Raises
    ------
    BrokenArtifact
        The training is not finished, or a file of it was altered.
    BadConfiguration
        It is too large, or other weights are shipped under its name.
    """
    try:
        plain_name(recipe, "recipe")
    except ValueError as error:
        raise BadConfiguration(f"--recipe: {error}") from error
    source, place = paths.training(recipe, seed), shipped / recipe / f"seed-{seed}"
    run = open_run(recipe, seed)
    entry = entry_of(source, f"train it again: python -m pipeline train --recipe {recipe} --seed {seed}")
    _check_size(source, place, shipped)
    weights = place / WEIGHTS
    if weights.is_file() and entry.weights is not None and digest_of(weights) != entry.weights.sha256:
        raise BadConfiguration(
            f"{place} holds other weights, which {entry.name} stands for in studies; remove that folder to replace them"
        )
    with write_whole(place) as temporary:
        temporary.mkdir(parents=True)
        for name in SHIPPED_FILES:
            shutil.copyfile(source / name, temporary / name)
        card = model_card(run.facts, run.curve, run.held_out, run.probes)
        (temporary / CARD).write_text(card, encoding="utf-8")
        write_receipt(temporary, f"training {recipe} seed {seed}", run.facts.key, SHIPPED_FILES)
    return place


def _check_size(source: Path, place: Path, shipped: Path) -> None:
    n_bytes = (source / WEIGHTS).stat().st_size
    if n_bytes > LARGEST_WEIGHTS:
        raise BadConfiguration(
            f"{source / WEIGHTS} has {size_in_words(n_bytes)}; a network that is shipped has "
            f"{size_in_words(LARGEST_WEIGHTS)} at most: train a smaller one"
        )
    others = (path for path in shipped.rglob("*") if path.is_file() and not path.is_relative_to(place))
    whole = sum(path.stat().st_size for path in others) + sum((source / name).stat().st_size for name in SHIPPED_FILES)
    if whole > LARGEST_SHIPPED:
        raise BadConfiguration(
            f"{shipped} would hold {size_in_words(whole)}, and may hold {size_in_words(LARGEST_SHIPPED)}; remove "
            "another network first"
        )
