"""The files that a finished training leaves and ships, and the door to them for whoever runs its network.

A folder ``RECIPE/seed-N/`` holds the encoder's weights, the card, facts and tables, and ``receipt.json`` with the
SHA-256 of all of these. It lies in ``data/training/`` where it was trained, or within the package where it is shipped.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.artifacts.catalogue import Receipt, read_sealed
from pipeline.core.errors import BrokenArtifact
from pipeline.core.keys import sha256_of_file
from pipeline.formats.documents import read_object

WEIGHTS = "weights.safetensors"
CURVE, HELD_OUT, PROBES = "curve.csv", "held_out.csv", "probes.csv"
RUN, CARD, RECEIPT = "run.json", "card.md", "receipt.json"
SHIPPED_FILES = (WEIGHTS, CURVE, HELD_OUT, PROBES, RUN, CARD)
"""All that is shipped but the receipt."""


class _Facts(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


PICTURES = "pictures"


class DietOfTraining(_Facts):
    """What a network was trained on, as ``run.json`` describes it."""

    modality: str = Field(PICTURES, description="pictures, clips or sounds")
    contents: str = Field(description="SHA-256 of the samples' own files")
    title: str
    licence: str
    citation: str
    size_px: int = Field(0, description="side of pictures and frames; 0 for sounds")
    mean: tuple[float, ...] = Field((), description="of the training pictures' colours, 0 to 1")
    sd: tuple[float, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_form(cls, told: Any) -> Any:
        """Size and modality stand in ``form``, but for pictures of the first trainings."""
        form = told.get("form") if isinstance(told, dict) else None
        if not isinstance(form, dict):
            return told
        shape, modality = list(form.get("shape") or []), form.get("modality", PICTURES)
        return {"size_px": shape[-2] if len(shape) > 2 else 0, **told, "modality": modality}


class TrainingFacts(_Facts):
    """What a network needs to be run and named, of all that ``run.json`` holds."""

    recipe: str
    seed: int
    layers: tuple[str, ...]
    n_parameters: int
    objective: str
    citation: str
    trained: str = Field(description="self-supervised, supervised or random")
    diet: DietOfTraining
    options: dict[str, Any] = Field(description="the recipe")

    @property
    def network(self) -> dict[str, Any]:
        """The recipe's section ``network``."""
        return dict(self.options["network"])


def open_training(folder: Path, remedy: str) -> tuple[TrainingFacts, Receipt]:
    """Facts and receipt of a training whose files are all as they were written.

    Raises
    ------
    BrokenArtifact
        A file is missing or was altered; the message names it and ``remedy``.
    """
    receipt = open_training_receipt(folder, remedy)
    for file in receipt.files:
        path = folder / file.path
        if not path.is_file() or digest_of(path) != file.sha256:
            raise BrokenArtifact(f"{path} is missing or was altered since it was written; {remedy}")
    missing = {WEIGHTS, RUN} - {file.path for file in receipt.files}
    if missing:
        raise BrokenArtifact(f"{folder / RECEIPT} does not list {min(missing)}; {remedy}")
    try:
        return TrainingFacts.model_validate(read_object(folder / RUN, remedy)), receipt
    except ValidationError as error:
        raise BrokenArtifact(
            f"{folder / RUN} is not what this layermap writes ({error.errors()[0]['msg']}); {remedy}"
        ) from error


def modality_of(folder: Path) -> str:
    """What a training was of, without a look at whether its files are as they were written."""
    try:
        return DietOfTraining.model_validate(read_object(folder / RUN, "").get("diet")).modality
    except (BrokenArtifact, ValidationError):
        return PICTURES  # whoever opens it says what is wrong


def open_training_receipt(folder: Path, remedy: str) -> Receipt:
    """The receipt of a finished training; errors as of `open_training`."""
    if not (folder / RECEIPT).is_file():
        raise BrokenArtifact(f"{folder} holds no finished training; {remedy}")
    return read_sealed(folder / RECEIPT, Receipt, remedy)


def digest_of(path: Path) -> str:
    """SHA-256, hex; computed once in a process for a file that does not change."""
    state = path.stat()
    return _digest(path.absolute(), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=1024)
def _digest(path: Path, mtime_ns: int, size: int) -> str:
    return sha256_of_file(path)
