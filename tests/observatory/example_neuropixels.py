"""A small Neuropixels session with everything that the released ones have."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tests.observatory.files_neuropixels import ChannelDesign, ProbeDesign, SessionDesign, UnitDesign, movie_rows

END_S = 130.0
N_FRAMES, MOVIE_STARTS_S = 60, ((1, 10.0), (1, 12.0), (4, 60.0), (4, 62.0))
"""Two passes in each of two blocks."""
N_SCENES, SCENE_S = 5, 0.25
CORTEX_UM = (8200.0, 1500.0, 8600.0)
FAILING = {
    "noise": {"quality": "noise"},
    "cut off": {"amplitude_cutoff": 0.11},
    "absent": {"presence_ratio": 0.94},
    "contaminated": {"isi_violations": 0.51},
}
"""What may be wrong with a unit."""


def example_session(session: int = 715093703, *, seed: int = 0, **changes: Any) -> SessionDesign:
    """Probe A passes VISp and LGd and leaves the brain, probe B ends within VISl.

    Unit ids are ``session·100 + n``: 0–3 in VISp, 4 in LGd, 5–6 in VISl, 7–10 in VISp with the faults of `FAILING`,
    11 outside the brain, 12 on a channel that is not valid.

    Parameters
    ----------
    changes : fields of `SessionDesign` that differ
    """
    import pandas as pd

    rng = np.random.default_rng((session, seed))
    first, second = 10 * session, 10 * session + 1
    places = [(first, 0, "LGd-sh"), (first, 20, "VISp"), (first, 22, "VISp"), (first, 30, None)]
    places += [(second, 0, "VISl"), (second, 40, "VISl"), (second, 42, "VISl")]
    channels = tuple(
        ChannelDesign(
            id=100 * probe + number,
            probe_id=probe,
            number=number,
            acronym=acronym,
            ccf_um=None if acronym is None else (CORTEX_UM[0] + number, CORTEX_UM[1] - 10 * number, CORTEX_UM[2] + 7),
            valid=(probe, number) != (second, 42),
        )
        for probe, number, acronym in places
    )
    at = {(one.probe_id, one.number): one.id for one in channels}
    sites = [(first, 20)] * 2 + [(first, 22)] * 2 + [(first, 0)] + [(second, 0), (second, 40)] + [(first, 20)] * 4
    sites += [(first, 30), (second, 42)]
    faults: list[dict[str, Any]] = [{}] * 7 + list(FAILING.values()) + [{}] * 2
    units = tuple(
        UnitDesign(100 * session + number, at[site], np.sort(rng.uniform(0, END_S, 2000)), **fault)
        for number, (site, fault) in enumerate(zip(sites, faults, strict=True))
    )
    times_s = np.arange(0, END_S, 1 / 30)
    half_width_px = 20 + 5 * np.sin(times_s / 7)
    half_width_px[900:960] = np.nan
    design = SessionDesign(
        session_id=session,
        specimen=f"Sst-IRES-Cre;Ai32-{session % 1_000_000}",
        probes=(ProbeDesign(first, "probeA"), ProbeDesign(second, "probeB")),
        channels=channels,
        units=units,
        presentations=pd.DataFrame(_presentations(rng)),
        running=(np.linspace(0, END_S, 60 * int(END_S) + 1), rng.uniform(0, 30, 60 * int(END_S))),
        pupil=(times_s, half_width_px, 0.9 * half_width_px),
    )
    return dataclasses.replace(design, **changes)


def _presentations(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = movie_rows("natural_movie_one", N_FRAMES, MOVIE_STARTS_S)
    rows += movie_rows("natural_movie_three", 90, [(2, 15.0), (2, 18.0)])
    shown = rng.permutation(np.repeat(np.arange(-1, N_SCENES), 4))
    rows += _items("natural_scenes", 3, 25.0, [{"frame": float(number)} for number in shown])
    gratings = [
        {"orientation": 30.0 * turn, "spatial_frequency": "0.04", "phase": f"{phase:g}"}
        for turn in range(3)
        for phase in (0.0, 0.25)
    ]
    order = rng.permutation(np.repeat(np.arange(7), 3))
    rows += _items("static_gratings", 5, 70.0, [gratings[number] if number < 6 else {} for number in order])
    phase = "[21211.93333333, 21211.93333333]"
    drifting = [
        {"orientation": orientation, "temporal_frequency": 2.0, "spatial_frequency": "0.04", "phase": phase}
        for orientation in (0.0, 90.0)
    ]
    order = rng.permutation(np.repeat(np.arange(3), 3))
    shown_gratings = [drifting[number] if number < 2 else {} for number in order]
    rows += _items("drifting_gratings", 6, 80.0, shown_gratings, every_s=3.0, lasts_s=2.0)
    rows.append({"start_time": 0.5, "stop_time": 9.5, "stimulus_name": "spontaneous"})
    return rows


def _items(
    name: str,
    block: int,
    start_s: float,
    shown: list[dict[str, Any]],
    every_s: float = SCENE_S,
    lasts_s: float = SCENE_S,
) -> list[dict[str, Any]]:
    return [
        {
            "start_time": start_s + place * every_s,
            "stop_time": start_s + place * every_s + lasts_s,
            "stimulus_name": name,
            "stimulus_block": float(block),
            **parameters,
        }
        for place, parameters in enumerate(shown)
    ]
