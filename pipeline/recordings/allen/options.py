"""What ``allen_2p`` and ``allen_neuropixels`` have in common: options, and how the Allen Institute names its mice."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from pipeline.recordings.allen.stimuli import AS_ITEMS, FRAME_RATE_HZ, IN_TIME
from pipeline.recordings.entry import DatasetOptions


class AllenOptions(DatasetOptions):
    """Which stimuli, and how responses to them are taken."""

    stimuli: tuple[str, ...]
    require_eye_tracking: bool = Field(False, description="only sessions with eye tracking")
    frames_per_bin: int = Field(
        15, ge=1, le=900, description=f"frames of a movie, {FRAME_RATE_HZ:g} per s, that make up one sample"
    )
    response_window_s: tuple[float, float] | None = Field(
        None, description="a frame or picture is answered within it, in s after its onset"
    )

    @field_validator("response_window_s")
    @classmethod
    def _window_in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1]:
            raise ValueError(f"first ({value[0]:g}) and last ({value[1]:g}) must be in order, and not negative")
        return value

    @model_validator(mode="after")
    def _stimuli_of_one_kind(self) -> Self:
        if len({name in IN_TIME for name in self.stimuli}) > 1:
            raise ValueError(
                f"stimuli {', '.join(self.stimuli)} are partly in time ({', '.join(IN_TIME)}) and partly items "
                f"({', '.join(AS_ITEMS)}); make two analyses of them"
            )
        return self

    @property
    def in_time(self) -> bool:
        """Whether the stimuli are in time: not items, but movies or drifting gratings."""
        return self.stimuli[0] in IN_TIME


def mouse_of(specimen: str) -> str:
    """``Sst-IRES-Cre;Ai32-387858`` → ``mouse-387858``; names without a number at their end stay as they are."""
    found = re.search(r"-(\d+)$", specimen)
    return f"mouse-{found[1]}" if found else specimen
