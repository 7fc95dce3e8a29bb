"""What a training leaves in ``data/training/RECIPE/seed-N/``, and the one door to it.

| file | what |
| --- | --- |
| ``weights.safetensors`` | the encoder |
| ``objective.safetensors`` | what was added for training only (projection, classifier, decoder) |
| ``curve.csv`` | loss, learning rate and measures in the course of training |
| ``held_out.csv`` | the objective on test samples, of the trained and the untrained network |
| ``probes.csv`` | labels read from each layer, of the network, its random twin and the samples themselves |
| ``run.json`` | recipe, diet, sizes |
| ``card.md`` | the model card |
| ``receipt.json`` | SHA-256 of all of these |
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.artifacts.catalogue import FetchedFile, Receipt, open_receipt, write_json
from pipeline.artifacts.storage.store import SCHEMA_VERSION, write_whole
from pipeline.core import paths
from pipeline.core.errors import BrokenArtifact
from pipeline.core.keys import sha256_of_file
from pipeline.formats.documents import read_object
from pipeline.models.trained.training_files import CARD, CURVE, HELD_OUT, PROBES, RECEIPT, RUN, WEIGHTS
from pipeline.training.diets.decoded import DietFacts
from pipeline.training.diets.entry import Modality

if TYPE_CHECKING:
    import pandas as pd
    import torch

OBJECTIVE = "objective.safetensors"
FILES = (WEIGHTS, OBJECTIVE, CURVE, HELD_OUT, PROBES, RUN, CARD)
"""All that a training leaves but the receipt, which is written last."""
TRAINED, UNTRAINED, TWIN = "trained", "untrained", "random twin"
RAW: dict[Modality, str] = {"pictures": "pixels", "clips": "pixels", "sounds": "waveform"}
"""What a probe of the samples themselves is called."""
REMEDY = "delete its folder and train again"


class RunFacts(BaseModel):
    """``run.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: str = SCHEMA_VERSION
    recipe: str
    title: str
    seed: int
    key: str = Field(description="changes with whatever changes weights or probes")
    weights_key: str = Field(description="changes with whatever changes weights")
    network: str
    layers: tuple[str, ...]
    n_parameters: int = Field(description="of the encoder")
    n_features: int
    objective: str
    objective_kind: str
    citation: str
    trained: str = Field(description="self-supervised, supervised or random")
    loss_is: str
    unit: str
    steps: int
    batch: int
    diet: DietFacts
    options: dict[str, Any] = Field(description="the recipe")
    cost: str
    measures: dict[str, dict[str, float]] = Field(description="network → measure on test samples → value")


@dataclasses.dataclass(frozen=True)
class Run:
    """A training that is done, as it was written.

    Parameters
    ----------
    cost : times, from the log; empty where it was removed
    """

    facts: RunFacts
    curve: pd.DataFrame
    held_out: pd.DataFrame
    probes: pd.DataFrame
    cost: dict[str, Any]


def run_files(recipe: str, seed: int | str) -> list[Path]:
    """All files of a training; ``seed`` may be a wildcard."""
    folder = paths.DATA / "training" / recipe / f"seed-{seed}"
    return [folder / name for name in (*FILES, RECEIPT)]


def write_tensors(tensors: dict[str, torch.Tensor], path: Path, key: str) -> None:
    """Write tensors as safetensors, whole or not at all, with the key of what made them."""
    from safetensors.torch import save_file

    kept = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with write_whole(path) as temporary:
        save_file(kept, temporary, metadata={"key": key})  # two would be written in either order


def read_tensors(path: Path, key: str) -> dict[str, torch.Tensor] | None:
    """Tensors of the key; None if there are none, or of another."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") != key:
                return None
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None


def write_receipt(folder: Path, what: str, key: str, names: Sequence[str] = FILES) -> None:
    """SHA-256 of all files of a training, or of those of these names, once they are there."""
    files = [folder / name for name in names]
    entries = (
        FetchedFile(path=file.name, url="trained", bytes=file.stat().st_size, sha256=sha256_of_file(file))
        for file in files
    )
    write_json(Receipt(what=what, key=key, files=tuple(entries)), folder / RECEIPT)


def is_whole(folder: Path, key: str) -> bool:
    """Whether a training of the key is there and every file is as it was written."""
    receipt = _receipt(folder)
    return receipt is not None and receipt.key == key and not _altered(folder, receipt)


def are_unaltered(folder: Path, names: Sequence[str]) -> bool:
    """Whether some files of a training are there, as they were written."""
    receipt = _receipt(folder)
    return receipt is not None and not _altered(folder, receipt, names)


def _receipt(folder: Path) -> Receipt | None:
    try:
        return open_receipt(folder / RECEIPT)
    except BrokenArtifact:
        return None


def _altered(folder: Path, receipt: Receipt, names: Sequence[str] = FILES) -> str:
    """The first file that is not as it was written; empty if all are."""
    stated = {file.path: file.sha256 for file in receipt.files}
    for name in names:
        path = folder / name
        if name not in stated or not path.is_file() or sha256_of_file(path) != stated[name]:
            return name
    return ""


def open_run(recipe: str, seed: int) -> Run:
    """A training's results.

    Raises
    ------
    BrokenArtifact
        It is not there, or a file was altered since it was written; the message names it.
    """
    import pandas as pd

    folder = paths.training(recipe, seed)
    command = f"python -m pipeline train --recipe {recipe} --seed {seed}"
    if not (folder / RECEIPT).is_file():
        raise BrokenArtifact(f"{folder} holds no finished training; run: {command}")
    altered = _altered(folder, open_receipt(folder / RECEIPT))
    if altered:
        raise BrokenArtifact(f"{folder / altered} is missing or was altered since it was written; run again: {command}")
    try:
        facts = RunFacts.model_validate(read_object(folder / RUN, REMEDY))
    except ValidationError as error:
        raise BrokenArtifact(
            f"{folder / RUN} is not what this layermap writes ({error.errors()[0]['msg']}); {REMEDY}"
        ) from error
    tables = (pd.read_csv(folder / name) for name in (CURVE, HELD_OUT, PROBES))
    return Run(facts, next(tables), next(tables), next(tables), _cost(recipe, seed))


def _cost(recipe: str, seed: int) -> dict[str, Any]:
    path = paths.training_cost(recipe, seed)
    if not path.is_file():
        return {}
    return dict(read_object(path, "delete it"))


def write_cost(recipe: str, seed: int, cost: dict[str, Any]) -> None:
    """Times of a run: with the logs, since they differ from run to run."""
    path = paths.training_cost(recipe, seed)
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(cost, indent=1, sort_keys=True) + "\n", encoding="utf-8")
