"""Feature spaces that layers are fitted jointly with: what they are called, and where they lie."""

from __future__ import annotations

import dataclasses
from pathlib import Path

LAYER = "layer"  # the space that is the layer itself


@dataclasses.dataclass(frozen=True)
class SpaceFiles:
    """A named feature space on disk.

    Parameters
    ----------
    name : as the study names it
    layers : that make it up, side by side; None for all that the activations hold
    activations : of each run of the group, in order
    """

    name: str
    layers: tuple[str, ...] | None
    activations: tuple[Path, ...]
