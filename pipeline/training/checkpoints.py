"""Checkpoints: all that a training needs to go on as if it had never stopped.

``checkpoints/step-00000400/`` appears whole or not at all, and holds ``state.safetensors`` and its SHA-256 (`sha256sum
-c state.sha256`). Tensors and plain JSON, nothing that runs. The last two are kept: one that was damaged is refused by
name, and training goes on from the one before.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.storage.store import remove, write_whole
from pipeline.core.keys import sha256_of_file

if TYPE_CHECKING:
    import torch

KEPT = 2
STATE, DIGEST = "state.safetensors", "state.sha256"
_FOLDER = re.compile(r"step-([0-9]{8})")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A training after some steps.

    Parameters
    ----------
    step : steps that were taken
    tensors : by name, on the processor
    notes : what JSON can hold
    """

    step: int
    tensors: dict[str, torch.Tensor]
    notes: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training.

    Parameters
    ----------
    folder : that they are written into
    key : of the training; others' checkpoints are passed over
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key

    def write(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, and remove all but the last two; its folder."""
        from safetensors.torch import save_file

        place = self.folder / f"step-{checkpoint.step:08d}"
        with write_whole(place) as temporary:
            temporary.mkdir(parents=True)
            told = json.dumps({"key": self.key, "step": checkpoint.step, "notes": checkpoint.notes})
            save_file(checkpoint.tensors, temporary / STATE, metadata={"training": told})
            digest = sha256_of_file(temporary / STATE)
            (temporary / DIGEST).write_text(f"{digest}  {STATE}\n", encoding="ascii")
        for older in self._found()[KEPT:]:
            remove(older)
        return place

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole and of this training, and a sentence on each that was refused."""
        refused = []
        for place in self._found():
            reason = _damage(place)
            if reason:
                refused.append(f"{place / STATE} {reason}; it is not used")
                continue
            checkpoint = self._read(place)
            if checkpoint is not None:
                return checkpoint, refused
        return None, refused

    def discard(self) -> None:
        """Remove all."""
        remove(self.folder)

    def _found(self) -> list[Path]:
        """Newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _FOLDER.fullmatch(path.name)), reverse=True)

    def _read(self, place: Path) -> Checkpoint | None:
        """A checkpoint whose bytes are right; None if it is of a training with other options, code or pictures."""
        from safetensors import safe_open

        with safe_open(place / STATE, "pt") as file:
            told = json.loads(file.metadata()["training"])
            if told["key"] != self.key:
                return None
            return Checkpoint(told["step"], {name: file.get_tensor(name) for name in file.keys()}, told["notes"])  # noqa: SIM118


def _damage(place: Path) -> str:
    """What is wrong with a checkpoint's bytes; empty if nothing is."""
    try:
        stated = (place / DIGEST).read_text(encoding="ascii", errors="replace").partition(" ")[0]
        found = sha256_of_file(place / STATE)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return "" if stated == found else "was altered since it was written: its SHA-256 is another"


def flattened(states: dict[str, dict[str, Any]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of several state dicts, each under ``PART.NAME``, copied to the processor."""
    for part, state in states.items():
        for name, value in state.items():
            yield f"{part}.{name}", value.detach().cpu().contiguous().clone()


def part_of(tensors: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """The tensors of one part, under their own names."""
    return {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}
