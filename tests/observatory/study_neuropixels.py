"""What a server of Neuropixels sessions with planted layers needs: rows and files of made-up mice."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pipeline.recordings.allen.neuropixels.catalogue import MOVIE_NUMBER
from pipeline.recordings.allen.stimuli import SCENES
from tests.observatory.planted_neuropixels import SpikingDesign, make_session
from tests.observatory.planted_two_photon import make_drives
from tests.observatory.rows_neuropixels import warehouse


def simulate_sessions(
    design: SpikingDesign, weights_folder: Path, n_sessions: int
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, bytes]]:
    """Rows and files of a warehouse, for `tests.observatory.server.ObservatoryServer`.

    Parameters
    ----------
    weights_folder : of EfficientNet-Lite0, whose layers are planted
    n_sessions : of one mouse each
    """
    n_readouts = dict.fromkeys(design.planted, n_sessions)
    movies, scenes = (make_drives(part, weights_folder, n_readouts) for part in design.parts)
    sessions = [make_session(number, movies, scenes, design) for number in range(n_sessions)]
    with tempfile.TemporaryDirectory() as folder:
        return warehouse(
            sessions,
            Path(folder),
            movies={MOVIE_NUMBER[name]: movies.pictures[name] for name in design.frames},
            scenes=list(scenes.pictures[SCENES]),
        )
