"""Rows of the 2-photon warehouse: the real containers of the mirror, or a few made up in their form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
REAL = "raw.githubusercontent.com/davidhbrann/CompClub-sklearn/377633e7990993c58fbae2c942448e35b657d6db/boc"
STRUCTURES = {"VISp": 385, "VISl": 409, "VISal": 402, "VISpm": 533, "VISam": 394, "VISrl": 417}


def real_containers(mirror: Path) -> list[Row]:
    """216 containers with 648 experiments."""
    rows: list[Row] = json.loads((mirror / REAL / "experiment_containers.json").read_text())
    return rows


def real_stimulus_mappings(mirror: Path) -> list[Row]:
    rows: list[Row] = json.loads((mirror / REAL / "stimulus_mappings.json").read_text())
    return rows


def made_up_containers(areas: Iterable[str], per_area: int = 2, depth_um: int = 175) -> list[Row]:
    """Containers in the form of the real ones, one mouse each, three sessions each."""
    rows = []
    for turn in range(per_area):
        for place, area in enumerate(areas):
            number = 700_000_000 + 1000 * place + 100_000 * turn
            donor = f"{300_000 + 10 * place + turn}"
            lines = [{"name": "Cux2-CreERT2", "transgenic_line_type_name": "driver"}]
            specimen = {
                "id": number + 900,
                "name": f"Cux2-CreERT2;Camk2a-tTA;Ai93-{donor}",
                "donor": {
                    "external_donor_name": donor,
                    "date_of_birth": "2016-10-03T00:00:00Z",
                    "transgenic_lines": lines,
                    "conditions": [],
                },
            }
            sessions = [
                {
                    "id": number + one,
                    "stimulus_name": f"three_session_{letter}",
                    "date_of_acquisition": "2017-02-08T21:57:10Z",
                    "imaging_depth": depth_um,
                    "experiment_container_id": number,
                }
                for one, letter in enumerate("ABC", start=1)
            ]
            rows.append(
                {
                    "id": number,
                    "failed": False,
                    "imaging_depth": depth_um,
                    "targeted_structure": {"id": STRUCTURES[area], "acronym": area},
                    "specimen": specimen,
                    "specimen_id": specimen["id"],
                    "ophys_experiments": sessions,
                }
            )
    return rows


def experiment_rows(containers: Iterable[Row]) -> list[Row]:
    """OphysExperiment rows as a query that includes container, structure and specimen gives them."""
    return [
        {
            **experiment,
            "experiment_container": {"id": container["id"], "failed": container["failed"]},
            "targeted_structure": container["targeted_structure"],
            "specimen": container["specimen"],
        }
        for container in containers
        for experiment in container["ophys_experiments"]
    ]


def file_rows(experiments: Iterable[int]) -> list[Row]:
    """WellKnownFile rows of NWB files and events; download links as `link_of` says."""
    return [
        {
            "id": 10 * experiment + place,
            "attachable_id": experiment,
            "attachable_type": "OphysExperiment",
            "download_link": link_of(experiment, kind),
            "well_known_file_type": {"name": kind},
        }
        for experiment in experiments
        for place, kind in enumerate(("NWBOphys", "ObservatoryEventsFile"))
    ]


def link_of(experiment: int, kind: str) -> str:
    place = ("NWBOphys", "ObservatoryEventsFile").index(kind)
    return f"/api/v2/well_known_file_download/{10 * experiment + place}"


def observatory_rows(
    containers: list[Row], mappings: Iterable[Row] = (), cells: Iterable[Row] = ()
) -> dict[str, list[Row]]:
    """Model → rows, for `tests.observatory.server.ObservatoryServer`."""
    experiments = experiment_rows(containers)
    return {
        "ExperimentContainer": containers,
        "OphysExperiment": experiments,
        "WellKnownFile": file_rows(int(one["id"]) for one in experiments),
        "ApiCamStimulusMapping": list(mappings),
        "ApiCamCellMetric": list(cells),
    }
