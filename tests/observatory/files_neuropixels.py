"""Writes sessions of Allen Visual Coding – Neuropixels (NWB 2) with allensdk's own writer, from a description.

The layout is that of the released files, also where it is odd: the y and the z of electrodes are equal there
(https://github.com/AllenInstitute/AllenSDK/issues/1796), so that CCF coordinates come from the warehouse's channels.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import itertools
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.recordings.allen.sdk import ecephys_session_class

if TYPE_CHECKING:
    import pandas as pd

WHEEL_RADIUS_CM = 5.5
N_WAVEFORM_CHANNELS, N_WAVEFORM_SAMPLES = 2, 4
START = datetime.datetime(2019, 1, 19, 8, 54, 18, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class ProbeDesign:
    id: int
    name: str
    sampling_rate_hz: float = 29999.97


@dataclasses.dataclass(frozen=True)
class ChannelDesign:
    """A recording site.

    Parameters
    ----------
    number : place on its probe, 0 at the tip
    acronym : structure; None outside the brain
    ccf_um : anterior–posterior, dorsal–ventral and left–right position; None where the probe was not traced
    """

    id: int
    probe_id: int
    number: int
    acronym: str | None
    ccf_um: tuple[float, float, float] | None
    valid: bool = True

    @property
    def vertical_um(self) -> int:
        return 20 * (1 + self.number // 2)

    @property
    def horizontal_um(self) -> int:
        return (43, 11, 59, 27)[self.number % 4]


@dataclasses.dataclass(frozen=True)
class UnitDesign:
    id: int
    channel_id: int
    spike_times_s: np.ndarray
    quality: str = "good"
    amplitude_cutoff: float = 0.01
    presence_ratio: float = 0.99
    isi_violations: float = 0.05
    firing_rate_hz: float = 5.0


@dataclasses.dataclass(frozen=True)
class InvalidTime:
    """A stretch that the Allen Institute marked as bad.

    Parameters
    ----------
    scope : ``EcephysSession`` or ``EcephysProbe``
    label : ``stimulus``, ``all_probes`` or the name of a probe
    """

    start_s: float
    stop_s: float
    scope: str
    scope_id: int
    label: str


@dataclasses.dataclass(frozen=True)
class SessionDesign:
    """One session.

    Parameters
    ----------
    presentations : one row per presentation, columns as in the files: start_time, stop_time (s), stimulus_name,
        stimulus_block, stimulus_index, frame, orientation, spatial_frequency, temporal_frequency, phase …
    running : times (n + 1,) in s that bound n intervals, and speed (n,) in cm/s
    pupil : times (n,) in s, half width (n,) and half height (n,) of the fitted ellipse in px; None without eye tracking
    specimen : name, with the number of the mouse at its end
    """

    session_id: int
    specimen: str
    probes: tuple[ProbeDesign, ...]
    channels: tuple[ChannelDesign, ...]
    units: tuple[UnitDesign, ...]
    presentations: pd.DataFrame
    running: tuple[np.ndarray, np.ndarray]
    pupil: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    invalid_times: tuple[InvalidTime, ...] = ()
    session_type: str = "brain_observatory_1.1"
    specimen_id: int = 699733581
    donor_id: int = 699733573
    age_days: float = 118.0
    sex: str = "M"
    genotype: str = "Sst-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"


def movie_rows(
    name: str, n_frames: int, passes: Sequence[tuple[int, float]], frame_s: float = 1 / 30
) -> list[dict[str, Any]]:
    """Presentations of a movie.

    Parameters
    ----------
    passes : (stimulus block, start in s) of each pass
    """
    return [
        {
            "start_time": start_s + frame * frame_s,
            "stop_time": start_s + (frame + 1) * frame_s,
            "stimulus_name": name,
            "stimulus_block": float(block),
            "frame": float(frame),
        }
        for block, start_s in passes
        for frame in range(n_frames)
    ]


def write_session(path: Path, design: SessionDesign) -> None:
    """Write ``session_<id>.nwb``; equal designs give equal bytes."""
    import pynwb

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # of pynwb, about calls in allensdk
        warnings.simplefilter("ignore")
        file = _session_file(design)
        with pynwb.NWBHDF5IO(str(path), mode="w") as io:
            io.write(file, cache_spec=True)


def _session_file(design: SessionDesign) -> Any:
    import pynwb

    writer = _allen_writer()
    file = pynwb.NWBFile(
        session_description="Data and metadata for an Ecephys session",
        identifier=str(design.session_id),
        session_id=str(design.session_id),
        session_start_time=START,
        file_create_date=START,
        institution="Allen Institute",
    )
    writer.add_metadata_to_nwbfile(
        file,
        {
            "specimen_name": design.specimen,
            "age_in_days": design.age_days,
            "full_genotype": design.genotype,
            "strain": "C57BL/6J",
            "sex": design.sex,
            "stimulus_name": design.session_type,
            "donor_id": design.donor_id,
            "species": "Mus musculus",
        },
    )
    _add_presentations(file, design)
    writer.add_invalid_times(
        file,
        [
            {
                "type": one.scope,
                "id": one.scope_id,
                "label": one.label,
                "start_time": float(one.start_s),
                "end_time": float(one.stop_s),
            }
            for one in design.invalid_times
        ],
    )
    _add_probes(file, design, writer)
    _add_running(file, design)
    _add_eye_tracking(file, design)
    for number, part in enumerate(_parts(file)):
        # drawn at random otherwise; pynwb's reader asks only that they differ
        part._AbstractContainer__object_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{design.session_id}-{number}"))
    return file


def _allen_writer() -> Any:
    """allensdk's module that wrote the released files."""
    ecephys_session_class()
    return importlib.import_module("allensdk.brain_observatory.ecephys.write_nwb.__main__")


def _parts(container: Any) -> list[Any]:
    """A container and all that it holds, in the order in which it was made."""
    return [container, *itertools.chain.from_iterable(_parts(child) for child in container.children)]


def _add_presentations(file: Any, design: SessionDesign) -> None:
    """One table of intervals per stimulus, with the columns that say something of it; text in place of missing text."""
    import pynwb

    table = design.presentations.sort_values("start_time", kind="stable").reset_index(drop=True)
    if "stimulus_index" not in table:
        table["stimulus_index"] = np.unique(table["stimulus_name"], return_inverse=True)[1].astype(float)
    onset_s = table["start_time"].to_numpy(np.float64)
    clock = pynwb.TimeSeries(name="timestamps", data=onset_s, timestamps=onset_s, unit="s")
    _add_module(file, "stimulus", "Stimulus Times processing", [clock])
    for name, rows in table.groupby("stimulus_name"):
        columns = {}
        for column, values in rows.dropna(axis=1, how="all").items():
            text = values.map(type).eq(str).any()
            columns[column] = values.fillna("N/A").astype(str).tolist() if text else values.to_numpy(np.float64)
        tags = pynwb.core.VectorData(
            name="tags", description="user-defined tags", data=["stimulus_time_interval"] * len(rows)
        )
        shown = [pynwb.base.TimeSeriesReference(int(row), 1, clock) for row in rows.index]
        series = pynwb.base.TimeSeriesReferenceVectorData(name="timeseries", description="of the onset", data=shown)
        ends = np.arange(1, len(rows) + 1)
        file.add_time_intervals(
            pynwb.epoch.TimeIntervals(
                name=f"{name}_presentations",
                description=f"Presentation times and stimuli details for '{name}' stimuli",
                columns=[
                    *(
                        pynwb.core.VectorData(name=column, description=str(column), data=values)
                        for column, values in columns.items()
                    ),
                    tags,
                    pynwb.core.VectorIndex(name="tags_index", data=ends, target=tags),
                    series,
                    pynwb.core.VectorIndex(name="timeseries_index", data=ends, target=series),
                ],
                id=np.arange(len(rows)),
            )
        )


def _add_module(file: Any, name: str, description: str, parts: Sequence[Any]) -> None:
    """allensdk's own writer adds parts with a method that pynwb 4 dropped."""
    import pynwb

    module = pynwb.ProcessingModule(name=name, description=description)
    module.add(parts)
    file.add_processing_module(module)


def _add_probes(file: Any, design: SessionDesign, writer: Any) -> None:
    from allensdk.brain_observatory.ecephys._channel import Channel
    from allensdk.brain_observatory.ecephys._channels import Channels
    from allensdk.brain_observatory.ecephys._unit import Unit
    from allensdk.brain_observatory.ecephys._units import Units

    probes = []
    for probe in design.probes:
        channels = [one for one in design.channels if one.probe_id == probe.id]
        here = {one.id: one for one in channels}
        units = [one for one in design.units if one.channel_id in here]
        probes.append(
            writer.Probe(
                id=probe.id,
                name=probe.name,
                sampling_rate=probe.sampling_rate_hz,
                channels=Channels([_channel(one, Channel) for one in channels]),
                units=Units([_unit(number, one, here[one.channel_id], Unit) for number, one in enumerate(units)]),
            )
        )
    writer.Probes(probes).to_nwb(nwbfile=file)


def _channel(design: ChannelDesign, channel_class: Any) -> Any:
    ap_um, dv_um = (np.nan, np.nan) if design.ccf_um is None else design.ccf_um[:2]
    return channel_class(
        id=design.id,
        probe_id=design.probe_id,
        valid_data=design.valid,
        probe_channel_number=design.number,
        probe_vertical_position=design.vertical_um,
        probe_horizontal_position=design.horizontal_um,
        structure_acronym=design.acronym or "None",
        anterior_posterior_ccf_coordinate=ap_um,
        dorsal_ventral_ccf_coordinate=dv_um,
        left_right_ccf_coordinate=dv_um,
        strip_structure_subregion=False,
    )


def _unit(number: int, design: UnitDesign, channel: ChannelDesign, unit_class: Any) -> Any:
    amplitudes = np.full(design.spike_times_s.size, 1e-4)
    return unit_class(
        id=design.id,
        peak_channel_id=design.channel_id,
        local_index=number,
        cluster_id=number,
        quality=design.quality,
        firing_rate=design.firing_rate_hz,
        isi_violations=design.isi_violations,
        presence_ratio=design.presence_ratio,
        amplitude_cutoff=design.amplitude_cutoff,
        mean_waveforms=np.full((N_WAVEFORM_CHANNELS, N_WAVEFORM_SAMPLES), float(channel.number)),
        spike_amplitudes=amplitudes,
        spike_times=np.asarray(design.spike_times_s, np.float64),
        isolation_distance=60.0,
        l_ratio=0.02,
        d_prime=5.0,
        nn_hit_rate=0.98,
        nn_miss_rate=0.001,
        max_drift=20.0,
        cumulative_drift=300.0,
        silhouette_score=0.1,
        waveform_duration=0.5,
        waveform_halfwidth=0.2,
        PT_ratio=0.5,
        repolarization_slope=0.6,
        recovery_slope=-0.1,
        amplitude=150.0,
        spread=60.0,
        velocity_above=0.3,
        velocity_below=0.3,
        snr=3.0,
    )


def _add_running(file: Any, design: SessionDesign) -> None:
    import pynwb

    edges_s, speed_cm_s = design.running
    speed = pynwb.TimeSeries(name="running_speed", timestamps=edges_s[:-1], data=speed_cm_s, unit="cm/s")
    ends = pynwb.TimeSeries(
        name="running_speed_end_times", timestamps=edges_s[1:], data=np.full(speed_cm_s.size, np.nan), unit="cm/s"
    )
    turned = speed_cm_s * np.diff(edges_s) / WHEEL_RADIUS_CM
    rotation = pynwb.TimeSeries(name="running_wheel_rotation", timestamps=speed, data=turned, unit="radians")
    _add_module(file, "running", "running speed data", [speed, ends, rotation])


def _add_eye_tracking(file: Any, design: SessionDesign) -> None:
    import pandas as pd
    import pynwb

    if design.pupil is None:
        return
    times_s, half_width_px, half_height_px = design.pupil
    ellipses = {
        "pupil": (half_width_px, half_height_px),
        "cr": (np.full(times_s.size, 4.0), np.full(times_s.size, 4.0)),
        "eye": (np.full(times_s.size, 80.0), np.full(times_s.size, 60.0)),
    }
    fits = []
    for name, (width_px, height_px) in ellipses.items():
        fit = {"center_x": 300.0, "center_y": 240.0, "height": height_px, "phi": 0.0, "width": width_px}
        table = pd.DataFrame({**fit, "timestamps": times_s})
        fits.append(pynwb.core.DynamicTable.from_dataframe(df=table, name=f"{name}_ellipse_fits"))
    _add_module(file, "eye_tracking", "Eye tracking processing module", fits)
    for module in ("raw_gaze_mapping", "filtered_gaze_mapping"):
        series = [
            pynwb.TimeSeries(
                name=name, data=np.zeros((times_s.size, *shape)), timestamps=np.asarray(times_s), unit=unit
            )
            for name, shape, unit in (
                ("pupil_area", (), "Pixels ^ 2"),
                ("eye_area", (), "Pixels ^ 2"),
                ("screen_coordinates", (2,), "Centimeters"),
                ("screen_coordinates_spherical", (2,), "Degrees"),
            )
        ]
        _add_module(file, module, "Gaze mapping processing module outputs", series)
