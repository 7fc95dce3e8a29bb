"""Options of the dataset ``allen_neuropixels``: which sessions and units, and how responses are taken from them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.recordings.allen.options import AllenOptions
from pipeline.recordings.allen.responses import WINDOWS_S

KIND = "allen_neuropixels"
Area = Literal["VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl", "LGd", "LP"]
THALAMUS = ("LGd", "LP")
Stimulus = Literal["natural_movie_one", "natural_movie_three", "natural_scenes", "static_gratings", "drifting_gratings"]
SessionType = Literal["brain_observatory_1.1", "functional_connectivity"]
SHOWN_IN: dict[str, tuple[str, ...]] = {
    "natural_movie_one": ("brain_observatory_1.1", "functional_connectivity"),
    "natural_movie_three": ("brain_observatory_1.1",),
    "natural_scenes": ("brain_observatory_1.1",),
    "static_gratings": ("brain_observatory_1.1",),
    "drifting_gratings": ("brain_observatory_1.1",),
}
"""Stimulus → the types of session that showed it."""


class AllenNeuropixelsOptions(AllenOptions):
    """``limit`` takes so many sessions, those with most of the wanted areas first, then by number."""

    kind: Literal["allen_neuropixels"] = Field(
        "allen_neuropixels", description="Allen Visual Coding, Neuropixels probes"
    )
    areas: tuple[Area, ...] = Field(
        ("VISp", "VISl", "VISal", "VISpm", "VISam"),
        min_length=1,
        description="structures whose units are taken: visual cortex, and LGd and LP of the thalamus",
    )
    stimuli: tuple[Stimulus, ...] = Field(
        ("natural_movie_one",),
        min_length=1,
        description="stimuli, all in time (movies, drifting gratings) or all items (scenes, static gratings)",
    )
    session_types: tuple[SessionType, ...] = Field(
        ("brain_observatory_1.1",),
        min_length=1,
        description="types of session; functional_connectivity has 60 repeats of movie one",
    )
    genotypes: tuple[str, ...] = Field(
        (), description="parts of genotypes, any of which a mouse must have, e.g. Sst-IRES-Cre or wt/wt; by default all"
    )
    sessions: tuple[int, ...] = Field((), description="numbers of sessions; by default all that fit")
    leave_out: tuple[int, ...] = Field((), description="numbers of sessions to leave out")
    amplitude_cutoff_max: float = Field(
        0.1, ge=0, description="highest estimated part of a unit's spikes that was missed; allensdk's default is 0.1"
    )
    presence_ratio_min: float = Field(
        0.95, ge=0, le=1, description="lowest part of the session in which a unit fired; allensdk's default is 0.95"
    )
    isi_violations_max: float = Field(
        0.5,
        ge=0,
        description="highest rate of refractory violations relative to the unit's own; allensdk's default is 0.5",
    )
    min_units: int = Field(1, ge=1, description="an area with fewer units in a session is left out of it")
    min_reliability: float = Field(
        0.0, ge=0, lt=1, description="units whose mean over repeats is less reliable are left out; 0 keeps all"
    )
    cortical_layers: bool = Field(
        False,
        description="cortical layer of each unit from the Common Coordinate Framework; units without are left out",
    )
    response_window_s: tuple[float, float] | None = Field(
        None,
        description="a frame or picture is answered from the first until before the last of these, in s after its "
        f"onset; by default {WINDOWS_S['spikes']}",
    )

    @model_validator(mode="after")
    def _sessions_showed_all(self) -> AllenNeuropixelsOptions:
        for session_type in self.session_types:
            unseen = [name for name in self.stimuli if session_type not in SHOWN_IN[name]]
            if unseen:
                raise ValueError(f"{session_type} did not show {unseen[0]}; leave one of the two out")
        return self

    @model_validator(mode="after")
    def _layers_only_in_cortex(self) -> AllenNeuropixelsOptions:
        outside = [name for name in self.areas if name in THALAMUS]
        if self.cortical_layers and outside:
            raise ValueError(f"cortical_layers needs areas of the cortex, and {outside[0]} lies in the thalamus")
        return self

    @property
    def window_s(self) -> tuple[float, float]:
        return self.response_window_s or WINDOWS_S["spikes"]
