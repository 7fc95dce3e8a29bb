"""Which device torch computes on: a choice of the run, never part of a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.errors import LayermapError

if TYPE_CHECKING:
    import torch


def choose_device(device: str) -> torch.device:
    """``auto`` takes the GPU where there is one; anything else must be a device that torch can use here.

    Raises
    ------
    LayermapError
        No such device, or a GPU was asked for and there is none.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise LayermapError(f"device '{device}' is unknown to torch; use auto, cpu or cuda") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise LayermapError(
            f"device '{device}' was asked for, but torch sees no GPU here; use device=cpu or device=auto"
        )
    return chosen
