"""Networks trained by recipes, by name: ``images-contrastive@seed-0`` is recipe ``images_contrastive``, seed 0.

Those that are shipped lie within the package, those of one's own in ``data/training/``. A name means what is shipped
where it is both, so that a study is the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.core import paths
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.fetch.weights.source import WeightSource
from pipeline.models.entry import ModelEntry, evenly_deep
from pipeline.models.networks.trainable import OF_ONE_SIZE, OWN, address_of, arguments_of
from pipeline.models.shown.present_pictures import Optics
from pipeline.models.trained.training_files import (
    PICTURES,
    RECEIPT,
    WEIGHTS,
    TrainingFacts,
    modality_of,
    open_training,
)

SHIPPED = Path(__file__).resolve().parent / "shipped"
"""``RECIPE/seed-N/`` of every training that comes with layermap."""
PACKAGE = "pipeline"
AT_SEED = "@seed"
"""``NAME@seed-N`` is one network, ``NAME@seed`` in a contrast all of a name."""
_INSTANCE = re.compile(r"(?P<network>[a-z0-9][a-z0-9-]*)@seed-(?P<seed>[0-9]+)\Z")
_SEED_FOLDER = re.compile(r"seed-([0-9]+)\Z")
_FACTORY = "pipeline.models.trained.network:load"


def network_name(recipe: str) -> str:
    """What the networks of a recipe are called, without their seed."""
    return recipe.replace("_", "-")


def instance_name(network: str, seed: int) -> str:
    """``images-contrastive@seed-0``."""
    return f"{network}{AT_SEED}-{seed}"


def split_instance(name: str) -> tuple[str, int] | None:
    """(network, seed) of ``NAME@seed-N``; None for any other name."""
    found = _INSTANCE.match(name)
    return (found["network"], int(found["seed"])) if found else None


def _roots() -> tuple[Path, Path]:
    return SHIPPED, paths.DATA / "training"


def _folders() -> Iterator[tuple[str, int, Path]]:
    """(network, seed, folder) of every finished training, what is shipped first."""
    for root in _roots():
        for receipt in sorted(root.glob(f"*/seed-*/{RECEIPT}")):
            seed = _SEED_FOLDER.match(receipt.parent.name)
            if seed is not None:
                yield network_name(receipt.parent.parent.name), int(seed[1]), receipt.parent


def trained_networks() -> dict[str, list[int]]:
    """Network → its seeds, in order, of all trainings on pictures that are finished."""
    found: dict[str, set[int]] = {}
    for network, seed, folder in _folders():
        if modality_of(folder) != PICTURES:
            continue
        found.setdefault(network, set()).add(seed)
    return {network: sorted(found[network]) for network in sorted(found)}


def trained_names() -> list[str]:
    """Names of all networks that were trained."""
    return [instance_name(network, seed) for network, seeds in trained_networks().items() for seed in seeds]


def trained_entry(network: str, seed: int) -> ModelEntry:
    """The entry of a trained network.

    Raises
    ------
    LayermapError
        There is no such training, it is of a network that only its own file can make, or of two recipes.
    BrokenArtifact
        One of its files was altered.
    """
    folder = _folder_of(network, seed)
    return entry_of(folder, _remedy(folder))


def facts_of(network: str, seed: int) -> TrainingFacts:
    """What is known of a trained network's training; errors as of `trained_entry`."""
    folder = _folder_of(network, seed)
    return open_training(folder, _remedy(folder))[0]


def _folder_of(network: str, seed: int) -> Path:
    found = [folder for name, number, folder in _folders() if (name, number) == (network, seed)]
    if not found:
        raise LayermapError(
            f"model '{instance_name(network, seed)}' is neither shipped nor in {paths.DATA / 'training'}; train it "
            f"with: python -m pipeline train --recipe {network.replace('-', '_')} --seed {seed}"
        )
    alike = {folder.parent.name for folder in found}
    if len(alike) > 1:
        raise LayermapError(f"recipes {' and '.join(sorted(alike))} both give networks called {network}; rename one")
    return found[0]


def _remedy(folder: Path) -> str:
    if folder.is_relative_to(SHIPPED):
        return f"install layermap again, or in its repository: git checkout -- {folder}"
    seed = folder.name.removeprefix("seed-")
    return f"run again: python -m pipeline train --recipe {folder.parent.name} --seed {seed}"


def entry_of(folder: Path, remedy: str) -> ModelEntry:
    """The entry of a training in a folder, all of whose files are checked; errors as of `trained_entry`."""
    facts, receipt = open_training(folder, remedy)
    if network_name(facts.recipe) != network_name(folder.parent.name) or f"seed-{facts.seed}" != folder.name:
        raise BrokenArtifact(f"{folder} holds seed {facts.seed} of {facts.recipe}: another training took its place")
    name = instance_name(network_name(facts.recipe), facts.seed)
    if facts.diet.modality != PICTURES:
        raise LayermapError(
            f"model '{name}' was trained on {facts.diet.modality}; of the trained networks, studies show stimuli to "
            "those of pictures: python -m pipeline models"
        )
    weights = next(file for file in receipt.files if file.path == WEIGHTS)
    diet, address = facts.diet, _address(facts, folder)
    optics = Optics(diet.size_px, diet.mean, diet.sd)
    return ModelEntry(
        name=name,
        modalities=("movie", "images"),
        objective=facts.trained,
        factory=_FACTORY,
        layers=evenly_deep(facts.layers),
        title=_title(facts),
        citation="; ".join(
            filter(None, [f"trained by layermap, recipe {facts.recipe}", facts.citation, diet.citation])
        ),
        licence=f"of the pictures: {diet.licence}",
        preprocessing={**optics.describe(), "window": "one picture", "stride": "one picture", "look_ahead_s": 0.0},
        adjustable=() if facts.network["kind"] in OF_ONE_SIZE else ("size_px",),
        weights=_source(folder, weights.sha256, weights.bytes),
        weights_of=f"{name}-{weights.sha256[:10]}",
        arguments={
            "factory": address,
            "arguments": arguments_of(facts.network, diet.size_px),
            "layers": list(facts.layers),
        },
        parameters=facts.n_parameters,
        twins=("random", "shuffled"),
    )


def _title(facts: TrainingFacts) -> str:
    """``contrastive (SimCLR), diet CIFAR-10, small_conv``; the seed is in the name."""
    kind = facts.network["kind"]
    network = str(facts.network["factory"]) if kind == OWN else kind
    return f"{facts.objective}, diet {facts.diet.title}, {network}"


def _address(facts: TrainingFacts, folder: Path) -> str:
    """What makes the network.

    Raises
    ------
    LayermapError
        It is a file of the user's own, whose place results do not hold.
    """
    address = address_of(facts.network)
    if address.rpartition(":")[0].endswith(".py"):
        name = instance_name(network_name(facts.recipe), facts.seed)
        raise LayermapError(
            f"model '{name}' is made by {address}, a file that results do not hold; name it under networks: of the "
            f"study, with factory: {address} and weights: {folder / WEIGHTS}"
        )
    return address


def _source(folder: Path, sha256: str, n_bytes: int) -> WeightSource:
    path = folder / WEIGHTS
    if not folder.is_relative_to(SHIPPED):
        return WeightSource(sha256=sha256, path=str(path.absolute()), bytes=n_bytes)
    inside = path.relative_to(SHIPPED.parents[2]).as_posix()
    return WeightSource(
        sha256=sha256,
        package=PACKAGE,
        package_files=(inside,),
        bytes=n_bytes,
        install="pip install of layermap, or make setup in its repository",
    )
