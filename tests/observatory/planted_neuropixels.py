"""Mice whose units spike to known layers of EfficientNet-Lite0, in the files of Allen Visual Coding – Neuropixels.

A session holds what a real one does: movies and scenes in blocks that alternate, grey screens among the scenes and
between blocks, a probe in each area, units of poor quality, running that changes rates, and a pupil. A unit reads out
the layer of its area by weights chosen as in `tests.observatory.planted_two_photon`, others for movies than for scenes:
the two are analysed apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.recordings.allen.presentations import BLANK_CONDITION
from pipeline.recordings.allen.responses import WINDOWS_S
from pipeline.recordings.allen.stimuli import FRAME_RATE_HZ, SCENES
from tests.observatory.example_neuropixels import CORTEX_UM, FAILING
from tests.observatory.files_neuropixels import ChannelDesign, ProbeDesign, SessionDesign, UnitDesign, movie_rows
from tests.observatory.planted_two_photon import (
    PLANTED,
    QUIET_S,
    RATE_2P_HZ,
    SCENE_S,
    Design,
    Drives,
    running_bouts,
)
from tests.observatory.rows_neuropixels import TARGETED

if TYPE_CHECKING:
    import pandas as pd

LATENCY_S = 0.05
CLOCK_ERROR = 5e-4
"""Largest deviation of a session's frames from 1/30 s, as a part of it."""
N_BLOCKS = 2
"""Each stimulus is shown in two blocks, with the others between them."""
GREY_S = 2.0
STEP_S = 0.1
"""Longest stretch with one rate: running changes more slowly."""
FIRST_SESSION, FIRST_MOUSE = 715_093_703, 387_858
SESSION_STEP = 1000
FIRST_NUMBER = 20
"""Channel of the lowest unit of a probe, which leaves the brain above its units."""


@dataclasses.dataclass(frozen=True)
class SpikingDesign:
    """What is shown, and how well single spikes tell it.

    Parameters
    ----------
    frames : movie → number of frames
    n_scenes : scenes, besides the grey screen
    n_repeats : stimulus → repeats, at least one per block
    n_units : of good quality, per area and session
    planted : area → layer
    mean_rate_hz : of every unit, spikes/s
    modulation : SD of the rate that is due to the stimulus, as a part of the mean rate; rates below 0 are 0
    running_gain : effect of one SD of running speed, in SDs of the stimulus' effect
    frames_per_bin, movie_window_s, scene_window_s : as in the study
    """

    frames: Mapping[str, int]
    n_scenes: int
    n_repeats: Mapping[str, int]
    n_units: int
    planted: Mapping[str, str] = dataclasses.field(default_factory=lambda: PLANTED)
    mean_rate_hz: float = 30.0
    modulation: float = 0.5
    running_gain: float = 0.5
    frames_per_bin: int = 15
    movie_window_s: tuple[float, float] = WINDOWS_S["spikes"]
    scene_window_s: tuple[float, float] = WINDOWS_S["spikes"]
    seed: int = 0

    @property
    def stimuli(self) -> tuple[str, ...]:
        return (*self.frames, SCENES)

    def part(self, shown: Mapping[str, int], window_s: tuple[float, float]) -> Design:
        """Movies or scenes, as readouts are chosen for them; with pictures of their own."""
        return Design(
            shown,
            n_repeats=0,
            n_cells=self.n_units,
            planted=self.planted,
            frames_per_bin=self.frames_per_bin,
            window_s=window_s,
            latency_s=LATENCY_S,
            seed=self.seed + len(self.frames) * (SCENES in shown),
        )

    @property
    def parts(self) -> tuple[Design, Design]:
        return (
            self.part(self.frames, self.movie_window_s),
            self.part({SCENES: self.n_scenes}, self.scene_window_s),
        )


SMALL = SpikingDesign(
    frames={"natural_movie_one": 60, "natural_movie_three": 240},
    n_scenes=118,
    n_repeats={"natural_movie_one": 12, "natural_movie_three": 12, SCENES: 10},
    n_units=10,
    mean_rate_hz=40.0,
    frames_per_bin=1,
    movie_window_s=(LATENCY_S, LATENCY_S + 1 / FRAME_RATE_HZ),
)
"""As many bins of movies as in real sessions, of one frame each."""
TRUE_TO_SIZE = SpikingDesign(
    frames={"natural_movie_one": 900, "natural_movie_three": 3600},
    n_scenes=118,
    n_repeats={"natural_movie_one": 20, "natural_movie_three": 10, SCENES: 50},
    n_units=20,
    mean_rate_hz=20.0,
)
"""As long as real sessions without their gratings: 55 minutes."""


def make_session(number: int, movies: Drives, scenes: Drives, design: SpikingDesign) -> SessionDesign:
    """One session, the ``number``-th of all."""
    generator = np.random.default_rng([design.seed, number])
    session = FIRST_SESSION + SESSION_STEP * number
    table, end_s = _presentations(design, generator)
    n_times = int(end_s * RATE_2P_HZ)
    times_s = np.arange(n_times + 1) / RATE_2P_HZ
    speed_cm_s = running_bouts(n_times, generator)
    pupil_px2 = 900 + 200 * running_bouts(n_times, generator)
    half_px = np.sqrt(np.maximum(pupil_px2, 0) / np.pi)
    edges_s, picture = _stretches(table, end_s, design)
    running = np.interp(edges_s[:-1] + LATENCY_S, times_s[:-1], (speed_cm_s - speed_cm_s.mean()) / speed_cm_s.std())
    readouts = slice(number * design.n_units, (number + 1) * design.n_units)
    # after the pictures, a row for the grey screen
    drives = {
        area: np.pad(np.concatenate([one.by_area[area][:, readouts] for one in (movies, scenes)]), ((0, 1), (0, 0)))
        for area in design.planted
    }
    probes, channels, units = [], [], []
    names = {area: name for name, area in TARGETED.items()}
    for place, area in enumerate(design.planted):
        probe = 10 * session + place
        probes.append(ProbeDesign(probe, names[area]))
        drive = np.concatenate([drives[area], _of_another_area(drives, area)], axis=1)[picture]
        rate_hz = np.maximum(1 + design.modulation * (drive + design.running_gain * running[:, None]), 0)
        spikes = _spike_times(design.mean_rate_hz * rate_hz, edges_s, generator)
        faults: list[dict[str, Any]] = [*[{}] * design.n_units, *FAILING.values()]
        first = 1000 * session + 100 * place
        for unit, (spikes_s, fault) in enumerate(zip(spikes, faults, strict=True)):
            channels.append(_channel(probe, FIRST_NUMBER + 2 * unit, area))
            units.append(UnitDesign(first + unit, channels[-1].id, spikes_s, **fault))
        channels.append(_channel(probe, FIRST_NUMBER + 2 * len(faults), None))
    return SessionDesign(
        session_id=session,
        specimen=f"Sst-IRES-Cre;Ai32-{FIRST_MOUSE + number}",
        specimen_id=session + 1,
        donor_id=session + 2,
        probes=tuple(probes),
        channels=tuple(channels),
        units=tuple(units),
        presentations=table,
        running=(times_s, speed_cm_s),
        pupil=(times_s[:-1], half_px, half_px),
        genotype="none (simulated)",
    )


def _of_another_area(drives: Mapping[str, np.ndarray], area: str) -> np.ndarray:
    """What drives the units of poor quality, one of each fault: the layer of another area, which must not be found."""
    areas = list(drives)
    other = areas[(areas.index(area) + 2) % len(areas)]
    return np.asarray(drives[other][:, np.arange(len(FAILING)) % drives[other].shape[1]])


def _channel(probe: int, number: int, area: str | None) -> ChannelDesign:
    ap_um, dv_um, lr_um = CORTEX_UM
    place_um = None if area is None else (ap_um + number, dv_um - 10 * number, lr_um)
    return ChannelDesign(id=1000 * probe + number, probe_id=probe, number=number, acronym=area, ccf_um=place_um)


def _presentations(design: SpikingDesign, generator: np.random.Generator) -> tuple[pd.DataFrame, float]:
    """The session's presentations, and its length in s."""
    import pandas as pd

    frame_s = (1 + generator.uniform(-CLOCK_ERROR, CLOCK_ERROR)) / FRAME_RATE_HZ
    rows: list[dict[str, Any]] = [{"start_time": 1.0, "stop_time": QUIET_S, "stimulus_name": "spontaneous"}]
    at_s, block = QUIET_S, 0
    for turn in range(N_BLOCKS):
        for stimulus in design.stimuli:
            n_repeats = len(range(turn, design.n_repeats[stimulus], N_BLOCKS))
            if stimulus == SCENES:
                scenes = np.repeat(np.arange(BLANK_CONDITION, design.n_scenes), n_repeats)
                rows += _scene_rows(generator.permutation(scenes), block, at_s)
            else:
                pass_s = design.frames[stimulus] * frame_s
                passes = [(block, at_s + repeat * pass_s) for repeat in range(n_repeats)]
                rows += movie_rows(stimulus, design.frames[stimulus], passes, frame_s)
            at_s, block = rows[-1]["stop_time"] + GREY_S, block + 1
    return pd.DataFrame(rows), at_s + QUIET_S


def _scene_rows(scenes: Sequence[int] | np.ndarray, block: int, start_s: float) -> list[dict[str, Any]]:
    return [
        {
            "start_time": start_s + place * SCENE_S,
            "stop_time": start_s + (place + 1) * SCENE_S,
            "stimulus_name": SCENES,
            "stimulus_block": float(block),
            "frame": float(scene),
        }
        for place, scene in enumerate(scenes)
    ]


def _stretches(table: pd.DataFrame, end_s: float, design: SpikingDesign) -> tuple[np.ndarray, np.ndarray]:
    """Edges (n + 1,) in s of stretches with one picture each, and its row among all pictures; −1 for grey."""
    shown = table[table["stimulus_name"].isin(design.stimuli)]
    onset_s, stop_s = shown["start_time"].to_numpy(), shown["stop_time"].to_numpy()
    sizes = [*design.frames.values(), design.n_scenes]
    first = dict(zip(design.stimuli, np.cumsum([0, *sizes]), strict=False))
    frame = shown["frame"].to_numpy(int)
    row = np.where(frame == BLANK_CONDITION, -1, shown["stimulus_name"].map(first).to_numpy() + frame)
    edges_s = np.unique(np.concatenate([np.arange(0, end_s, STEP_S), onset_s, stop_s]))
    middle_s = (edges_s[1:] + edges_s[:-1]) / 2
    place = np.searchsorted(onset_s, middle_s, side="right") - 1
    on = (place >= 0) & (middle_s < stop_s[place])
    return edges_s, np.where(on, row[place], -1)


def _spike_times(rate_hz: np.ndarray, edges_s: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Poisson spikes of each unit, ascending, `LATENCY_S` after what drives them.

    Parameters
    ----------
    rate_hz : (n_stretches, n_units)
    edges_s : (n_stretches + 1,)
    """
    length_s = np.diff(edges_s)
    spikes = []
    for count in generator.poisson(rate_hz.T * length_s):
        times_s = np.repeat(edges_s[:-1], count) + np.repeat(length_s, count) * generator.random(count.sum())
        spikes.append(np.sort(times_s) + LATENCY_S)
    return spikes
