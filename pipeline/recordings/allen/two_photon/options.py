"""Options of the dataset ``allen_2p``: which experiments, and how responses are taken from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.core.section import Section
from pipeline.recordings.allen.options import AllenOptions
from pipeline.recordings.allen.responses import WINDOWS_S

KIND = "allen_2p"
Area = Literal["VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl"]
Stimulus = Literal[
    "natural_movie_one",
    "natural_movie_two",
    "natural_movie_three",
    "natural_scenes",
    "static_gratings",
    "drifting_gratings",
]
SessionType = Literal["three_session_A", "three_session_B", "three_session_C", "three_session_C2"]
SHOWN_IN: dict[str, tuple[str, ...]] = {
    "natural_movie_one": ("three_session_A", "three_session_B", "three_session_C", "three_session_C2"),
    "natural_movie_two": ("three_session_C", "three_session_C2"),
    "natural_movie_three": ("three_session_A",),
    "natural_scenes": ("three_session_B",),
    "static_gratings": ("three_session_B",),
    "drifting_gratings": ("three_session_A",),
}
"""Stimulus → the sessions that showed it."""


class CellFilter(Section):
    """One condition on the published metrics of a cell, as allensdk's ``get_cell_specimens(filters=…)`` takes it."""

    field: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="column of the published cell metrics, e.g. p_ns or osi_sg"
    )
    op: Literal["=", "<", ">", "<=", ">=", "between", "in", "is"] = Field(description="comparison")
    value: bool | float | tuple[float, ...] = Field(description="a number; several for between and in")

    @model_validator(mode="after")
    def _as_many_values_as_the_comparison_takes(self) -> CellFilter:
        n_values = len(self.value) if isinstance(self.value, tuple) else 1
        several = isinstance(self.value, tuple)
        if several != (self.op in ("between", "in")) or (self.op == "between" and n_values != 2):
            raise ValueError(f"'{self.op}' of cell filter {self.field} does not go with {self.value}")
        return self

    def as_allensdk_has_it(self) -> dict[str, Any]:
        """The same as a filter dictionary."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"field": self.field, "op": self.op, "value": value}


class Allen2pOptions(AllenOptions):
    """``limit`` takes so many imaged fields (experiment containers), going round the areas."""

    kind: Literal["allen_2p"] = Field("allen_2p", description="Allen Brain Observatory, 2-photon calcium imaging")
    areas: tuple[Area, ...] = Field(
        ("VISp", "VISl", "VISal", "VISpm", "VISam"), min_length=1, description="visual areas that were imaged"
    )
    stimuli: tuple[Stimulus, ...] = Field(
        ("natural_movie_one",),
        min_length=1,
        description="stimuli, all in time (movies, drifting gratings) or all items (scenes, static gratings)",
    )
    session_types: tuple[SessionType, ...] = Field(
        (), description="sessions to take; by default each that showed all of the stimuli. Cells are matched over them"
    )
    cre_lines: tuple[str, ...] = Field((), description="driver lines, e.g. Cux2-CreERT2; by default all")
    depth_um: tuple[int, int] = Field((0, 1000), description="lowest and highest imaging depth in µm, both included")
    containers: tuple[int, ...] = Field((), description="numbers of experiment containers; by default all that fit")
    leave_out: tuple[int, ...] = Field((), description="numbers of experiment containers to leave out")
    include_failed: bool = Field(False, description="also containers that the Allen Institute marks as failed")
    cell_filters: tuple[CellFilter, ...] = Field((), description="conditions on the published metrics of cells")
    signal: Literal["events", "dff"] = Field(
        "events", description="inferred events, or dF/F; events come in a file of their own"
    )
    response_window_s: tuple[float, float] | None = Field(
        None,
        description="a frame or picture is answered from the first until before the last of these, in s after its "
        f"onset; by default {WINDOWS_S['events']} for events and {WINDOWS_S['dff']} for dF/F",
    )
    min_reliability: float = Field(
        0.0, ge=0, lt=1, description="cells whose mean over repeats is less reliable are left out; 0 keeps all"
    )

    @field_validator("depth_um")
    @classmethod
    def _depth_in_order(cls, value: tuple[int, int]) -> tuple[int, int]:
        if value[0] > value[1]:
            raise ValueError(f"lowest ({value[0]}) exceeds highest ({value[1]})")
        return value

    @model_validator(mode="after")
    def _sessions_showed_all(self) -> Allen2pOptions:
        if not self._showed_all:
            raise ValueError(f"no session showed all of {', '.join(self.stimuli)}; make several analyses of them")
        wrong = [name for name in self.session_types if name not in self._showed_all]
        if wrong:
            others = ", ".join(sorted(self._showed_all))
            raise ValueError(f"{wrong[0]} did not show all of {', '.join(self.stimuli)}; {others} did")
        return self

    @property
    def sessions(self) -> tuple[str, ...]:
        """The session types to take."""
        return tuple(sorted(set(self.session_types) or self._showed_all))

    @property
    def _showed_all(self) -> set[str]:
        return set.intersection(*(set(SHOWN_IN[name]) for name in self.stimuli))

    @property
    def window_s(self) -> tuple[float, float]:
        return self.response_window_s or WINDOWS_S[self.signal]
