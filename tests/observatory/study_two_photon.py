"""What a server of 2-photon experiments with planted layers needs: real metadata from the mirror, or made-up ones."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.recordings.allen.two_photon.catalogue import find_experiments, take_in_turn
from pipeline.recordings.allen.two_photon.options import Allen2pOptions
from tests.http_server import running
from tests.observatory.planted_two_photon import Design, experiment_files, make_drives, random_drives
from tests.observatory.rows_two_photon import link_of, made_up_containers, observatory_rows, real_containers
from tests.observatory.server import ObservatoryServer


@dataclasses.dataclass(frozen=True)
class Observatory:
    """What a server needs to answer for the experiments of some options.

    Parameters
    ----------
    rows : model → rows of the whole warehouse
    files : path on the public host → contents, of the experiments that were simulated
    """

    rows: dict[str, list[dict[str, Any]]]
    files: dict[str, bytes]

    def server(self, **behaviour: Any) -> ObservatoryServer:
        return ObservatoryServer(self.rows, self.files, **behaviour)


def simulate_observatory(
    options: Allen2pOptions, design: Design, weights_folder: Path | None, mirror: Path | None = None
) -> Observatory:
    """Simulate the experiments that the options select.

    Parameters
    ----------
    weights_folder : of EfficientNet-Lite0, whose layers are planted; None for cells that answer at random
    mirror : where the real metadata are; None makes some up
    """
    containers = made_up_containers(options.areas) if mirror is None else real_containers(mirror)
    rows = observatory_rows(containers)
    with running(ObservatoryServer(rows, {})) as server:
        taken = take_in_turn(find_experiments(options, server.prefix), options)
    sessions = [session for container in taken for session in container["sessions"]]
    counts = Counter(str(container["targeted_structure"]) for container in taken)
    drives = random_drives(design, counts) if weights_folder is None else make_drives(design, weights_folder, counts)
    files = experiment_files(sessions, drives, design)
    return Observatory(
        rows, {link_of(experiment, kind): body for experiment, both in files.items() for kind, body in both.items()}
    )
