"""Rows of the Neuropixels warehouse: the real sessions and probes of the mirror, or those of described sessions."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.observatory.files_neuropixels import SessionDesign, write_session

Row = dict[str, Any]
REAL = (
    "raw.githubusercontent.com/OleBialas/Ecephys-Recordings-from-Mouse-Visual-System/"
    "7225b5cc3cdbb053e2feac59a58eb2bad20bbb33/data/cache"
)
PRODUCT = 714914585
STRUCTURES = {"VISp": 385, "VISl": 409, "VISal": 402, "VISpm": 533, "VISam": 394, "VISrl": 417, "LGd": 170, "LP": 218}
TARGETED = {
    "probeA": "VISam",
    "probeB": "VISpm",
    "probeC": "VISp",
    "probeD": "VISl",
    "probeE": "VISal",
    "probeF": "VISrl",
}
"""The area at which the Allen Institute aimed each probe."""
CHANNELS_PER_PROBE = 16
"""Enough that all probes' channels fill more than one page of an answer."""
FIRST_MOVIE, FIRST_SCENE = 900_000_000, 900_001_000
MOVIE_FOLDER = "/external/neuropixels/templates"


def link(number: int) -> str:
    """Download link of a well-known file."""
    return f"/api/v2/well_known_file_download/{number}"


def nwb_link(session: int) -> str:
    """Download link of a session's file."""
    return link(session + 1)


def warehouse(
    designs: Sequence[SessionDesign],
    folder: Path,
    *,
    movies: Mapping[int, np.ndarray] | None = None,
    scenes: Sequence[np.ndarray] = (),
) -> tuple[dict[str, list[Row]], dict[str, bytes]]:
    """What an ``ObservatoryServer`` needs to stand for the warehouse: rows by model, and files by path.

    Parameters
    ----------
    folder : where sessions are written on the way
    movies : number → frames (n, y, x) uint8
    scenes : pictures (y, x) uint8
    """
    files = {}
    for design in designs:
        path = folder / f"session_{design.session_id}.nwb"
        write_session(path, design)
        files[nwb_link(design.session_id)] = path.read_bytes()
    for number, frames in (movies or {}).items():
        files[link(FIRST_MOVIE + number)] = movie_bytes(frames)
    for number, picture in enumerate(scenes):
        files[link(FIRST_SCENE + number)] = scene_bytes(picture, folder)
    return rows_of_designs(designs, list(movies or {}), len(scenes)), files


def rows_of_designs(
    designs: Sequence[SessionDesign], movies: Sequence[int] = (), n_scenes: int = 0
) -> dict[str, list[Row]]:
    """Model → its rows."""
    sessions = [
        session_row(
            one.session_id,
            specimen_id=one.specimen_id,
            specimen=one.specimen,
            session_type=one.session_type,
            age_days=one.age_days,
            sex=one.sex,
            genotype=one.genotype,
            fail_eye_tracking=one.pupil is None,
        )
        for one in designs
    ]
    probes = [
        probe_row(probe.id, one.session_id, probe.name, probe.sampling_rate_hz)
        for one in designs
        for probe in one.probes
    ]
    channels = [
        channel_row(
            channel.id,
            channel.probe_id,
            channel.number,
            channel.acronym,
            channel.ccf_um,
            horizontal_um=channel.horizontal_um,
            vertical_um=channel.vertical_um,
        )
        for one in designs
        for channel in one.channels
        if channel.valid
    ]
    units = [
        unit_row(
            unit.id,
            unit.channel_id,
            quality=unit.quality,
            amplitude_cutoff=unit.amplitude_cutoff,
            presence_ratio=unit.presence_ratio,
            isi_violations=unit.isi_violations,
        )
        for one in designs
        for unit in one.units
    ]
    files = [nwb_row(one.session_id) for one in designs] + template_rows(movies, n_scenes)
    return {
        "EcephysSession": sessions,
        "EcephysProbe": probes,
        "EcephysChannel": channels,
        "EcephysUnit": units,
        "WellKnownFile": files,
    }


def real_rows(mirror: Path) -> dict[str, list[Row]]:
    """The 58 real sessions and 332 real probes, with a few made-up channels and units on each probe."""
    import pandas as pd

    sessions = [
        session_row(
            int(row.id),
            specimen_id=int(row.specimen_id),
            specimen=f"{str(row.genotype).partition('/')[0]}-{int(row.specimen_id)}",
            session_type=row.session_type,
            age_days=float(row.age_in_days),
            sex=row.sex,
            genotype=row.genotype,
            date_of_acquisition=row.date_of_acquisition,
            isi_experiment_id=int(row.isi_experiment_id),
            published_at=row.published_at,
        )
        for row in pd.read_csv(mirror / REAL / "sessions.csv").itertuples()
    ]
    probes, channels, units = [], [], []
    for row in json.loads(pd.read_csv(mirror / REAL / "probes.csv").to_json(orient="records")):
        row["use_lfp_data"] = row.pop("has_lfp_data")
        probes.append(row)
        for place in range(CHANNELS_PER_PROBE):
            acronym = "LGd" if place == 0 else TARGETED[row["name"]] if place < CHANNELS_PER_PROBE - 1 else None
            channel = 100 * row["id"] + place
            ccf_um = (8000.0 + place, 2000.0 - 100 * place, 8500.0) if acronym else None
            channels.append(channel_row(channel, row["id"], 20 * place, acronym, ccf_um))
            if place < 2:
                units.append(unit_row(10 * channel, channel))
    return {
        "EcephysSession": sessions,
        "EcephysProbe": probes,
        "EcephysChannel": channels,
        "EcephysUnit": units,
        "WellKnownFile": [*(nwb_row(int(row["id"])) for row in sessions), *template_rows((1, 3), 118)],
    }


def session_row(
    session: int,
    *,
    specimen_id: int,
    specimen: str,
    session_type: str,
    age_days: float,
    sex: str,
    genotype: str,
    fail_eye_tracking: bool = False,
    **others: Any,
) -> Row:
    """``EcephysSession`` with the specimen, its donor and the donor's age, and the session's files."""
    donor = {"id": specimen_id - 8, "sex": sex, "full_genotype": None if genotype == "wt" else genotype}
    return {
        "id": session,
        "date_of_acquisition": "2019-01-19T08:54:18Z",
        "isi_experiment_id": session - 9_000_000,
        "published_at": "2019-10-03T00:00:00Z",
        **others,
        "specimen_id": specimen_id,
        "stimulus_name": session_type,
        "fail_eye_tracking": fail_eye_tracking,
        "specimen": {
            "id": specimen_id,
            "name": specimen,
            "donor": {**donor, "age": {"days": age_days, "name": f"P{age_days:g}"}},
        },
        "well_known_files": [nwb_row(session)],
    }


def probe_row(probe: int, session: int, name: str, sampling_rate_hz: float) -> Row:
    """``EcephysProbe``."""
    return {
        "id": probe,
        "air_channel_index": 384,
        "surface_channel_index": 336,
        "lfp_sampling_rate": sampling_rate_hz / 12,
        "lfp_temporal_subsampling_factor": 2.0,
        "phase": "3a",
        "use_lfp_data": True,
        "ecephys_session_id": session,
        "name": name,
        "sampling_rate": sampling_rate_hz,
    }


def channel_row(
    channel: int,
    probe: int,
    number: int,
    acronym: str | None,
    ccf_um: tuple[float, float, float] | None,
    *,
    horizontal_um: int = 43,
    vertical_um: int = 20,
) -> Row:
    """``EcephysChannel`` with the columns that allensdk asks for."""
    ap_um, dv_um, lr_um = ccf_um or (None, None, None)
    return {
        "id": channel,
        "ecephys_probe_id": probe,
        "local_index": number,
        "probe_horizontal_position": horizontal_um,
        "probe_vertical_position": vertical_um,
        "anterior_posterior_ccf_coordinate": ap_um,
        "dorsal_ventral_ccf_coordinate": dv_um,
        "left_right_ccf_coordinate": lr_um,
        "ecephys_structure_id": STRUCTURES.get(acronym or ""),
        "ecephys_structure_acronym": acronym,
    }


def unit_row(
    unit: int,
    channel: int,
    *,
    quality: str = "good",
    amplitude_cutoff: float = 0.01,
    presence_ratio: float = 0.99,
    isi_violations: float = 0.05,
) -> Row:
    """``EcephysUnit``."""
    others = (
        *("snr", "firing_rate", "isolation_distance", "l_ratio", "d_prime", "nn_hit_rate", "nn_miss_rate"),
        *("silhouette_score", "max_drift", "cumulative_drift", "duration", "halfwidth", "PT_ratio", "amplitude"),
        *("repolarization_slope", "recovery_slope", "spread", "velocity_above", "velocity_below"),
    )
    return {
        "id": unit,
        "ecephys_channel_id": channel,
        "quality": quality,
        "amplitude_cutoff": amplitude_cutoff,
        "presence_ratio": presence_ratio,
        "isi_violations": isi_violations,
        "epoch_name_quality_metrics": "complete_session",
        "epoch_name_waveform_metrics": "complete_session",
        **dict.fromkeys(others, 1.5),
    }


def nwb_row(session: int) -> Row:
    """``WellKnownFile`` of a session."""
    return _file_row(session + 1, f"/internal/ecephys_session_{session}.nwb", "EcephysSession", session, "EcephysNwb")


def template_rows(movies: Sequence[int], n_scenes: int) -> list[Row]:
    """``WellKnownFile`` of each template."""
    paths = {FIRST_MOVIE + number: f"{MOVIE_FOLDER}/natural_movie_{number}.npy" for number in movies}
    paths |= {FIRST_SCENE + number: f"{MOVIE_FOLDER}/scenes/{number}.tiff" for number in range(n_scenes)}
    return [_file_row(number, path, "Product", PRODUCT, "Stimulus") for number, path in paths.items()]


def _file_row(number: int, path: str, attached_to: str, attached_id: int, file_type: str) -> Row:
    return {
        "id": number,
        "path": path,
        "attachable_type": attached_to,
        "attachable_id": attached_id,
        "download_link": link(number),
        "well_known_file_type": {"name": file_type},
    }


def movie_bytes(frames: np.ndarray) -> bytes:
    """A movie's template as the warehouse has it: npy."""
    stream = io.BytesIO()
    np.save(stream, np.asarray(frames, np.uint8))
    return stream.getvalue()


def scene_bytes(picture: np.ndarray, folder: Path) -> bytes:
    """A scene's template as the warehouse has it: TIFF."""
    import SimpleITK

    path = folder / "scene.tiff"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.asarray(picture, np.uint8)), str(path))
    contents = path.read_bytes()
    path.unlink()
    return contents
